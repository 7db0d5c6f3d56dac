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
_NAMES_OF_REAL = {np.dtype(name): name for name in REAL}


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
    converted = [_converted(kernel, *wanted, arg) for wanted, arg in zip(_wanted(file, kernel, real), args)]
    _function(file, kernel, real, cupy.cuda.runtime.getDevice())(grid, block, tuple(converted), shared_mem=shared_bytes)


def geometry(window, size):
    """(H, W, OH, OW, KH, KW, SH, SW, PH, PW, DH, DW): the last twelve arguments of every kernel with a sliding window.

    PH and PW are the padding above and on the left; what lies beyond on the other sides follows from OH and OW.
    """
    return _geometry(window, *size)


@functools.lru_cache
def _geometry(window, height, width):
    """As the GPU has to have them, once for each layer; what is too large for it, the launch refuses."""
    sizes = (height, width, *window.output_size((height, width)), *window.kernel, *window.stride, window.rows.before,
             window.columns.before, *window.dilation)
    return tuple(size if size > LIMIT else np.int32(size) for size in sizes)


# --- arguments ----------------------------------------------------------------------------------------------------


def _real(kernel, parameters, args):
    """What `real` is: "float32" or "float64", from the first array declared so."""
    for (type_, is_pointer, name), arg in zip(parameters, args):
        if type_ == "real" and is_pointer:
            if getattr(arg, "dtype", None) not in _NAMES_OF_REAL:
                raise BackendError(f"{kernel}: {name} is {_short(arg)}, wanted an array of float32 or float64")
            return _NAMES_OF_REAL[arg.dtype]
    raise BackendError(f"{kernel} declares no array of real")


@functools.cache
def _wanted(file, kernel, real):
    """[(name, is it a pointer, dtype), …]: found once, since a step of training launches hundreds of kernels."""
    return [(name, is_pointer, np.dtype(real if type_ == "real" else TYPES[type_]))
            for type_, is_pointer, name in _parameters(file, kernel)]


def _converted(kernel, name, is_pointer, dtype, arg):
    """The argument as CuPy has to have it."""
    if is_pointer:
        if not isinstance(arg, cupy.ndarray) or arg.dtype != dtype or not arg.flags.c_contiguous:
            raise BackendError(f"{kernel}: {name} is {_short(arg)}, wanted a C-contiguous CuPy array of {dtype}")
        _check_size(kernel, arg.size)
        return arg
    if type(arg) is dtype.type:
        return arg
    if isinstance(arg, float) and dtype.kind != "f":
        raise BackendError(f"{kernel}: {name} is {arg!r}, wanted {dtype}")
    try:
        return dtype.type(arg)
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
    return cupy.RawModule(code=program(file, real), options=("--std=c++17",))


def program(file, real):
    """What is compiled for `real`, "float32" or "float64".

    In ASCII: CuPy writes it to a file in the system's encoding, which may lack the symbols of the comments.
    """
    return f"typedef {REAL[real]} real;\n{source(file)}".encode("ascii", "replace").decode()


@functools.cache
def source(file):
    """The text of kernels/`file`.cu, local headers pasted in: CuPy's cache of compiled code does not look into those.

    Compilers are told which file a line comes from, and name it in their messages.
    """
    return _pasted(f"{file}.cu", set())


def _pasted(name, seen):
    if name in seen:
        return ""
    seen.add(name)
    lines = [f'#line 1 "{name}"', *_folder().joinpath(name).read_text(encoding="utf-8").splitlines()]
    for number, line in enumerate(lines):
        if line.startswith('#include "'):
            lines[number] = _pasted(line.split('"')[1], seen) + f'\n#line {number + 1} "{name}"'
    return "\n".join(lines)


def _folder():
    """Where the sources are: inside the installed package, or beside it in a checkout."""
    package = resources.files("minicnn")
    inside = package.joinpath("kernels")
    return inside if inside.is_dir() else Path(str(package)).parent / "kernels"
