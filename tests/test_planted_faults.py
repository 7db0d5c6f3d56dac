"""Faults of CUDA code that a GPU answers with garbage, or with the right result by luck: each is planted here, and found.

The kernels with the faults are in tests/faults/. A fault that needs a sanitizer has its line marked `// here`.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from minicnn.cuda_on_cpu import CompileError, LaunchError

pytestmark = pytest.mark.parametrize("backend", ["cuda_on_cpu"], indirect=True)

FAULTS = Path(__file__).with_name("faults")


def kernel(file, name):
    import cupy

    text = FAULTS.joinpath(f"{file}.cu").read_text(encoding="utf-8")
    return cupy.RawModule(code=f'#line 1 "{file}.cu"\n{text}').get_function(name)


def device(values, dtype=np.float32):
    import cupy

    return cupy.asarray(np.array(values, dtype))


def line_of(file, name, text):
    """The number of the first line with `text` in a kernel."""
    lines = FAULTS.joinpath(f"{file}.cu").read_text(encoding="utf-8").splitlines()
    start = next(k for k, line in enumerate(lines) if f" {name}(" in line)
    return next(k + 1 for k, line in enumerate(lines) if k >= start and text in line)


# --- arguments and sizes ----------------------------------------------------------------------------------------------


def right(**changes):
    """Arguments for `scale(const float *x, float *y, float a, int n)` that are right, but for the changes."""
    good = {"x": device(np.arange(64)), "y": device(np.zeros(64)), "a": np.float32(2), "n": np.int32(64)}
    return tuple((good | changes).values())


def test_right_arguments_are_taken():
    args = right()
    kernel("launches", "scale")((1,), (64,), args)
    np.testing.assert_array_equal(args[1].get(), 2 * np.arange(64))


ARGUMENTS = {
    "Python float for float": (lambda: right(a=2.0), r"argument 3 \(a\).*Python float.*float64.*wanted float32"),
    "Python int for int": (lambda: right(n=64), r"argument 4 \(n\).*Python int.*int64.*wanted int32"),
    "float64 for float": (lambda: right(a=np.float64(2)), r"argument 3 \(a\).*float64.*wanted float32"),
    "int64 for int": (lambda: right(n=np.int64(64)), r"argument 4 \(n\).*int64.*wanted int32"),
    "unsigned for int": (lambda: right(n=np.uint32(64)), r"argument 4 \(n\).*uint32.*wanted int32"),
    "float for int": (lambda: right(n=np.float32(64)), r"argument 4 \(n\).*float32.*wanted int32"),
    "nothing for int": (lambda: right(n=None), r"argument 4 \(n\).*NoneType.*wanted int32"),
    "float64 array for float*": (lambda: right(y=device(range(64), float)), r"argument 2 \(y\).*float64.*wanted .*float32"),
    "int32 array for float*": (lambda: right(x=device(range(64), "i4")), r"argument 1 \(x\).*int32.*wanted .*float32"),
    "number for a pointer": (lambda: right(x=np.float32(2)), r"argument 1 \(x\).*float32.*wanted an array"),
    "array for a number": (lambda: right(n=device([64], "i4")), r"argument 4 \(n\).*array of int32.*wanted int32"),
    "NumPy array": (lambda: right(x=np.ones(64, np.float32)), r"argument 1 is an array of the host"),
    "NumPy number in an array": (lambda: right(a=np.array(2, np.float32)), r"argument 3 is an array of the host"),
    "every other element": (lambda: right(x=device(range(128))[::2]), r"argument 1 \(x\).*not C-contiguous"),
    "transposed": (lambda: right(x=device(np.ones((8, 4))).T), r"argument 1 \(x\).*not C-contiguous"),
    "missing argument": (lambda: right()[:3], r"3 arguments, wanted 4: x, y, a, n"),
    "one too many": (lambda: (*right(), np.int32(1)), r"5 arguments, wanted 4"),
    "swapped numbers": (lambda: [right()[k] for k in (0, 1, 3, 2)], r"argument 3 \(a\).*int32.*wanted float32"),
    "swapped with an array": (lambda: [right()[k] for k in (0, 2, 1, 3)], r"argument 2 \(y\).*float32.*wanted an array"),
}


@pytest.mark.parametrize("make, message", ARGUMENTS.values(), ids=ARGUMENTS.keys())
def test_wrong_arguments_are_named(make, message):
    with pytest.raises(LaunchError, match=rf"^scale: .*{message}"):
        kernel("launches", "scale")((1,), (64,), tuple(make()))


def test_every_type_of_parameter_is_held_against_its_own():
    def good():
        return [device([5], "i8"), device([[1, 2, 3, 4]]), device([0], "f8"), np.True_, np.uint8(7)]

    args = good()
    kernel("launches", "mixed")((1,), (1,), args)
    assert float(args[2][0]) == 5 + 4 + 1 + 7
    for place, wrong in enumerate([device([5], "u8"), device([1, 2], "f8"), device([0], "f4"), np.uint8(1), np.int8(7)]):
        with pytest.raises(LaunchError, match=rf"argument {place + 1} "):
            kernel("launches", "mixed")((1,), (1,), [*good()[:place], wrong, *good()[place + 1:]])


SIZES = {
    "block of 2,048": ("scale", (1,), (2048,), 0, r"block of \(2048, 1, 1\).*1024 threads"),
    "block of 32 x 33": ("scale", (1,), (32, 33), 0, r"block of \(32, 33, 1\).*1024 threads"),
    "block of 65 in z": ("scale", (1,), (1, 1, 65), 0, r"block of \(1, 1, 65\).*1024, 1024, 64"),
    "more than the kernel's bound": ("few", (1,), (65,), 0, r"block of \(65, 1, 1\).*64 threads"),
    "grid.y of 70,000": ("scale", (1, 70000), (1,), 0, r"grid of \(1, 70000, 1\).*65535"),
    "grid.z of 70,000": ("scale", (1, 1, 70000), (1,), 0, r"grid of \(1, 1, 70000\).*65535"),
    "grid of floats": ("scale", (2.0,), (1,), 0, r"grid.*ints"),
    "grid that is no tuple": ("scale", 3, (1,), 0, r"3 as grid"),
    "negative grid": ("scale", (-1,), (1,), 0, r"negative"),
    "50 KiB of shared memory": ("rows", (1,), (1,), 50 * 1024, r"51200 bytes.*max_dynamic_shared_size_bytes"),
}


@pytest.mark.parametrize("name, grid, block, shared, message", SIZES.values(), ids=SIZES.keys())
def test_sizes_that_no_gpu_takes_are_refused(name, grid, block, shared, message):
    args = right() if name == "scale" else (device([0]),)
    with pytest.raises(LaunchError, match=rf"^{name}: .*{message}"):
        kernel("launches", name)(grid, block, args, shared_mem=shared)


def test_more_shared_memory_has_to_be_asked_for_and_is_limited():
    rows, y = kernel("launches", "rows"), device([0])
    rows.max_dynamic_shared_size_bytes = 99 * 1024
    rows((1,), (1,), (y,), shared_mem=99 * 1024)
    assert float(y[0]) == 1
    rows.max_dynamic_shared_size_bytes = 100 * 1024
    with pytest.raises(LaunchError, match="102400 bytes"):
        rows((1,), (1,), (y,), shared_mem=1024)


def test_an_empty_grid_becomes_one_block_as_with_cupy():
    args = right(n=np.int32(3))
    kernel("launches", "scale")((0,), (64,), args)
    np.testing.assert_array_equal(args[1].get()[:5], [0, 2, 4, 0, 0])


def test_a_kernel_that_is_not_there_is_named_with_those_that_are():
    with pytest.raises(LaunchError, match=r"stale.*scale, few, rows, mixed"):
        kernel("launches", "stale")


# --- barriers and lanes -----------------------------------------------------------------------------------------------

BARRIERS = {
    "divergent barriers": ("diverges", 32, (), "__syncthreads();", r"divergent barrier: thread .* waits in __syncthreads"),
    "return before a barrier": ("returns", 32, (np.int32(20),), "__syncthreads", r"waits, but thread .* has returned"),
    "full mask in a part of a warp": ("reduces", 48, (), "__shfl_down", r"lane \d+, which the block does not have"),
    "lane that has returned": ("leaves", 32, (np.int32(20),), "__shfl_xor", r"lane \d+, which has returned"),
    "lane outside of its own mask": ("stands_outside", 32, (), "__shfl_sync", r"not in its own mask 0x0000ffff"),
    "lane read that is not in the mask": ("reads_outside", 32, (), "__shfl_sync", r"reads lane 3, which is not in its mask"),
    "deadlock": ("waits_for_each_other", 64, (), "__syncthreads", r"deadlock: thread .* waits in"),
}


@pytest.mark.parametrize("name, threads, numbers, text, message", BARRIERS.values(), ids=BARRIERS.keys())
def test_threads_that_cannot_go_on_are_named_with_their_line(name, threads, numbers, text, message):
    with pytest.raises(LaunchError, match=message) as caught:
        kernel("barriers", name)((2,), (threads,), (device(np.ones(64)), *numbers))
    said = str(caught.value)
    assert said.startswith(f"{name}: ") and f"barriers.cu:{line_of('barriers', name, text)}" in said
    assert re.search(r"thread \(\d+, 0, 0\) of block \([01], 0, 0\)", said)


def test_after_an_error_the_next_launch_is_right():
    y = device(np.zeros(64))
    with pytest.raises(LaunchError):
        kernel("barriers", "diverges")((1,), (64,), (y,))
    x = device(np.arange(64))
    kernel("barriers", "diverges")((1,), (7,), (y,))
    np.testing.assert_array_equal(y.get()[:9], [1] * 7 + [0] * 2)
    assert np.isfinite(x.get()).all()


def test_a_forgotten_barrier_reads_nan(backend):
    """Who comes first finds shared memory as no thread has left it: filled with NaN, in every block anew."""
    x, y = device(np.arange(64)), device(np.zeros(64))
    kernel("barriers", "forgets_the_first_barrier")((3,), (64,), (x, y))
    assert np.isnan(y.get()).sum() == 32


def test_shared_memory_overrun_is_named():
    with pytest.raises(LaunchError, match=r"block \(0, 0, 0\) wrote outside of shared tile, which has 256 bytes"):
        kernel("barriers", "leaves_more_than_it_has")((1,), (64,), (device(np.ones(64)),))


def test_more_static_shared_memory_than_there_is():
    with pytest.raises(LaunchError, match=r"56000 bytes of static"):
        kernel("barriers", "takes_too_much")((1,), (1,), (device([0]),))


# --- memory -----------------------------------------------------------------------------------------------------------


def test_a_write_behind_an_array_is_noticed_and_what_is_read_there_is_nan():
    with pytest.raises(LaunchError, match=r"writes_behind: wrote just outside of the memory of argument 1"):
        kernel("memory", "writes_behind")((1,), (32,), (device(np.ones(32)),))
    y = device(np.zeros(32))
    kernel("memory", "reads_before")((1,), (32,), (device(np.ones(32)), y))
    np.testing.assert_array_equal(y.get(), [np.nan] + [1] * 31)


REPORTS = """
import sys
import numpy as np
from minicnn import cuda_on_cpu
with cuda_on_cpu.pretend(sanitizer={sanitizer!r}):
    import cupy
    module = cupy.RawModule(code='#line 1 "{file}.cu"\\n' + open({path!r}).read())
    for name, grid, shared, *numbers in {launches!r}:
        arrays = cupy.ones(32, "float32"), cupy.zeros(9600 if name == "is_right" else 32, "float32")
        numbers = [np.int32(n) if n is not None else cupy.zeros(1, "int32") for n in numbers]
        print("###", name, file=sys.stderr, flush=True)
        kernel = module.get_function(name)
        count = len(kernel._function({sanitizer!r}).parameters) - len(numbers)
        kernel((grid,), (32,), (*arrays[2 - count:], *numbers), shared_mem=shared)
"""


def reports(sanitizer, file, launches):
    """{kernel: what the sanitizer says of it}, each of (kernel, blocks, bytes of shared memory, numbers…)."""
    library = {"address": "libasan.so", "thread": "libtsan.so"}[sanitizer]
    path = subprocess.run(["g++", f"-print-file-name={library}"], capture_output=True, text=True, check=True).stdout.strip()
    if not os.path.isabs(path):
        pytest.skip(f"g++ has no {library}")
    code = REPORTS.format(sanitizer=sanitizer, file=file, path=str(FAULTS / f"{file}.cu"), launches=launches)
    environment = os.environ | {"LD_PRELOAD": path, "ASAN_OPTIONS": "detect_leaks=0:halt_on_error=0",
                                "TSAN_OPTIONS": "suppress_equal_addresses=0",
                                "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, timeout=100)
    said = dict(re.findall(r"^### (\w+)\n(.*?)(?=^### |\Z)", done.stderr, re.M | re.S))
    assert said.keys() == {name for name, *_ in launches}, done.stderr[-3000:]
    return said


def check_reports(file, said, kinds):
    """Each kernel's report is of its kind and names its line; of the kernel that is right there is none."""
    assert f"{file}.cu" not in said["is_right"], said["is_right"]
    for name, kind in kinds.items():
        where = f"{file}.cu:{line_of(file, name, '// here')}"
        assert kind in said[name] and where in said[name], f"{name}, wanted {kind} at {where}:\n{said[name]}"


def test_address_and_undefined_behaviour_sanitizers_find_what_is_out_of_bounds():
    kinds = {"writes_behind": "heap-buffer-overflow", "reads_before": "heap-buffer-overflow",
             "overruns_static": "heap-buffer-overflow", "overruns_dynamic": "heap-buffer-overflow",
             "overflows": "70000 * 70000 cannot be represented in type 'int'", "reads_misaligned": "misaligned address"}
    launches = [("is_right", 1, 128), *((name, 1, 128) for name in kinds if name != "overflows"), ("overflows", 1, 0, 70000)]
    check_reports("memory", reports("address", "memory", launches), kinds)


def test_thread_sanitizer_finds_races_that_one_thread_after_the_other_hides():
    names = ("scatters", "scatters_between_blocks", "reads_too_early", "writes_too_early", "lacks_a_barrier_of_its_warp")
    y = device(np.zeros(32))
    kernel("races", "scatters")((1,), (32,), (y,))
    np.testing.assert_array_equal(y.get()[:4], 8)  # the right sums: nothing is to be seen without the sanitizer
    launches = [("is_right", 300, 0, None), *((name, 2, 0) for name in names)]
    check_reports("races", reports("thread", "races", launches), dict.fromkeys(names, "data race"))


# --- texts ------------------------------------------------------------------------------------------------------------

TEXTS = {
    "write to const": ('extern "C" __global__ void k(const float* x) {\n x[0] = 1; }', r"kernel.cu:2:.*read-only"),
    "unknown function": ('extern "C" __global__ void k(float* x) {\n\n x[0] = __quick(1); }', r"kernel.cu:3:.*__quick"),
    "unknown type": ('extern "C" __global__ void k(half* x) { }', r"kernel.cu:1:.*half"),
    "shared memory outside of functions": ('__shared__ float t[4];\n', r"(?s)kernel.cu:1:.*belongs into a function"),
    "dynamic shared memory outside": ('\nextern __shared__ float t[];\n', r"(?s)kernel.cu:2:.*belongs into a function"),
    "shared memory in an unknown form": ('__device__ void f() {\n __shared__ struct { int a; } t; }', r"kernel.cu:2:"),
    "more arguments than the function": ('__device__ float f(float a) { return a; }\n'
                                         'extern "C" __global__ void k(float* x) { x[0] = f(1, 2); }', r"kernel.cu:2:"),
}


@pytest.mark.parametrize("text, message", TEXTS.values(), ids=TEXTS.keys())
def test_text_that_does_not_compile_is_named_with_its_line(text, message):
    import cupy

    with pytest.raises(CompileError, match=message):
        cupy.RawModule(code=text).get_function("k")


def test_a_kernel_under_a_name_of_cplusplus_is_not_found():
    import cupy

    with pytest.raises(LaunchError, match=r'extern "C"'):
        cupy.RawModule(code="__global__ void k(float* x) { x[0] = 1; }").get_function("k")
