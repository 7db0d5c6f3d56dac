"""ReLU on the GPU."""

import cupy

from minicnn.backends.cupy.arrays import empty
from minicnn.backends.cupy.kernels import launch


def relu(x):
    """y = max(x, 0), any shape."""
    x = cupy.ascontiguousarray(x)
    y = empty(x.shape, x.dtype)
    launch("relu", "relu_forward", x.size, x, y, x.size)
    return y


def rectify(y):
    """y ← max(y, 0), in place."""
    launch("relu", "relu_forward", y.size, y, y, y.size)


def relu_backward(dy, y):
    """dx = dy where y > 0, else 0: at y = 0 the derivative is taken as 0."""
    dy = cupy.ascontiguousarray(dy)
    dx = empty(dy.shape, dy.dtype)
    launch("relu", "relu_backward", dy.size, dy, y, dx, dy.size)
    return dx
