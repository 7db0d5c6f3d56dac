"""The seam between CPU and GPU: one module a backend, with the same names and signatures in each.

Layers never name an array library. They ask `get(name)` for the module whose functions compute on their arrays; there is
no global switch. A backend is imported when it is first asked for, so nobody needs CuPy who does not use it.
"""

import importlib

from minicnn.errors import BackendError

NAMES = ("numpy", "cupy")


def get(name):
    """The backend module called `name`: "numpy" or "cupy".

    Raises
    ------
    BackendError
        The name is unknown, or the backend cannot be used here; the message says what is missing.
    """
    if name not in NAMES:
        raise BackendError(f"unknown backend {name!r}: wanted one of {', '.join(NAMES)}")
    module = importlib.import_module(f"minicnn.backends.{name}")
    module.require_usable()
    return module


def name_of(array):
    """"numpy" or "cupy" for an array of that library, None for anything else: scalars, masked arrays, matrices, lists."""
    library = type(array).__module__.partition(".")[0]
    return library if library in NAMES and type(array).__name__ in ("ndarray", "memmap") else None
