"""The stand-in for CuPy: the border between host and device, its memory, streams and events."""

import sys

import numpy as np
import pytest
from cuda_helpers import device

import minicnn

pytestmark = pytest.mark.parametrize("backend", ["cuda_on_cpu"], indirect=True)

BORDER = {
    "implicit conversion": lambda x, host: np.asarray(x),
    "a copy of NumPy's": lambda x, host: np.array(x),
    "device + host": lambda x, host: x + host,
    "host + device": lambda x, host: host + x,
    "host @ device": lambda x, host: host @ x,
    "device += host": lambda x, host: x.__iadd__(host),
    "host += device": lambda x, host: np.add(host, x, out=host),
    "device == host": lambda x, host: x == host,
    "a function of CuPy": lambda x, host: sys.modules["cupy"].matmul(x, host),
    "out= of the host": lambda x, host: sys.modules["cupy"].add(x, x, out=host),
    "out= of the device": lambda x, host: np.add(host, host, out=x),
    "assignment": lambda x, host: x.__setitem__(slice(None), host),
    "index of the host": lambda x, host: x[host.astype(int)],
    "a list of both": lambda x, host: sys.modules["cupy"].concatenate([x, host]),
    "set with another dtype": lambda x, host: x.set(host.astype(float)),
    "set of a device array": lambda x, host: x.set(x),
}


@pytest.mark.parametrize("mix", BORDER.values(), ids=BORDER.keys())
def test_host_and_device_do_not_mix(mix):
    host = np.ones((3, 3), np.float32)
    with pytest.raises(TypeError):
        mix(device(host), host)


def test_results_stay_on_the_device_until_they_are_fetched():
    import cupy

    x = device([[1, 2, 3], [4, 5, 6]])
    for result in (x.sum(), x.max(axis=0), x[0, 1], x[0], x.T, -x, 2 * x, np.float32(2) * x, x > 2, x @ x.T, np.exp(x),
                   cupy.concatenate([x, x]), x.astype("f8"), x.copy(), cupy.matmul(x, x.T), cupy.zeros_like(x)):
        assert type(result) is cupy.ndarray and minicnn.backends.name_of(result) == "cupy"
    total = x.sum()
    assert (total.shape, float(total), int(total), f"{total:.2f}", total.item()) == ((), 21.0, 21, "21.00", 21.0)
    assert bool(x.any()) and x.tolist() == [[1, 2, 3], [4, 5, 6]] and len(x) == 2 and [float(row[0]) for row in x] == [1, 4]
    got = x.get()
    got[0, 0] = 9
    assert type(got) is np.ndarray and float(x[0, 0]) == 1


def test_single_elements_are_views_as_with_cupy():
    """`value = x[i]; x[i] = value + h; …; x[i] = value` does not put back what was there."""
    x = device([1, 2, 3])
    value = x[1]
    x[1] = 7
    assert float(value) == 7


def test_uninitialised_arrays_hold_nothing_to_rely_on():
    import cupy

    assert np.isnan(cupy.empty((2, 3), "f4").get()).all() and np.isnan(cupy.empty(4).get()).all()
    assert (cupy.empty(3, "i4").get() != 0).all() and cupy.empty(3, "bool").get().all()
    assert np.isnan(cupy.empty_like(device([1.0])).get()).all()


def test_what_cupy_lacks_is_not_there():
    import cupy

    for name in ("errstate", "nditer", "memmap", "random_array", "ma", "char"):
        assert not hasattr(cupy, name)
    for name in ("ctypes", "tofile_", "resize", "newbyteorder", "setflags"):
        assert not hasattr(device([1]), name)
    with pytest.raises(ImportError):
        from cupy import errstate  # noqa: F401


def test_memory_is_counted_given_back_and_limited():
    import cupy

    pool = cupy.get_default_memory_pool()
    before = pool.used_bytes()
    x = cupy.zeros((1000, 3), "f4")
    assert pool.used_bytes() - before == 12288  # 12,000 bytes in blocks of 512
    part = x[:10]
    del x
    assert pool.used_bytes() - before == 12288, "a view keeps the memory"
    del part
    assert pool.used_bytes() == before
    free, total = cupy.cuda.runtime.memGetInfo()
    assert total - free == before
    pool.set_limit(before + 1024)
    try:
        kept = cupy.empty(256, "f4")
        with pytest.raises(cupy.cuda.memory.OutOfMemoryError, match=r"Out of memory allocating 512 bytes"):
            cupy.empty(1, "f4")
        del kept
        cupy.empty(1, "f4")
    finally:
        pool.set_limit(0)


def test_a_copy_on_a_stream_of_its_own_is_there_when_somebody_has_waited():
    import cupy

    stream, host = cupy.cuda.Stream(non_blocking=True), np.arange(3, dtype=np.float32)
    first, second, third = (cupy.empty(3, "f4") for _ in range(3))
    first.set(host, stream)
    behind_first = stream.record()
    second.set(host, stream)
    assert np.isnan(first.get()).all() and not behind_first.done and not stream.done
    cupy.cuda.get_current_stream().wait_event(behind_first)
    assert first.get().tolist() == [0, 1, 2] and np.isnan(second.get()).all()
    host += 10  # too early: the copy has not been made
    stream.synchronize()
    assert second.get().tolist() == [10, 11, 12] and stream.done
    third.set(host)
    assert third.get().tolist() == [10, 11, 12], "on the default stream copies are made at once"


def test_pinned_memory_is_memory_of_the_host():
    import cupy

    memory = cupy.cuda.alloc_pinned_memory(24)
    array = np.frombuffer(memory, np.float32, 6)
    array[:] = 3
    assert memory.size() == 24 and memory.ptr == array.ctypes.data and device(array).get().tolist() == [3] * 6


def test_events_tell_time():
    import cupy

    start, stop = cupy.cuda.Event(), cupy.cuda.Event()
    start.record()
    stop.record()
    stop.synchronize()
    assert 0 <= cupy.cuda.get_elapsed_time(start, stop) < 1000
