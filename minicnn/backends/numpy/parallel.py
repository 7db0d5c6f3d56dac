"""A pool of threads that run pieces of one operation, and how an operation is cut into pieces.

NumPy lets go of the interpreter's lock inside its loops and matrix products, so threads do run side by side. Two rules
keep the results bit-identical whatever the number of threads: how the work is cut depends on its shape alone, and BLAS is
held to one thread, so that each piece adds in the same order. Which thread runs which piece then does not matter.
"""

import collections
import math
import os
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from minicnn import blas
from minicnn.backends.numpy.arrays import empty
from minicnn.errors import ShapeError

SHARES = 16  # a batch is cut into at least so many pieces, if it has so many images
LEAST = 2**16  # elements that repay a helper's waking up, where BLAS does the work in one go
# Small pieces would stay in a core's own cache, but after each pass over one the thread may have to wait for Python's lock,
# and to wake up takes longer than to read from the next cache.
BLOCK_BYTES = 2**20  # of element-wise work
PIECE = 2**19  # elements of what takes more passes


class _Pool:
    """The helping threads; the calling thread is one more."""

    def __init__(self):
        usable = getattr(os, "sched_getaffinity", None)
        self.size = len(usable(0)) if usable else os.cpu_count() or 1
        self.executor = None
        self.lock = threading.Lock()

    def submit(self, work, pieces):
        """Let helpers run `work`, as many as are of use besides the calling thread; their futures."""
        with self.lock:
            helping = max(0, min(self.size, pieces) - 1)
            if helping and self.executor is None:
                self.executor = ThreadPoolExecutor(self.size - 1, thread_name_prefix="minicnn")
            return [self.executor.submit(work) for _ in range(helping)]

    def forget_threads(self):
        """A forked child has none of them, and must not wait for a lock that one of them held."""
        self.executor, self.lock = None, threading.Lock()

    def resize(self, size):
        with self.lock:
            if self.executor is not None:
                self.executor.shutdown(wait=False)  # what was submitted is still done
            self.executor, self.size = None, size


_pool = _Pool()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pool.forget_threads)
_inside = threading.local()


def set_num_threads(count):
    """How many threads the CPU backend uses. Results do not depend on it, to the last bit.

    Examples
    --------
    >>> import minicnn
    >>> before = minicnn.get_num_threads()
    >>> minicnn.set_num_threads(1)
    >>> minicnn.get_num_threads()
    1
    >>> minicnn.set_num_threads(before)
    """
    if not hasattr(count, "__index__") or isinstance(count, bool) or count < 1:
        raise ShapeError(f"set_num_threads: got {count!r}, wanted an int >= 1")
    _pool.resize(int(count))


def get_num_threads():
    """The number of threads that the CPU backend uses; at first, the number of usable cores.

    Examples
    --------
    >>> import minicnn
    >>> minicnn.get_num_threads() >= 1
    True
    """
    return _pool.size


def run(function, pieces):
    """Call `function(*piece)` for every piece, spread over the threads, and return the results in order."""
    pieces = list(pieces)
    if getattr(_inside, "pool", False):  # an operation inside a piece runs where it is
        return [function(*piece) for piece in pieces]
    results = [None] * len(pieces)
    waiting = collections.deque(range(len(pieces)))

    def take():
        try:
            return waiting.popleft()  # atomic: each piece goes to one thread
        except IndexError:
            return None

    def work():
        _inside.pool = True
        try:
            with blas.single_threaded, np.errstate(all="ignore"):  # infinities are found by the trainer
                for index in iter(take, None):
                    results[index] = function(*pieces[index])
        finally:
            _inside.pool = False

    futures = _pool.submit(work, len(pieces))
    try:
        work()
    finally:
        waiting.clear()  # after an error, the helpers stop when they have done their present piece
        futures = [future for future in futures if not future.cancel()]  # who is still waking up finds nothing to do
        errors = [future.exception() for future in futures]  # nobody writes any more when the caller goes on
    for error in errors:
        if error is not None:
            raise error
    return results


def run_calls(calls):
    """`run` for calls of several kinds: (function, *arguments) each."""
    return run(lambda function, *arguments: function(*arguments), calls)


def describe():
    """What computes, in words: the BLAS in use, and the number of threads."""
    count = get_num_threads()
    return f"{blas.describe()}, {count:,} thread{'s' * (count != 1)}"


def ranges(total, step):
    """[(0, step), (step, 2·step), …] up to `total`."""
    return [(start, min(start + step, total)) for start in range(0, total, step)]


def share(count, elements=LEAST):
    """How many of `count` things, of so many elements each, a thread takes at a time: many threads find enough to do."""
    return min(count, max(-(-count // SHARES), LEAST // elements))


def piece_size(count, elements, piece):
    """How many of `count` things, of so many elements each, make a piece for several passes: about `piece` elements."""
    return max(1, min(count, piece // elements))


def run_and_add(function, images, step):
    """The sum of the arrays that `function(start, stop)` gives for pieces of `step` images.

    Pieces are added within a share of the batch, and then share after share: the order is fixed by the shape alone. What
    `function` returns may be a buffer that its next call overwrites.
    """
    shares = ranges(images, max(step, share(images)))
    total, added, waiting, lock = None, 0, {}, threading.Lock()

    def one_share(index, start, stop):
        nonlocal total, added
        part = None
        for piece in ranges(stop - start, step):
            part = add(part, function(start + piece[0], start + piece[1]))
        with lock:
            waiting[index] = part
            while added in waiting:  # the shares before it are done
                part = waiting.pop(added)
                total = part if total is None else add(total, part)
                added += 1

    run(one_share, [(index, *limits) for index, limits in enumerate(shares)])
    return total


def add(total, term):
    """total += term; None stands for no total yet, and a copy of the term becomes it."""
    if total is None:
        total = empty(term.shape, term.dtype)
        total[...] = term
        return total
    total += term
    return total


def elementwise(function, *arrays):
    """Call `function(*blocks)` on matching flat blocks of C-contiguous arrays of one size."""
    flat = [array.reshape(-1) for array in arrays]
    step = BLOCK_BYTES // arrays[0].itemsize
    if flat[0].size <= step:
        with np.errstate(all="ignore"):
            function(*flat)
        return
    run(lambda start, stop: function(*(a[start:stop] for a in flat)), ranges(flat[0].size, step))


def keep_where(mask, values, out):
    """out ← values where `mask` (bool) is true, else 0, also where values are infinite: the mask is laid over the bits.

    On flat arrays ten times faster than np.where, and as fast as a product, in which 0·∞ would be NaN.
    """
    bits = np.dtype(f"i{values.itemsize}")
    ones = scratch("keep ones", values.shape, bits)  # −1 has all bits set
    np.negative(mask.view(np.int8), out=ones, dtype=bits)
    np.bitwise_and(values.view(bits), ones, out=out.view(bits))
    return out


_scratch = threading.local()


def scratch(name, shape, dtype):
    """An uninitialised buffer that this thread reuses from call to call, one for each `name`."""
    buffers = _scratch.__dict__.setdefault("buffers", {})
    size = math.prod(shape) * np.dtype(dtype).itemsize
    if name not in buffers or buffers[name].size < size:
        buffers[name] = np.empty(size, np.uint8)
    return buffers[name][:size].view(dtype).reshape(shape)
