"""Launches kernels on the CPU, and checks what a GPU does not: number, types and layout of the arguments, and limits."""

import ctypes
import math
import threading

import numpy as np

from minicnn.cuda_on_cpu import source
from minicnn.cuda_on_cpu.compiler import build
from minicnn.errors import BackendError

MOST_THREADS = 1024
LARGEST_BLOCK = (1024, 1024, 64)
LARGEST_GRID = (2**31 - 1, 65535, 65535)
SHARED_BYTES = 48 * 2**10
SHARED_BYTES_OPTED_IN = 99 * 2**10  # of the smaller GPUs of today (sm_86, sm_89, sm_120); an A100 has 163, an H100 227

_running = threading.Lock()  # the threads of a kernel share static variables


class LaunchError(BackendError):
    """A kernel was called wrongly, or its threads cannot go on."""


class Module:
    """The kernels of one .cu text, compiled."""

    def __init__(self, text, sanitizer=None):
        program, self.kernels = source.program(text)
        self._library = build(program, sanitizer)

    def function(self, name):
        if name not in self.kernels:
            raise LaunchError(f'there is no kernel extern "C" __global__ void {name}(…) in the text; it has '
                              f"{', '.join(self.kernels) or 'none'}")
        return Function(self._library, self.kernels[name])


class _Launch(ctypes.Structure):
    """`Launch` of include/entry.h."""

    _fields_ = (("grid", ctypes.c_uint * 3), ("block", ctypes.c_uint * 3), ("dynamic_bytes", ctypes.c_uint64),
                ("shared_limit", ctypes.c_uint64), ("reverse", ctypes.c_int))


class Function:
    """A kernel that can be launched.

    Attributes
    ----------
    name : str
    most_dynamic_shared : int
        Bytes of dynamic shared memory that a launch may ask for; more than 48 KiB must be set, as on a GPU.
    """

    def __init__(self, library, kernel):
        self.name, self._parameters = kernel.name, kernel.parameters
        self._launch = getattr(library, f"cuda_on_cpu_launch_{self.name}")
        self._launch.restype = ctypes.c_char_p
        signature = getattr(library, f"cuda_on_cpu_signature_{self.name}")
        signature.restype = ctypes.c_char_p
        self._types = signature().decode().split()
        bound = getattr(library, f"cuda_on_cpu_bound_{self.name}")()
        self.most_threads = bound or MOST_THREADS
        self.most_dynamic_shared = SHARED_BYTES

    def __call__(self, grid, block, arguments, shared_bytes=0, reverse=False):
        """Run the kernel to its end.

        Parameters
        ----------
        grid, block : tuple of up to three ints
        arguments : sequence of NumPy arrays, for pointers, and NumPy scalars
        reverse : bool
            The last thread of the last block begins. A kernel that is right does not care.
        """
        launch = _Launch(self._grid(grid), self._block(block), self._shared(shared_bytes), self._shared_limit(), reverse)
        cells = self._cells(arguments)
        pointers = (ctypes.c_void_p * len(cells))(*(cell.ctypes.data for cell in cells))
        with _running:
            message = self._launch(pointers, ctypes.byref(launch))
        if message:
            raise LaunchError(f"{self.name}: {message.decode()}")

    # --- limits ---------------------------------------------------------------------------------------------------

    def _grid(self, grid):
        grid = self._three(grid, "grid")
        if any(size > largest for size, largest in zip(grid, LARGEST_GRID)):
            raise LaunchError(f"{self.name}: got a grid of {grid}, wanted at most {LARGEST_GRID}")
        return (ctypes.c_uint * 3)(*grid)

    def _block(self, block):
        block = self._three(block, "block")
        if any(size > largest for size, largest in zip(block, LARGEST_BLOCK)) or math.prod(block) > self.most_threads:
            raise LaunchError(f"{self.name}: got a block of {block}, wanted at most {self.most_threads} threads and "
                              f"{LARGEST_BLOCK}")
        return (ctypes.c_uint * 3)(*block)

    def _three(self, sizes, what):
        """As CuPy does: what is missing or 0 becomes 1."""
        if not isinstance(sizes, tuple) or not 1 <= len(sizes) <= 3 or not all(hasattr(s, "__index__") for s in sizes):
            raise LaunchError(f"{self.name}: got {sizes!r} as {what}, wanted a tuple of one to three ints")
        if min(sizes) < 0:
            raise LaunchError(f"{self.name}: got a {what} of {sizes}, wanted no negative sizes")
        return tuple(max(1, int(size)) for size in (*sizes, 1, 1)[:3])

    def _shared(self, shared_bytes):
        if not 0 <= shared_bytes <= self.most_dynamic_shared:
            raise LaunchError(f"{self.name}: got {shared_bytes} bytes of dynamic shared memory, wanted at most "
                              f"{self.most_dynamic_shared}" + self._remedy(shared_bytes))
        return shared_bytes

    def _remedy(self, shared_bytes):
        possible = self.most_dynamic_shared < shared_bytes <= SHARED_BYTES_OPTED_IN
        return "; set the kernel's max_dynamic_shared_size_bytes first" if possible else ""

    def _shared_limit(self):
        return max(SHARED_BYTES, self.most_dynamic_shared)

    # --- arguments ------------------------------------------------------------------------------------------------

    def _cells(self, arguments):
        """A NumPy array for each argument, whose memory holds the bytes that the kernel is given."""
        if len(arguments) != len(self._types):
            names = ", ".join(parameter.name for parameter in self._parameters)
            raise LaunchError(f"{self.name}: got {len(arguments)} arguments, wanted {len(self._types)}: {names}")
        return [self._cell(k, argument) for k, argument in enumerate(arguments)]

    def _cell(self, k, argument):
        wanted = self._types[k]
        where = f"{self.name}: argument {k + 1} ({self._parameters[k].name})"
        return _pointer(argument, wanted, where) if wanted.startswith("*") else _scalar(argument, wanted, where)


def _pointer(array, wanted, where):
    """`wanted` as *cf4, *mi4x4 (of int4), *mvoid."""
    if not isinstance(array, np.ndarray):
        raise LaunchError(f"{where} is {_describe(array)}, wanted an array for a pointer")
    if not array.flags.c_contiguous:
        raise LaunchError(f"{where} is not C-contiguous (strides {array.strides} of shape {array.shape}): "
                          "a kernel gets the address alone")
    element = wanted[2:].partition("x")[0]
    if element not in (array.dtype.str[1:], "void"):
        raise LaunchError(f"{where} is an array of {array.dtype}, wanted a pointer to {_name(element)}")
    return np.array([array.ctypes.data], np.uintp)


def _scalar(value, wanted, where):
    """What CuPy makes of Python's numbers is int64 and float64, whatever the kernel wants."""
    if isinstance(value, np.ndarray) or not isinstance(value, (bool, int, float, np.generic)):
        raise LaunchError(f"{where} is {_describe(value)}, wanted {_name(wanted)}")
    cell = np.asarray(value)
    if cell.dtype.str[1:] != wanted:
        hint = f": pass numpy.{_name(wanted)}(…)" if wanted[0] in "iufb" else ""
        raise LaunchError(f"{where} is {_describe(value)}, wanted {_name(wanted)}{hint}")
    return cell.reshape(1)


def _describe(value):
    if isinstance(value, np.ndarray):
        return f"an array of {value.dtype}"
    if isinstance(value, np.generic):
        return f"a {value.dtype}"
    passed = {bool: "bool", int: "int64", float: "float64"}.get(type(value))
    return f"a Python {type(value).__name__}" + (f", which CuPy passes as {passed}" if passed else "")


def _name(spelling):
    return np.dtype(spelling).name if spelling[0] in "iufb" and "x" not in spelling else spelling
