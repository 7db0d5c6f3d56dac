"""Which thread of a kernel reads and writes which element, in which order, and how that looks from the memory.

    with cuda_on_cpu.pretend(), cuda_on_cpu.record() as launches:
        layer(x)
    launches[0].accesses                      # a NumPy array, one row an access
    cuda_on_cpu.transactions(launches[0])     # one row an instruction of a warp: how many sectors of memory it needs

The kernels stay as they are: g++ puts a call before each access, for ThreadSanitizer, and include/record.h takes the calls.
As on a GPU, a number that the compiler keeps in a register is read once, however often the text has it.
"""

import contextlib
import ctypes
import itertools
import shutil
import subprocess
from dataclasses import dataclass

import numpy as np

from minicnn.cuda_on_cpu import settings

WARP = 32
_RAW = np.dtype([("block", "u4"), ("thread", "u4"), ("array", "i4"), ("bytes", "u2"), ("write", "u2"), ("offset", "i8"),
                 ("instruction", "i8")])  # `Access` in include/record.h


@dataclass(frozen=True)
class Launch:
    """One launch of a kernel.

    Attributes
    ----------
    kernel : str
    grid, block : tuples of three ints
    accesses : structured array, in the order in which they happened
        block, thread : (x, y, z) as the kernel sees them;
        number : 0, 1, … for each thread;
        array : the name of the parameter, or of the variable in shared memory; shared : whether it is one of those;
        index : of the element, in C order; address, bytes : what is read or written; write : or else it is read;
        line : where in the text, 0 if unknown; instruction : the same number for the same place in the program.
    """

    kernel: str
    grid: tuple
    block: tuple
    accesses: np.ndarray

    def __repr__(self):
        return f"Launch({self.kernel}, grid={self.grid}, block={self.block}, {len(self.accesses):,} accesses)"


@contextlib.contextmanager
def record():
    """Record every kernel that is launched inside of the `with`; gives a list, to which each launch is added.

    Examples
    --------
    >>> import numpy as np
    >>> from minicnn import ReLU, cuda_on_cpu
    >>> with cuda_on_cpu.pretend(), cuda_on_cpu.record() as launches:
    ...     import cupy
    ...     y = ReLU().to("cupy")(cupy.asarray(np.array([-1, 2], np.float32)))
    >>> launches
    [Launch(relu_forward, grid=(1, 1, 1), block=(256, 1, 1), 4 accesses)]
    >>> for access in launches[0].accesses[["thread", "array", "index", "write"]]:
    ...     print(access)
    ([0, 0, 0], 'x', 0, False)
    ([0, 0, 0], 'y', 0, True)
    ([1, 0, 0], 'x', 1, False)
    ([1, 0, 0], 'y', 1, True)
    """
    before, settings.launches = settings.launches, []
    try:
        yield settings.launches
    finally:
        settings.launches = before


def transactions(launch, size=32):
    """How many pieces of memory of `size` bytes each instruction of a warp touches.

    The 32 threads of a warp read or write at once. Memory comes in sectors of 32 bytes (in lines of 128 between the caches):
    32 floats that lie side by side are 4 sectors, 32 that lie apart are 32. Accesses belong together if they are made by
    threads of one warp at the same place in the program, each of them there for the same time.

    Parameters
    ----------
    launch : Launch
    size : int
        32 for sectors, 128 for lines.

    Returns
    -------
    structured array, one row an instruction of a warp, in the order of the program
        block : (x, y, z); warp : its number in the block; array, write, line : as in `launch.accesses`;
        threads : how many take part; bytes : how many they ask for, each byte counted once; pieces : how many are fetched.

    Examples
    --------
    >>> import numpy as np
    >>> from minicnn import cuda_on_cpu
    >>> text = '''extern "C" __global__ void every_nth(const float* x, float* y, int n)
    ... { y[threadIdx.x] = x[n * threadIdx.x]; }'''
    >>> with cuda_on_cpu.pretend(), cuda_on_cpu.record() as launches:
    ...     import cupy
    ...     kernel = cupy.RawModule(code=text).get_function("every_nth")
    ...     x, y = cupy.zeros(96, "float32"), cupy.empty(32, "float32")
    ...     for n in (1, 2, 3):
    ...         kernel((1,), (32,), (x, y, np.int32(n)))
    >>> [cuda_on_cpu.transactions(launch)["pieces"].tolist() for launch in launches]   # of the read, and of the write
    [[4, 4], [8, 4], [12, 4]]
    """
    found = launch.accesses[~launch.accesses["shared"]]
    thread = (found["thread"] * [1, launch.block[0], launch.block[0] * launch.block[1]]).sum(axis=1)
    block = (found["block"] * [1, launch.grid[0], launch.grid[0] * launch.grid[1]]).sum(axis=1)
    time = _times(np.stack([block, thread, found["instruction"]]))
    keys = np.stack([block, thread // WARP, found["instruction"], time])
    groups, first, group = np.unique(keys, axis=1, return_index=True, return_inverse=True)
    rows = [_transaction(found[group == k], found[i], groups[1, k], size) for k, i in enumerate(first)]
    made = np.array(rows, [("block", "i4", 3), ("warp", "i4"), ("array", found.dtype["array"]), ("write", "?"),
                           ("line", "i4"), ("threads", "i4"), ("bytes", "i8"), ("pieces", "i8")])
    return made[np.argsort(first, kind="stable")]


def _times(keys):
    """For each column of `keys`, how many like it stand before it."""
    order = np.lexsort(keys)
    keys = keys[:, order]
    is_new = np.r_[True, (keys[:, 1:] != keys[:, :-1]).any(axis=0)][:keys.shape[1]]
    place = np.arange(keys.shape[1])
    times = np.empty_like(place)
    times[order] = place - np.maximum.accumulate(np.where(is_new, place, 0))
    return times


def _transaction(accesses, first, warp, size):
    touched = np.unique(np.concatenate([np.arange(a, a + n) for a, n in zip(accesses["address"], accesses["bytes"])]))
    return (first["block"], warp, first["array"], first["write"], first["line"], len(accesses), len(touched),
            len(np.unique(touched // size)))


# --- out of the library -----------------------------------------------------------------------------------------------


def watched(function, run, grid, block, arguments):
    """Run a kernel that was compiled to record; returns its `Launch`.

    Parameters
    ----------
    function : minicnn.cuda_on_cpu.kernel.Function
    run : callable
        Launches it.
    grid, block : tuples of three ints
    arguments : sequence
        Those of the kernel, of which arrays are watched.
    """
    arrays = {name: array for name, array in zip(function.parameters, arguments) if isinstance(array, np.ndarray)}
    spans = np.array([[array.ctypes.data, array.ctypes.data + array.nbytes] for array in arrays.values()], np.uintp)
    function.library.cuda_on_cpu_watch(ctypes.c_void_p(spans.ctypes.data), len(spans))
    run()
    first = ctypes.c_void_p()
    function.library.cuda_on_cpu_recorded.restype = ctypes.c_uint64
    count = function.library.cuda_on_cpu_recorded(ctypes.byref(first))
    raw = np.frombuffer(ctypes.string_at(first, count * _RAW.itemsize), _RAW) if count else np.empty(0, _RAW)
    return Launch(function.name, grid, block, _readable(raw, grid, block, arrays, function.library))


def _readable(raw, grid, block, arrays, library):
    """The rows of `Launch.accesses`."""
    shared = _shared_names(library)
    names = np.array([*arrays, *shared])
    place = np.where(raw["array"] >= 0, raw["array"], len(arrays) - 1 - raw["array"])
    base = np.array([array.ctypes.data for array in arrays.values()] + [0] * len(shared), np.int64)
    itemsize = np.array([array.itemsize for array in arrays.values()] + [1] * len(shared), np.int64)
    instructions, instruction = np.unique(raw["instruction"], return_inverse=True)
    made = np.empty(len(raw), [("block", "i4", 3), ("thread", "i4", 3), ("number", "i4"), ("array", names.dtype),
                               ("shared", "?"), ("index", "i8"), ("address", "i8"), ("bytes", "i4"), ("write", "?"),
                               ("line", "i4"), ("instruction", "i4")])
    for field, sizes in (("block", grid), ("thread", block)):
        made[field] = np.stack(np.unravel_index(raw[field], sizes, order="F"), axis=-1)
    made["number"] = _times(np.stack([raw["block"], raw["thread"]]))
    made["array"], made["shared"] = names[place], raw["array"] < 0
    made["index"] = raw["offset"] // itemsize[place]
    made["address"] = base[place] + raw["offset"]
    made["bytes"], made["write"] = raw["bytes"], raw["write"] != 0
    made["line"], made["instruction"] = _lines(library, instructions)[instruction], instruction
    return made


def _shared_names(library):
    library.cuda_on_cpu_shared_name.restype = ctypes.c_char_p
    names = map(library.cuda_on_cpu_shared_name, itertools.count())
    return [name.decode() for name in itertools.takewhile(lambda name: name is not None, names)]


def _lines(library, instructions):
    """The source line of each instruction, by addr2line, which comes with g++; 0 where that is not installed."""
    tool = shutil.which("addr2line")
    if not tool or not len(instructions):
        return np.zeros(len(instructions), int)
    command = [tool, "-e", library._name, *map(hex, instructions)]
    found = subprocess.run(command, text=True, capture_output=True, check=True).stdout.split("\n")
    return np.array([int(line.rpartition(":")[2].split()[0].strip("?") or 0) for line in found if line])
