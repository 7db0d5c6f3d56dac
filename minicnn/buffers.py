"""Memory for large arrays, used again once nobody holds it."""

import bisect
import collections
import math
import weakref

import numpy as np

from minicnn import forks

SMALL = 64 * 1024  # bytes; below, NumPy's own allocation is as good
PAGE = 4096  # sizes are rounded up to pages
SLAB = 2**29  # bytes that are reserved at a time; the system hands out pages when they are first written to


class BufferPool:
    """Hands out arrays whose memory comes back when the last view of them is gone.

    A training step asks for the same sizes again and again. Fresh memory for each costs page faults, on some machines
    more than the numbers cost to compute. So memory is reserved in slabs and kept. An array gets the first gap that is
    large enough, and what is given back grows together with the gaps beside it: the pages that are ever touched are
    hardly more than were once in use at a time. What was handed out is never overwritten: memory is free only when no
    array refers to it.

    Examples
    --------
    >>> pool = BufferPool()
    >>> first = pool.empty((128, 256), np.float32)
    >>> address, view = first.ctypes.data, first[1:]
    >>> del first
    >>> second = pool.empty((128, 256), np.float32)
    >>> second.ctypes.data == address                       # the view is still alive
    False
    >>> del view
    >>> pool.empty((128, 256), np.float32).ctypes.data == address
    True
    """

    def __init__(self):
        self._slabs = []  # memoryviews
        self._gaps = []  # (slab, start, stop), sorted, no two of them touching
        self._returned = collections.deque()  # such triples, by finalisers in any thread; appending is atomic
        self._lock = forks.lock()

    def empty(self, shape, dtype):
        """An uninitialised C-contiguous array of this shape and dtype."""
        count, dtype = math.prod(shape), np.dtype(dtype)
        size = count * dtype.itemsize
        if size < SMALL:
            return np.empty(shape, dtype)
        with self._lock:
            while self._returned:
                self._give_back(*self._returned.popleft())
            slab, start, stop = self._take(-(-size // PAGE) * PAGE)
        # Every view of `owner` refers to `owner` itself, because its memory belongs to something that is no array.
        owner = np.frombuffer(self._slabs[slab][start:stop], dtype, count)
        weakref.finalize(owner, self._returned.append, (slab, start, stop)).atexit = False
        return owner.reshape(shape)

    def _take(self, size):
        """Cut (slab, start, stop) out of the first gap that is large enough."""
        for i, (slab, start, stop) in enumerate(self._gaps):
            if stop - start >= size:
                self._gaps[i:i + 1] = [(slab, start + size, stop)] if stop - start > size else []
                return slab, start, start + size
        self._reserve(size)
        return self._take(size)

    def _reserve(self, size):
        """Add a slab with room for `size` bytes; one of just that size where the system does not lend more."""
        try:
            memory = np.empty(max(size, SLAB), np.uint8)
        except MemoryError:
            memory = np.empty(size, np.uint8)
        self._gaps.append((len(self._slabs), 0, memory.nbytes))
        self._slabs.append(memoryview(memory))

    def _give_back(self, slab, start, stop):
        """Make a gap, one with the gaps that it touches."""
        i = bisect.bisect(self._gaps, (slab, start, stop))
        if i < len(self._gaps) and self._gaps[i][:2] == (slab, stop):
            stop = self._gaps.pop(i)[2]
        if i and (self._gaps[i - 1][0], self._gaps[i - 1][2]) == (slab, start):
            i -= 1
            start = self._gaps.pop(i)[1]
        self._gaps.insert(i, (slab, start, stop))
