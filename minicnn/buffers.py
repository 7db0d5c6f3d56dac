"""Memory for large arrays, used again once nobody holds it."""

import collections
import math
import threading
import weakref

import numpy as np

SMALL = 64 * 1024  # bytes; below, NumPy's own allocation is as good
SPARE = 1.6  # times its size is the most memory that an array gets


class BufferPool:
    """Hands out arrays whose memory comes back when the last view of them is gone.

    A training step asks for the same sizes again and again. Fresh memory for each costs page faults, on some machines
    more than the numbers cost to compute. What was handed out is never overwritten: memory is free only when no array
    refers to it. Memory in use and memory waiting never exceed together what was once in use at a time. An array may be
    given somewhat more memory than its size, or else arrays of one size would drive out those needed a moment later.

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
        self._waiting = collections.defaultdict(list)  # {bytes: memories of that size}
        self._returned = collections.deque()  # by finalisers, in any thread; appending is atomic
        self._lock = threading.Lock()
        self._used = self._kept = self._most = 0  # bytes in use, bytes waiting, most bytes ever in use

    def empty(self, shape, dtype):
        """An uninitialised C-contiguous array of this shape and dtype."""
        count, dtype = math.prod(shape), np.dtype(dtype)
        size = count * dtype.itemsize
        if size < SMALL:
            return np.empty(shape, dtype)
        with self._lock:
            memory = self._take(size)
        # Every view of `owner` refers to `owner` itself, because its memory belongs to something that is no array.
        owner = np.frombuffer(memory[:size], dtype, count)
        weakref.finalize(owner, self._returned.append, memory).atexit = False
        return owner.reshape(shape)

    def _take(self, size):
        while self._returned:
            memory = self._returned.popleft()
            self._waiting[memory.nbytes].append(memory)
            self._used -= memory.nbytes
            self._kept += memory.nbytes
        fits = (other for other, found in self._waiting.items() if found and size <= other <= SPARE * size)
        fitting = min(fits, default=None)
        if fitting is not None:
            self._kept -= fitting
            memory = self._waiting[fitting].pop()
        else:
            while self._kept and self._used + size + self._kept > self._most:
                self._release(self._used + size + self._kept - self._most)
            memory = memoryview(np.empty(size, np.uint8))
        self._used += memory.nbytes
        self._most = max(self._most, self._used)
        return memory

    def _release(self, excess):
        """Give a waiting memory back to the system: the smallest that is large enough, or else the largest."""
        sizes = [size for size, memories in self._waiting.items() if memories]
        size = min((size for size in sizes if size >= excess), default=max(sizes))
        self._waiting[size].pop()
        self._kept -= size
