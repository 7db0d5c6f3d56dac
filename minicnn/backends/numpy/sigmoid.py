"""The logistic function on the CPU."""

import numpy as np

from minicnn.backends.numpy import parallel
from minicnn.backends.numpy.arrays import empty


def sigmoid(x):
    """y = 1/(1 + e^−x), any shape, as (1 + tanh(x/2))/2: tanh saturates where e^−x would overflow."""
    x = np.ascontiguousarray(x)
    y = empty(x.shape, x.dtype)
    parallel.elementwise(_forward, x, y)
    return y


def _forward(x, y):
    np.multiply(x, 0.5, out=y)
    np.tanh(y, out=y)
    y += 1
    y *= 0.5


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
