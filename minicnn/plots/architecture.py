"""A network as blocks: how images become smaller and maps more."""

import math

from minicnn.plots.style import AMBER, BLUE, GREY, INK, SKY, WIDTH, finish, new_figure

SIDE, DEPTH, UNITS = 1.0, 0.36, 0.2  # of the square roots of pixels, maps and units, in the picture's unit
SLANT = 0.28  # how far the columns of a map go up and to the right
GAP = 1.4


def architecture(trace, *, path=None):
    """The outputs of convolutions, poolings and linear layers as blocks, in the manner of figure 2 of the 2012 paper.

    A block is as high as its maps have rows and as thick as it has maps; both are drawn as square roots, for 4,096 beside
    13 would not fit. Linear layers are bars.

    Parameters
    ----------
    trace : Trace
        What `minicnn.trace` gives.
    path : str or Path, optional
        A PNG to write.

    Returns
    -------
    matplotlib Figure

    Examples
    --------
    >>> from minicnn import Conv2d, MaxPool2d, Sequential, plots, trace
    >>> net = Sequential(conv1=Conv2d(3, 96, 11, stride=4), pool1=MaxPool2d(3, 2))
    >>> figure = plots.architecture(trace(net, (1, 3, 227, 227)))
    >>> [text.get_text() for text in figure.axes[0].texts]
    ['input', '3\\n227 × 227', 'conv1', '96\\n55 × 55', 'pool1', '96\\n27 × 27']
    """
    rows = [row for row in trace.rows if row.type != "Flatten" and (row.formula or row.macs)]
    blocks = [("input", "", trace.rows[0].input_shape), *((row.name, row.type, row.output_shape) for row in rows)]
    figure = new_figure((WIDTH, 2.6))
    axes, left = figure.add_subplot(), 0.0
    for name, kind, shape in blocks:
        thick, high, slant = _sizes(shape)
        _block(axes, left, thick, high, slant, SKY if kind.startswith("Conv") else AMBER if kind == "Linear" else GREY)
        _name(axes, left + thick / 2, high / 2, name, shape)
        left += thick + max(slant, 1.0) + GAP
    axes.autoscale()
    axes.set_aspect("equal")
    axes.set_axis_off()
    return finish(figure, path)


def _name(axes, centre, high, name, shape):
    """The name in front of the block, and under it what it holds."""
    axes.annotate(name, (centre, -high), (0, -4), textcoords="offset points", ha="center", va="top", fontsize=8, color=BLUE)
    numbers = "\n".join([f"{shape[1]}", *([" × ".join(map(str, shape[2:]))] if shape[2:] else [])])
    axes.annotate(numbers, (centre, -high), (0, -15), textcoords="offset points", ha="center", va="top", fontsize=6.5)


def _sizes(shape):
    """How thick and how high a block is, and how far it goes back."""
    if len(shape) == 2:
        return 0.8, UNITS * math.sqrt(shape[1]), 0.0
    return DEPTH * math.sqrt(shape[1]), SIDE * math.sqrt(shape[2]), SLANT * math.sqrt(shape[3])


def _block(axes, left, thick, high, slant, colour):
    """Front, top and right side, with the middle of the front at height 0."""
    from matplotlib.patches import Polygon

    right, low, up = left + thick, -high / 2, high / 2
    faces = [[(left, low), (right, low), (right, up), (left, up)],
             [(left, up), (right, up), (right + slant, up + slant), (left + slant, up + slant)],
             [(right, low), (right, up), (right + slant, up + slant), (right + slant, low + slant)]]
    for face, shade in zip(faces, (1.0, 0.55, 0.75)):
        axes.add_patch(Polygon(face, facecolor=colour, alpha=shade, edgecolor="none"))
        axes.add_patch(Polygon(face, fill=False, edgecolor=INK, linewidth=0.6))
