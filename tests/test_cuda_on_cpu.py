"""CUDA on the CPU: threads, blocks, barriers and shared memory; warps; intrinsics and atomics."""

import numpy as np
import pytest
from cuda_helpers import device, kernel, run

from minicnn.cuda_on_cpu import CompileError, LaunchError

pytestmark = pytest.mark.parametrize("backend", ["cuda_on_cpu"], indirect=True)


# --- threads, blocks, barriers ----------------------------------------------------------------------------------------


def test_every_thread_of_every_block_runs_once_and_knows_where_it_is():
    grid, block = (3, 2, 5), (4, 3, 2)
    seen = device(np.zeros((30, 24, 3)), np.int32)
    run("""
        int b = (blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x;
        int t = (threadIdx.z * blockDim.y + threadIdx.y) * blockDim.x + threadIdx.x;
        int *here = seen + 3 * (24 * b + t);
        here[0] += 1, here[1] = 100 * blockIdx.x + 10 * blockIdx.y + blockIdx.z;
        here[2] = 100 * threadIdx.x + 10 * threadIdx.y + threadIdx.z;
    """, seen, grid=grid, block=block, parameters="int *seen")
    for b, (z, y, x) in enumerate(np.ndindex(grid[::-1])):
        for t, (w, v, u) in enumerate(np.ndindex(block[::-1])):
            assert seen.get()[b, t].tolist() == [1, 100 * x + 10 * y + z, 100 * u + 10 * v + w]


@pytest.mark.parametrize("threads", [1, 37, 256, 1024])
def test_a_sum_over_a_block_in_shared_memory_of_each_kind(threads):
    x = np.arange(3 * threads, dtype=np.float32).reshape(3, threads)
    found = device(np.zeros((3, 2)))
    run("""
        __shared__ float fixed[1024], total;
        extern __shared__ __align__(16) float sized[];
        fixed[threadIdx.x] = sized[threadIdx.x] = x[blockIdx.x * blockDim.x + threadIdx.x];
        if (threadIdx.x == 0) total = 0;
        __syncthreads();
        atomicAdd(&total, fixed[blockDim.x - 1 - threadIdx.x]);
        __syncthreads();
        if (threadIdx.x > 0) return;
        found[2 * blockIdx.x] = total;
        found[2 * blockIdx.x + 1] = sum_of(sized, blockDim.x);
    """, device(x), found, grid=(3,), block=(threads,), parameters="const float *x, float *found", shared=4 * threads,
        declarations="""template <class T> __device__ T sum_of(const T *v, int n)
        {
            T sum = 0;
            while (n--) sum += v[n];
            return sum;
        }""")
    np.testing.assert_array_equal(found.get(), np.repeat(x.sum(axis=1, keepdims=True), 2, axis=1))


def test_each_instance_of_a_template_has_shared_memory_of_its_own():
    found = device([0, 0, 0])
    run("found[0] = kept<1>(5), found[1] = kept<2>(7), found[2] = kept<1>(0);", found, parameters="float *found",
        declarations="""template <int N> __device__ float kept(float value)
        {
            __shared__ float place;
            if (value) place = value;
            return place;
        }""")
    assert found.get().tolist() == [5, 7, 5]


def test_names_of_the_c_library_may_be_kernels_and_parameters():
    found = device([0])
    text = 'extern "C" __global__ void gather(float *index, float round) { index[0] = round; }'
    kernel(text, "gather")((1,), (1,), (found, np.float32(4)))
    assert float(found[0]) == 4


def test_launch_bounds_may_be_expressions():
    text = """constexpr int THREADS = 32;
    extern "C" __global__ void __launch_bounds__(2 * THREADS, 2) k(float *y) { y[threadIdx.x] = 1; }"""
    assert kernel(text).max_threads_per_block == 64
    with pytest.raises(LaunchError, match="64 threads"):
        kernel(text)((1,), (65,), (device(np.zeros(65)),))


# --- warps ------------------------------------------------------------------------------------------------------------

SHUFFLES = {
    "shfl_sync": (lambda lane, n, width: lane // width * width + n % width),
    "shfl_xor_sync": (lambda lane, n, width: lane ^ n if (lane ^ n) // width == lane // width else lane),
    "shfl_down_sync": (lambda lane, n, width: lane + n if (lane + n) // width == lane // width else lane),
    "shfl_up_sync": (lambda lane, n, width: lane - n if (lane - n) // width == lane // width else lane),
}


TEXTS = "".join(f"""extern "C" __global__ void {name}(const double *x, double *found, int n, int width)
{{ found[threadIdx.x] = __{name}(0xffffffff, x[threadIdx.x], n, width); }}
""" for name in SHUFFLES)


@pytest.mark.parametrize("n", [0, 1, 5, 16, 31])
@pytest.mark.parametrize("width", [8, 32])
@pytest.mark.parametrize("name", SHUFFLES)
def test_shuffles(name, width, n):
    x = np.arange(64) ** 2 + 0.5
    found = device(np.zeros(64), np.float64)
    kernel(TEXTS, name)((1,), (64,), (device(x, np.float64), found, np.int32(n), np.int32(width)))
    wanted = [x[lane // 32 * 32 + SHUFFLES[name](lane % 32, n, width)] for lane in range(64)]
    np.testing.assert_array_equal(found.get(), wanted)


def test_a_sum_over_warps_of_several_shuffles_in_a_row():
    x = np.arange(96, dtype=np.float32)
    found = device(np.zeros(96))
    run("""
        float value = x[threadIdx.x];
        for (int d = 16; d > 0; d /= 2) value += __shfl_xor_sync(0xffffffff, value, d);
        found[threadIdx.x] = value;
    """, device(x), found, block=(96,), parameters="const float *x, float *found")
    np.testing.assert_array_equal(found.get(), np.repeat(x.reshape(3, 32).sum(axis=1), 32))


def test_votes_of_a_part_of_a_warp():
    found = device(np.zeros((20, 4)), np.uint32)
    run("""
        unsigned mask = threadIdx.x < 8 ? 0x000000ff : 0x000fff00, *here = found + 4 * threadIdx.x;
        here[0] = __ballot_sync(mask, threadIdx.x % 3 == 0);
        here[1] = __any_sync(mask, threadIdx.x == 3);
        here[2] = __all_sync(mask, threadIdx.x != 9);
        __syncwarp();
        here[3] = 1;
    """, found, block=(20,), parameters="unsigned *found")
    ballot = sum(1 << lane for lane in range(20) if lane % 3 == 0)
    wanted = [[ballot & (0xFF if lane < 8 else 0xFFF00), lane < 8, lane < 8, 1] for lane in range(20)]
    np.testing.assert_array_equal(found.get(), wanted)


# --- arithmetic -------------------------------------------------------------------------------------------------------

A, B = 0xFEDCBA9876543210, 0xF0E1D2C3B4A59687
HALVES = {
    "__umulhi(0xfedcba98u, 0xf0e1d2c3u)": 0xFEDCBA98 * 0xF0E1D2C3 >> 32,
    "__mulhi(-5, 1 << 30)": -5 * 2**30 >> 32,
    f"__umul64hi({A}ull, {B}ull)": A * B >> 64,
    "__mul64hi(-3ll, 1ll << 62)": -3 * 2**62 >> 64,
    "__popc(0xf0f01u)": 9,
    "__popcll(0xf00000000000001ull)": 5,
    "__clz(1)": 31,
    "__clz(0)": 32,
    "__clzll(1)": 63,
    "__ffs(8)": 4,
    "__ffs(0)": 0,
    "__funnelshift_l(0x80000001u, 0x7u, 4)": 0x78,
    "__funnelshift_r(0x80000001u, 0x7u, 4)": 0x78000000,
    "__float_as_int(1.0f)": 0x3F800000,
    "__float_as_uint(-0.0f)": 0x80000000,
    "__double_as_longlong(-0.0)": -(2**63),
    "min(3, -4)": -4,
    "max(3u, 4)": 4,
    "max(-1ll, -2ll)": -1,
    "(long long)sizeof(float4) + alignof(double2)": 32,
    "warpSize": 32,
}
REALS = {
    "rsqrt(4.0)": 0.5,
    "min(2.0, nan(\"\"))": 2.0,
    "max(1.5f, 2.0)": 2.0,
    "fmaf(2.0f, 3.0f, 4.0f)": 10.0,
    "__int_as_float(0x40490fdb)": float(np.float32(np.pi)),
    "__fdividef(1.0f, 4.0f) + __saturatef(7.0f) + __saturatef(-7.0f)": 1.25,
    "exp(1.0f) == expf(1.0f) && sizeof(exp(1.0f)) == 4": 1.0,
    "__ldg(found) + make_float4(1, 2, 3, 4).w": 4.5,
}


def test_intrinsics():
    found = device(np.zeros(len(HALVES)), np.int64)
    run("\n".join(f"found[{k}] = {text};" for k, text in enumerate(HALVES)), found, parameters="long long *found")
    wanted = [value - 2**64 if value >= 2**63 else value for value in HALVES.values()]
    assert found.get().tolist() == wanted
    found = device(np.zeros(len(REALS)), np.float64)
    run("\n".join(f"found[{k}] = {text};" for k, text in enumerate(REALS)), found, parameters="double *found")
    assert found.get().tolist() == list(REALS.values())


ATOMICS = {"atomicAdd(at, 5)": 12, "atomicSub(at, 5)": 2, "atomicMax(at, 9)": 9, "atomicMax(at, 2)": 7,
           "atomicMin(at, 2)": 2, "atomicAnd(at, 5)": 5, "atomicOr(at, 8)": 15, "atomicXor(at, 5)": 2,
           "atomicExch(at, 3)": 3, "atomicCAS(at, 7, 1)": 1, "atomicCAS(at, 6, 1)": 7}


@pytest.mark.parametrize("type_, dtype", [("int", "i4"), ("unsigned", "u4"), ("unsigned long long", "u8")])
def test_atomics_return_what_was_there(type_, dtype):
    calls = {call: result for call, result in ATOMICS.items() if dtype != "u8" or "Sub" not in call}
    found = device([[7, 0]] * len(calls), dtype)
    body = "\n".join(f"{{ {type_} *at = found + {2 * k}; at[1] = {call}; }}" for k, call in enumerate(calls))
    run(body, found, parameters=f"{type_} *found")
    assert found.get().tolist() == [[result, 7] for result in calls.values()]


@pytest.mark.parametrize("call", ["atomicMax((float *)at, 1)", "atomicAdd((long long *)at, 1)", "atomicAdd((short *)at, 1)"])
def test_atomics_that_cuda_has_not_do_not_compile(call):
    with pytest.raises(CompileError, match="CUDA has no atomic"):
        run(f"{call};", device([7], "i4"), parameters="int *at")


@pytest.mark.parametrize("type_, dtype", [("float", "f4"), ("double", "f8")])
def test_atomic_additions_of_floating_point(type_, dtype):
    found = device([0.5], dtype)
    run("atomicAdd(found, 0.25);", found, block=(64,), grid=(3,), parameters=f"{type_} *found")
    assert found.get().tolist() == [48.5]
