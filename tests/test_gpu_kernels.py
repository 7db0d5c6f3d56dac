"""Launching kernels: arguments are held against the kernel's declaration, because CuPy and the GPU do not."""

import pathlib
import re

import numpy as np
import pytest
from helpers import fetch, normal, send

import minicnn
from minicnn import BackendError
from minicnn.windows import Window

pytestmark = pytest.mark.gpu_only

KERNELS = pathlib.Path(minicnn.__file__).parents[1] / "kernels"
TEXT = """
#include "shared.cuh"
#include "shared.cuh"
extern "C" __global__ void scaled(const real *x, real *y, int n, real factor, long long far, bool on,
                                  const unsigned char *bytes)
{
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n && on) y[i] = factor * x[i] + bytes[i] + shift() + (far == (1LL << 40));
}
extern "C" __global__ void __launch_bounds__(256) halves(const float * __restrict__ x, real *y, unsigned int n)
{
    extern __shared__ float row[];
    row[threadIdx.x] = x[blockIdx.x * blockDim.x + threadIdx.x];
    __syncthreads();
    y[blockIdx.x * blockDim.x + threadIdx.x] = row[blockDim.x - 1 - threadIdx.x] / 2;
}
extern "C" __global__ void no_real(int *x) { x[0] = 1; }
"""
ODD = 'extern "C" __global__ void odd(const real *x, half *y) {}'
SHARED = "__device__ real shift() { return 0.5; }\n"


@pytest.fixture
def kernels(tmp_path, monkeypatch):
    from minicnn.backends.cupy import kernels

    (tmp_path / "own.cu").write_text(TEXT)
    (tmp_path / "odd.cu").write_text(ODD)
    (tmp_path / "shared.cuh").write_text(SHARED)
    monkeypatch.setattr(kernels, "_folder", lambda: tmp_path)
    yield kernels
    for cached in (kernels._parameters, kernels._function, kernels._module, kernels.source):
        cached.cache_clear()


def arrays(dtype="float32", n=5):
    return send(normal(n, dtype=dtype)), send(np.zeros(n, dtype)), send(np.arange(n, dtype=np.uint8))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_one_source_serves_both_dtypes_and_numbers_are_converted(dtype, kernels):
    x, y, numbers = arrays(dtype)
    kernels.launch("own", "scaled", 5, x, y, 4, 2, 2**40, True, numbers)
    np.testing.assert_array_equal(fetch(y)[:4], 2 * fetch(x)[:4] + np.arange(4, dtype=dtype) + np.asarray(1.5, dtype))
    assert fetch(y)[4] == 0


def test_blocks_and_shared_memory_are_as_asked_for(kernels):
    x, y = send(np.arange(12, dtype=np.float32)), send(np.zeros(12))
    kernels.launch_blocks("own", "halves", (3,), (4,), x, y, 12, shared_bytes=16)
    np.testing.assert_array_equal(fetch(y), np.arange(12).reshape(3, 4)[:, ::-1].ravel() / 2)


def test_a_grid_without_blocks_does_nothing(kernels):
    """CuPy would launch one block."""
    x, y, numbers = arrays()
    kernels.launch("own", "scaled", 0, x, y, 5, 2.0, 0, True, numbers)
    kernels.launch_blocks("own", "scaled", (4, 0), (5,), x, y, 5, 2.0, 0, True, numbers)
    assert not fetch(y).any()


def wrong():
    """{what: (arguments, words of the message)}"""
    x, y, numbers = arrays()
    double = send(np.zeros(5))
    good = (x, y, 5, 2.0, 0, True, numbers)

    def but(position, value):
        return (*good[:position], value, *good[position + 1:])

    return {
        "one too few": (good[:-1], "6 arguments, wanted 7: x, y, n, factor, far, on, bytes"),
        "one too many": ((*good, 1), "8 arguments"),
        "another dtype": (but(1, double), r"y is cupy\.ndarray of float64 \(5,\), wanted .* float32"),
        "wrong integers": (but(6, send(np.arange(5))), "bytes is .* int64 .* uint8"),
        "an array of the host": (but(0, np.zeros(5, np.float32)), r"x is numpy\.ndarray of float32"),
        "a view with gaps": (but(1, send(np.zeros(10, np.float32))[::2]),
                             r"y is .*not C-contiguous, wanted a C-contiguous CuPy array of float32"),
        "no array": (but(1, 3.0), r"y is 3\.0"),
        "nothing for the first array": (but(0, None), "x is None"),
        "integers for real": (but(0, send(np.arange(5))), "x is .* int64 .* float32 or float64"),
        "a fraction for int": (but(2, 5.0), r"n is 5\.0, wanted int32"),
        "too large for int": (but(2, 2**31), "n is 2147483648, wanted int32"),
        "an array for a number": (but(3, double), "factor is cupy.ndarray of float64"),
        "a word for a number": (but(3, "two"), "factor is 'two'"),
    }


@pytest.mark.parametrize("what", [
    "one too few", "one too many", "another dtype", "wrong integers", "an array of the host", "a view with gaps", "no array",
    "nothing for the first array", "integers for real", "a fraction for int", "too large for int", "an array for a number",
    "a word for a number"])  # fmt: skip
def test_wrong_arguments_are_refused_with_one_line_and_nothing_runs(what, kernels):
    arguments, words = wrong()[what]
    with pytest.raises(BackendError, match=f"^scaled: .*{words}") as caught:
        kernels.launch("own", "scaled", 5, *arguments)
    assert "\n" not in str(caught.value)


def test_too_many_threads_or_numbers_are_refused(kernels, monkeypatch):
    x, y, numbers = arrays()
    with pytest.raises(BackendError, match=r"2,147,483,648 numbers at once are too many.*smaller batch"):
        kernels.launch("own", "scaled", 2**31, x, y, 5, 2.0, 0, True, numbers)
    with pytest.raises(BackendError, match=r"grid of \(1, 65536\) blocks is too large"):
        kernels.launch_blocks("own", "scaled", (1, 65536), (5,), x, y, 5, 2.0, 0, True, numbers)
    monkeypatch.setattr(kernels, "LIMIT", 4)
    with pytest.raises(BackendError, match="5 numbers at once"):
        kernels.launch("own", "scaled", 4, x, y, 4, 2.0, 0, True, numbers)


def test_kernels_that_cannot_be_launched_are_named(kernels):
    x, y, _ = arrays()
    with pytest.raises(BackendError, match=r"own\.cu has no kernel scale$"):
        kernels.launch("own", "scale", 5, x, y)
    with pytest.raises(BackendError, match="no_real declares no array of real"):
        kernels.launch("own", "no_real", 1, send(np.zeros(1, np.int32)))
    with pytest.raises(BackendError, match="odd: cannot pass an argument of type 'half'"):
        kernels.launch("odd", "odd", 1, x, y)


def test_headers_are_pasted_once_so_that_nothing_is_included(kernels):
    """CuPy's cache of compiled kernels does not look into what is included."""
    assert "#include" not in kernels.source("own") and kernels.source("own").count("shift() { return") == 1


def test_cupy_is_given_plain_ascii(monkeypatch):
    """It writes the text to a file in the system's encoding: on Windows, that has neither sums nor arrows."""
    import cupy

    from minicnn.backends.cupy import kernels

    monkeypatch.setattr(cupy, "RawModule", lambda code, options: code)
    code = kernels._module.__wrapped__("conv_direct", "float32", 0)
    assert code.isascii() and not kernels.source("conv_direct").isascii()


def test_geometry_is_what_the_kernels_expect():
    from minicnn.backends.cupy.kernels import geometry

    window = Window.make((3, 2), (2, 5), ((1, 7), (4, 0)), (1, 6), True)
    assert geometry(window, (30, 50)) == (30, 50, *window.output_size((30, 50)), 3, 2, 2, 5, 1, 4, 1, 6)


@pytest.mark.parametrize("path", sorted(KERNELS.glob("*.cu")), ids=lambda path: path.name)
def test_every_kernel_can_be_called_and_adds_up_in_a_fixed_order(path):
    """Atomics add in whatever order; each kernel is declared in a way that `launch` reads."""
    from minicnn.backends.cupy import kernels

    text = kernels.source(path.stem)
    names = [line.partition("(")[0].split()[-1] for line in text.splitlines() if line.startswith('extern "C" __global__')]
    assert names and not re.search(r"\batomic[A-Z]\w*\(", text)
    for name in names:
        assert kernels._parameters(path.stem, name)
