"""Dropout on the GPU, with the masks of the CPU."""

import cupy

from minicnn.backends.cupy.arrays import empty
from minicnn.backends.cupy.kernels import launch, launch_blocks

NUMBERS = 2048  # that one block of threads, 256 of them, deals with


def dropout(x, p, key):
    """y = x·keep/(1 − p) and the mask `keep` (bool): each element is kept with probability 1 − p.

    Element i is kept if the i-th 32-bit word of the Philox4x64-10 stream with this `key` (two 64-bit words) is at least
    p·2³²: the mask of the CPU.
    """
    x = cupy.ascontiguousarray(x)
    y, keep = empty(x.shape, x.dtype), empty(x.shape, "bool")
    launch_blocks("dropout", "dropout_forward", (-(-x.size // NUMBERS),), (256,), x, y, keep, x.size, *key,
                  round(p * 2**32), 1 / (1 - p))
    return y, keep


def dropout_backward(dy, keep, p):
    """dx = dy·keep/(1 − p)."""
    dy = cupy.ascontiguousarray(dy)
    dx = empty(dy.shape, dy.dtype)
    launch("dropout", "dropout_backward", dy.size, dy, keep, dx, dy.size, 1 / (1 - p))
    return dx
