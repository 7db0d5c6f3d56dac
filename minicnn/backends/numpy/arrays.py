"""Making, converting and moving arrays."""

import contextlib

import numpy as np

from minicnn.buffers import BufferPool

memory_errors = contextlib.nullcontext()  # NumPy's own say it all
_pool = BufferPool()


def empty(shape, dtype):
    """An uninitialised array, in memory that an earlier one gave back."""
    return _pool.empty(shape, dtype)


def require_usable():
    """NumPy is always usable."""


def asarray(values, dtype=None):
    """`values` (a NumPy array) as an array of this backend."""
    return np.ascontiguousarray(values, dtype=dtype)


def to_numpy(array):
    """A NumPy array with the values of `array`, never sharing its memory."""
    return np.array(array)


def bytes_in_use():
    """Bytes taken of the memory for arrays, where that is a small one: not here."""
    return 0


def astype(array, dtype):
    return array.astype(dtype)


def copy(array):
    return array.copy()


def zeros(shape, dtype):
    return np.zeros(shape, dtype)


def concatenate(arrays):
    """The arrays behind each other along the first axis."""
    return np.concatenate(arrays)
