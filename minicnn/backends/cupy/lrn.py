"""Local response normalisation on the GPU."""

import math

import cupy

from minicnn.backends.cupy.arrays import empty
from minicnn.backends.cupy.kernels import launch

WALKS = (3, 5, 7, 9)  # sizes whose window a thread keeps in registers; the others go by the naive kernels
STRETCH = 32  # maps that one thread walks through: few enough for many threads, and it reads 2 or 4 maps more than those


def lrn(x, size, alpha, beta, k):
    """y = x / s^β with s[c] = k + α·Σ x[c']² over the `size` maps c' around c; x (N, C, …)."""
    x = cupy.ascontiguousarray(x)
    y = empty(x.shape, x.dtype)
    _launch("lrn_forward", x, y, size=size, constants=(alpha, beta, k))
    return y


def lrn_backward(dy, x, size, alpha, beta, k):
    """dx[c] = dy[c]/s[c]^β − 2αβ·x[c]·Σ dy[c']·x[c']/s[c']^(β+1) over the maps c' whose window holds c."""
    dy, x = cupy.ascontiguousarray(dy), cupy.ascontiguousarray(x)
    dx = empty(x.shape, x.dtype)
    _launch("lrn_backward", dy, x, dx, size=size, constants=(alpha, beta, k, 2 * alpha * beta))
    return dx


def lrn_workspace(shape, size, itemsize):
    """Bytes of temporary buffers: none."""
    return 0


def _launch(kernel, *arrays, size, constants):
    n, channels, *pixels = arrays[0].shape
    pixels = math.prod(pixels)
    if size in WALKS:
        threads = n * -(-channels // STRETCH) * pixels
        launch("lrn", kernel, threads, *arrays, threads, channels, pixels, STRETCH, size, *constants)
    else:
        count = arrays[0].size
        launch("lrn", f"{kernel}_naive", count, *arrays, count, channels, pixels, size, *constants)
