"""The benchmarks of the GPU run to their end on the CPU that plays one, and refuse to measure without a GPU."""

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"


def run(script, *flags):
    return subprocess.run([sys.executable, BENCHMARKS / script, *flags], capture_output=True, text=True, timeout=300)


@pytest.mark.skipif(not shutil.which("g++"), reason="no g++, which compiles CUDA kernels for the CPU")
@pytest.mark.parametrize(
    "script, flags, wanted",
    [
        ("kernels.py", [], ["| LRN backward | naive |", "| LRN backward | walk |", "| conv1 backward | implicit |"]),
        ("agreement.py", ["--steps", "2"], ["| float64 | 2 |", "| float32 | 1 |", "| ok |"]),
        ("profile_step.py", ["--gpu", "--steps", "1"], ["| norm1 | backward |", "| lrn_backward | 2 |", "| matmul (cu"]),
        ("versus.py", ["--gpu", "--rounds", "1"], ["| minicnn (CuPy", "| minicnn, TF32 (CuPy"]),
    ],
)
def test_dry_run(script, flags, wanted):
    done = run(script, *flags, "--dry-run")
    assert done.returncode == 0, done.stderr[-2000:]
    assert [line for line in wanted if line not in done.stdout] == []
    assert "WRONG" not in done.stdout


@pytest.mark.skipif(importlib.util.find_spec("cupy") is not None, reason="CuPy is installed")
@pytest.mark.parametrize("script", ["kernels.py", "agreement.py", "gpu.py"])
def test_without_a_gpu_they_say_what_is_missing(script):
    done = run(script)
    assert done.returncode == 1 and "needs a GPU" in done.stderr and "CuPy" in done.stderr
    assert "Traceback" not in done.stderr
