"""The errors of minicnn: each derives from `MinicnnError` and from the Python type that fits."""


class MinicnnError(Exception):
    """Base of every error that minicnn raises on purpose."""


class ShapeError(MinicnnError, ValueError):
    """An array, a window or a label does not fit."""


class DtypeError(MinicnnError, TypeError):
    """An array has another dtype than the layer."""


class BackendError(MinicnnError, RuntimeError):
    """An array lives on another backend, or a backend cannot be used."""


class StateError(MinicnnError, RuntimeError):
    """A call came at the wrong time: a backward without its forward, weights of another network."""


class FileError(MinicnnError, OSError):
    """A file cannot be read, is not what it should be, or cannot be written."""


class DataError(MinicnnError, ValueError):
    """A data set or an image cannot be used."""
