"""Making, converting and moving arrays, all in memory that CuPy's pool takes from the GPU and keeps."""

import cupy


def empty(shape, dtype):
    """An uninitialised array."""
    return cupy.empty(shape, dtype)


def asarray(values, dtype=None):
    """`values` (a NumPy or CuPy array) as an array of this backend."""
    return cupy.ascontiguousarray(cupy.asarray(values, dtype=dtype))


def to_numpy(array):
    """A NumPy array with the values of `array`, never sharing its memory."""
    return array.get()


def astype(array, dtype):
    return array.astype(dtype)


def copy(array):
    return array.copy()


def zeros(shape, dtype):
    return cupy.zeros(shape, dtype)


def concatenate(arrays):
    """The arrays behind each other along the first axis."""
    return cupy.concatenate(arrays)
