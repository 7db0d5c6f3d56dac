"""CUDA kernels on the CPU, thread by thread: for tests, and for learners without a GPU.

    from minicnn import LRN, cuda_on_cpu

    with cuda_on_cpu.pretend():              # until the end of the block, this process takes the CPU for a GPU
        import cupy                          # a stand-in
        layer = LRN().to("cupy")             # the real backend, minicnn/backends/cupy/, ...
        y = layer(cupy.asarray(x))           # ... launches the real kernels/lrn.cu

    with cuda_on_cpu.pretend(), cuda_on_cpu.record() as launches:
        ...                                  # launches[0].accesses: which thread read and wrote what

Nothing is chosen silently: without `pretend` all of this does not exist. It needs Linux, and g++ on the PATH. It is far
slower than the NumPy backend, and not meant for training.

How it works
------------
A kernel is a C++ function with a few words of CUDA in it. `include/` defines these words for g++, so that the text of a .cu
file compiles as it is (source.py rewrites `__shared__` declarations, and nothing else). A launch is then a loop: for each
block, for each thread of it, set `blockIdx` and `threadIdx` and call the function (include/entry.h, include/scheduler.h).

Only barriers make that difficult: at `__syncthreads()` a thread has to wait for others that have not begun yet. Each thread
that comes to a barrier is parked, its stack left as it is, and the next one begins on a stack of its own (include/fibers.h).
When all wait, all go on. A shuffle is a barrier of a warp, with a value to leave and one to read (include/warp.h).

Around that: compiler.py calls g++ and keeps what was built; arguments.py holds the arguments of a launch against the
parameters of the kernel; stand_in/ is the part of CuPy that minicnn uses, where NumPy does the arithmetic; pretend.py puts
it in CuPy's place; accesses.py records.

What it catches that a GPU does not
-----------------------------------
* arguments of the wrong type, order, number or layout, arrays of the wrong side: a GPU computes garbage, or the right
  numbers by luck;
* barriers that not all threads reach, lanes that take part in a shuffle without being there: named with thread and line;
* shared memory or new arrays that are read before they are written: they hold NaN; writes just outside of arrays;
* what depends on the order of threads: `pretend("reverse")` runs them from last to first;
* host memory that is used again before a copy on a stream has been waited for: the copy is made as late as possible;
* with g++'s sanitizers, which tests use, every access out of bounds, overflows of int, misaligned vectors, and races.

What it cannot catch
--------------------
* **Races, in an ordinary run.** One thread after the other hides them: a sum without atomics comes out right. That takes
  ThreadSanitizer, and that knows only 1,024 threads of a launch apart: no race between threads 5 and 1,029.
* Speed: occupancy, bank conflicts, caches. `record` and `transactions` show what a warp asks of the memory, no more.
* Memory order: a missing `__threadfence`, reliance on warps in lockstep, blocks that wait for each other.
* Rounding: a GPU fuses multiplications and additions, flushes denormals, and has its own exp and pow; its sums differ in the
  last bits. Nor does this say anything about cuBLAS, whose products are NumPy's here.
* Whether NVRTC takes the text, and how many registers it needs: tests/test_kernels_compile.py asks NVRTC itself.
* Textures, cooperative groups, tensor cores, half precision, inline PTX: not there, and do not compile.
"""

from minicnn.cuda_on_cpu.accesses import record, transactions
from minicnn.cuda_on_cpu.arguments import LaunchError
from minicnn.cuda_on_cpu.compiler import CompileError
from minicnn.cuda_on_cpu.pretend import pretend

__all__ = ["CompileError", "LaunchError", "pretend", "record", "transactions"]
