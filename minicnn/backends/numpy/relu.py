"""ReLU on the CPU."""

import numpy as np

from minicnn.backends.numpy import parallel
from minicnn.backends.numpy.arrays import empty


def relu(x):
    """y = max(x, 0), any shape."""
    x = np.ascontiguousarray(x)
    y = empty(x.shape, x.dtype)
    parallel.elementwise(lambda a, out: np.maximum(a, 0, out=out), x, y)
    return y


def relu_backward(dy, y):
    """dx = dy where y > 0, else 0: at y = 0 the derivative is taken as 0."""
    dy = np.ascontiguousarray(dy)
    dx = empty(dy.shape, dy.dtype)
    parallel.elementwise(lambda g, a, out: parallel.keep_where(a > 0, g, out), dy, y, dx)
    return dx
