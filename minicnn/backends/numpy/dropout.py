"""Dropout on the CPU."""

import numpy as np

from minicnn.backends.numpy import parallel


def dropout(x, p, key):
    """y = x·keep/(1 − p) and the mask `keep` (bool): each element is kept with probability 1 − p.

    Element i is kept if the i-th 32-bit word of the Philox4x64-10 stream with this `key` (two 64-bit words) is at least
    p·2³². A counter-based generator (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3") gives any
    machine the same mask, however the elements are shared out among threads.
    """
    words = np.random.Philox(key=np.array(key, np.uint64)).random_raw(-(-x.size // 2)).view(np.uint32)
    keep = (words[:x.size] >= round(p * 2**32)).reshape(x.shape)
    return _scaled(x, keep, p), keep


def dropout_backward(dy, keep, p):
    """dx = dy·keep/(1 − p)."""
    return _scaled(dy, keep, p)


def _scaled(x, keep, p):
    x = np.ascontiguousarray(x)
    y = parallel.keep_where(keep, x, np.empty_like(x))
    y *= 1 / (1 - p)
    return y
