"""What to say when a batch does not fit into the memory of a GPU."""

import bisect
import contextlib
import itertools
import math

from minicnn import backends
from minicnn.errors import OutOfMemory


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
        shape, outputs, workspaces = (images, *self._shape[1:]), [], []
        rectified = list(_rectified(self._net))
        for layer in self._net.leaves():
            workspaces.append(layer.workspace_bytes(shape))
            shape = layer.output_shape(shape)
            outputs.append((math.prod(shape), layer in rectified))
        x, made = images * math.prod(self._shape[1:]), [size for size, as_before in outputs if not as_before]
        passed = [x, *(size for size, _ in outputs)] if self._training else [0, *made]  # predict's x is there anyway
        largest = max(before + after for before, after in itertools.pairwise(passed))  # x and y of a layer, or dy and dx
        kept = x + sum(made) if self._training else 0
        return (largest + kept) * self._net.dtype.itemsize + max(workspaces) + self._lasting


def _rectified(net):
    """The ReLUs whose y is their x, because the convolution before them takes the maximum."""
    for layer, options in net.passes():
        if hasattr(layer, "passes"):
            yield from _rectified(layer)
        elif "rectified" in options:
            yield layer


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
