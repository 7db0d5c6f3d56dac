"""The hyperbolic tangent."""

from minicnn.layers.base import Layer


class Tanh(Layer):
    """y = tanh(x); dx = dy·(1 − y²).

    *Why this cache*: y alone gives the derivative.

    Shapes
    ------
    x of any shape → y the same

    Examples
    --------
    >>> import numpy as np
    >>> from minicnn import Tanh
    >>> Tanh()(np.array([[0.0, 1000.0]], np.float32))
    array([[0., 1.]], dtype=float32)
    """

    keeps = "y"

    def _forward(self, ops, x, training):
        y = ops.tanh(x)
        return y, y

    def _backward(self, ops, dy, y, need_dx):
        return ops.tanh_backward(dy, y), {}
