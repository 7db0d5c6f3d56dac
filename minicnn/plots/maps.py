"""Feature maps: what each layer makes of an image, and how the loss depends on it."""

import copy

import numpy as np

from minicnn.errors import ShapeError
from minicnn.layers.conv import Conv2d
from minicnn.plots.passes import gradients, outputs
from minicnn.plots.style import (
    FAINT,
    GREY,
    WIDTH,
    finish,
    largest_of,
    new_figure,
    paint,
    show_image,
    signed_colours,
)

LABELS, BAR = 0.95, 0.5  # inches beside the maps: names on the left, colour bars on the right
LINES = 0.46  # inches that three lines of a name need


def feature_maps(net, image, layers=None, maps=range(12), *, path=None):
    """Some maps of an image after every layer, in evaluation mode.

    From one convolution to the next, the same colours mean the same numbers: white is zero, orange positive, blue
    negative, NaN black. So it shows what ReLU cuts off, LRN damps and pooling keeps.

    Parameters
    ----------
    net : Sequential
    image : NumPy array (C, H, W)
    layers : sequence of names, optional
        All layers that have maps, if not given.
    maps : sequence of int
        Which maps of each layer; those that it does not have are left out.
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
    >>> figure = plots.feature_maps(net, images[0], ["conv1", "relu1"], maps=range(3))
    >>> [axes.get_ylabel().splitlines()[:2] for axes in figure.axes[1:3]]
    [['conv1', '8 × 24 × 24'], ['relu1', '8 × 24 × 24']]
    """
    found = [(leaf, y[0]) for leaf, y in outputs(net, image[None], layers) if y.ndim == 4]
    rows = [(leaf, f"{_share(y == 0)} zeros", y) for leaf, y in found]
    return finish(_draw(image, rows, maps), path)


def gradient_maps(net, image, label, layers=None, maps=range(12), *, path=None):
    """The backward pass as pictures: under some maps of every layer, the gradient of the loss by them.

    The loss is the softmax cross-entropy of the image and its label, the network in evaluation mode. Each row has a scale
    of its own, for gradients differ by orders of magnitude from layer to layer.

    Parameters
    ----------
    net, image, layers, maps, path
        As for `feature_maps`.
    label : int

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
    >>> figure = plots.gradient_maps(net, images[0], 2, ["conv1"], maps=range(3))
    >>> [axes.get_ylabel().splitlines()[-1] for axes in figure.axes[1:3]]          # the maps, and the gradients by them
    ['y', 'dL/dy']
    """
    rows = []
    for leaf, y, dy in gradients(copy.deepcopy(net).eval(), image[None], [label], layers):
        if y.ndim == 4:
            rows += [(leaf, "y", y[0]), (leaf, "dL/dy", dy[0])]
    return finish(_draw(image, rows, maps, together=False), path)


def _draw(image, rows, maps, together=True):
    """The image, and under it a row of tiles for each of (layer, remark, maps (C, H, W))."""
    rows = [(leaf, remark, values, [m for m in maps if 0 <= m < len(values)]) for leaf, remark, values in rows]
    if not rows or not all(chosen for *_, chosen in rows):
        raise ShapeError(f"a layer has no maps to draw: wanted outputs (N, C, H, W), and some C of {list(maps)}")
    scales = _scales(rows, together)
    tile = (WIDTH - LABELS - BAR) / len(maps)
    heights = [1.2, *(max(LINES, min(1.2, tile * values.shape[1] / values.shape[2])) for _, _, values, _ in rows)]
    figure = new_figure((WIDTH, sum(heights) + 0.09 * len(heights)))
    panels = figure.subplots(len(heights), 1, height_ratios=heights)
    show_image(panels[0], image)
    _label(panels[0], f"image\n{_size(image)}")
    for axes, (leaf, remark, values, chosen), scale in zip(panels[1:], rows, scales):
        _row(axes, paint(values[chosen], scale), len(maps))
        _label(axes, f"{leaf.name}\n{_size(values)}\n{remark}")
    _colour_bars(figure, panels[1:], scales)
    return figure


def _row(axes, tiles, columns):
    """Tiles (T, H, W, 3) beside each other, on an axis with room for `columns` of them."""
    count, height, width, _ = tiles.shape
    axes.imshow(tiles.transpose(1, 0, 2, 3).reshape(height, count * width, 3), interpolation="nearest")
    axes.set_xlim(-0.5, columns * width - 0.5)
    for column in range(1, count):
        axes.axvline(column * width - 0.5, color=GREY, linewidth=1.5)


def _scales(rows, together):
    """The number that has the darkest colour, of every row; from one convolution to the next the same if `together`."""
    own = [float(largest_of(values[chosen])) for _, _, values, chosen in rows]
    if not together:
        return own
    stages = np.cumsum([isinstance(leaf, Conv2d) for leaf, *_ in rows])
    return [max(scale for scale, other in zip(own, stages) if other == stage) for stage in stages]


def _label(axes, text):
    axes.set(xticks=[], yticks=[], anchor="W")
    axes.spines[:].set(color=GREY)
    axes.set_axis_on()
    axes.set_ylabel(text, rotation=0, ha="right", va="center", fontsize=8, linespacing=1.3)


def _colour_bars(figure, panels, scales):
    """A bar for each run of rows of one scale."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    first = [i for i in range(len(scales)) if i == 0 or scales[i] != scales[i - 1]]
    for start, stop in zip(first, [*first[1:], len(scales)]):
        largest = scales[start] or 1.0
        bar = figure.colorbar(
            ScalarMappable(Normalize(-largest, largest), signed_colours()), ax=list(panels[start:stop]), panchor=False,
            fraction=0.03, pad=0.01, aspect=8 * (stop - start), ticks=[-largest, 0, largest], format="%.3g")
        bar.ax.tick_params(labelsize=7, length=2, color=FAINT)
        bar.outline.set_visible(False)


def _size(values):
    return " × ".join(map(str, values.shape))


def _share(flags):
    return f"{np.mean(flags):.0%}"
