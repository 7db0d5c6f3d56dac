"""Local response normalisation on the CPU.

The sum over neighbouring maps is a product with a banded matrix: s = [α·band | k]·[x²; 1]. BLAS multiplies the zeros of
the band faster than NumPy adds `size` shifted copies of a map that has left the cache, and the constant k comes in as
one more column. Powers by β = 3/4 are two square roots.
"""

import math

import numpy as np

from minicnn.backends.numpy import parallel
from minicnn.backends.numpy.arrays import empty


def lrn(x, size, alpha, beta, k):
    """y = x / s^β with s[c] = k + α·Σ x[c']² over the `size` maps c' around c; x (N, C, …)."""
    y = empty(x.shape, x.dtype)
    band = _band(x.shape[1], size, alpha, k, x.dtype)

    def images(start, stop):
        for image, out in zip(_maps(x[start:stop]), _maps(y[start:stop])):
            np.divide(image, _power(_scale(image, band), beta), out=out)

    parallel.run(images, parallel.image_ranges(x))
    return y


def lrn_backward(dy, x, size, alpha, beta, k):
    """dx[c] = dy[c]/s[c]^β − 2αβ·x[c]·Σ dy[c']·x[c']/s[c']^(β+1) over the maps c' whose window holds c.

    s is computed anew: that costs one product, keeping it would cost an array as large as x.
    """
    dx = empty(x.shape, x.dtype)
    band = _band(x.shape[1], size, alpha, k, x.dtype)
    spread = band[:, :-1] * (2 * beta)  # symmetric: c' is in the window of c as c is in that of c'

    def images(start, stop):
        for g, image, out in zip(_maps(dy[start:stop]), _maps(x[start:stop]), _maps(dx[start:stop])):
            s = _scale(image, band)
            direct = np.divide(g, _power(s, beta), out=out)
            ratio = np.multiply(direct, image, out=parallel.scratch("lrn ratio", image.shape, image.dtype))
            ratio /= s
            np.matmul(spread, ratio, out=s)
            if not np.isfinite(s[0]).all():
                _sum_neighbours(spread, ratio, s)
            s *= image
            out -= s

    parallel.run(images, parallel.image_ranges(x))
    return dx


def lrn_workspace(shape, itemsize):
    """Bytes of the buffers that one thread holds in the backward pass: squares, s, power and ratio of one image."""
    return (4 * math.prod(shape[1:]) + math.prod(shape[2:])) * itemsize


def _band(channels, size, alpha, k, dtype):
    """(C, C + 1): α within size//2 of the diagonal, and a last column of k."""
    band = np.zeros((channels, channels + 1), dtype)
    distance = np.abs(np.subtract.outer(np.arange(channels), np.arange(channels)))
    band[:, :-1][distance <= size // 2] = alpha
    band[:, -1] = k
    return band


def _maps(x):
    """(N, C, …) → (N, C, P): each map as one row."""
    return x.reshape(*x.shape[:2], -1)


def _scale(image, band):
    """s (C, P) = band · [image²; 1] in a buffer of this thread."""
    channels, pixels = image.shape
    squares = parallel.scratch("lrn squares", (channels + 1, pixels), image.dtype)
    np.multiply(image, image, out=squares[:-1])
    squares[-1] = 1
    scale = np.matmul(band, squares, out=parallel.scratch("lrn scale", image.shape, image.dtype))
    if not np.isfinite(scale[0]).all():  # 0·∞ is NaN: map 0 is finite only if all are
        _sum_neighbours(band, squares, scale)
    return scale


def _sum_neighbours(band, values, out):
    """out = band·values without the zeros of the band, so that a map that is not finite spoils its neighbours alone."""
    for row, target in zip(band, out):
        near = np.flatnonzero(row)
        np.matmul(row[near], values[near], out=target)


def _power(s, beta):
    """s^β in a buffer of this thread; for the paper's 3/4 as √s·√√s."""
    out = parallel.scratch("lrn power", s.shape, s.dtype)
    if beta != 0.75:
        return np.power(s, beta, out=out)
    root = np.sqrt(s, out=parallel.scratch("lrn ratio", s.shape, s.dtype))
    np.sqrt(root, out=out)
    out *= root
    return out
