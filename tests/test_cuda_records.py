"""What is recorded of a kernel: who reads and writes what, and how many pieces of memory that takes."""

import numpy as np
import pytest
from cuda_helpers import device, kernel

from minicnn import ReLU, cuda_on_cpu

pytestmark = pytest.mark.parametrize("backend", ["cuda_on_cpu"], indirect=True)


def test_every_access_is_recorded_with_its_thread_element_and_line(request):
    """`y[j] = x[3 j] + x[0]`, then a barrier, then `y[j] += row[other]`."""
    text = """extern "C" __global__ void k(const float *x, double *y, int n)
    {
        __shared__ float row[8];
        int j = blockIdx.x * blockDim.x + threadIdx.x;
        row[threadIdx.x] = x[3 * j];
        __syncthreads();
        if (j < n) y[j] = row[3 - threadIdx.x];
    }"""
    with cuda_on_cpu.record() as launches:
        kernel(text)((2,), (4,), (device(range(24)), device(np.zeros(8), np.float64), np.int32(7)))
    (launch,) = launches
    assert (launch.kernel, launch.grid, launch.block) == ("k", (2, 1, 1), (4, 1, 1))
    rows = [tuple(row[name].tolist() for name in ("block", "thread", "number", "array", "shared", "index", "bytes", "write",
                                                 "line")) for row in launch.accesses]
    wanted, way = [], -1 if request.config.getoption("--reverse") else 1
    for b in range(2)[::way]:
        for t in range(4)[::way]:
            here = [b, 0, 0], [t, 0, 0]
            wanted += [(*here, 0, "x", False, 3 * (4 * b + t), 4, False, 5), (*here, 1, "row", True, t, 4, True, 5)]
        for t in range(4)[::way]:
            here = [b, 0, 0], [t, 0, 0]
            if 4 * b + t < 7:
                wanted += [(*here, 2, "row", True, 3 - t, 4, False, 7), (*here, 3, "y", False, 4 * b + t, 8, True, 7)]
    for row, other in zip(rows, wanted, strict=True):
        other = (*other[:5], other[5] * (4 if other[3] == "row" else 1), *other[6:])
        assert row == other


def test_recording_changes_no_result_and_ends_with_the_block():
    import cupy

    x = device(np.linspace(-2, 2, 60).reshape(3, 4, 5))
    layer = ReLU().to("cupy")
    wanted = layer(x).get()
    with cuda_on_cpu.record() as launches:
        np.testing.assert_array_equal(layer(x).get(), wanted)
        layer.backward(cupy.ones_like(x))
    layer(x)
    assert [launch.kernel for launch in launches] == ["relu_forward", "relu_backward"]
    assert sorted(launches[0].accesses["index"][launches[0].accesses["write"]]) == list(range(60))


def pieces(addresses, bytes_, size):
    """How many pieces of `size` bytes hold these bytes."""
    return len({byte // size for start in addresses for byte in range(start, start + bytes_)})


@pytest.mark.parametrize("size", [32, 128])
@pytest.mark.parametrize("stride, offset", [(1, 0), (1, 1), (2, 0), (3, 5), (32, 0), (0, 0)])
@pytest.mark.parametrize("dtype", ["float", "double"])
def test_transactions_are_the_pieces_of_memory_of_a_warp(dtype, stride, offset, size):
    x = device(np.zeros(2100), dtype if dtype == "double" else "f4")
    text = f"""extern "C" __global__ void k(const {dtype} *x, {dtype} *y, int stride, int offset)
    {{ if (threadIdx.x < 50) y[threadIdx.x] = x[stride * threadIdx.x + offset]; }}"""
    y = device(np.zeros(50), x.dtype)
    with cuda_on_cpu.record() as launches:
        kernel(text)((1,), (64,), (x, y, np.int32(stride), np.int32(offset)))
    found = cuda_on_cpu.transactions(launches[0], size)
    reads = found[~found["write"]]
    for warp, lanes in ((0, range(32)), (1, range(32, 50))):
        (row,) = reads[reads["warp"] == warp]
        places = [(stride * lane + offset) * x.itemsize for lane in lanes]
        assert row["threads"] == len(lanes) and row["bytes"] == len(set(places)) * x.itemsize
        assert row["pieces"] == pieces(places, x.itemsize, size)
    written = found[found["write"]]
    assert written["bytes"][np.argsort(written["warp"])].tolist() == [32 * x.itemsize, 18 * x.itemsize]


def test_turns_of_a_loop_are_transactions_of_their_own():
    text = """extern "C" __global__ void k(const float *x, float *y)
    { float s = 0; for (int i = threadIdx.x; i < 100; i += 32) s += x[i]; y[threadIdx.x] = s; }"""
    with cuda_on_cpu.record() as launches:
        kernel(text)((1,), (32,), (device(np.ones(100)), device(np.zeros(32))))
    found = cuda_on_cpu.transactions(launches[0])
    rows = found[["write", "threads", "pieces"]].tolist()
    assert [row[1:] for row in rows if not row[0]] == [(32, 4), (32, 4), (32, 4), (4, 1)]
    assert [row[1:] for row in rows if row[0]] == [(32, 4)]
