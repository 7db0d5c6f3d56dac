"""What local response normalisation does to the numbers of one pixel."""

import copy

import numpy as np

from minicnn.errors import ShapeError
from minicnn.layers.lrn import LRN
from minicnn.plots.style import BLUE, FAINT, GREY, GRID, ORANGE, WIDTH, finish, new_figure


def divisors(layer, values):
    """s^β of every map at one pixel, s[c] = k + a Σ values[c']² over the window of c; what `LRN` divides by.

    Parameters
    ----------
    layer : LRN
    values : NumPy array (C,)

    Examples
    --------
    >>> import numpy as np
    >>> from minicnn import LRN, plots
    >>> plots.divisors(LRN(3, alpha=1.0, beta=1.0, k=1.0), np.ones(3))          # 1 + 2, 1 + 3, 1 + 2
    array([3., 4., 3.])
    """
    half, squares = layer.size // 2, np.asarray(values, np.float64) ** 2
    alpha = layer.alpha / layer.size if layer.alpha_mode == "mean" else layer.alpha
    sums = [squares[max(0, c - half):c + half + 1].sum() for c in range(len(squares))]
    return (layer.k + alpha * np.array(sums)) ** layer.beta


def lrn(layer, values, *, path=None):
    """The numbers of one pixel in all maps before and after LRN, and what divides them.

    Where the divisor is flat, LRN is no more than a constant factor, k^−β: with α = 1e-4 it takes large numbers for
    neighbours to damp each other.

    Parameters
    ----------
    layer : LRN
    values : NumPy array (C,)
        Such as ``maps[0, :, row, column]``.
    path : str or Path, optional
        A PNG to write.

    Returns
    -------
    matplotlib Figure

    Examples
    --------
    >>> import numpy as np
    >>> from minicnn import LRN, plots
    >>> figure = plots.lrn(LRN(), np.linspace(0, 300, 96))
    >>> figure.axes[0].get_title(loc="left")
    'one pixel in 96 maps, n=5, α=0.0001, β=0.75, k=2'
    """
    values = np.asarray(values, np.float64)
    if not isinstance(layer, LRN) or values.ndim != 1 or not values.size:
        raise ShapeError(f"lrn: got {layer} and values of shape {values.shape}, wanted an LRN and (C,)")
    own = copy.deepcopy(layer).to("numpy").astype("float64")
    after, maps = own.infer(values[None, :, None, None]).ravel(), range(len(values))
    figure = new_figure((WIDTH, 4.2))
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1.4))
    above.bar(maps, values, width=0.8, color=GREY, label="before")
    above.bar(maps, after, width=0.4, color=BLUE, label="after")
    above.set_title(f"one pixel in {len(values)} maps, {layer.settings()}", loc="left", fontsize=10)
    above.legend(frameon=False, fontsize=8, ncols=2, loc="lower right", bbox_to_anchor=(1, 1))
    below.step(maps, divisors(layer, values), where="mid", color=ORANGE)
    below.axhline(layer.k**layer.beta, color=FAINT, linestyle="--", linewidth=0.8)
    below.set_title("divisor; dashed: that of zeros, k^β", loc="left", fontsize=9)
    below.set(xlabel="map", ylim=(0, None))
    for axes in (above, below):
        axes.grid(axis="y", color=GRID)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
    return finish(figure, path)
