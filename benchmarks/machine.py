"""What the machine is, and what it can do at best: the measures that the benchmarks hold everything against."""

import os
import platform
import time
from pathlib import Path

RESULTS = Path(__file__).parent / "results"  # the tables that are kept
# OpenBLAS knows the processor better than a variable that was left in the environment
ENVIRONMENT = {key: value for key, value in os.environ.items() if key != "OPENBLAS_CORETYPE"}


def describe():
    """The processor's name and the number of usable cores."""
    name = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        name = next((line.split(":", 1)[1].strip() for line in cpuinfo.read_text().splitlines()
                     if line.startswith("model name")), name)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{name}, {cores} cores"


def sgemm_peak(size=4096):
    """FLOP/s of the machine's own float32 matrix product on all threads, the best of six."""
    import numpy as np

    a, b = (np.random.default_rng(i).standard_normal((size, size), np.float32) for i in range(2))
    return 2 * size**3 / best_of(6, lambda: a @ b)


def copy_bandwidth(size=2**27):
    """Bytes/s, read and written, of copying arrays of `size` bytes on all threads, the best of six."""
    import numpy as np

    from minicnn.backends.numpy import parallel

    source, target = np.ones(size, np.uint8), np.ones(size, np.uint8)
    return 2 * size / best_of(6, lambda: parallel.elementwise(lambda a, b: np.copyto(b, a), source, target))


def best_of(repeats, function):
    """The shortest time in seconds."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return min(times)
