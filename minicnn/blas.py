"""Which matrix-product kernels NumPy gets, and how many threads they use.

OpenBLAS picks its kernels once, when NumPy is first loaded. The versions inside the NumPy wheels (0.3.31 to 0.3.34)
do not know AMD's newest AVX-512 processors, take them for a 'Haswell' and run AVX2 kernels at half speed. The variable
`OPENBLAS_CORETYPE` corrects that, if it is set before NumPy is loaded, so this module is the first that minicnn imports
and must not import NumPy at its head.
"""

import contextlib
import os
import sys

_CORETYPE = "OPENBLAS_CORETYPE"
_NEEDED = {"avx512f", "avx512cd", "avx512bw", "avx512dq", "avx512vl"}  # what the SkylakeX kernels execute


def _is_mistaken_for_haswell(cpuinfo):
    """Is this /proc/cpuinfo that of an AMD processor with AVX-512? Intel's are recognised by OpenBLAS."""
    fields = dict(line.split(":", 1) for line in cpuinfo.splitlines() if ":" in line)
    fields = {key.strip(): value.split() for key, value in fields.items()}
    return fields.get("vendor_id") == ["AuthenticAMD"] and _NEEDED <= set(fields.get("flags", ()))


def _read_cpuinfo():
    try:
        with open("/proc/cpuinfo", encoding="ascii", errors="replace") as file:
            return file.read()
    except OSError:  # not Linux: OpenBLAS decides alone
        return ""


def load_numpy_with_fast_kernels():
    """Import NumPy so that OpenBLAS takes its AVX-512 kernels where the processor has them.

    Nothing happens if NumPy is loaded already or the user has set the variable; any other BLAS ignores it. The
    environment is left as it was found, so that child processes decide for themselves.
    """
    if "numpy" in sys.modules or _CORETYPE in os.environ or not _is_mistaken_for_haswell(_read_cpuinfo()):
        import numpy  # noqa: F401
        return
    os.environ[_CORETYPE] = "SkylakeX"
    try:
        import numpy  # noqa: F401
    finally:
        del os.environ[_CORETYPE]


_controller = None


def _threadpools():
    """The BLAS libraries in this process; found once, because the search reads every loaded library."""
    global _controller
    if _controller is None:
        from threadpoolctl import ThreadpoolController

        _controller = ThreadpoolController().select(user_api="blas")
    return _controller


@contextlib.contextmanager
def single_threaded():
    """Hold BLAS to one thread: minicnn spreads the work itself, and one thread always adds in the same order."""
    with _threadpools().limit(limits=1, user_api="blas"):
        yield


def describe():
    """The BLAS in use, as one line for logs and benchmarks.

    Examples
    --------
    >>> from minicnn import blas
    >>> isinstance(blas.describe(), str)
    True
    """
    found = [f"{lib['internal_api']} {lib['version']} ({lib.get('architecture') or 'kernels unknown'})"
             for lib in _threadpools().info()]
    return ", ".join(found) or "unknown BLAS"
