"""Receptive fields drawn on a picture."""

from minicnn.plots.passes import choose
from minicnn.plots.receptive import half_side, input_gradient, receptive_box
from minicnn.plots.style import (
    BLUE,
    FIRST,
    GREEN,
    INK,
    ORANGE,
    PURPLE,
    WIDTH,
    counting_colours,
    finish,
    new_figure,
    outline,
    show_image,
    shown,
)
from minicnn.trace import trace

LINES = [(colour, style) for style in ("-", "--", ":") for colour in (ORANGE, BLUE, GREEN, PURPLE, INK)]


def receptive_fields(net, image, layers=None, unit=None, *, path=None):
    """The pixels that one unit of each layer sees, as rectangles on an image.

    Parameters
    ----------
    net : Sequential
    image : an image
        As large as the network takes it; uint8 (H, W, 3) or (H, W), or floats (C, H, W).
    layers : sequence of names, optional
        All layers with a window (convolution and pooling), if not given.
    unit : (row, column), optional
        The unit's place in the map, the same in all layers; the middle of each, if not given.
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
    >>> figure = plots.receptive_fields(net, images[0])
    >>> figure.axes[0].get_title(loc="left")
    'what one unit of each layer sees'
    """
    shape = _channels(net), *shown(image).shape[:2]
    names = [leaf.name for leaf in choose(net, layers) if layers is not None or hasattr(leaf, "window")]
    rows = {row.name: row for row in trace(net, (1, *shape)).rows}
    figure = new_figure((WIDTH, min(max(5.5 * shape[1] / shape[2], 0.25 * len(names)), 7) + 0.4))
    axes, beside = figure.subplots(1, 2, width_ratios=(5.5, 4))
    show_image(axes, image)
    beside.set_axis_off()
    for name, line in reversed(list(zip(names, LINES * len(names)))):  # the small ones on top
        box = receptive_box(net, shape, name, unit)
        _around(axes, box, line, f"{name}: {_size(box.size)} pixels{_rest(rows[name], box)}")
    axes.set_title("what one unit of each layer sees", loc="left", fontsize=10)
    beside.legend(handles=axes.patches[:0:-2], loc="center left", frameon=False, fontsize=9, handlelength=3, borderpad=0)
    return finish(figure, path)


def effective_field(net, image, layer, unit=None, *, path=None):
    """How far each pixel moves one unit of a layer, beside the rectangle that the unit can see at all.

    In the middle of the rectangle pixels are read by more windows, so they count for more; Luo et al. 2016,
    "Understanding the effective receptive field in deep convolutional neural networks".

    Parameters
    ----------
    net : Sequential
    image : NumPy array (C, H, W)
        As the network takes it.
    layer : str
        Its name.
    unit : (row, column), optional
        The middle of the map, if not given.
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
    >>> figure = plots.effective_field(net, images[0], "pool1")
    >>> figure.axes[0].get_title(loc="left")
    'pool1 can see 6 × 6 pixels'
    """
    box, moved = receptive_box(net, image.shape, layer, unit), input_gradient(net, image, layer, unit)
    figure = new_figure((WIDTH, max(2, min(WIDTH / 2.3 * image.shape[1] / image.shape[2], 7)) + 0.6))
    left, right = figure.subplots(1, 2)
    show_image(left, image)
    left.set_title(f"{layer} can see {_size(box.size)} pixels", loc="left", fontsize=10)
    heat = right.imshow(moved / (moved.max() or 1), cmap=counting_colours(), vmin=0, interpolation="nearest")
    side = half_side(moved, box)
    right.set_title(f"half of its gradient is in the middle {side} × {side}" if moved.any() else "no pixel moves it",
                    loc="left", fontsize=10)
    right.set(xticks=[], yticks=[])
    for axes in (left, right):
        _around(axes, box, FIRST)
    figure.colorbar(heat, ax=right, fraction=0.04, pad=0.02, label="|gradient| ÷ the largest").outline.set_visible(False)
    return finish(figure, path)


def _around(axes, box, line, label=None):
    height, width = box.size
    outline(axes, box.left, box.top, width, height, line, label)


def _channels(net):
    """Channels that the network's first convolution takes; without one it takes any number."""
    return next((leaf.in_channels for leaf in net.leaves() if hasattr(leaf, "in_channels")), 1)


def _rest(row, box):
    """', stride 8', and what the border cuts off."""
    whole = row.receptive_field if isinstance(row.receptive_field, tuple) else (row.receptive_field,) * 2
    step = _size(row.stride) if isinstance(row.stride, tuple) else row.stride
    return f", stride {step}" + (f" ({_size(whole)}, cut at the border)" if whole != box.size else "")


def _size(pair):
    return " × ".join(map(str, pair))
