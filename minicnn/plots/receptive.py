"""What a unit sees: its receptive field, from the windows of the layers below it, and measured."""

import copy
from dataclasses import dataclass

import numpy as np

from minicnn import backends
from minicnn.errors import ShapeError
from minicnn.plots.passes import choose


@dataclass(frozen=True)
class Box:
    """A rectangle of pixels: rows top … bottom − 1, columns left … right − 1."""

    top: int
    left: int
    bottom: int
    right: int

    @property
    def slices(self):
        """To cut it out: ``image[..., *box.slices]`` of an image (C, H, W)."""
        return slice(self.top, self.bottom), slice(self.left, self.right)

    @property
    def size(self):
        return self.bottom - self.top, self.right - self.left


def receptive_box(net, shape, layer, unit=None):
    """The pixels that a unit of a layer sees: the smallest rectangle around them.

    The windows of all layers below are followed down from the unit. Taps that fall on padding see nothing, in whichever
    layer, so that at the border the box is smaller than the receptive field that `trace` gives.

    Parameters
    ----------
    net : Sequential
    shape : (C, H, W)
        Of an image.
    layer : str
        Its name.
    unit : (row, column), optional
        Its place in the map; the middle if not given. Units of layers behind Flatten have no place,
        and see what all units of the layers below see.

    Returns
    -------
    Box
        Empty, with four zeros, for a unit whose window lies on padding.

    Raises
    ------
    ShapeError
        There is no such unit.

    Examples
    --------
    >>> from minicnn import Conv2d, MaxPool2d, Sequential
    >>> from minicnn.plots import receptive_box
    >>> net = Sequential(conv1=Conv2d(3, 96, 11, stride=4), pool1=MaxPool2d(3, 2))
    >>> receptive_box(net, (3, 227, 227), "pool1", (0, 1))
    Box(top=0, left=8, bottom=19, right=27)
    """
    below, inputs, output = _until(net, shape, layer)
    seen = _start(output, layer, unit)
    for leaf, size in zip(reversed(below), reversed(inputs)):
        seen = _look(leaf, seen, size)
    if not all(seen):
        return Box(0, 0, 0, 0)
    return Box(*map(min, seen), *(max(axis) + 1 for axis in seen))


def _until(net, shape, layer):
    """The layers up to `layer`, the shapes that go into them, and the shape that comes out of the last."""
    (last,), below, inputs, shape = choose(net, layer), [], [], (1, *shape)
    for leaf in net.chain():
        if len(list(leaf.leaves())) > 1:
            raise ShapeError(f"what {layer} sees is not followed through {leaf.name}, which has a forward pass of its own")
        below.append(leaf)
        inputs.append(shape)
        shape = leaf.output_shape(shape)
        if leaf is last:
            return below, inputs, shape


def _start(output, layer, unit):
    """The places of one unit: a set of rows and one of columns; None where units have no place."""
    if len(output) != 4:
        if unit is not None:
            raise ShapeError(f"{layer} gives {output}: its units have no row and column")
        return None
    unit = tuple(size // 2 for size in output[2:]) if unit is None else tuple(unit)
    if len(unit) != 2 or not all(0 <= place < size for place, size in zip(unit, output[2:])):
        raise ShapeError(f"{layer} has maps of {output[2:]} units, and none at {unit}")
    return [{int(place)} for place in unit]


def _look(leaf, seen, shape):
    """What of a layer's input those see that see `seen` of its output."""
    if seen is None:
        return [set(range(size)) for size in shape[2:]] if len(shape) == 4 else None
    if not hasattr(leaf, "window"):
        return seen
    axes = leaf.window.rows, leaf.window.columns
    taps = (axis.taps(size) for axis, size in zip(axes, shape[2:]))
    return [{tap for place in places for tap in windows[place] if 0 <= tap < size}
            for places, windows, size in zip(seen, taps, shape[2:])]


def input_gradient(net, image, layer, unit=None):
    """How far the pixels move a unit: Σ over colours of |d(Σ over maps of y)/d(pixel)|, in evaluation mode.

    Parameters
    ----------
    net, layer, unit
        As for `receptive_box`.
    image : NumPy array (C, H, W)

    Returns
    -------
    NumPy array (H, W)

    Examples
    --------
    >>> import numpy as np
    >>> from minicnn import Conv2d, Flatten, Linear, MaxPool2d, ReLU, Sequential, plots
    >>> net = Sequential(conv1=Conv2d(3, 8, 5, seed=0), relu1=ReLU(), pool1=MaxPool2d(2), flat=Flatten(),
    ...                  fc=Linear(8 * 12 * 12, 4, seed=1))
    >>> images = np.random.default_rng(0).standard_normal((6, 3, 28, 28), np.float32)
    >>> moved = plots.input_gradient(net, images[0], "conv1", unit=(0, 0))
    >>> moved.shape, int((moved > 0).sum())                 # a window of 5 × 5
    ((28, 28), 25)
    """
    below, _, output = _until(net, image.shape, layer)
    places = _start(output, layer, unit)
    ops = backends.get(net.backend)
    below, y = [copy.deepcopy(leaf).eval() for leaf in below], ops.asarray(image[None])
    for leaf in below:
        y = leaf.forward(y)
    dy = np.zeros(output, image.dtype)
    dy[(..., *(place.copy().pop() for place in places)) if places else ...] = 1
    dy = ops.asarray(dy)
    for leaf in reversed(below):
        dy = leaf.backward(dy)
    return np.abs(ops.to_numpy(dy)[0]).sum(axis=0)


def half_side(moved, box):
    """The side of the smallest square around the middle of a box that holds half of all of `moved`, (H, W)."""
    middle = (box.top + box.bottom - 1) / 2, (box.left + box.right - 1) / 2
    rows, columns = (np.abs(np.arange(size) - centre) for size, centre in zip(moved.shape, middle))
    distance = np.maximum(rows[:, None], columns)
    held = [moved[distance <= d].sum() for d in np.unique(distance)]
    return int(2 * np.unique(distance)[np.searchsorted(held, moved.sum() / 2)]) + 1
