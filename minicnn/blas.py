"""The matrix products under NumPy: which kernels they use, and on how many threads."""

import functools
import os
import threading

import numpy as np

_found = os.environ.get("KMP_DUPLICATE_LIB_OK")
from threadpoolctl import ThreadpoolController  # noqa: E402  (importing it sets that variable, for child processes too)

if _found is None:
    os.environ.pop("KMP_DUPLICATE_LIB_OK", None)

CORETYPE = "OPENBLAS_CORETYPE"
AVX512_KERNELS = {"SkylakeX", "Cooperlake", "SapphireRapids"}  # OpenBLAS's names


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
        self._lock, self._inside, self._before, self._own = threading.Lock(), 0, [], threading.local()

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
    older processor. Left behind in an environment it halves the speed of an AVX-512 machine without a word. It is the
    user's to decide, so it is said and not overruled.
    """
    features = np.show_config(mode="dicts").get("SIMD Extensions", {})
    names = [*features.get("baseline", ()), *features.get("found", ())]
    has_avx512 = any(name.startswith("AVX512") or name == "X86_V4" for name in names)
    kernels = {library.get("architecture") for library in (found.info() for found in _libraries())}
    if CORETYPE not in os.environ or not has_avx512 or kernels & AVX512_KERNELS:
        return ""
    return (f"{CORETYPE}={os.environ[CORETYPE]} holds matrix products to kernels older than this processor; unset it for "
            "up to twice the speed")
