"""The errors of minicnn: each derives from `MinicnnError` and from the Python type that fits."""


class MinicnnError(Exception):
    """Base of every error that minicnn raises on purpose."""


class ShapeError(MinicnnError, ValueError):
    """An array, a window or a label does not fit."""


class DtypeError(MinicnnError, TypeError):
    """An array has another dtype than the layer."""


class BackendError(MinicnnError, RuntimeError):
    """An array lives on another backend, or a backend cannot be used."""


class OutOfMemory(BackendError, MemoryError):
    """The GPU has no room for an array.

    Attributes
    ----------
    wanted, free, in_use : int
        Bytes: of the array, those that are left for all arrays, and those that are taken.
    """

    def __init__(self, wanted, free, in_use, remedy="a smaller batch or network needs less"):
        self.wanted, self.free, self.in_use = wanted, free, in_use
        super().__init__(f"the GPU is out of memory: another {_mebibytes(wanted)} are wanted, {_mebibytes(free)} are free "
                         f"and {_mebibytes(in_use)} in use; {remedy}")


def _mebibytes(count):
    return f"{count / 2**20:,.1f} MiB"


class StateError(MinicnnError, RuntimeError):
    """A call came at the wrong time: a backward without its forward, weights of another network."""


class FileError(MinicnnError, OSError):
    """A file cannot be read, is not what it should be, or cannot be written."""


class DataError(MinicnnError, ValueError):
    """A data set or an image cannot be used."""
