"""What the GPU is, what it can do at best, and how long something takes there, by its own clock."""

import contextlib
import functools
import statistics
import sys
from pathlib import Path

import contestants  # noqa: F401  puts the repository in sys.path

from minicnn import BackendError, backends, cuda_on_cpu


def add_flags(parser):
    """What all benchmarks of the GPU understand."""
    parser.add_argument("--dry-run", action="store_true",
                        help="without a GPU: all of this in small, on the CPU that plays one; the times mean nothing")


class Gpu:
    """The GPU or, in a dry run, the CPU that plays one. Without a GPU, the end of the program."""

    def __init__(self, dry_run):
        if dry_run:
            cuda_on_cpu.pretend()
        try:
            self.ops = backends.get("cupy")
        except BackendError as error:
            sys.exit(f"{Path(sys.argv[0]).name} needs a GPU: {error}\n(--dry-run does without, and measures nothing)")
        import cupy

        self.cupy, self.dry_run = cupy, dry_run
        self.large, self.side = (2**16, 64) if dry_run else (2**28, 4096)  # bytes of a copy; rows of a matrix

    @functools.cached_property
    def _large_arrays(self):
        return self.cupy.ones(self.large, "uint8"), self.cupy.ones(self.large, "uint8")

    def describe(self):
        """The GPU's name, the CUDA version of its driver, and CuPy's."""
        runtime = self.cupy.cuda.runtime
        name, driver = runtime.getDeviceProperties(0)["name"].decode(), runtime.driverGetVersion()
        return f"{name}, driver for CUDA {driver // 1000}.{driver % 1000 // 10}, CuPy {self.cupy.__version__}"

    def span(self):
        """Measures what is launched in a `with`; `float()` of it gives the seconds, once the GPU is through."""
        return _Span(self.cupy.cuda)

    def timed(self, function, *arguments, **keywords):
        """(result, its span)"""
        with self.span() as span:
            result = function(*arguments, **keywords)
        return result, span

    @contextlib.contextmanager
    def kernel_spans(self):
        """In a `with`, a list that receives (name, span) of every kernel that minicnn launches and every product."""
        from minicnn.backends.cupy import kernels

        spans, function, matmul = [], kernels._function, self.cupy.matmul

        def timed(name, call):
            def wrapper(*arguments, **keywords):
                result, span = self.timed(call, *arguments, **keywords)
                spans.append((name, span))
                return result
            return wrapper

        kernels._function = lambda file, kernel, *rest: timed(kernel, function(file, kernel, *rest))
        self.cupy.matmul = timed("matmul (cuBLAS)", matmul)
        try:
            yield spans
        finally:
            kernels._function, self.cupy.matmul = function, matmul

    def head_start(self):
        """Keep the GPU busy while Python asks for the hundreds of kernels of a step: what is asked of it meanwhile queues
        up, and then runs without waiting for Python, which takes longer to launch a small kernel than the GPU to run it."""
        for _ in range(self._copies):
            self.cupy.copyto(*self._large_arrays)

    @functools.cached_property
    def _copies(self):
        """How many copies take some 50 milliseconds; the queue of a GPU holds about a thousand things."""
        for _ in range(2):  # the first one compiles
            _, span = self.timed(self.cupy.copyto, *self._large_arrays)
        return min(16 if self.dry_run else 256, 1 + int(0.05 / float(span)))

    def seconds(self, call, rounds=5):
        """Seconds that one call takes on the GPU, the median of some rounds of up to ten calls each."""
        call()  # compiles, and fills the pool of memory
        repeats = max(1, min(10, int(0.02 / float(self.timed(call)[1]))))
        spans = [self._round(call, repeats) for _ in range(rounds)]
        return statistics.median(map(float, spans)) / repeats

    def _round(self, call, repeats):
        self.head_start()
        with self.span() as span:
            for _ in range(repeats):
                call()
        return span

    def copy_bandwidth(self):
        """Bytes/s, read and written, of a copy from device memory to device memory."""
        return 2 * self.large / self.seconds(lambda: self.cupy.copyto(*self._large_arrays))

    def sgemm_peak(self):
        """FLOP/s of cuBLAS's float32 product of two square matrices."""
        a, b = (self.random(self.side, self.side) for _ in range(2))
        return 2 * self.side**3 / self.seconds(lambda: self.cupy.matmul(a, b))

    def random(self, *shape):
        import numpy as np

        return self.cupy.asarray(np.random.default_rng(0).standard_normal(shape, np.float32))


class _Span:
    def __init__(self, cuda):
        self.cuda, self.start, self.stop = cuda, cuda.Event(), cuda.Event()

    def __enter__(self):
        self.start.record()
        return self

    def __exit__(self, *error):
        self.stop.record()

    def __float__(self):
        self.stop.synchronize()
        return self.cuda.get_elapsed_time(self.start, self.stop) / 1e3
