"""What to say when a batch does not fit into the memory of a GPU."""

import bisect
import contextlib
import itertools
import math

from minicnn import backends
from minicnn.errors import OutOfMemory
from minicnn.layers.conv import Conv2d
from minicnn.layers.relu import ReLU


class Advice:
    """As a context: adds to an `OutOfMemory` error of a pass, or of a whole step, which batch would fit.

    Parameters
    ----------
    net : Sequential
    shape : tuple
        Of the input, (N, …).
    in_use : int
        Bytes that were in use before, without the batch; those of an inference with it, since there it stays.
    training : bool
        Forward and backward, where every activation waits for the backward pass, or inference, where none does.
    state : int
        Bytes that the optimiser is going to make.
    """

    def __init__(self, net, shape, in_use, training=True, state=0):
        self._net, self._shape, self._in_use, self._training = net, tuple(shape), in_use, training
        self._lasting = state + sum(p.data.nbytes for p in net.parameters() if p.grad is None) if training else 0

    def __enter__(self):
        return self

    def __exit__(self, kind, error, traceback):
        if isinstance(error, OutOfMemory):
            raise OutOfMemory(error.wanted, error.free, error.in_use, self._remedy(error)) from None

    def _remedy(self, error):
        images, room = self._shape[0], error.free + error.in_use - self._in_use
        fits = bisect.bisect_right(range(1, images), room, key=self._needed)
        return f"instead of {images} images at a time, about {fits} would fit" if fits else "not even one image would fit"

    def _needed(self, images):
        """Bytes that a pass takes for so many images, at the worst moment."""
        leaves, shapes, workspaces = list(self._net.leaves()), [(images, *self._shape[1:])], []
        for layer in leaves:
            workspaces.append(layer.workspace_bytes(shapes[-1]))
            shapes.append(layer.output_shape(shapes[-1]))
        sizes = [math.prod(shape) * self._net.dtype.itemsize for shape in shapes]
        if not self._training:
            sizes[0] = 0  # a part of what is there anyway
        made = [sizes[0], *(size for size, before, layer in zip(sizes[1:], [None, *leaves], leaves)
                            if not (type(before) is Conv2d and type(layer) is ReLU))]  # which work on one array
        if not self._training:
            return _largest_pair(made) + max(workspaces)
        return _largest_pair(sizes) + max(workspaces) + self._lasting + sum(made)


def _largest_pair(sizes):
    """x and y of a layer, or dy and dx."""
    return max(before + after for before, after in itertools.pairwise(sizes))


def advised(batches, net, shape, training=True):
    """Yield the batches of a generator; if the next one does not fit, the error says which would. `shape` is theirs."""
    ops = backends.get(net.backend)
    with contextlib.closing(batches):
        while True:
            with Advice(net, shape, ops.bytes_in_use(), training):
                batch = next(batches, None)
            if batch is None:
                return
            yield batch
            del batch  # whose memory is free as soon as nobody else holds it
