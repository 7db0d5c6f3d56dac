"""Which numbers a max-pooling lets through."""

import copy

import numpy as np

from minicnn.errors import ShapeError
from minicnn.layers.pool import MaxPool2d
from minicnn.plots.style import INK, ORANGE, WIDTH, finish, new_figure, write_numbers

READABLE = 16  # rows and columns of a map up to which its numbers are written
MORE = " (×2: of two windows)"


def tied_windows(layer, values):
    """The numbers (row, column) of a map (H, W) that are the largest of a window, but not alone.

    Of equal ones the first wins and gets the whole gradient.

    Examples
    --------
    >>> import numpy as np
    >>> from minicnn import MaxPool2d, plots
    >>> sorted(plots.tied_windows(MaxPool2d(2), np.array([[1.0, 1.0], [0.0, 0.0]])))
    [(0, 0), (0, 1)]
    """
    found, axes = set(), zip((layer.window.rows, layer.window.columns), values.shape)
    rows, columns = ([[tap for tap in taps if 0 <= tap < size] for taps in axis.taps(size)] for axis, size in axes)
    for row in rows:
        for column in columns:
            window = values[np.ix_(row, column)]
            largest = np.argwhere(window == window.max())
            if len(largest) > 1:
                found |= {(row[r], column[c]) for r, c in largest}
    return found


def pooling(layer, values, *, path=None):
    """A map before and after max-pooling, with a square around each number that is the largest of a window.

    Dots mark numbers that tie: no other in their window is larger, but one is as large, and the first of them wins. After
    a ReLU most ties are zeros.

    Parameters
    ----------
    layer : MaxPool2d
    values : NumPy array (H, W)
    path : str or Path, optional
        A PNG to write.

    Returns
    -------
    matplotlib Figure

    Examples
    --------
    >>> import numpy as np
    >>> from minicnn import MaxPool2d, plots
    >>> figure = plots.pooling(MaxPool2d(3, 2), np.random.default_rng(0).random((7, 7)))
    >>> [axes.get_title(loc="left") for axes in figure.axes]
    ['before: 7 × 7', 'after: 3 × 3']
    """
    values = np.asarray(values, np.float64)
    if not isinstance(layer, MaxPool2d) or values.ndim != 2:
        raise ShapeError(f"pooling: got {layer} and values of shape {values.shape}, wanted a MaxPool2d and (H, W)")
    own = copy.deepcopy(layer).to("numpy").astype("float64")
    y = own.forward(values[None, None])
    wins = own.backward(np.ones_like(y))[0, 0]
    figure = new_figure((WIDTH, min(0.62 * WIDTH * values.shape[0] / values.shape[1], 8) + 0.6))
    before, after = figure.subplots(1, 2, width_ratios=(values.shape[1], y.shape[3]))
    written = max(values.shape) <= READABLE
    for axes, numbers, name in ((before, values, "before"), (after, y[0, 0], "after")):
        axes.imshow(numbers, cmap="viridis", vmin=values.min(), vmax=values.max(), interpolation="nearest")
        axes.set(xticks=[], yticks=[])
        axes.set_title(f"{name}: {numbers.shape[0]} × {numbers.shape[1]}", loc="left", fontsize=10)
        if written:
            write_numbers(axes, numbers)
    _mark(before, wins, tied_windows(layer, values), written)
    figure.legend(*before.get_legend_handles_labels(), loc="outside lower left", frameon=False, fontsize=8, ncols=2)
    return finish(figure, path)


def _mark(axes, wins, ties, written):
    """Squares in the cells of winners, with the number of windows that they win; dots in the corners of ties."""
    from matplotlib.collections import PolyCollection

    winners = np.argwhere(wins > 0)
    corners = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)]) * 0.4
    axes.add_collection(PolyCollection(winners[:, None, ::-1] + corners, facecolors="none", edgecolors=ORANGE,
                                       linewidths=2 if written else 1, label="the largest of a window" + MORE * written))
    for row, column in winners[written * wins[tuple(winners.T)] > 1]:
        axes.text(column + 0.36, row + 0.34, f"×{wins[row, column]:g}", ha="right", va="bottom", fontsize=7.5, color="white",
                  bbox={"facecolor": ORANGE, "edgecolor": "none", "pad": 0.8})
    if ties:
        rows, columns = np.array(sorted(ties)).T
        axes.scatter(columns - 0.3, rows - 0.3, s=14 if written else 3, facecolors="white", edgecolors=INK, linewidths=0.5,
                     label="as large as another in its window")
