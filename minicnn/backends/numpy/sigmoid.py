"""The logistic function on the CPU."""

import numpy as np

from minicnn.backends.numpy import parallel
from minicnn.backends.numpy.arrays import empty


def sigmoid(x):
    """y = 1/(1 + e^−x), any shape; for x < 0 as e^x/(1 + e^x), so that nothing overflows and small y keep their digits."""
    x = np.ascontiguousarray(x)
    y = empty(x.shape, x.dtype)
    parallel.elementwise(_forward, x, y)
    return y


def _forward(x, y):
    e = np.exp(-np.abs(x))
    np.divide(np.where(x >= 0, 1, e), 1 + e, out=y)


def sigmoid_backward(dy, y):
    """dx = dy·y·(1 − y)."""
    dy = np.ascontiguousarray(dy)
    dx = empty(dy.shape, dy.dtype)
    parallel.elementwise(_backward, dy, y, dx)
    return dx


def _backward(dy, y, dx):
    np.subtract(1, y, out=dx)
    dx *= y
    dx *= dy
