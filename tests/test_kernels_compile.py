"""Every kernel compiles for today's GPUs as CuPy would compile it, and keeps to its registers. Needs no GPU, but NVRTC."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nvrtc
import pytest

from minicnn import cuda_on_cpu

FILES = sorted(path.stem for path in (Path(__file__).parents[1] / "kernels").glob("*.cu"))

ARCHITECTURES = "sm_75", "sm_80", "sm_90", "sm_100", "sm_120"  # Turing, Ampere, Hopper, Blackwell of servers and of desks

# Registers of a thread. A multiprocessor has 65,536: at 64 a thread it runs four blocks of 256 at once, at 128 two.
BUDGET = {"float32": 64, "float64": 128}
TILES = {"float32": 128, "float64": 168}  # where each thread keeps a tile of a product in its registers

pytestmark = pytest.mark.skipif(nvrtc.library() is None, reason="no NVRTC: pip install nvidia-cuda-nvrtc")


@pytest.mark.parametrize("real", BUDGET)
@pytest.mark.parametrize("file", FILES)
def test_kernels_compile_within_their_budget(file, real):
    with cuda_on_cpu.pretend():
        from minicnn.backends.cupy.kernels import program
    text = program(file, real)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        found = list(pool.map(lambda architecture: nvrtc.compile_kernels(text, f"{file}.cu", architecture),
                              ARCHITECTURES))
    budget = (TILES if file == "conv_implicit" else BUDGET)[real]
    for architecture, kernels in zip(ARCHITECTURES, found):
        assert set(kernels) == set(names(text))
        for name, usage in kernels.items():
            assert usage.registers <= budget, f"{name}, {architecture}: {usage}"
            assert usage.spilled == 0, f"{name}, {architecture}: {usage}"


def names(text):
    return [line.partition("(")[0].split()[-1] for line in text.replace("__launch_bounds__(", "").splitlines()
            if line.startswith('extern "C" __global__')]


def test_too_many_registers_spills_and_mistakes_would_be_seen():
    lines = "".join(f"float v{k} = x[{k} * n];" for k in range(300))
    total = "+".join(f"v{k} * v{299 - k} * y[{k}]" for k in range(300))
    greedy = ('extern "C" __global__ void __launch_bounds__(1024) greedy(float* x, float* y, int n)\n'
              f"{{ {lines} __syncthreads(); y[0] = {total}; }}")
    usage = nvrtc.compile_kernels(greedy, "greedy.cu", "sm_90")["greedy"]
    assert usage.registers <= 64 and usage.spilled > 0
    with pytest.raises(RuntimeError, match=r'greedy.cu\(2\).*"z" is undefined'):
        nvrtc.compile_kernels(greedy.replace("y[0]", "z[0]"), "greedy.cu", "sm_90")
    with pytest.raises(RuntimeError, match=r"was_set.* never referenced"):
        nvrtc.compile_kernels('extern "C" __global__ void k() { int was_set = 1; }', "k.cu", "sm_90")
