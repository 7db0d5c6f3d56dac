"""Puts the stand-in in CuPy's place, and takes it away again."""

import functools
import sys

from minicnn import backends
from minicnn.cuda_on_cpu import settings, stand_in
from minicnn.errors import BackendError

_SANITIZERS = (None, "address", "thread")
_ORDERS = ("forward", "reverse")
_NAMES = ("cupy", "minicnn.backends.cupy")  # whose modules change: CuPy's, and those that have imported it
_stand_ins = []  # for CuPy itself, all that were ever made


def pretend(order="forward", sanitizer=None):
    """Let this process take the CPU for a GPU: `import cupy` gives the stand-in, and `layer.to("cupy")` works.

    Until `stop()` of what is returned is called, or to the end of a `with`, or of the process. A CuPy that is imported
    already is put aside meanwhile, whether there is a GPU for it or not; then it is there again as it was. Its arrays, and
    layers that were moved to a real GPU, are of no use in between.

    Parameters
    ----------
    order : "forward" or "reverse"
        Which thread and which block of a kernel comes first. Results must not depend on it.
    sanitizer : None, "address" or "thread"
        Compile the kernels for AddressSanitizer and UndefinedBehaviorSanitizer, or for ThreadSanitizer, whose library must
        be loaded before Python (LD_PRELOAD). For tests.

    Raises
    ------
    BackendError
        Something else is asked for than there is, or it is in force already.

    Examples
    --------
    >>> import numpy as np
    >>> from minicnn import ReLU, cuda_on_cpu
    >>> with cuda_on_cpu.pretend():
    ...     import cupy
    ...     y = ReLU().to("cupy")(cupy.asarray(np.array([-1, 2], np.float32)))
    >>> y.get()
    array([0., 2.], dtype=float32)
    """
    if order not in _ORDERS or sanitizer not in _SANITIZERS:
        raise BackendError(f"got order {order!r} and sanitizer {sanitizer!r}, wanted one of {', '.join(_ORDERS)} and one of "
                           f"{', '.join(map(str, _SANITIZERS))}")
    if sys.modules.get("cupy") in _stand_ins:
        raise BackendError("cuda_on_cpu.pretend() is in force already: once at a time is enough")
    return _Pretence(order == "reverse", sanitizer)


class _Pretence:
    """What `pretend` returns."""

    def __init__(self, reverse, sanitizer):
        settings.reverse, settings.sanitizer = reverse, sanitizer
        self._modules = _modules(sanitizer)
        self._aside = _exchange(self._modules)

    def stop(self):
        """Put everything back: CuPy is again what it was, imported, installed or neither."""
        if sys.modules.get("cupy") is self._modules["cupy"]:
            self._modules.update(_exchange(self._aside))
            settings.reverse, settings.sanitizer = False, None

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.stop()


@functools.cache
def _modules(sanitizer):
    """What `sys.modules` holds under the pretence. It stays for the next one, with the kernels that are compiled."""
    made = stand_in.modules()
    _stand_ins.append(made["cupy"])
    return made


def _exchange(modules):
    """Take the modules of `_NAMES`, and all below them, out of `sys.modules`, put `modules` in, and return the old."""
    old = {key: sys.modules[key] for key in sys.modules if any(f"{key}.".startswith(f"{name}.") for name in _NAMES)}
    for key in old:
        del sys.modules[key]
    sys.modules.update(modules)
    package = vars(backends)  # whose attribute `import minicnn.backends.cupy` sets
    package.pop("cupy", None)
    if _NAMES[1] in modules:
        package["cupy"] = modules[_NAMES[1]]
    return old
