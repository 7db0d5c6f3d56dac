"""Checks the arguments of a kernel against its parameters, and makes them the bytes that CuPy would pass.

On a GPU nothing checks them: a float64 where the kernel reads a float, a view whose strides are lost, or one argument too
few give garbage, or the right result by luck.
"""

import numpy as np

from minicnn.errors import BackendError


class LaunchError(BackendError):
    """A kernel was called wrongly, or its threads cannot go on."""


def cells(kernel, names, types, arguments):
    """A NumPy array for each argument, whose memory holds what the kernel is given.

    Parameters
    ----------
    kernel : str
        Its name, for the messages.
    names, types : sequences of str
        Of its parameters; the types as include/entry.h spells them.
    arguments : sequence
        NumPy arrays for pointers, NumPy scalars for numbers.
    """
    if len(arguments) != len(types):
        raise LaunchError(f"{kernel}: got {len(arguments)} arguments, wanted {len(types)}: {', '.join(names)}")
    return [_cell(argument, wanted, f"{kernel}: argument {k + 1} ({name})")
            for k, (argument, wanted, name) in enumerate(zip(arguments, types, names))]


def _cell(argument, wanted, where):
    return _address(argument, wanted, where) if wanted.startswith("*") else _number(argument, wanted, where)


def _address(array, wanted, where):
    """`wanted` is *cf4 (const float*), *mi4x4 (int4*), *mvoid and so on."""
    element = wanted[2:].partition("x")[0]  # arrays know no vectors
    if not isinstance(array, np.ndarray):
        raise LaunchError(f"{where} is {_describe(array)}, wanted an array for a pointer")
    if element not in (array.dtype.str[1:], "void"):
        raise LaunchError(f"{where} is an array of {array.dtype}, wanted one of {_name(element)}")
    if not array.flags.c_contiguous:
        raise LaunchError(f"{where} is not C-contiguous: a kernel is given the address alone, not the strides "
                          f"{array.strides} of the shape {array.shape}")
    if wanted[1] == "m" and not array.flags.writeable:
        raise LaunchError(f"{where} is read-only, and the kernel's pointer is not one to const")
    return np.array([array.ctypes.data], np.uintp)


def _number(value, wanted, where):
    if not isinstance(value, (bool, int, float, np.generic)):
        raise LaunchError(f"{where} is {_describe(value)}, wanted {_name(wanted)}")
    cell = np.asarray(value).reshape(1)
    if cell.dtype.str[1:] != wanted:
        raise LaunchError(f"{where} is {_describe(value)}, wanted {_name(wanted)}")
    return cell


def _describe(value):
    if isinstance(value, np.ndarray):
        return f"an array of {value.dtype}"
    if isinstance(value, np.generic):
        return f"a {value.dtype}"
    passed = {bool: "bool", int: "int64", float: "float64"}.get(type(value))
    return f"a Python {type(value).__name__}" + (f", which CuPy passes as {passed}" if passed else "")


def _name(spelling):
    """"float32" for "f4"; structures have no name in NumPy."""
    return np.dtype(spelling).name if spelling[0] in "iufb" and "x" not in spelling else f"a structure ({spelling})"
