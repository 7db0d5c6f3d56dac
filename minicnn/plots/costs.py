"""Where the parameters, the work and the memory of a network are."""

import collections

from minicnn.plots.style import BLUE, FAINT, GRID, ORANGE, WIDTH, amount, finish, memory, new_figure

PANELS = (("parameters", "parameters", amount, BLUE), ("macs", "multiply-adds", amount, ORANGE),
          ("activation_bytes", "activations", memory, BLUE), ("workspace_bytes", "workspace", memory, ORANGE))
SHARED = "workspace"  # one layer after the other uses the same, so that the largest counts


def costs(trace, *, path=None):
    """Parameters, multiply-adds, activations and workspace of every layer as bars beside each other.

    Parameters
    ----------
    trace : Trace
        What `minicnn.trace` gives; numbers are for its batch.
    path : str or Path, optional
        A PNG to write.

    Returns
    -------
    matplotlib Figure

    Examples
    --------
    >>> from minicnn import Conv2d, Flatten, Linear, Sequential, plots, trace
    >>> net = Sequential(conv=Conv2d(1, 4, 3), flatten=Flatten(), fc=Linear(4 * 6 * 6, 10))
    >>> [axes.get_title(loc="left") for axes in plots.costs(trace(net, (2, 1, 8, 8))).axes][:2]
    ['parameters: 1.49 k', 'multiply-adds: 5.47 k']
    """
    names = [row.name for row in trace.rows]
    figure = new_figure((WIDTH, 0.9 + 0.21 * len(names)))
    panels = figure.subplots(1, len(PANELS), sharey=True)
    for axes, (field, title, written, colour) in zip(panels, PANELS):
        _bars(axes, [getattr(row, field) for row in trace.rows], title, written, colour)
    panels[0].set_yticks(range(len(names)), names, fontsize=8)
    panels[0].set_ylim(len(names) - 0.4, -0.6)
    figure.supxlabel(f"for a batch of {trace.rows[0].input_shape[0]}; activations are the outputs, "
                     "workspace is what one thread needs beside them", fontsize=8, color=FAINT)
    figure.suptitle("; ".join(filter(None, map(_most, [trace, trace], PANELS[:2]))), x=0.01, ha="left", fontsize=10)
    return finish(figure, path)


def _bars(axes, values, title, written, colour):
    """Bars with their number, and their share of the whole where they add up to one."""
    whole, largest = sum(values), max(values) or 1
    axes.barh(range(len(values)), values, height=0.72, color=colour)
    for place, value in enumerate(values):
        if value:
            text = written(value) + f" ({_percent(value / whole)})" * (title != SHARED)
            axes.text(value + 0.02 * largest, place, text, va="center", fontsize=7)
    axes.set_title(f"{title}: at most {written(max(values))}" if title == SHARED else f"{title}: {written(whole)}",
                   loc="left", fontsize=9)
    axes.set(xlim=(0, 1.75 * largest), xticks=[])
    axes.tick_params(axis="y", length=0)
    axes.spines[["top", "right", "bottom"]].set_visible(False)
    axes.spines["left"].set_color(GRID)


def _most(trace, panel):
    """'Linear layers hold 94% of the parameters', or which type it is."""
    field, title, *_ = panel
    by_type = collections.Counter()
    for row in trace.rows:
        by_type[row.type] += getattr(row, field)
    (kind, most), = by_type.most_common(1)
    return f"{kind} layers have {most / by_type.total():.0%} of the {title}" if most else ""


def _percent(share):
    return f"{share:.0%}" if share >= 0.01 else "<1%"
