"""The benchmarks of the GPU run to their end on the CPU that plays one, and refuse to measure without a GPU."""

import importlib.util
import json
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

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
@pytest.mark.parametrize("command", ["kernels.py", "agreement.py", "gpu.py", "versus.py --gpu", "profile_step.py --gpu"])
def test_without_a_gpu_they_say_what_is_missing(command):
    done = run(*command.split())
    assert done.returncode == 1 and "needs a GPU" in done.stderr and "CuPy" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_contestant_that_fails_answers_with_its_error():
    done = run("versus.py", "--serve", "nobody")
    assert json.loads(done.stdout) == {"error": "KeyError: 'nobody'"} and "Traceback" in done.stderr


def test_the_others_are_in_the_table_all_the_same(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    import versus

    well = SimpleNamespace(name="minicnn", error="", facts={"version": "1", "training": 4e9}, median=2.0, seconds=[2.0],
                           peak=1e9)
    failed = SimpleNamespace(name="PyTorch", error="OutOfMemory: full", facts={})
    args = SimpleNamespace(gpu=True, dry_run=True, recipe="paper", batch_size=2, rounds=1)
    text = versus.table([failed, well], ("a GPU", 4e9), args, "training")
    assert "| minicnn (1) | 2000.00 ms (2000.00–2000.00) |  | 1.00 GB | 2 | 50% |" in text
    assert "| PyTorch | failed |" in text and "PyTorch failed: OutOfMemory: full" in text
    assert "Without PyTorch: a dry run" in text


def good():
    yield "Good", ["-c", "print('fine')"]


def one_of_three_fails():
    yield from good()
    yield "Bad", ["-c", "print('half'); raise SystemExit('broken')"]
    yield "Last", ["-c", "print('well')"]


def stopped():
    yield from good()
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    "parts, error, wanted",
    [
        (one_of_three_fails, SystemExit,
         ["## Good", "fine", "## Bad", "half", "broken", "FAILED with 1", "## Last", "well"]),
        (stopped, KeyboardInterrupt, ["## Good", "fine"]),
    ],
)
def test_a_part_that_fails_or_is_stopped_does_not_lose_the_others(parts, error, wanted, monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(BENCHMARKS)
    import gpu

    monkeypatch.setattr(gpu, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(gpu, "Gpu", lambda dry_run: SimpleNamespace(describe=lambda: "NVIDIA X1, driver for CUDA 13.0"))
    monkeypatch.setattr(gpu, "parts", lambda args: parts())
    monkeypatch.setattr(sys, "argv", ["gpu.py"])
    with pytest.raises(error):
        gpu.main()
    said = (tmp_path / "results" / "gpu-nvidia-x1.md").read_text()
    assert said.startswith("# NVIDIA X1, driver") and [line for line in said.splitlines() if line][1:] == wanted
