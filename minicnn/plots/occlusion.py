"""Which part of an image the network's answer hangs on: cover a part, and ask again."""

import numpy as np

from minicnn import backends
from minicnn.errors import ShapeError
from minicnn.plots.style import WIDTH, finish, new_figure, show_image


def occlusion_map(net, image, label, side, stride, batch_size=64):
    """The probability of a class with a square of the image covered, for every place of the square.

    The square has the image's mean colour. The middle of square (i, j) is pixel (i·stride + stride/2, j·stride + stride/2);
    at the border a part of it is outside. Zeiler and Fergus 2014, "Visualizing and
    understanding convolutional networks", section 4.2.

    Parameters
    ----------
    net : Sequential
        Its output is logits (N, classes); run in evaluation mode.
    image : NumPy array (C, H, W)
    label : int
        The class.
    side, stride : int
        Of the square, and from one place to the next, in pixels.
    batch_size : int
        Images at a time.

    Returns
    -------
    NumPy array (places down, places across)

    Examples
    --------
    >>> import numpy as np
    >>> from minicnn import Conv2d, Flatten, Linear, MaxPool2d, ReLU, Sequential, plots
    >>> net = Sequential(conv1=Conv2d(3, 8, 5, seed=0), relu1=ReLU(), pool1=MaxPool2d(2), flat=Flatten(),
    ...                  fc=Linear(8 * 12 * 12, 4, seed=1))
    >>> images = np.random.default_rng(0).standard_normal((6, 3, 28, 28), np.float32)
    >>> plots.occlusion_map(net, images[0], label=2, side=8, stride=4).shape
    (7, 7)
    """
    if side < 1 or not 1 <= stride <= min(image.shape[1:]):
        raise ShapeError(f"occlusion: got side {side!r} and stride {stride!r}, wanted ints >= 1 and a stride no larger "
                         f"than the image, {image.shape}")
    rows, columns = (range(stride // 2, size, stride) for size in image.shape[1:])
    places = [(row, column) for row in rows for column in columns]
    found = []
    for i in range(0, len(places), batch_size):
        covered = np.stack([_cover(image, *place, side) for place in places[i:i + batch_size]])
        found.append(_probabilities(net, covered, label))
    return np.concatenate(found).reshape(len(rows), len(columns))


def occlusion(net, image, label, side=32, stride=8, name=None, *, path=None):
    """An image, and how probable its class is with a square covered, at the middle of each square.

    Parameters
    ----------
    net, image, label, side, stride
        As for `occlusion_map`.
    name : str, optional
        Of the class.
    path : str or Path, optional
        A PNG to write.

    Returns
    -------
    matplotlib Figure

    Examples
    --------
    >>> import numpy as np
    >>> from minicnn import Conv2d, Flatten, Linear, MaxPool2d, ReLU, Sequential, plots
    >>> net = Sequential(conv1=Conv2d(3, 8, 5, seed=0), relu1=ReLU(), pool1=MaxPool2d(2), flat=Flatten(),
    ...                  fc=Linear(8 * 12 * 12, 4, seed=1))
    >>> images = np.random.default_rng(0).standard_normal((6, 3, 28, 28), np.float32)
    >>> figure = plots.occlusion(net, images[0], label=2, side=8, stride=4)
    >>> figure.axes[1].get_title(loc="left")
    'with 8 × 8 pixels around here covered'
    """
    height, width = image.shape[1:]
    found = occlusion_map(net, image, label, side, stride)
    name = f"class {label}" if name is None else name
    figure = new_figure((WIDTH, max(2, min(WIDTH / 2.3 * height / width, 7)) + 0.6))
    left, right = figure.subplots(1, 2, sharex=True, sharey=True)
    show_image(left, image)
    left.set_title(f"{name}: {_probabilities(net, image[None], label)[0]:.1%}", loc="left", fontsize=10, parse_math=False)
    bottom, end = np.array(found.shape) * stride - 0.5
    heat = right.imshow(found, extent=(-0.5, end, bottom, -0.5), vmin=0, vmax=1, cmap="viridis", interpolation="nearest")
    right.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5), xticks=[], yticks=[])
    right.set_title(f"with {side} × {side} pixels around here covered", loc="left", fontsize=10)
    figure.colorbar(heat, ax=right, fraction=0.04, pad=0.02, format=lambda share, _: f"{share:.0%}",
                    label="probability").outline.set_visible(False)
    return finish(figure, path)


def _cover(image, row, column, side):
    covered = image.copy()
    top, left = max(row - side // 2, 0), max(column - side // 2, 0)
    covered[:, top:row - side // 2 + side, left:column - side // 2 + side] = image.mean(axis=(1, 2), keepdims=True)
    return covered


def _probabilities(net, images, label):
    """The softmax of one class, (N,) float64."""
    ops = backends.get(net.backend)
    logits = ops.to_numpy(net.infer(ops.asarray(images)))
    if logits.ndim != 2 or not 0 <= label < logits.shape[1]:
        raise ShapeError(f"occlusion: the network gives {logits.shape}, and class {label!r} is none of it")
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True), dtype=np.float64)
    return exponentials[:, label] / exponentials.sum(axis=1)
