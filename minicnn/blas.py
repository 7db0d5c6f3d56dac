"""The matrix products under NumPy: which kernels they use, and on how many threads."""

import contextlib
import functools
import os
import sys
import threading
from pathlib import Path

from minicnn import forks

CORETYPE = "OPENBLAS_CORETYPE"
AVX512_KERNELS = {"SkylakeX", "Cooperlake", "SapphireRapids"}  # OpenBLAS's names
AVX512 = {"avx512f", "avx512cd", "avx512bw", "avx512dq", "avx512vl"}  # what they need, in Linux's names


@contextlib.contextmanager
def _environment_restored():
    """Undo what is done to the environment inside: child processes inherit the user's own."""
    before = dict(os.environ)
    yield
    for name in os.environ.keys() - before.keys():
        del os.environ[name]
    os.environ.update(before)


def _is_held_back():
    """Does the environment hold OpenBLAS to kernels that are older than this processor?"""
    chosen, cpuinfo = os.environ.get(CORETYPE), Path("/proc/cpuinfo")
    if chosen is None or chosen.lower() in map(str.lower, AVX512_KERNELS) or not cpuinfo.exists():
        return False
    flags = next((line for line in cpuinfo.read_text(errors="replace").splitlines() if line.startswith("flags")), "")
    return set(flags.split()) >= AVX512


with _environment_restored():
    if "numpy" not in sys.modules and _is_held_back():
        del os.environ[CORETYPE]  # it is read once, while NumPy is loaded, and would halve the speed
    import numpy  # noqa: F401
    from threadpoolctl import ThreadpoolController  # sets KMP_DUPLICATE_LIB_OK


@functools.cache
def _libraries():
    """The BLAS libraries in this process; found once, because the search reads every loaded library."""
    return ThreadpoolController().select(user_api="blas").lib_controllers


class _SingleThreaded:
    """A context in which BLAS uses one thread, entered by every thread that computes.

    Most libraries have one limit for the process: the first to enter sets it, the last to leave restores it. OpenBLAS
    over OpenMP has one for each thread, which each sets and restores for itself.
    """

    def __init__(self):
        self._lock, self._inside, self._before, self._own = forks.lock(self._leave_all), 0, [], threading.local()

    def __enter__(self):
        shared, own = _by_scope()
        with self._lock:
            if self._inside == 0:
                self._before = _set(shared, [1] * len(shared))
            self._inside += 1
        self._own.before = _set(own, [1] * len(own))

    def __exit__(self, *error):
        shared, own = _by_scope()
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                _set(shared, self._before)
        _set(own, self._own.before)

    def _leave_all(self):
        """A forked child has none of the threads that were inside."""
        if self._inside:
            self._inside = 0
            _set(_by_scope()[0], self._before)


@functools.cache
def _by_scope():
    """The libraries whose limit holds for the process, and those whose limit holds for a thread."""
    own = [library for library in _libraries() if getattr(library, "threading_layer", "") == "openmp"]
    return [library for library in _libraries() if library not in own], own


def _set(libraries, counts):
    """Set the numbers of threads; returns what they were."""
    before = [library.num_threads for library in libraries]
    for library, count in zip(libraries, counts):
        if hasattr(library, "clear_controlling_thread"):  # threadpoolctl 3.8 listens to one thread alone
            library.clear_controlling_thread(force=True)
        library.set_num_threads(count)
        if hasattr(library, "clear_controlling_thread"):
            library.clear_controlling_thread(force=True)
    return before


single_threaded = _SingleThreaded()  # minicnn spreads the work itself, and one thread always adds in the same order


def describe():
    """The BLAS in use and its kernels, as one line for logs and benchmarks.

    Examples
    --------
    >>> from minicnn import blas
    >>> isinstance(blas.describe(), str)
    True
    """
    found = [f"{library['internal_api']} {library['version']} ({library.get('architecture') or 'kernels unknown'})"
             for library in (found.info() for found in _libraries())]
    return ", ".join(found) or "unknown BLAS"


def advice():
    """A sentence for the user whose environment holds OpenBLAS to slow kernels, else an empty string.

    OpenBLAS chooses its kernels when NumPy is loaded, and chooses well, unless the variable OPENBLAS_CORETYPE names an
    older processor: left behind in an environment it halves the speed of an AVX-512 machine without a word. Whoever
    imports minicnn first never meets that, because the variable is hidden while NumPy is loaded. Where NumPy was there
    before, nothing can be done but to say so.
    """
    kernels = {library.get("architecture") for library in (found.info() for found in _libraries())}
    if not _is_held_back() or kernels & AVX512_KERNELS or not any(kernels):
        return ""
    return (f"{CORETYPE}={os.environ[CORETYPE]} holds matrix products to kernels older than this processor; unset it, or "
            "import minicnn before NumPy, for up to twice the speed")
