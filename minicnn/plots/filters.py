"""The weights of a convolution as tiles."""

import numpy as np

from minicnn.errors import ShapeError
from minicnn.plots.style import WIDTH, columns_for, finish, largest_of, new_figure, paint, sheet

ROWS, COLUMNS = 16, 48  # of a table of filters and channels, at most
PAPER = 0.85  # the grey between tiles in which white means zero


def filters(weights, start=None, *, path=None):
    """The filters of a convolution as tiles, each scaled to its own largest weight.

    Filters of three channels are in colour, grey being zero; filters of one are blue for negative and orange for positive.
    Those of many channels cannot be shown in one tile: each is a row, and each of its channels a tile. Of so large a
    table 16 filters of 48 channels are drawn, and the title says so; give `weights[16:32, 48:96]` to see others.

    After a short training the random start still covers what was learned, so the difference is drawn beside it.

    Parameters
    ----------
    weights : NumPy array (F, C, KH, KW)
    start : array, optional
        As `weights`, what they were before training.
    path : str or Path, optional
        A PNG to write.

    Returns
    -------
    matplotlib Figure

    Examples
    --------
    >>> from minicnn import Conv2d, plots
    >>> figure = plots.filters(Conv2d(3, 96, 11, seed=0).weight.data)
    >>> figure.axes[0].get_title(loc="left")
    '96 filters of 11×11 pixels, 3 channels'
    """
    weights = np.asarray(weights)
    if weights.ndim != 4 or not weights.size:
        raise ShapeError(f"filters: got weights of shape {weights.shape}, wanted (F, C, KH, KW)")
    if start is not None and start.shape != weights.shape:
        raise ShapeError(f"filters: start has shape {start.shape}, the weights {weights.shape}")
    added = {} if start is None else {"what training has added to them": weights - start}
    return finish((_tiles if weights.shape[1] in (1, 3) else _tables)(weights, added), path)


def _tiles(weights, added):
    """Filters of one or three channels, one tile each: one sheet beside the other."""
    count, channels, height, width = weights.shape
    title = f"{count} filter{'s' * (count > 1)} of {height}×{width} pixels, {channels} channel{'s' * (channels > 1)}"
    sheets = {title: weights, **added}
    columns = columns_for(count)
    rows = -(-count // columns)
    wide = min(7, max(3.5, 1.2 * columns))
    figure = new_figure((wide * len(sheets), wide * rows * (height + 1) / (columns * (width + 1)) + 0.4))
    for axes, (title, values) in zip(figure.subplots(1, len(sheets), squeeze=False)[0], sheets.items()):
        tiles = tinted(values, largest_of(values, (1, 2, 3)))
        axes.imshow(sheet(tiles, columns, paper_for(channels)), interpolation="nearest")
        axes.set_axis_off()
        axes.set_title(title, loc="left", fontsize=12 if wide > 5 else 9)
    return figure


def tinted(weights, largest):
    """Filters (F, 1 or 3, KH, KW) as images (F, KH, KW, 3) between 0 and 1; what is not finite is black.

    The weights ±`largest`, which is (F, 1, 1, 1), are the ends of the scale.
    """
    if weights.shape[1] == 1:
        return paint(weights[:, 0], largest[:, 0])
    scaled = weights / np.maximum(largest, 1e-12)
    return np.nan_to_num(np.clip(0.5 + 0.5 * scaled, 0, 1), nan=0.0).transpose(0, 2, 3, 1)


def paper_for(channels):
    """The grey between tiles: not that of a zero."""
    return 1.0 if channels == 3 else PAPER


def _tables(weights, added):
    """Filters of many channels, a row for each filter: one table above the other."""
    count, channels, height, width = weights.shape
    rows, columns = min(count, ROWS), min(channels, COLUMNS)
    tables = {f"filters {_some(rows, count)}, channels {_some(columns, channels)}, {height}×{width} pixels;\n"
              "blue negative, orange positive": weights, **added}
    pixel = min((WIDTH - 0.5) / (columns * (width + 1)), 0.6 / (max(height, width) + 1))  # inches
    wide, tall = max(columns * (width + 1) * pixel + 0.5, 5.5), rows * (height + 1) * pixel + 0.95
    figure = new_figure((wide, tall * len(tables)))
    for axes, (title, values) in zip(figure.subplots(len(tables), 1, squeeze=False)[:, 0], tables.items()):
        tiles = paint(values, largest_of(values, (1, 2, 3)))[:rows, :columns].reshape(rows * columns, height, width, 3)
        axes.imshow(sheet(tiles, columns, PAPER), interpolation="nearest")
        axes.set_title(title, loc="left", fontsize=10)
        axes.set(xlabel="channel", ylabel="filter", anchor="W")
        axes.set_xticks(*_ticks(columns, width))
        axes.set_yticks(*_ticks(rows, height))
        axes.spines[:].set_visible(False)
    return figure


def _some(part, all_):
    """'0–15 of 256', or how many there are."""
    return f"0–{part - 1} of {all_}" if part < all_ else f"{all_}"


def _ticks(count, size):
    """Positions and labels of every fourth tile."""
    numbers = range(0, count, 4 if count > 8 else 1)
    return [i * (size + 1) + 0.5 + size / 2 for i in numbers], [str(i) for i in numbers]
