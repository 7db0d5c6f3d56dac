"""Compiles the kernels of a text and launches them, within the limits of a GPU."""

import ctypes
import functools
import math
import threading

from minicnn.cuda_on_cpu import accesses, source
from minicnn.cuda_on_cpu.arguments import LaunchError, cells
from minicnn.cuda_on_cpu.compiler import build

MOST_THREADS = 1024
LARGEST_BLOCK = (1024, 1024, 64)
LARGEST_GRID = (2**31 - 1, 65535, 65535)
SHARED_BYTES = 48 * 2**10
SHARED_BYTES_ON_REQUEST = 99 * 2**10  # what the smaller ones of today's GPUs have (sm_86, sm_89, sm_120)

_running = threading.Lock()  # the threads of a kernel share static variables


class Module:
    """The kernels of one .cu text.

    Parameters
    ----------
    text : str
    variant : str
        What to compile it for: "plain", a sanitizer ("address", "thread"), or "record".
    """

    def __init__(self, text, variant="plain"):
        program, self.kernels = source.program(text)
        self.library, self.records = build(program, variant), variant == "record"

    def function(self, name):
        if name not in self.kernels:
            raise LaunchError(f'there is no kernel extern "C" __global__ void {name}(…) in this text; it has '
                              f"{', '.join(self.kernels) or 'none'}")
        return Function(self, self.kernels[name])


class _Launch(ctypes.Structure):
    """`Launch` in include/entry.h."""

    _fields_ = (("grid", ctypes.c_uint * 3), ("block", ctypes.c_uint * 3), ("dynamic_bytes", ctypes.c_uint64),
                ("shared_limit", ctypes.c_uint64), ("reverse", ctypes.c_int))


class Function:
    """A kernel, ready to be launched.

    Attributes
    ----------
    name : str
    most_threads : int
        In a block: 1,024, or what the kernel declares as its launch bound.
    """

    def __init__(self, module, kernel):
        self.name, self.parameters, self._module = kernel.name, kernel.parameters, module
        self._launch = self._symbol("launch", ctypes.c_char_p)
        self._types = self._symbol("signature", ctypes.c_char_p)().decode().split()
        self.most_threads = min(MOST_THREADS, self._symbol("bound", ctypes.c_int)() or MOST_THREADS)

    def _symbol(self, what, result):
        function = getattr(self._module.library, f"cuda_on_cpu_{what}_{self.name}")
        function.restype = result
        return function

    def __call__(self, grid, block, arguments, shared_bytes=0, most_shared_bytes=SHARED_BYTES, reverse=False):
        """Run all threads of all blocks, one after another.

        Parameters
        ----------
        grid, block : tuples of up to three ints
        arguments : sequence
            NumPy arrays for pointers, NumPy scalars of the very type for numbers.
        shared_bytes : int
            Of dynamic shared memory.
        most_shared_bytes : int
            How many the kernel may have; as on a GPU, more than 48 KiB have to be asked for beforehand.
        reverse : bool
            Begin with the last thread of the last block. A kernel that is right does not care.

        Returns
        -------
        A `minicnn.cuda_on_cpu.accesses.Launch`, if the module records; else None.
        """
        grid, block = _three(self.name, grid, "grid"), _three(self.name, block, "block")
        self._check(grid, block, shared_bytes, most_shared_bytes)
        packed = cells(self.name, self.parameters, self._types, arguments)
        pointers = (ctypes.c_void_p * len(packed))(*(cell.ctypes.data for cell in packed))
        launch = _Launch(grid, block, shared_bytes, max(SHARED_BYTES, most_shared_bytes), reverse)
        run = functools.partial(self._run, pointers, launch)
        with _running:
            return accesses.watched(self, run, grid, block, arguments) if self._module.records else run()

    @property
    def library(self):
        return self._module.library

    def _run(self, pointers, launch):
        message = self._launch(pointers, ctypes.byref(launch))
        if message:
            raise LaunchError(f"{self.name}: {message.decode()}")

    def _check(self, grid, block, shared_bytes, most_shared_bytes):
        if any(size > largest for size, largest in zip(grid, LARGEST_GRID)):
            raise LaunchError(f"{self.name}: got a grid of {grid}, wanted at most {LARGEST_GRID}")
        if any(size > largest for size, largest in zip(block, LARGEST_BLOCK)) or math.prod(block) > self.most_threads:
            raise LaunchError(f"{self.name}: got a block of {block}, wanted at most {LARGEST_BLOCK} and "
                              f"{self.most_threads} threads in all")
        if not 0 <= most_shared_bytes <= SHARED_BYTES_ON_REQUEST:
            raise LaunchError(f"{self.name}: got a limit of {most_shared_bytes} bytes of dynamic shared memory, wanted at "
                              f"most {SHARED_BYTES_ON_REQUEST}: many GPUs have no more")
        if not 0 <= shared_bytes <= most_shared_bytes:
            raise LaunchError(f"{self.name}: got {shared_bytes} bytes of dynamic shared memory, wanted at most "
                              f"{most_shared_bytes}; set max_dynamic_shared_size_bytes of the kernel before")


def _three(name, sizes, what):
    """What is missing, or 0, becomes 1: CuPy does so."""
    if not isinstance(sizes, tuple) or not 1 <= len(sizes) <= 3 or not all(hasattr(size, "__index__") for size in sizes):
        raise LaunchError(f"{name}: got {sizes!r} as {what}, wanted a tuple of one to three ints")
    if min(sizes) < 0:
        raise LaunchError(f"{name}: got a {what} of {sizes}, wanted no negative sizes")
    return tuple(max(1, int(size)) for size in (*sizes, 1, 1)[:3])
