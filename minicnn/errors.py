"""The errors of minicnn: each derives from `MinicnnError` and from the Python type that fits."""


class MinicnnError(Exception):
    """Base of every error that minicnn raises on purpose.

    Examples
    --------
    >>> from minicnn import Conv2d, MinicnnError
    >>> try:
    ...     Conv2d(3, 8, kernel_size=0)
    ... except MinicnnError as error:
    ...     print(f"{type(error).__name__}: {error}")
    ShapeError: kernel_size: got 0, wanted an int >= 1 or a pair (h, w) of them
    """


class ShapeError(MinicnnError, ValueError):
    """An array, a window or a label does not fit.

    Examples
    --------
    >>> from minicnn import Conv2d
    >>> Conv2d(3, 8, 5).output_shape((1, 4, 9, 9))
    Traceback (most recent call last):
        ...
    minicnn.errors.ShapeError: Conv2d(3→8, k=5): got an input of shape (1, 4, 9, 9), wanted (N, 3, H, W)
    """


class DtypeError(MinicnnError, TypeError):
    """An array has another dtype than the layer.

    Examples
    --------
    >>> import numpy as np
    >>> from minicnn import ReLU
    >>> ReLU()(np.zeros((1, 2), "int8"))
    Traceback (most recent call last):
        ...
    minicnn.errors.DtypeError: ReLU(): the input is int8, but the layer is float32; convert the input with .astype('float32')
    """


class BackendError(MinicnnError, RuntimeError):
    """An array lives on another backend, or a backend cannot be used.

    Examples
    --------
    >>> from minicnn import ReLU
    >>> ReLU()([[1.0, 2.0]])
    Traceback (most recent call last):
        ...
    minicnn.errors.BackendError: ReLU(): got list as input, wanted an array of numpy
    """


class OutOfMemory(BackendError, MemoryError):
    """The GPU has no room for an array.

    Attributes
    ----------
    wanted, free, in_use : int
        Bytes: of the array (0 where nobody says), those that are left for all arrays, and those that are taken.
    """

    def __init__(self, wanted, free, in_use, remedy="a smaller batch or network needs less"):
        self.wanted, self.free, self.in_use = wanted, free, in_use
        more = f"another {_mebibytes(wanted)} are" if wanted else "more is"
        super().__init__(f"the GPU is out of memory: {more} wanted, {_mebibytes(free)} are free and {_mebibytes(in_use)} in "
                         f"use; {remedy}")


def _mebibytes(count):
    return f"{count / 2**20:,.1f} MiB"


class StateError(MinicnnError, RuntimeError):
    """A call came at the wrong time: a backward without its forward, weights of another network.

    Examples
    --------
    >>> import numpy as np
    >>> from minicnn import ReLU
    >>> ReLU().backward(np.zeros((1, 2), np.float32))
    Traceback (most recent call last):
        ...
    minicnn.errors.StateError: ReLU(): backward needs a forward before it, and each forward serves one backward
    """


class FileError(MinicnnError, OSError):
    """A file cannot be read, is not what it should be, or cannot be written.

    Examples
    --------
    >>> from minicnn import FileError, Linear, Sequential
    >>> try:
    ...     Sequential(fc=Linear(2, 2)).load("none.npz")
    ... except FileError as error:
    ...     print("none.npz" in str(error), isinstance(error, OSError))
    True True
    """


class DataError(MinicnnError, ValueError):
    """A data set or an image cannot be used.

    Examples
    --------
    >>> from minicnn.data import split_indices
    >>> split_indices([0, 0, 1])
    Traceback (most recent call last):
        ...
    minicnn.errors.DataError: class 1 has one usable image; at least two are needed, one of them for validation
    """
