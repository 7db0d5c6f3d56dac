"""Numbers against numbers, as lines."""

import numpy as np

from minicnn.errors import ShapeError
from minicnn.plots.style import AMBER, BLUE, GREEN, GRID, INK, ORANGE, PURPLE, WIDTH, finish, new_figure

COLOURS = (BLUE, ORANGE, GREEN, PURPLE, INK, AMBER)
LINES, MARKERS = ("-", "--", ":", "-."), "os^Dv*"
FEW = 30  # so many points of a line have a marker each
TICKS = 12  # so many different x have a tick each


def lines(panels, xlabel="", ylabel="", *, log="", path=None):
    """Lines in panels beside each other, which share their axes.

    Parameters
    ----------
    panels : dict
        {title of a panel: {name of a line: values}}, where values are y (N,), against 0, 1, …, or a pair (x, y). The same
        name has the same colour in all panels. Numbers that are not finite are gaps.
    xlabel, ylabel : str
    log : "", "x", "y" or "xy"
        Which axes are logarithmic.
    path : str or Path, optional
        A PNG to write.

    Returns
    -------
    matplotlib Figure

    Examples
    --------
    >>> from minicnn import plots
    >>> figure = plots.lines({"squares": {"n²": [0, 1, 4, 9]}, "cubes": {"n³": ([1, 2, 3], [1, 8, 27])}}, "n")
    >>> [axes.get_title(loc="left") for axes in figure.axes]
    ['squares', 'cubes']
    """
    names = list(dict.fromkeys(name for curves in panels.values() for name in curves))
    if not names or log not in ("", "x", "y", "xy"):
        raise ShapeError(f"lines: got {len(names)} lines and log={log!r}, wanted some lines, and '', 'x', 'y' or 'xy'")
    figure = new_figure((WIDTH, 3.4))
    for axes, (title, curves) in zip(figure.subplots(1, len(panels), sharex=True, sharey=True, squeeze=False)[0],
                                     panels.items()):
        for name, values in curves.items():
            _line(axes, name, values, names.index(name))
        _dress(axes, title, xlabel)
    _scale(figure.axes, log)
    figure.axes[0].set_ylabel(ylabel)
    known = {line.get_label(): line for axes in figure.axes for line in axes.lines}
    figure.legend([known[name] for name in names], names, loc="outside right center", frameon=False, fontsize=9)
    return finish(figure, path)


def _line(axes, name, values, place):
    x, y = values if isinstance(values, tuple) else (np.arange(len(values)), values)
    if np.shape(x) != np.shape(y) or np.ndim(y) != 1:
        raise ShapeError(f"lines: {name} has x of shape {np.shape(x)} and y of {np.shape(y)}, wanted (N,) both")
    y = np.where(np.isfinite(y), y, np.nan)
    axes.plot(x, y, LINES[place % len(LINES)], color=COLOURS[place % len(COLOURS)], linewidth=2, label=name, markersize=5,
              marker=MARKERS[place % len(MARKERS)] if len(y) <= FEW else None)


def _dress(axes, title, xlabel):
    axes.set_title(title, loc="left", fontsize=10)
    axes.set_xlabel(xlabel)
    axes.grid(color=GRID)
    axes.spines[["top", "right"]].set_visible(False)


def _scale(panels, log):
    """Logarithmic axes with plain numbers, and a tick at each x if there are few."""
    from matplotlib.ticker import LogLocator

    axes = panels[0]  # which the others share their axes with
    if "x" in log:
        axes.set_xscale("log")
    if "y" in log:
        axes.set_yscale("log")
        low, high = axes.get_ylim()
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 200 * low else (1,)))
        axes.yaxis.set_major_formatter(lambda y, _: _plain(y))
    xs = np.unique(np.concatenate([line.get_xdata() for panel in panels for line in panel.lines]))
    if len(xs) <= TICKS:
        axes.set_xticks(xs, [_plain(x) for x in xs])
    axes.minorticks_off()


def _plain(number):
    """
    >>> _plain(0.001), _plain(2e-5), _plain(500.0), _plain(1e6)
    ('0.001', '2e-5', '500', '1e6')
    """
    mantissa, exponent = f"{number:e}".split("e")
    return f"{number:g}" if -3 <= int(exponent) < 5 else f"{float(mantissa):g}e{int(exponent)}"
