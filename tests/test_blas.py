"""Which kernels NumPy's matrix products use, and who is told."""

import os
import subprocess
import sys
import threading

import numpy as np
import pytest
import threadpoolctl

from minicnn import blas


def advice(order, **variables):
    """What a fresh process says that imports in this order, and whose environment has these variables."""
    environment = {key: value for key, value in os.environ.items() if key != blas.CORETYPE} | variables
    code = f"{order}\nfrom minicnn import blas\nprint(blas.describe())\nprint(blas.advice())"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    return found.stdout.splitlines()


def has_avx512():
    found = np.show_config(mode="dicts").get("SIMD Extensions", {}).get("found", [])
    return any(name.startswith("AVX512") or name == "X86_V4" for name in found)


@pytest.mark.parametrize("order", ["import minicnn", "import numpy"])
def test_no_advice_where_openblas_chooses_for_itself(order):
    assert advice(order)[1:] == [""]


def test_an_environment_that_holds_openblas_to_older_kernels_is_named_where_it_could_not_be_helped():
    if not has_avx512() or "openblas" not in blas.describe():
        pytest.skip("needs OpenBLAS on a processor with AVX-512")
    described, said = advice("import numpy", OPENBLAS_CORETYPE="Haswell")
    assert "Haswell" in described and "OPENBLAS_CORETYPE=Haswell" in said
    described, said = advice("import minicnn", OPENBLAS_CORETYPE="Haswell")
    assert "Haswell" not in described and said == ""
    assert advice("import numpy", OPENBLAS_CORETYPE="SkylakeX")[1] == ""


def blas_threads():
    return [library["num_threads"] for library in threadpoolctl.threadpool_info() if library["user_api"] == "blas"]


def test_one_thread_while_anybody_is_inside_and_then_as_before():
    with threadpoolctl.threadpool_limits(2, "blas"):
        before = blas_threads()
        entered, leave = threading.Event(), threading.Event()

        def other():
            with blas.single_threaded:
                entered.set()
                leave.wait(10)

        thread = threading.Thread(target=other)
        with blas.single_threaded:
            thread.start()
            entered.wait(10)
        assert set(blas_threads()) == {1}  # the other thread is still inside
        leave.set()
        thread.join()
        assert blas_threads() == before
