"""Pooling on the GPU."""

import math

import cupy
import numpy as np

from minicnn.backends.cupy.arrays import empty
from minicnn.backends.cupy.kernels import geometry, launch

MAPS = 8  # that one thread goes through, so that it finds out once where its windows lie


def max_pool2d(x, window, need_argmax=True):
    """y[n, c, p, q] = max over the window, padded with −∞, and where it was: the number of the first such tap.

    y (N, C, OH, OW); argmax uint8 or uint16 of the same shape (None if not needed). A NaN in a window is its maximum.
    """
    x = cupy.ascontiguousarray(x)
    y = empty((*x.shape[:2], *window.output_size(x.shape[2:])), x.dtype)
    argmax = empty(y.shape, np.min_scalar_type(math.prod(window.kernel))) if need_argmax else None
    _launch("max_pool2d_forward", y, x.shape, window, x, y, *_bytes(argmax))
    return y, argmax


def max_pool2d_backward(dy, argmax, shape, window):
    """dx (N, C, H, W): each dy goes to the pixel that was the maximum; overlapping windows add up."""
    dx = empty(shape, dy.dtype)
    _launch("max_pool2d_backward", dx, shape, window, cupy.ascontiguousarray(dy), *_bytes(argmax), dx)
    return dx


def avg_pool2d(x, window, count_include_pad):
    """y[n, c, p, q] = sum over the window / number of its pixels that count."""
    x = cupy.ascontiguousarray(x)
    y = empty((*x.shape[:2], *window.output_size(x.shape[2:])), x.dtype)
    _launch("avg_pool2d_forward", y, x.shape, window, x, _shares(window, x.shape[2:], count_include_pad, x.dtype), y)
    return y


def avg_pool2d_backward(dy, shape, window, count_include_pad):
    """dx (N, C, H, W): each pixel of a window receives dy / number of pixels that count."""
    dx = empty(shape, dy.dtype)
    shares = _shares(window, shape[2:], count_include_pad, dy.dtype)
    _launch("avg_pool2d_backward", dx, shape, window, cupy.ascontiguousarray(dy), shares, dx)
    return dx


def pool2d_workspace(shape, window, itemsize):
    """Bytes of temporary buffers: none."""
    return 0


def _launch(kernel, target, shape, window, *args):
    """Run the kernel for every place of a map of `target`, in every `together`-th map."""
    maps = math.prod(shape[:2])
    together = -(-maps // MAPS)
    launch("pool", kernel, together * math.prod(target.shape[2:]), *args, maps, together, *geometry(window, shape[2:]))


def _bytes(argmax):
    """The array as bytes, and the number of bytes of one tap number; (no bytes, 0) for None."""
    return (empty(0, "uint8"), 0) if argmax is None else (argmax.view("uint8"), argmax.itemsize)


def _shares(window, size, count_include_pad, dtype):
    """1 / (pixels that count) for each window (OH, OW): padding counts if asked to, overhang never does."""
    shares = empty(window.output_size(size), dtype)
    axes = window.rows, window.columns
    edges = [side if count_include_pad else 0 for axis in axes for side in (axis.before, axis.after)]
    launch("pool", "avg_pool2d_shares", shares.size, shares, *edges, *geometry(window, size))
    return shares
