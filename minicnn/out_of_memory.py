"""What to say when a batch does not fit into the memory of a GPU."""

import bisect
import itertools
import math

from minicnn.errors import OutOfMemory


class Advice:
    """As a context: adds to an `OutOfMemory` error of a pass which batch would fit.

    Parameters
    ----------
    net : Sequential
    shape : tuple
        Of the input, (N, …).
    in_use : int
        Bytes that were in use before the pass, the batch's images among them.
    training : bool
        Forward and backward, where every activation waits for the backward pass, or inference, where none does.
    """

    def __init__(self, net, shape, in_use, training=True):
        self._net, self._shape, self._in_use, self._training = net, tuple(shape), in_use, training

    def __enter__(self):
        return self

    def __exit__(self, kind, error, traceback):
        if isinstance(error, OutOfMemory):
            raise OutOfMemory(error.wanted, error.free, error.in_use, self._remedy(error)) from None

    def _remedy(self, error):
        images, room = self._shape[0], error.free + error.in_use - self._in_use + self._input(self._shape[0])
        fits = bisect.bisect_right(range(1, images), room, key=self._needed)
        return f"instead of {images} images at a time, about {fits} would fit" if fits else "not even one image would fit"

    def _input(self, images):
        """Bytes of a batch itself, which comes and goes in training; to `predict`, it is a part of what is there anyway."""
        return images * math.prod(self._shape[1:]) * self._net.dtype.itemsize if self._training else 0

    def _needed(self, images):
        """Bytes that a pass takes for so many images, at the worst moment."""
        shapes, workspaces = [(images, *self._shape[1:])], []
        for layer in self._net.leaves():
            workspaces.append(layer.workspace_bytes(shapes[-1]))
            shapes.append(layer.output_shape(shapes[-1]))
        sizes = [self._input(images), *(math.prod(shape) * self._net.dtype.itemsize for shape in shapes[1:])]
        largest = max(before + after for before, after in itertools.pairwise(sizes))  # x and y of a layer, or dy and dx
        gradients = sum(p.data.nbytes for p in self._net.parameters() if p.grad is None)
        return largest + max(workspaces) + (sum(sizes) + gradients if self._training else 0)
