"""Making, converting and moving arrays, all in memory that CuPy's pool takes from the GPU and keeps."""

import functools
import re

import cupy

from minicnn.errors import OutOfMemory


def _explained(allocate):
    """`allocate`, with CuPy's error for a full GPU as minicnn's."""
    @functools.wraps(allocate)
    def call(*args, **kwargs):
        try:
            return allocate(*args, **kwargs)
        except cupy.cuda.memory.OutOfMemoryError as error:
            wanted = re.search(r"allocating ([\d,]+) bytes", str(error))
            raise OutOfMemory(int(wanted[1].replace(",", "")) if wanted else 0, _free_bytes(), bytes_in_use()) from error
    return call


def _free_bytes():
    """Bytes that arrays could still take: of the GPU, or up to the limit of the pool."""
    pool = cupy.get_default_memory_pool()
    free = cupy.cuda.runtime.memGetInfo()[0] + pool.free_bytes()
    return min(free, pool.get_limit() - pool.used_bytes()) if pool.get_limit() else free


def bytes_in_use():
    """Bytes of all arrays on the GPU."""
    return cupy.get_default_memory_pool().used_bytes()


@_explained
def empty(shape, dtype):
    """An uninitialised array."""
    return cupy.empty(shape, dtype)


@_explained
def asarray(values, dtype=None):
    """`values` (a NumPy or CuPy array) as an array of this backend."""
    return cupy.ascontiguousarray(cupy.asarray(values, dtype=dtype))


def to_numpy(array):
    """A NumPy array with the values of `array`, never sharing its memory."""
    return array.get()


@_explained
def astype(array, dtype):
    return array.astype(dtype)


@_explained
def copy(array):
    return array.copy()


@_explained
def zeros(shape, dtype):
    return cupy.zeros(shape, dtype)


@_explained
def concatenate(arrays):
    """The arrays behind each other along the first axis."""
    return cupy.concatenate(arrays)
