"""Device memory, played by the CPU's: its garbage, its margins, its pool and its limit."""

import functools
import itertools
import math
import weakref

import numpy as np

MARGIN = 256  # bytes on either side of an array that no kernel may write to; what is read there is NaN
ALIGNMENT = 256  # of every address that a GPU hands out

_buffers = {}  # {id: (start, stop)} of the NumPy arrays that own device memory: where in it the array lies, in bytes
_serial = itertools.count()


class OutOfMemoryError(MemoryError):
    """The pool has a limit, and this would go beyond."""

    __module__ = "cupy.cuda.memory"


class MemoryPool:
    """Counts what arrays take; `set_limit` makes a GPU of any size."""

    def __init__(self):
        self._used, self._limit = 0, 0

    def used_bytes(self):
        return self._used

    def total_bytes(self):
        return self._used

    def free_bytes(self):
        return 0

    def free_all_blocks(self, stream=None):
        pass

    def get_limit(self):
        return self._limit

    def set_limit(self, size=None, fraction=None):
        self._limit = int(fraction * GLOBAL_MEMORY) if fraction is not None else size or 0

    def _take(self, size):
        if self._limit and self._used + size > self._limit:
            raise OutOfMemoryError(f"Out of memory allocating {size:,} bytes (allocated so far: {self._used:,} bytes, "
                                   f"limit set to: {self._limit:,} bytes).")
        self._used += size

    def _give_back(self, size):
        self._used -= size


GLOBAL_MEMORY = 8 * 2**30  # bytes of the GPU that is played
pool = MemoryPool()


def allocate(shape, dtype, order="C"):
    """A NumPy array in new device memory, which holds what an uninitialised array must not be trusted to hold."""
    dtype = np.dtype(dtype)
    size = math.prod(shape) * dtype.itemsize
    taken = -(-size // 512) * 512  # CuPy's pool rounds up
    pool._take(taken)
    words = (2 * MARGIN + ALIGNMENT + size) // 4 + 1
    buffer = np.full(words, 0xFFFF0000 | next(_serial) & 0xFFFF, np.uint32)  # each array's margin is a NaN of its own
    weakref.finalize(buffer, _forget, id(buffer), taken).atexit = False
    start = MARGIN + -(buffer.ctypes.data + MARGIN) % ALIGNMENT
    _buffers[id(buffer)] = start, start + size
    array = buffer.view(np.uint8)[start:start + size].view(dtype).reshape(shape, order=order)
    if dtype.kind != "f":  # which is NaN already
        array.fill(np.frombuffer(b"\x55" * dtype.itemsize, dtype)[0] if dtype.kind in "iu" else 1)
    return array


def _forget(key, taken):
    del _buffers[key]
    pool._give_back(taken)


def buffer_of(array):
    """The device memory that holds a NumPy array, or None."""
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array if id(array) in _buffers else None


def overrun(array):
    """Whether something was written just before or behind the device memory of `array`."""
    buffer = buffer_of(array)
    start, stop = _buffers[id(buffer)]
    margins, blank = buffer.view(np.uint8), buffer[:1].view(np.uint8)
    before = margins[:start].reshape(-1, 4)
    behind = margins[-(-stop // 4) * 4:].reshape(-1, 4)
    odd = margins[stop:-(-stop // 4) * 4]
    return bool((before != blank).any() or (behind != blank).any() or (odd != blank[4 - len(odd):]).any())


class MemoryPointer:
    """Where an array lies: `ptr` is the address."""

    def __init__(self, array):
        self.ptr, self._array = array.ctypes.data, array  # which keeps the memory alive


class PinnedMemoryPointer(bytearray):
    """Page-locked host memory; `numpy.frombuffer` reads it."""

    @property
    def ptr(self):
        return np.frombuffer(self, np.uint8).ctypes.data

    def size(self):
        return len(self)


@functools.cache
def pinned_pool():
    return PinnedMemoryPool()


class PinnedMemoryPool:
    def free_all_blocks(self):
        pass

    def n_free_blocks(self):
        return 0
