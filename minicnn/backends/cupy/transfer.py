"""Bytes on their way to the GPU: page-locked memory, and copies that run beside the work on the batch before.

A copy overlaps with kernels if it runs on a stream of its own and reads memory that the system cannot move. Two things then
have to be kept apart by events: the kernels wait until their bytes have arrived, and memory, on either side, is not used
again before the last work on it is done. CuPy's pools hand memory out again as soon as nothing refers to it, so what is in
use is held here.
"""

import collections
import contextlib
import functools
import math

import cupy
import numpy as np

from minicnn.backends.cupy.arrays import empty
from minicnn.backends.cupy.memory import memory_errors
from minicnn.errors import BackendError

HELD = 2  # batches whose bytes are held without asking whether they have been used; the host runs no further ahead


def pinned(shape, dtype):
    """An uninitialised NumPy array in page-locked memory, which CuPy's pool keeps for the next one."""
    count = math.prod(shape)
    size = count * np.dtype(dtype).itemsize
    try:
        memory = cupy.cuda.alloc_pinned_memory(size)
    except cupy.cuda.runtime.CUDARuntimeError as error:
        raise BackendError(f"the system has no {size / 2**20:,.1f} MiB of page-locked memory, through which a batch goes to "
                           f"the GPU ({error}): a smaller batch needs less") from error
    return np.frombuffer(memory, dtype, count).reshape(shape)


def sent_ahead(batches, finish):
    """Yield `finish(pixels, batch)` for each batch, `pixels` being its `.pixels` on the GPU; the next is copied meanwhile.

    Parameters
    ----------
    batches : generator
        Of objects whose `.pixels` is a `pinned` array; closed in the end.
    finish : callable
        Launches what it has to do with the pixels on the current stream, and does not keep them.
    """
    stream, held = _copies(cupy.cuda.runtime.getDevice()), collections.deque()
    with contextlib.closing(batches):
        try:
            sent, error = _send_next(batches, stream)
            while sent is not None:
                following, error_of_following = _send_next(batches, stream)
                yield _received(*sent, finish, held)
                sent, error = following, error_of_following
            if error is not None:
                raise error
        finally:
            stream.synchronize()  # whatever is under way still reads the host's memory
            while held:
                held.popleft()[-1].synchronize()


@functools.cache
def _copies(device):
    """The stream of all copies to this device. CuPy's pool keeps the memory of each stream apart, also when it is gone."""
    return cupy.cuda.Stream(non_blocking=True)


@memory_errors
def _send_next(batches, stream):
    """Begin to copy the next batch: (batch, its pixels on the GPU, event of their arrival) or None, and an error or None.

    An error waits until the batch before has been handed out.
    """
    try:
        batch = next(batches, None)
    except Exception as error:
        return None, error
    if batch is None:
        return None, None
    with stream:  # whose memory they are: the pool gives it to this stream alone
        pixels = empty(batch.pixels.shape, batch.pixels.dtype)
        pixels.set(batch.pixels, stream)
        return (batch, pixels, stream.record()), None


def _received(batch, pixels, arrival, finish, held):
    """`finish` on the current stream, once the pixels are there; and hold them until it is done."""
    current = cupy.cuda.get_current_stream()
    current.wait_event(arrival)
    finished = finish(pixels, batch)
    held.append((batch, pixels, current.record()))
    if len(held) > HELD:
        held.popleft()[-1].synchronize()
    return finished
