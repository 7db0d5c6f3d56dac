"""Batch normalisation on the GPU; x (N, C) or (N, C, H, W)."""

import math

import cupy

from minicnn.backends.cupy.arrays import empty
from minicnn.backends.cupy.kernels import launch, launch_blocks
from minicnn.backends.cupy.sums import sum_over_rows

PART, PARTS = 8192, 256  # a channel is cut into parts of so many values, or more, where they would be more parts than that
THREADS = 256  # that sum up one part


def batchnorm(x, gamma, beta, eps):
    """y = γ·x̂ + β with x̂ = (x − μ)/√(σ² + ε), μ and the biased σ² over all axes but C.

    Returns y, and what backward and the running statistics need: x̂, 1/√(σ² + ε), μ, σ².
    """
    x = cupy.ascontiguousarray(x)
    channels, pixels, values, part, parts = _cut(x)
    means, squares = empty((parts, channels), x.dtype), empty((parts, channels), x.dtype)
    launch_blocks("batchnorm", "batchnorm_parts", (parts * channels,), (THREADS,), x, means, squares, channels, pixels,
                  values, part)
    mean, variance, inverse = (empty(gamma.shape, gamma.dtype) for _ in range(3))
    launch("batchnorm", "batchnorm_statistics", channels, means, squares, mean, variance, inverse, channels, values, part,
           parts, eps)
    return *_normalised(x, mean, inverse, gamma, beta), inverse, mean, variance


def batchnorm_inference(x, gamma, beta, mean, variance, eps):
    """y = γ·(x − mean)/√(variance + ε) + β with given statistics; also x̂ and 1/√(variance + ε)."""
    inverse = empty(gamma.shape, gamma.dtype)
    launch("batchnorm", "batchnorm_inverse", inverse.size, variance, inverse, inverse.size, eps)
    return *_normalised(cupy.ascontiguousarray(x), mean, inverse, gamma, beta), inverse


def batchnorm_backward(dy, normal, gamma, inverse, statistics_are_constants):
    """dγ = Σ dy·x̂, dβ = Σ dy and, with M values a channel, dx = γ/√(σ² + ε)·(dy − dβ/M − x̂·dγ/M).

    The last two terms come from μ and σ², which depend on x in training; in evaluation they are constants and drop out.
    """
    dy = cupy.ascontiguousarray(dy)
    channels, pixels, values, part, parts = _cut(dy)
    products, sums = empty((parts, channels), dy.dtype), empty((parts, channels), dy.dtype)
    launch_blocks("batchnorm", "batchnorm_backward_parts", (parts * channels,), (THREADS,), dy, normal, products, sums,
                  channels, pixels, values, part)
    dgamma, dbeta = sum_over_rows(products), sum_over_rows(sums)
    dx = empty(dy.shape, dy.dtype)
    launch("batchnorm", "batchnorm_backward", dx.size, dy, normal, gamma, inverse, dgamma, dbeta, dx, dx.size, channels,
           pixels, values, statistics_are_constants)
    return dx, dgamma, dbeta


def _normalised(x, mean, inverse, gamma, beta):
    """y and x̂."""
    y, normal = empty(x.shape, x.dtype), empty(x.shape, x.dtype)
    launch("batchnorm", "batchnorm_forward", x.size, x, mean, inverse, gamma, beta, normal, y, x.size, *_cut(x)[:2])
    return y, normal


def _cut(x):
    """Channels, pixels of a map, values of a channel, values of one part of it, parts."""
    channels, pixels = x.shape[1], math.prod(x.shape[2:])
    values = len(x) * pixels
    part = max(PART, -(-values // PARTS))
    return channels, pixels, values, part, -(-values // part)
