"""Decoded pixels kept in memory while they fit a byte budget."""

import threading

BUDGET = 2 << 30  # bytes: 10,922 images of 256×256×3


class PixelCache:
    """Arrays by key, kept until `budget` bytes are reached; what comes later is made anew each time it is asked for.

    Nothing is ever thrown out: an epoch asks for every image once, in random order, and for such a pattern no
    replacement rule serves more requests from memory than keeping what came first.

    Parameters
    ----------
    budget : int
        Bytes. 0 keeps nothing.

    Examples
    --------
    >>> import numpy as np
    >>> cache = PixelCache(budget=10)
    >>> made = []
    >>> def make(): made.append(1); return np.zeros(8, np.uint8)
    >>> _ = cache.get("a", make), cache.get("a", make), cache.get("b", make), cache.get("b", make)
    >>> len(made), cache.used
    (3, 8)
    """

    def __init__(self, budget=BUDGET):
        self.budget, self.used = budget, 0
        self._kept, self._lock = {}, threading.Lock()

    def __repr__(self):
        return f"PixelCache({len(self._kept)} images, {self.used / 2**20:.0f} of {self.budget / 2**20:.0f} MiB)"

    def get(self, key, make):
        """Return the array of `key`, calling `make()` outside the lock if it is not kept. The array is read-only."""
        array = self._kept.get(key)
        if array is not None:
            return array
        array = make()
        array.setflags(write=False)
        with self._lock:
            if key not in self._kept and self.used + array.nbytes <= self.budget:
                self._kept[key] = array
                self.used += array.nbytes
        return array
