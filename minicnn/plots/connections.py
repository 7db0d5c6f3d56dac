"""Which maps see which: what groups cut off."""

from minicnn.errors import ShapeError
from minicnn.layers.conv import Conv2d
from minicnn.layers.linear import Linear
from minicnn.plots.passes import choose
from minicnn.plots.style import BLUE, FAINT, GREY, WIDTH, finish, new_figure

ROW = 8  # layers beside each other


def connections(net, layers=None, *, path=None):
    """For each convolution and linear layer, which of its inputs (columns) reach which of its outputs (rows).

    A coloured cell of the table is a kernel, or a weight; a white one is not there, for the two are in different groups.

    Parameters
    ----------
    net : Sequential
    layers : sequence of names, optional
        All convolutions and linear layers, if not given.
    path : str or Path, optional
        A PNG to write.

    Returns
    -------
    matplotlib Figure

    Examples
    --------
    >>> from minicnn import Conv2d, Sequential, plots
    >>> figure = plots.connections(Sequential(conv2=Conv2d(96, 256, 5, padding=2, groups=2)))
    >>> figure.axes[0].get_title(loc="left"), len(figure.axes[0].patches)
    ('conv2', 2)
    """
    chosen = [leaf for leaf in choose(net, layers) if isinstance(leaf, (Conv2d, Linear))]
    if not chosen:
        raise ShapeError("connections: among the layers is no convolution and no linear layer")
    rows, columns = -(-len(chosen) // ROW), min(ROW, max(4, len(chosen)))
    figure = new_figure((WIDTH, (WIDTH / columns + 0.6) * rows))
    cells = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in cells[len(chosen):]:
        axes.set_axis_off()
    for axes, leaf in zip(cells, chosen):
        _table(axes, leaf)
    return finish(figure, path)


def _table(axes, leaf):
    from matplotlib.patches import Rectangle

    conv = isinstance(leaf, Conv2d)
    groups, inputs, outputs = ((leaf.groups, leaf.in_channels, leaf.out_channels) if conv
                               else (1, leaf.in_features, leaf.out_features))
    wide, high = inputs / groups, outputs / groups
    for group in range(groups):
        axes.add_patch(Rectangle((group * wide, group * high), wide, high, facecolor=BLUE))
    axes.set(xlim=(0, inputs), ylim=(outputs, 0), xticks=[], yticks=[])
    axes.set_box_aspect(1)
    axes.spines[:].set_color(GREY)
    axes.set_title(leaf.name, loc="left", fontsize=9)
    axes.set_xlabel(f"{inputs:,} in\n{leaf.weight.data.size:,}\nweights", fontsize=7, color=FAINT)
    axes.set_ylabel(f"{outputs:,} out", fontsize=7, color=FAINT, labelpad=1)
