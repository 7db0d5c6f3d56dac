"""The logistic function."""

from minicnn.layers.base import Layer


class Sigmoid(Layer):
    """y = 1/(1 + e^−x); dx = dy·y·(1 − y).

    *Why this cache*: y alone gives the derivative.

    Shapes
    ------
    x of any shape → y the same

    Examples
    --------
    >>> import numpy as np
    >>> from minicnn import Sigmoid
    >>> Sigmoid()(np.array([[-1000.0, 0.0, 1000.0]], np.float32))
    array([[0. , 0.5, 1. ]], dtype=float32)
    """

    keeps = "y"

    def _forward(self, ops, x, training):
        y = ops.sigmoid(x)
        return y, y

    def _backward(self, ops, dy, y, need_dx):
        return ops.sigmoid_backward(dy, y), {}
