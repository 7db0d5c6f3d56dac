"""Where the windows of a convolution or a pooling lie, and how often they read each pixel."""

import numpy as np

from minicnn.errors import ShapeError
from minicnn.plots.style import FIRST, LAST, WIDTH, counting_colours, finish, hatch, new_figure, outline, show_image, shown


def window_counts(window, size):
    """How many windows read each pixel of an image of (H, W); what `col2im` makes of columns of ones.

    Examples
    --------
    >>> from minicnn import Conv2d
    >>> from minicnn.plots import window_counts
    >>> window_counts(Conv2d(1, 1, 2).window, (3, 3))
    array([[1, 2, 1],
           [2, 4, 2],
           [1, 2, 1]])
    """
    return np.outer(_counts(window.rows, size[0]), _counts(window.columns, size[1]))


def _counts(axis, length):
    """How many windows read each place along one axis."""
    return np.bincount([tap for taps in axis.taps(length) for tap in taps if 0 <= tap < length], minlength=length)


def windows(layer, image, *, path=None):
    """The windows of a layer on an image: the first ones, the last one, the padding, and how often each pixel is read.

    It shows what a stride leaves over: whether the last window ends with the image, hangs over its edge (ceil mode), or
    leaves pixels that nobody reads. Where windows overlap a pixel is read more often, and gets more gradient.

    Parameters
    ----------
    layer : Conv2d, MaxPool2d or AvgPool2d
    image : an image
        uint8 (H, W, 3) or (H, W), or floats (C, H, W).
    path : str or Path, optional
        A PNG to write.

    Returns
    -------
    matplotlib Figure

    Examples
    --------
    >>> import numpy as np
    >>> from minicnn import Conv2d, plots
    >>> figure = plots.windows(Conv2d(3, 4, 5, stride=4), np.zeros((12, 12, 3), np.uint8))
    >>> figure.axes[0].get_title(loc="left").splitlines()[0]
    'rows: 12 → 2, kernel 5, stride 4; 3 of 12 read by no window'
    """
    if not hasattr(layer, "window"):
        raise ShapeError(f"windows: {layer} has no window, wanted a convolution or a pooling")
    size = shown(image).shape[:2]
    axes = layer.window.rows, layer.window.columns
    figure = new_figure((WIDTH, max(2, min(WIDTH / 2.3 * size[0] / size[1], 7)) + 0.8))
    left, right = figure.subplots(1, 2)
    _geometry(left, layer.window, image, size)
    sentences = [f"{name}: {_sentence(*one)}" for name, *one in zip(("rows", "columns"), axes, size)]
    left.set_title("\n".join(sentences), loc="left", fontsize=8)
    counts = window_counts(layer.window, size)
    heat = right.imshow(counts, cmap=counting_colours(), vmin=0, interpolation="nearest")
    right.set(xticks=[], yticks=[])
    right.set_title(f"each pixel is read by {_range(counts)}", loc="left", fontsize=8)
    bar = figure.colorbar(heat, ax=right, fraction=0.04, pad=0.02, label="windows")
    bar.locator.set_params(integer=True, min_n_ticks=1)
    bar.outline.set_visible(False)
    return finish(figure, path)


def _geometry(axes, window, image, size):
    """The image on hatched ground, with the first windows in both directions and the last one."""
    show_image(axes, image)
    axes.set_axis_on()
    hatch(axes)
    rows, columns = (axis.taps(length) for axis, length in zip((window.rows, window.columns), size))
    marked = [(row, column, FIRST) for row in rows[:2] for column in columns[:2]] + [(rows[-1], columns[-1], LAST)]
    for row, column, line in marked:
        outline(axes, column[0], row[0], column[-1] - column[0] + 1, row[-1] - row[0] + 1, line)
    axes.set(xlim=_limits(columns, window.columns, size[1]), ylim=_limits(rows, window.rows, size[0])[::-1])


def _limits(taps, axis, length):
    """From the padding before to what is farther, the padding behind or the end of the last window."""
    return -axis.before - 0.5, max(length + axis.after, taps[-1][-1] + 1) - 0.5


def _sentence(axis, length):
    """'227 → 55, kernel 11, stride 4, …', and what is left over."""
    end = axis.taps(length)[-1][-1] + 1
    text = f"{length} → {axis.output_size(length)}, kernel {axis.kernel}, stride {axis.stride}"
    text += f", dilation {axis.dilation}" * (axis.dilation > 1)
    text += f", padding {axis.before} and {axis.after}" * (axis.before + axis.after > 0)
    if end > length + axis.after:
        text += f"; the last window hangs over by {end - length - axis.after}"
    unread = int((_counts(axis, length) == 0).sum())
    return f"{text}; {unread} of {length} read by no window" if unread else text


def _range(counts):
    low, high = counts.min(), counts.max()
    return f"{low} window{'s' * (low != 1)}" if low == high else f"{low} to {high} windows"
