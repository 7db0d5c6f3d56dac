"""A gradient check, number by number."""

import math

import numpy as np

from minicnn.errors import ShapeError
from minicnn.plots.style import BLUE, FAINT, GRID, ORANGE, WIDTH, finish, new_figure

COLUMNS = 4  # panels in a row, where each report is of one array alone


def gradcheck(reports, *, path=None):
    """The gradient of backward against that of central differences, coordinate by coordinate.

    Where backward is right all points lie on the diagonal; crosses are coordinates whose error is above the tolerance. How
    the crosses lie tells of the fault: on another line, a factor; in a cloud, numbers in the wrong places.

    Parameters
    ----------
    reports : dict
        {title: what `minicnn.gradcheck` returned}. Each array, the input and every parameter, has a panel of its own.
    path : str or Path, optional
        A PNG to write.

    Returns
    -------
    matplotlib Figure

    Raises
    ------
    ShapeError
        There is nothing to draw: no report, or one of gradients that could not be compared.

    Examples
    --------
    >>> import numpy as np
    >>> from minicnn import Linear, gradcheck, plots
    >>> report = gradcheck(Linear(3, 2, seed=0), np.ones((4, 3)))  # doctest: +ELLIPSIS
    gradient check of ...
    >>> [axes.get_title(loc="left") for axes in plots.gradcheck({"linear": report}).axes]
    ['linear: input', 'linear: weight', 'linear: bias']
    """
    for title, report in reports.items():
        if not report.rows:
            raise ShapeError(f"gradcheck: {title!r} has nothing to draw: {'; '.join(report.faults)}")
    panels = [(f"{title}: {row.name}", row) for title, report in reports.items() for row in report.rows]
    if not panels:
        raise ShapeError("gradcheck: got no reports, wanted {title: report}")
    columns = max(len(report.rows) for report in reports.values())
    columns = columns if columns > 1 else min(len(panels), COLUMNS)
    rows = math.ceil(len(panels) / columns)
    side = min(WIDTH / columns, 3.4)
    figure = new_figure((side * columns, (side + 0.5) * rows))
    cells = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes, (title, row) in zip(cells, panels):
        _points(axes, title, row)
    for axes in cells[len(panels):]:
        axes.remove()
    figure.supxlabel("central differences", fontsize=9)
    figure.supylabel("backward", fontsize=9)
    return finish(figure, path)


def _points(axes, title, row):
    """Points on and crosses off the diagonal, on square axes around zero."""
    drawn = np.isfinite(row.analytic) & np.isfinite(row.numeric)
    wrong = row.errors > row.tolerance
    both = np.concatenate([row.analytic[drawn], row.numeric[drawn]])
    limit = 1.1 * max(np.abs(both).max(initial=0), np.finfo(float).tiny)
    axes.axline((0, 0), slope=1, color=FAINT, linewidth=0.8)
    axes.plot(row.numeric[drawn & ~wrong], row.analytic[drawn & ~wrong], "o", color=BLUE, markersize=3.5, alpha=0.6)
    axes.plot(row.numeric[drawn & wrong], row.analytic[drawn & wrong], "x", color=ORANGE, markersize=4.5)
    axes.set(xlim=(-limit, limit), ylim=(-limit, limit), aspect="equal")
    axes.set_title(title, loc="left", fontsize=9, pad=15)
    axes.text(0, 1.02, f"{row.verdict}: {wrong.sum()} of {row.checked} off, by up to {row.error:.1g}", fontsize=7,
              va="bottom", transform=axes.transAxes, color=ORANGE if wrong.any() else BLUE)
    axes.tick_params(labelsize=7)
    axes.grid(color=GRID)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
