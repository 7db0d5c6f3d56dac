"""A network in two halves, and what the halves have to tell each other."""

import math

from minicnn.errors import ShapeError
from minicnn.plots.style import AMBER, BLUE, FAINT, GREY, INK, ORANGE, SKY, WIDTH, finish, memory, new_figure
from minicnn.trace import trace

HIGH, WIDE = 0.7, 0.68  # of a box, where layers are 1 apart and towers 2


def crossings(net, input_shape):
    """{layer: bytes that each of two towers sends to the other before it, for an image}, of convolutions and linear layers.

    The halves of all maps are on two devices. A layer of two groups reads its own half alone; the first reads the image,
    which both have; all others need the half of the other device.

    Parameters
    ----------
    net : Sequential
    input_shape : (N, C, H, W)

    Raises
    ------
    ShapeError
        A layer has an odd number of outputs, or groups that are neither one nor two.

    Examples
    --------
    >>> from minicnn import Conv2d, Sequential, plots
    >>> net = Sequential(conv1=Conv2d(3, 8, 3, padding=1), conv2=Conv2d(8, 8, 1, groups=2), conv3=Conv2d(8, 8, 1))
    >>> plots.crossings(net, (1, 3, 4, 4))                     # conv3: half of 8 maps of 4 × 4 float32
    {'conv1': 0, 'conv2': 0, 'conv3': 256}
    """
    leaves, found = {leaf.name: leaf for leaf in net.chain()}, {}
    for row in trace(net, input_shape).rows:
        if not row.macs:
            continue
        groups = getattr(leaves[row.name], "groups", 1)
        if groups not in (1, 2) or row.output_shape[1] % 2 or (found and row.input_shape[1] % 2):
            raise ShapeError(f"towers: {row.name} makes {row.output_shape[1]} maps of {row.input_shape[1]} in {groups} "
                             "groups, wanted even numbers, and one group or two")
        own = not found or groups == 2
        found[row.name] = 0 if own else math.prod(row.input_shape[1:]) // 2 * leaves[row.name].dtype.itemsize
    return found


def towers(net, input_shape, *, path=None):
    """The halves of a network on two devices, as figure 2 of the 2012 paper shows them, and what crosses for an image.

    A box is half of the maps of a layer. Orange lines go from one device to the other, under them what each sends.

    Parameters
    ----------
    net, input_shape
        As of `crossings`.
    path : str or Path, optional
        A PNG to write.

    Returns
    -------
    matplotlib Figure

    Examples
    --------
    >>> from minicnn import Conv2d, Sequential, plots
    >>> net = Sequential(conv1=Conv2d(3, 8, 3, padding=1), conv2=Conv2d(8, 8, 1, groups=2), conv3=Conv2d(8, 8, 1))
    >>> figure = plots.towers(net, (1, 3, 4, 4))
    >>> figure.axes[0].get_title(loc="left")
    'forward, each tower sends the other 256 B for an image'
    """
    sent, rows = crossings(net, input_shape), {row.name: row for row in trace(net, input_shape).rows}
    figure = new_figure((WIDTH, 3.2))
    axes = figure.add_subplot()
    _box(axes, 0, 1, "image", input_shape[1:], GREY)
    for place, (name, size) in enumerate(sent.items(), 1):
        _, maps, *sides = rows[name].output_shape
        for tower in (0, 2):
            _box(axes, place, tower, name, (maps // 2, *sides), SKY if sides else AMBER)
            _line(axes, place, tower if place > 1 else 1, tower, INK)
            if size:
                _line(axes, place, 2 - tower, tower, ORANGE)
        if size:
            axes.text(place - 0.5, -0.62, f"{memory(size)}\neach way", ha="center", va="top", fontsize=7, color=ORANGE)
    axes.set(xlim=(-0.5, len(sent) + 0.5), ylim=(-1.15, 2.5))
    axes.text(-0.4, 2, "tower 1", fontsize=8, color=FAINT, va="center")
    axes.text(-0.4, 0, "tower 2", fontsize=8, color=FAINT, va="center")
    axes.set_title(f"forward, each tower sends the other {memory(sum(sent.values()))} for an image", loc="left", fontsize=10)
    axes.set_axis_off()
    return finish(figure, path)


def _box(axes, place, height, name, shape, colour):
    from matplotlib.patches import Rectangle

    corner = place - WIDE / 2, height - HIGH / 2
    axes.add_patch(Rectangle(corner, WIDE, HIGH, facecolor=colour, edgecolor=INK, linewidth=0.6))
    maps, *sides = shape
    axes.text(place, height + 0.12, name, ha="center", va="center", fontsize=8, color=BLUE if colour == GREY else INK)
    axes.text(place, height - 0.15, " × ".join(map(str, (maps, *sides))), ha="center", va="center", fontsize=6)


def _line(axes, place, start, end, colour):
    """From the layer before to this one."""
    axes.plot([place - 1 + WIDE / 2, place - WIDE / 2], [start, end], color=colour, linewidth=1.5)
