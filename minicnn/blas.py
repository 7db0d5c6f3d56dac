"""The matrix products under NumPy: which kernels they use, and on how many threads."""

import contextlib
import functools
import os

import numpy as np
from threadpoolctl import ThreadpoolController

CORETYPE = "OPENBLAS_CORETYPE"
AVX512_KERNELS = {"SkylakeX", "Cooperlake", "SapphireRapids"}  # OpenBLAS's names


@functools.cache
def _libraries():
    """The BLAS libraries in this process; found once, because the search reads every loaded library."""
    return ThreadpoolController().select(user_api="blas")


@contextlib.contextmanager
def single_threaded():
    """Hold BLAS to one thread: minicnn spreads the work itself, and one thread always adds in the same order."""
    with _libraries().limit(limits=1, user_api="blas"):
        yield


def describe():
    """The BLAS in use and its kernels, as one line for logs and benchmarks.

    Examples
    --------
    >>> from minicnn import blas
    >>> isinstance(blas.describe(), str)
    True
    """
    found = [f"{library['internal_api']} {library['version']} ({library.get('architecture') or 'kernels unknown'})"
             for library in _libraries().info()]
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
    kernels = {library.get("architecture") for library in _libraries().info()}
    if CORETYPE not in os.environ or not has_avx512 or kernels & AVX512_KERNELS:
        return ""
    return (f"{CORETYPE}={os.environ[CORETYPE]} holds matrix products to kernels older than this processor; unset it for "
            "up to twice the speed")
