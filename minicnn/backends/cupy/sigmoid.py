"""The logistic function on the GPU."""

import cupy

from minicnn.backends.cupy.arrays import empty
from minicnn.backends.cupy.kernels import launch


def sigmoid(x):
    """y = 1/(1 + e^−x), any shape."""
    x = cupy.ascontiguousarray(x)
    y = empty(x.shape, x.dtype)
    launch("sigmoid", "sigmoid_forward", x.size, x, y, x.size)
    return y


def sigmoid_backward(dy, y):
    """dx = dy·y·(1 − y)."""
    dy = cupy.ascontiguousarray(dy)
    dx = empty(dy.shape, dy.dtype)
    launch("sigmoid", "sigmoid_backward", dy.size, dy, y, dx, dy.size)
    return dx
