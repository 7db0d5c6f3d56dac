"""`cupy.cuda` and its submodules: one device, on which everything has happened when a call returns."""

import time
import types

from minicnn.cuda_on_cpu.stand_in import cublas, memory


class CUDARuntimeError(RuntimeError):
    __module__ = "cupy_backends.cuda.api.runtime"


class Device:
    def __init__(self, device=0):
        self.id = int(device)

    @property
    def compute_capability(self):
        return "80"

    @property
    def mem_info(self):
        return memory_info()

    @property
    def attributes(self):
        return {"MultiProcessorCount": 4, "WarpSize": 32, "MaxThreadsPerBlock": 1024}

    def synchronize(self):
        pass

    def use(self):
        return self

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass


class Stream:
    null = None  # set below

    def __init__(self, null=False, non_blocking=False, ptds=False, priority=None):
        self.ptr = 0 if null else id(self)

    @property
    def done(self):
        return True

    def synchronize(self):
        pass

    def use(self):
        return self

    def record(self, event=None):
        event = event or Event()
        event.record(self)
        return event

    def wait_event(self, event):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass


class Event:
    def __init__(self, block=False, disable_timing=False, interprocess=False):
        self._time = None

    @property
    def done(self):
        return True

    def record(self, stream=None):
        self._time = time.perf_counter()

    def synchronize(self):
        pass


Stream.null = Stream(null=True)


def get_elapsed_time(start_event, end_event):
    return 1e3 * (end_event._time - start_event._time)


def memory_info():
    return memory.GLOBAL_MEMORY - memory.pool.used_bytes(), memory.GLOBAL_MEMORY


def device_properties(device):
    return {"name": b"minicnn.cuda_on_cpu", "totalGlobalMem": memory.GLOBAL_MEMORY, "sharedMemPerBlock": 48 * 2**10,
            "sharedMemPerBlockOptin": 99 * 2**10, "multiProcessorCount": 4, "maxThreadsPerBlock": 1024, "warpSize": 32,
            "major": 8, "minor": 6, "clockRate": 1_000_000, "memoryClockRate": 1_000_000, "memoryBusWidth": 64}


def _module(name, **members):
    module = types.ModuleType(name)
    vars(module).update(members)
    return module


def modules():
    """{"cupy.cuda": …, "cupy.cuda.runtime": …, …}"""
    runtime = _module("cupy.cuda.runtime", driverGetVersion=lambda: 13000, runtimeGetVersion=lambda: 13000,
                      getDeviceCount=lambda: 1, getDevice=lambda: 0, memGetInfo=memory_info,
                      getDeviceProperties=device_properties, deviceSynchronize=lambda: None,
                      CUDARuntimeError=CUDARuntimeError)
    memory_module = _module("cupy.cuda.memory", OutOfMemoryError=memory.OutOfMemoryError, MemoryPool=memory.MemoryPool,
                            MemoryPointer=memory.MemoryPointer)
    device = _module("cupy.cuda.device", Device=Device, get_cublas_handle=lambda: cublas.HANDLE)
    blas = _module("cupy.cuda.cublas", **cublas.RAW)
    cuda = _module("cupy.cuda", runtime=runtime, memory=memory_module, device=device, cublas=blas, Device=Device,
                   Stream=Stream, Event=Event, MemoryPool=memory.MemoryPool, get_current_stream=lambda: Stream.null,
                   get_elapsed_time=get_elapsed_time, get_cublas_handle=lambda: cublas.HANDLE, is_available=lambda: True,
                   alloc_pinned_memory=memory.PinnedMemoryPointer)
    return {module.__name__: module for module in (runtime, memory_module, device, blas, cuda)}
