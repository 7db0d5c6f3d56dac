"""The kernels under the sanitizers of g++: nothing out of bounds, nothing undefined, no races. Both run at the same time.

AddressSanitizer and UndefinedBehaviorSanitizer watch a part of the other tests. ThreadSanitizer is slower, and watches each
layer, loss and optimiser once.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CONVOLUTIONS = "without_bias or bias_gradient"
KERNELS = sum(path.read_text(encoding="utf-8").count('extern "C" __global__') for path in (ROOT / "kernels").glob("*.cu"))
BEYOND_LAYERS = 3  # crop, and the naive rungs of dropout and loss

EVERY_KERNEL_ONCE = """
import sys
sys.path.insert(0, "tests")
import numpy as np
from every_layer import LAYERS, numbers
from minicnn import SGD, Adam, Conv2d, LRN, SoftmaxCrossEntropy, cuda_on_cpu

def passes(layer, shape):
    y = layer(cupy.asarray(numbers(shape)))
    layer.backward(cupy.asarray(numbers(y.shape, seed=1)))
    layer.eval()(cupy.asarray(numbers(shape)))
    return layer

with cuda_on_cpu.pretend(sanitizer="thread"):
    import cupy
    for make, shape in LAYERS.values():
        layer = passes(make().to("cupy"), shape)
        for optimiser in (SGD, Adam):
            if layer.parameters():
                optimiser(layer.parameters(), 0.1).step()
    for algorithm in ("direct", "im2col", "implicit"):
        # implicit has arrays on its stack, which the next block uses again: a race for ThreadSanitizer, so of one block only
        conv = Conv2d(4, 6, 3, padding=1, groups=1 if algorithm == "implicit" else 2).to("cupy")
        conv.algorithm = algorithm
        passes(conv, (2, 4, 5, 6))
    passes(LRN(11).to("cupy"), (2, 12, 2, 3))
    loss = SoftmaxCrossEntropy()
    loss(cupy.asarray(numbers((5, 300))), np.arange(5))
    loss.backward()
    from minicnn.backends.cupy import kernels
    print(kernels._function.cache_info().currsize, "kernels were launched")
"""


def start(library, command, **options):
    """The command in the background, under a sanitizer."""
    path = subprocess.run(["g++", f"-print-file-name={library}"], capture_output=True, text=True, check=True).stdout.strip()
    if not os.path.isabs(path):
        pytest.skip(f"g++ has no {library}")
    environment = os.environ | {"LD_PRELOAD": path, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"} | options
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=ROOT, env=environment)


@pytest.mark.parametrize("backend", ["cuda_on_cpu"], indirect=True)  # skips where there is no g++
def test_no_sanitizer_finds_anything():
    pytest_ = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:faulthandler", "--tb=short",
               "--sanitizer", "address", "-k", f"float32 or {CONVOLUTIONS}", "tests/test_gpu_twins.py",
               "tests/test_gpu_conv.py", "tests/test_gpu_batches.py"]
    bounds = start("libasan.so", pytest_, ASAN_OPTIONS="detect_leaks=0", UBSAN_OPTIONS="halt_on_error=1")
    races = start("libtsan.so", [sys.executable, "-c", EVERY_KERNEL_ONCE], TSAN_OPTIONS="exitcode=66")
    said_of_bounds, said_of_races = bounds.communicate(timeout=400)[0], races.communicate(timeout=400)[0]
    assert bounds.returncode == 0 and " passed" in said_of_bounds, said_of_bounds[-6000:]
    assert races.returncode == 0, said_of_races[:6000]
    assert f"{KERNELS - BEYOND_LAYERS} kernels were launched" in said_of_races
