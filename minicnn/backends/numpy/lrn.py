"""Local response normalisation on the CPU.

The sum over neighbouring maps is `size` − 1 additions of the squares to themselves, shifted by whole maps, with maps of
zeros before the first and after the last: each is one pass over contiguous numbers. Powers by β = 3/4 are two square roots.
"""

import math

import numpy as np

from minicnn.backends.numpy import parallel
from minicnn.backends.numpy.arrays import empty


def lrn(x, size, alpha, beta, k):
    """y = x / s^β with s[c] = k + α·Σ x[c']² over the `size` maps c' around c; x (N, C, …)."""
    y = empty(x.shape, x.dtype)

    def piece(x, y):
        s = _scale(x, size, alpha, k)
        np.divide(x, _power(s, beta), out=y)

    _run(piece, x, y)
    return y


def lrn_backward(dy, x, size, alpha, beta, k):
    """dx[c] = dy[c]/s[c]^β − 2αβ·x[c]·Σ dy[c']·x[c']/s[c']^(β+1) over the maps c' whose window holds c.

    s is computed anew: that costs less than to keep and read an array as large as x.
    """
    dx = empty(x.shape, x.dtype)

    def piece(dy, x, dx):
        s = _scale(x, size, alpha, k)
        np.divide(dy, _power(s, beta), out=dx)
        padded, ratio = _padded(x.shape, size, x.dtype)
        np.multiply(dx, x, out=ratio)
        ratio /= s
        total = _sum_of_neighbours(padded, size, s)  # c' is in the window of c as c is in that of c'
        total *= 2 * alpha * beta
        total *= x
        dx -= total

    _run(piece, dy, x, dx)
    return dx


def lrn_workspace(shape, size, itemsize):
    """Bytes of the buffers that one thread holds: s, its power, and the padded squares of a piece."""
    n, channels, *pixels = shape
    images = parallel.piece_size(n, math.prod(shape[1:]), parallel.PIECE)
    return images * (3 * channels + size - 1) * math.prod(pixels) * itemsize


def _run(function, *arrays):
    """Call `function` on matching pieces (n, C, P) of the arrays (N, C, …), spread over the threads."""
    maps = [array.reshape(*array.shape[:2], -1) for array in arrays]
    step = parallel.piece_size(len(maps[0]), maps[0][0].size, parallel.PIECE)
    parallel.run(lambda start, stop: function(*(array[start:stop] for array in maps)), parallel.ranges(len(maps[0]), step))


def _padded(shape, size, dtype):
    """A buffer (n, C + size − 1, P) of this thread, zero in its first and last maps, and the view (n, C, P) between."""
    n, channels, pixels = shape
    padded = parallel.scratch("lrn padded", (n, channels + size - 1, pixels), dtype)
    half = size // 2
    padded[:, :half] = 0
    padded[:, half + channels:] = 0
    return padded, padded[:, half:half + channels]


def _scale(x, size, alpha, k):
    """s (n, C, P) in a buffer of this thread."""
    padded, squares = _padded(x.shape, size, x.dtype)
    np.multiply(x, x, out=squares)
    s = _sum_of_neighbours(padded, size, parallel.scratch("lrn scale", x.shape, x.dtype))
    s *= alpha
    s += k
    return s


def _sum_of_neighbours(padded, size, out):
    """out[:, c] = padded[:, c] + … + padded[:, c + size − 1]"""
    channels = out.shape[1]
    first, *others = (padded[:, shift:channels + shift] for shift in range(size))
    np.add(first, others.pop(0) if others else 0, out=out)  # one pass less than a copy and a sum
    for maps in others:
        out += maps
    return out


def _power(s, beta):
    """s^β in a buffer of this thread; for the paper's 3/4 as √s·√√s."""
    out = parallel.scratch("lrn power", s.shape, s.dtype)
    if beta != 0.75:
        return np.power(s, beta, out=out)
    root = np.sqrt(s, out=parallel.scratch("lrn padded", s.shape, s.dtype))  # whose squares have been added up
    np.sqrt(root, out=out)
    out *= root
    return out
