"""From maps to features."""

import math

from minicnn.errors import ShapeError
from minicnn.layers.base import Layer


class Flatten(Layer):
    """(N, C, H, W) → (N, C·H·W): feature c·H·W + h·W + w is pixel (h, w) of map c. Backward reshapes dy back.

    Shapes
    ------
    x (N, …) of at least two axes → y (N, product of the others)

    Examples
    --------
    >>> import numpy as np
    >>> from minicnn import Flatten
    >>> Flatten()(np.zeros((2, 256, 6, 6), np.float32)).shape
    (2, 9216)
    """

    keeps = ""

    def _forward(self, ops, x, training):
        return x.reshape(self.output_shape(x.shape)), tuple(x.shape)

    def _backward(self, ops, dy, shape, need_dx):
        return dy.reshape(shape), {}

    def output_shape(self, shape):
        if len(shape) < 2:
            raise ShapeError(f"{self}: got an input of shape {tuple(shape)}, wanted (N, …) of at least two axes")
        return shape[0], math.prod(shape[1:])

    def formula(self, shape):
        return f"{'·'.join(map(str, shape[1:]))} = {math.prod(shape[1:])}" if len(shape) > 2 else ""
