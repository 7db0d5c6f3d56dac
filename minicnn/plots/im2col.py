"""What im2col does to an image: every window becomes a column, and a convolution one product of matrices."""

import numpy as np

from minicnn.backends.numpy import im2col as unroll
from minicnn.errors import ShapeError
from minicnn.plots.style import FIRST, LAST, WIDTH, finish, hatch, new_figure, outline, write_numbers
from minicnn.windows import Window

READABLE = 40  # rows and columns of a matrix up to which the numbers are written into the cells


def im2col(image, kernel_size, stride=1, padding=0, dilation=1, ceil_mode=False, *, path=None):
    """The channels of an image, and beside them the matrix of its windows; the first window has a solid outline, the last
    a dashed one.

    Colours stand for values, and in small matrices the values are written into the cells, so that an image of
    consecutive numbers shows where each copy comes from. Hatched cells are padding.

    Parameters
    ----------
    image : NumPy array (C, H, W)
    kernel_size, stride, padding, dilation, ceil_mode
        As of `Conv2d` and `minicnn.im2col`.
    path : str or Path, optional
        A PNG to write.

    Returns
    -------
    matplotlib Figure

    Examples
    --------
    >>> import numpy as np
    >>> from minicnn import plots
    >>> figure = plots.im2col(np.arange(50.0).reshape(2, 5, 5), 3)
    >>> figure.axes[-1].get_title(loc="left")
    'columns 18 × 9: 162 numbers from 50'
    """
    image = np.asarray(image)
    if image.ndim != 3 or not image.size:
        raise ShapeError(f"im2col: got an image of shape {image.shape}, wanted (C, H, W)")
    settings = kernel_size, stride, padding, dilation, ceil_mode
    window = Window.make(*settings)
    columns = unroll(image[None], *settings)[0]  # (C, KH, KW, OH, OW)
    inside = unroll(np.ones((1, *image.shape)), *settings)[0] > 0
    matrix, inside = (a.reshape(-1, columns.shape[3] * columns.shape[4]) for a in (columns, inside))
    return finish(_draw(image, matrix, inside, window), path)


def _draw(image, matrix, inside, window):
    written = max(matrix.shape) <= READABLE
    channels = len(image)
    figure = new_figure((WIDTH, max(0.19 * len(matrix), 1.7 * channels) + 0.8 if written else 3.6))
    grid = figure.add_gridspec(channels, 2, width_ratios=(1, 2.6))
    limits = {"vmin": np.nanmin(image), "vmax": np.nanmax(image), "cmap": "viridis"}
    limits["interpolation"] = "nearest" if written else "auto"  # a large matrix has several numbers a pixel
    for channel, values in enumerate(image):
        axes = figure.add_subplot(grid[channel, 0])
        axes.imshow(values, **limits)
        if written:
            write_numbers(axes, values)
        _mark_windows(axes, window, values.shape)
        _dress(axes, f"image {_times(image.shape)}" * (channel == 0), "", f"channel {channel}")
    axes = figure.add_subplot(grid[:, 1])
    axes.imshow(np.where(inside, matrix, np.nan), aspect="auto", **limits)
    if written:
        write_numbers(axes, np.where(inside, matrix, np.nan))
    for column, line in ((0, FIRST), (matrix.shape[1] - 1, LAST)):
        outline(axes, column, 0, 1, len(matrix), line)
    _dress(axes, f"columns {_times(matrix.shape)}: {matrix.size:,} numbers from {image.size:,}",
           f"{matrix.shape[1]} windows, in reading order", f"{len(matrix)} taps: channel, row, column")
    return figure


def _dress(axes, title, below, beside):
    hatch(axes)
    axes.set_title(title, loc="left", fontsize=10)
    axes.set_xlabel(below, fontsize=8)
    axes.set_ylabel(beside, fontsize=8)


def _mark_windows(axes, window, shape):
    """The first and the last window, and the padding that any of them reaches."""
    rows, columns = window.rows.taps(shape[0]), window.columns.taps(shape[1])
    for row, column, line in ((rows[0], columns[0], FIRST), (rows[-1], columns[-1], LAST)):
        outline(axes, column[0], row[0], column[-1] - column[0] + 1, row[-1] - row[0] + 1, line)
    axes.set(xlim=(min(columns[0][0], 0) - 0.5, max(columns[-1][-1], shape[1] - 1) + 0.5),
             ylim=(max(rows[-1][-1], shape[0] - 1) + 0.5, min(rows[0][0], 0) - 0.5))


def _times(shape):
    return " × ".join(map(str, shape))
