"""The hyperbolic tangent on the CPU."""

import numpy as np

from minicnn.backends.numpy import parallel
from minicnn.backends.numpy.arrays import empty


def tanh(x):
    """y = tanh(x), any shape."""
    x = np.ascontiguousarray(x)
    y = empty(x.shape, x.dtype)
    parallel.elementwise(lambda a, out: np.tanh(a, out=out), x, y)
    return y


def tanh_backward(dy, y):
    """dx = dy·(1 − y²)."""
    dy = np.ascontiguousarray(dy)
    dx = empty(dy.shape, dy.dtype)
    parallel.elementwise(_backward, dy, y, dx)
    return dx


def _backward(dy, y, dx):
    np.multiply(y, y, out=dx)
    np.subtract(1, dx, out=dx)
    dx *= dy
