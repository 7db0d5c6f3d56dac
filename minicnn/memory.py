"""The memory of a network, from the rows of its trace: what is held at a time, part by part."""

import math
from dataclasses import asdict, dataclass

from minicnn.layers.flatten import Flatten
from minicnn.tables import size


@dataclass(frozen=True)
class Memory:
    """Bytes that a network needs, part by part; `total` is their sum."""

    weights: int
    gradients: int
    optimiser: int
    activations: int
    workspace: int

    @property
    def total(self):
        return sum(asdict(self).values())

    def __str__(self):
        return f"{size(self.total)} = {' + '.join(f'{name} {size(n)}' for name, n in asdict(self).items() if n)}"


def of_training(rows, itemsize, slots):
    """Of a step: all that is kept for backward, and as workspace the largest dy, dx and buffers of one thread.

    Measured peaks are at most a tenth above it, beside what each thread keeps for the next step, some 10 MiB.
    """
    weights = sum(row.parameters for row in rows) * itemsize
    workspace = max((row.workspace_bytes + itemsize * (_count(row.output_shape) + _input(i, row))
                     for i, row in enumerate(rows)), default=0)  # nobody reads dx of the first layer
    return Memory(weights, weights, slots * weights, sum(row.kept_bytes for row in rows), workspace)


def of_inference(rows, itemsize):
    """Of a prediction: the images, and x, y and as workspace the buffers of one thread at the layer that needs most."""
    images = _count(rows[0].input_shape) if rows else 0
    needs = [(itemsize * (_count(row.output_shape) + _input(i, row)), row.workspace_bytes) for i, row in enumerate(rows)]
    activations, workspace = max(needs, key=sum, default=(0, 0))
    return Memory(sum(row.parameters for row in rows) * itemsize, 0, 0, itemsize * images + activations, workspace)


def _input(i, row):
    """Numbers in the input of row i, which is not a layer's own if it is the network's."""
    return _count(row.input_shape) if i else 0


def _count(shape):
    return math.prod(shape) if shape else 0  # no shape: the layer does not fit


def keep(layer, shape, output, kept):
    """(bytes held until backward because of `layer`, is its output held?); `kept`: is its input held already?"""
    x, y = (math.prod(sizes) * layer.dtype.itemsize for sizes in (shape, output))
    new = layer.cache_bytes(shape) + x * (layer.keeps == "x" and not kept) + y * (layer.keeps == "y")
    if isinstance(layer, Flatten):  # whose output is its input, seen otherwise
        return new, kept
    return new, layer.keeps == "y"
