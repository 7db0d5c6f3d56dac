"""Puts the stand-in in CuPy's place, and takes it away again."""

import sys

from minicnn.cuda_on_cpu import settings, stand_in
from minicnn.errors import BackendError

_BACKEND = "minicnn.backends.cupy"


class Pretence:
    """What `pretend` returns: `stop()` ends it, and so does the end of a `with`."""

    def __init__(self, chosen):
        self._before = settings.current
        settings.current = chosen
        self._aside = _take_away(_BACKEND)
        sys.modules.update(stand_in.modules())

    def stop(self):
        _take_away("cupy")
        _take_away(_BACKEND)
        sys.modules.update(self._aside)
        settings.current = self._before

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.stop()


def pretend(order="forward", sanitizer=None):
    """Let this process take the CPU for a GPU: from now on `import cupy` gives the stand-in."""
    if "cupy" in sys.modules:
        raise BackendError("CuPy is imported already: minicnn.cuda_on_cpu.pretend() has to come first, in a process of its own")
    return Pretence(settings.Settings(order == "reverse", sanitizer))


def _take_away(name):
    """Remove a module and its submodules from `sys.modules`; returns them."""
    found = [key for key in sys.modules if key == name or key.startswith(name + ".")]
    return {key: sys.modules.pop(key) for key in found}
