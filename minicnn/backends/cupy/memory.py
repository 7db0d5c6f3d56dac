"""The memory of the GPU, and what to say when it is full.

Wherever CuPy asks for memory, for an array, a copy in between or a library, it may find none. So its errors are translated
at two borders and not at each call: every function of the backend, and every pass of a layer, are under `memory_errors`.
"""

import contextlib
import re

import cupy

from minicnn.errors import MinicnnError, OutOfMemory

# what CUDA's runtime, its driver (of kernels that are loaded) and cuBLAS say; CuPy's own error is a class by itself
FULL = re.compile("cudaErrorMemoryAllocation|CUDA_ERROR_OUT_OF_MEMORY|CUBLAS_STATUS_ALLOC_FAILED")


class _MemoryErrors(contextlib.ContextDecorator):
    """Around a function or in a `with`: an error for a full GPU becomes an `OutOfMemory`."""

    def __enter__(self):
        return self

    def __exit__(self, kind, error, traceback):
        if _is_full(error):
            wanted = re.search(r"allocating ([\d,]+) bytes", str(error))
            raise OutOfMemory(int(wanted[1].replace(",", "")) if wanted else 0, _free_bytes(), bytes_in_use()) from error


memory_errors = _MemoryErrors()


def _is_full(error):
    if isinstance(error, RuntimeError) and not isinstance(error, MinicnnError):
        return FULL.search(str(error)) is not None
    return isinstance(error, cupy.cuda.memory.OutOfMemoryError)


def bytes_in_use():
    """Bytes of all arrays on the GPU."""
    return cupy.get_default_memory_pool().used_bytes()


def _free_bytes():
    """Bytes that arrays could still take: of the GPU, or up to the limit of the pool."""
    pool = cupy.get_default_memory_pool()
    free = cupy.cuda.runtime.memGetInfo()[0] + pool.free_bytes()
    return min(free, pool.get_limit() - pool.used_bytes()) if pool.get_limit() else free
