"""The fully connected layer on the GPU: three products by cuBLAS, which reads a transposed matrix where it lies."""

import cupy

from minicnn.backends.cupy.arrays import empty
from minicnn.backends.cupy.kernels import launch
from minicnn.backends.cupy.sums import sum_over_rows


def linear(x, w, b):
    """y = x·Wᵀ + b; x (N, I), w (O, I), b (O,) or None → y (N, O)."""
    y = cupy.matmul(x, w.T, out=empty((len(x), len(w)), x.dtype))
    if b is not None:
        launch("linear", "add_bias", y.size, b, y, *y.shape)
    return y


def linear_backward(dy, x, w, has_bias=True, need_dx=True):
    """dx = dy·W (or None), dW = dyᵀ·x, db = Σₙ dy (or None)."""
    dw = cupy.matmul(dy.T, x, out=empty(w.shape, w.dtype))
    dx = cupy.matmul(dy, w, out=empty(x.shape, x.dtype)) if need_dx else None
    return dx, dw, sum_over_rows(cupy.ascontiguousarray(dy)) if has_bias else None
