"""Batch normalisation on the CPU, one channel block a piece; x (N, C) or (N, C, H, W)."""

import numpy as np

from minicnn.backends.numpy import parallel
from minicnn.backends.numpy.arrays import empty


def batchnorm(x, gamma, beta, eps):
    """y = γ·x̂ + β with x̂ = (x − μ)/√(σ² + ε), μ and the biased σ² over all axes but C.

    Returns y, and what backward and the running statistics need: x̂, 1/√(σ² + ε), μ, σ².
    """
    normal, y = empty(x.shape, x.dtype), empty(x.shape, x.dtype)
    mean, variance = np.empty_like(gamma), np.empty_like(gamma)

    def channels(start, stop):
        part, axes = x[:, start:stop], _all_but_channels(x)
        mu = part.mean(axis=axes, keepdims=True)
        centred = part - mu
        var = np.mean(centred * centred, axis=axes, keepdims=True)
        mean[start:stop], variance[start:stop] = mu.reshape(-1), var.reshape(-1)
        np.divide(centred, np.sqrt(var + x.dtype.type(eps)), out=normal[:, start:stop])
        y[:, start:stop] = normal[:, start:stop] * _wide(gamma[start:stop], x) + _wide(beta[start:stop], x)

    parallel.run(channels, _channel_blocks(x))
    return y, normal, 1 / np.sqrt(variance + gamma.dtype.type(eps)), mean, variance


def batchnorm_inference(x, gamma, beta, mean, variance, eps):
    """y = γ·(x − mean)/√(variance + ε) + β with given statistics; also x̂ and 1/√(variance + ε)."""
    inverse = 1 / np.sqrt(variance + gamma.dtype.type(eps))
    normal = (x - _wide(mean, x)) * _wide(inverse, x)
    return normal * _wide(gamma, x) + _wide(beta, x), normal, inverse


def batchnorm_backward(dy, normal, gamma, inverse, statistics_are_constants):
    """dγ = Σ dy·x̂, dβ = Σ dy and, with M values a channel, dx = γ/√(σ² + ε)·(dy − dβ/M − x̂·dγ/M).

    The last two terms come from μ and σ², which depend on x in training; in evaluation they are constants and drop out.
    """
    dx = empty(dy.shape, dy.dtype)
    dgamma, dbeta = np.empty_like(gamma), np.empty_like(gamma)
    count = dy.size // dy.shape[1]

    def channels(start, stop):
        g, n, axes = dy[:, start:stop], normal[:, start:stop], _all_but_channels(dy)
        dgamma[start:stop], dbeta[start:stop] = (g * n).sum(axis=axes), g.sum(axis=axes)
        scale = _wide((gamma * inverse)[start:stop], dy)
        if statistics_are_constants:
            dx[:, start:stop] = g * scale
        else:
            along = _wide(dgamma[start:stop], dy) / count
            dx[:, start:stop] = (g - _wide(dbeta[start:stop], dy) / count - n * along) * scale

    parallel.run(channels, _channel_blocks(dy))
    return dx, dgamma, dbeta


def _all_but_channels(x):
    return (0, *range(2, x.ndim))


def _wide(values, x):
    """(C,) → (1, C, 1, 1), or (1, C) for x (N, C)."""
    return values.reshape(1, -1, *[1] * (x.ndim - 2))


def _channel_blocks(x):
    return parallel.ranges(x.shape[1], max(1, parallel.BLOCK_BYTES * x.shape[1] // max(1, x.nbytes)))
