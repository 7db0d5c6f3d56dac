"""Finding, compiling and launching the kernels of `kernels/`.

CuPy hands the arguments of a kernel to the GPU as they are: a Python float arrives as eight bytes where the kernel reads
four, a transposed array as if it were not, and one argument too few as garbage. So every argument is held against the
kernel's own declaration, which is read from its source.
"""

import functools
import re
from importlib import resources
from pathlib import Path

import cupy
import numpy as np

from minicnn.errors import BackendError

BLOCK = 256  # threads in a block where each thread computes one thing
MOST_BLOCKS = 65535  # along the second and the third axis of a grid
LIMIT = 2**31 - BLOCK  # elements of an array: kernels count in int, up to the end of the last block

# the types that a kernel may declare, beside `real`
TYPES = {"float": "float32", "double": "float64", "bool": "bool", "signed char": "int8", "unsigned char": "uint8",
         "short": "int16", "unsigned short": "uint16", "int": "int32", "unsigned": "uint32", "unsigned int": "uint32",
         "long long": "int64", "unsigned long long": "uint64"}
REAL = {"float32": "float", "float64": "double"}


def launch(file, kernel, threads, *args):
    """Run `kernel` of kernels/`file`.cu on so many threads, and some more up to a whole block: it has to ask `i < n`.

    Parameters
    ----------
    file, kernel : str
    threads : int
    *args : arrays and numbers, as the kernel declares them
        Arrays must be C-contiguous and of the declared type, where `real` is the type of those declared so: float32 or
        float64, one for all. Python numbers are converted.

    Raises
    ------
    BackendError
        The arguments are not those that the kernel declares, or too large for it to count.
    """
    _check_size(kernel, threads)
    launch_blocks(file, kernel, (-(-threads // BLOCK),), (BLOCK,), *args)


def launch_blocks(file, kernel, grid, block, *args, shared_bytes=0):
    """Run `kernel` of kernels/`file`.cu on a grid of blocks with so many bytes of shared memory; see `launch`."""
    if 0 in grid:
        return  # CuPy would make it 1
    if max(grid[1:], default=0) > MOST_BLOCKS:
        raise BackendError(f"{kernel}: a grid of {grid} blocks is too large: {MOST_BLOCKS} are allowed along the later axes")
    parameters = _parameters(file, kernel)
    if len(args) != len(parameters):
        raise BackendError(f"{kernel}: got {len(args)} arguments, wanted {len(parameters)}: "
                           f"{', '.join(name for _, _, name in parameters)}")
    real = _real(kernel, parameters, args)
    converted = tuple(_converted(kernel, *parameter, real, arg) for parameter, arg in zip(parameters, args))
    _function(file, kernel, real, cupy.cuda.runtime.getDevice())(grid, block, converted, shared_mem=shared_bytes)


def geometry(window, size):
    """(H, W, OH, OW, KH, KW, SH, SW, PH, PW, DH, DW): the last twelve arguments of every kernel with a sliding window.

    PH and PW are the padding above and on the left; what lies beyond on the other sides follows from OH and OW.
    """
    return (*size, *window.output_size(size), *window.kernel, *window.stride, window.rows.before, window.columns.before,
            *window.dilation)


# --- arguments ----------------------------------------------------------------------------------------------------


def _real(kernel, parameters, args):
    """What `real` is: "float32" or "float64", from the first array declared so."""
    for (type_, is_pointer, name), arg in zip(parameters, args):
        if type_ == "real" and is_pointer:
            if str(getattr(arg, "dtype", None)) not in REAL:
                raise BackendError(f"{kernel}: {name} is {_short(arg)}, wanted an array of float32 or float64")
            return str(arg.dtype)
    raise BackendError(f"{kernel} declares no array of real")


def _converted(kernel, type_, is_pointer, name, real, arg):
    """The argument as CuPy has to have it."""
    dtype = real if type_ == "real" else TYPES[type_]
    if is_pointer:
        if not isinstance(arg, cupy.ndarray) or arg.dtype != dtype or not arg.flags.c_contiguous:
            raise BackendError(f"{kernel}: {name} is {_short(arg)}, wanted a C-contiguous CuPy array of {dtype}")
        _check_size(kernel, arg.size)
        return arg
    if isinstance(arg, float) and not np.issubdtype(dtype, np.floating):
        raise BackendError(f"{kernel}: {name} is {arg!r}, wanted {dtype}")
    try:
        return np.dtype(dtype).type(arg)
    except (OverflowError, TypeError, ValueError):
        raise BackendError(f"{kernel}: {name} is {_short(arg)}, wanted {dtype}") from None


def _check_size(kernel, size):
    if size > LIMIT:
        raise BackendError(f"{kernel}: {size:,} numbers at once are too many, wanted up to {LIMIT:,}: use a smaller batch")


def _short(arg):
    if not hasattr(arg, "dtype"):
        return repr(arg)
    order = "" if arg.flags.c_contiguous else ", not C-contiguous"
    return f"{type(arg).__module__}.{type(arg).__name__} of {arg.dtype} {tuple(arg.shape)}{order}"


# --- sources ------------------------------------------------------------------------------------------------------


@functools.cache
def _parameters(file, kernel):
    """[(type, is it a pointer, name), …] of a kernel, read from its declaration."""
    found = re.search(rf"__global__\s+void\s+(?:__launch_bounds__\([^)]*\)\s*)?{kernel}\s*\(([^)]*)\)", source(file))
    if found is None:
        raise BackendError(f"kernels/{file}.cu has no kernel {kernel}")
    return [_parameter(kernel, text) for text in found[1].split(",")]


def _parameter(kernel, text):
    """'const real *x' → ("real", True, "x")."""
    words = [word for word in text.replace("*", " * ").split() if word not in ("const", "__restrict__")]
    type_, is_pointer = " ".join(word for word in words[:-1] if word != "*"), "*" in words
    if type_ != "real" and type_ not in TYPES:
        raise BackendError(f"{kernel}: cannot pass an argument of type {type_!r}")
    return type_, is_pointer, words[-1]


@functools.cache
def _function(file, kernel, real, device):
    """The compiled kernel, on this device."""
    return _module(file, real, device).get_function(kernel)


@functools.cache
def _module(file, real, device):
    code = f"typedef {REAL[real]} real;\n{source(file)}"
    return cupy.RawModule(code=code, options=("--std=c++17",))


@functools.cache
def source(file):
    """The text of kernels/`file`.cu, local headers pasted in: CuPy's cache of compiled code does not look into those."""
    return _pasted(f"{file}.cu", set())


def _pasted(name, seen):
    if name in seen:
        return ""
    seen.add(name)
    lines = _folder().joinpath(name).read_text(encoding="utf-8").splitlines()
    return "\n".join(_pasted(line.split('"')[1], seen) if line.startswith('#include "') else line for line in lines)


def _folder():
    """Where the sources are: inside the installed package, or beside it in a checkout."""
    package = resources.files("minicnn")
    inside = package.joinpath("kernels")
    return inside if inside.is_dir() else Path(str(package)).parent / "kernels"
