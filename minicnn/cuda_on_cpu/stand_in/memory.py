"""Device memory, played by the CPU's: its garbage, its margins, its pool and its limit."""

import itertools
import math
import weakref

import numpy as np

from minicnn.cuda_on_cpu import settings

GLOBAL_MEMORY = 8 * 2**30  # bytes of the GPU that is played
BLOCK = 512  # the pool gives out memory in multiples of so many bytes, as CuPy's does
ALIGNMENT = 256  # of every address that a GPU gives out
MARGIN = 256  # bytes on either side of an array that no kernel may write to; whoever reads them finds NaN

_buffers = {}  # {id: (start, stop)} of the NumPy arrays that own device memory: the bytes in them that an array has
_serial = itertools.count()


class OutOfMemoryError(MemoryError):
    """The pool has a limit, and this would go beyond."""


class MemoryPool:
    """Counts what arrays take; `set_limit` makes a GPU of any size. Memory that is given back is free at once."""

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
        self._limit = int(fraction * GLOBAL_MEMORY) if size is None else size

    def _take(self, size):
        limit = self._limit or GLOBAL_MEMORY
        if self._used + size > limit:
            raise OutOfMemoryError(f"Out of memory allocating {size:,} bytes (allocated so far: {self._used:,} bytes, "
                                   f"limit set to: {limit:,} bytes).")
        self._used += size

    def _give_back(self, size):
        self._used -= size


pool = MemoryPool()


def allocate(shape, dtype, order="C"):
    """A NumPy array in new device memory; it holds what an uninitialised array must not be trusted to hold."""
    dtype = np.dtype(dtype)
    size = math.prod(shape) * dtype.itemsize
    buffer, start = _exact(size) if settings.sanitizer == "address" else _with_margins(size)
    taken = -(-size // BLOCK) * BLOCK
    pool._take(taken)
    weakref.finalize(buffer, _forget, id(buffer), taken).atexit = False
    _buffers[id(buffer)] = start, start + size
    array = buffer[start:start + size].view(dtype).reshape(shape, order=order)
    if dtype.kind in "iub":
        array.fill(85 if dtype.kind != "b" else True)
    return array


def _with_margins(size):
    """Bytes, and where in them `size` bytes with a margin on both sides begin, aligned as on a GPU.

    All of them are NaNs, in float32 and float64, of another kind in each array: what is copied from one margin to another
    is seen.
    """
    buffer = np.empty(-(-size // 4) * 4 + 2 * MARGIN + ALIGNMENT, np.uint8)
    buffer.view(np.uint32).fill(0xFFFF0000 | next(_serial) & 0xFFFF)
    return buffer, MARGIN + -(buffer.ctypes.data + MARGIN) % ALIGNMENT


def _exact(size):
    """As many bytes and no more: AddressSanitizer watches the bounds."""
    return np.full(size, 0xFF, np.uint8), 0


def _forget(key, taken):
    del _buffers[key]
    pool._give_back(taken)


def buffer_of(array):
    """The device memory that holds a NumPy array, or None."""
    while array is not None and id(array) not in _buffers:
        array = array.base if isinstance(array.base, np.ndarray) else None
    return array


def overrun(array):
    """Whether something was written into the margins of the device memory of `array`."""
    buffer = buffer_of(array)
    start, stop = _buffers[id(buffer)]
    before, behind, blank = buffer[:start], buffer[stop:], buffer[:4]
    return bool((before != np.resize(blank, start)).any() or
                (behind != np.resize(np.roll(blank, -stop), len(behind))).any())


class MemoryPointer:
    """Where an array lies: `ptr` is the address."""

    def __init__(self, array):
        self._array = array  # keeps the memory alive

    @property
    def ptr(self):
        return self._array.ctypes.data


class PinnedMemoryPointer(bytearray):
    """Page-locked memory of the host: `numpy.frombuffer` makes an array of it."""

    @property
    def ptr(self):
        return np.frombuffer(self, np.uint8).ctypes.data

    def size(self):
        return len(self)
