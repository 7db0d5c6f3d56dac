"""`cupy.cuda` and its submodules: one device with one queue."""

import types

from minicnn.cuda_on_cpu.stand_in import memory, streams


class CUDARuntimeError(RuntimeError):
    """What the calls of `cupy.cuda.runtime` raise; here, none does."""


class Device:
    """The one device."""

    def __init__(self, device=0):
        self.id = int(device)

    def synchronize(self):
        streams.synchronize_all()

    def use(self):
        return self

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass


def memory_info():
    """(free, total) bytes; the pool's arrays are what is not free."""
    return memory.GLOBAL_MEMORY - memory.pool.used_bytes(), memory.GLOBAL_MEMORY


def device_properties(device):
    return {"name": b"minicnn.cuda_on_cpu", "totalGlobalMem": memory.GLOBAL_MEMORY, "sharedMemPerBlock": 48 * 2**10,
            "sharedMemPerBlockOptin": 99 * 2**10, "multiProcessorCount": 4, "maxThreadsPerBlock": 1024, "warpSize": 32,
            "major": 8, "minor": 0, "clockRate": 1_000_000, "memoryClockRate": 1_000_000, "memoryBusWidth": 64}


def _module(name, **members):
    module = types.ModuleType(name)
    vars(module).update(members)
    return module


def modules():
    """{"cupy.cuda": …, "cupy.cuda.runtime": …, …}"""
    runtime = _module("cupy.cuda.runtime", driverGetVersion=lambda: 13000, runtimeGetVersion=lambda: 13000,
                      getDeviceCount=lambda: 1, getDevice=lambda: 0, memGetInfo=memory_info,
                      getDeviceProperties=device_properties, deviceSynchronize=streams.synchronize_all,
                      CUDARuntimeError=CUDARuntimeError)
    allocation = _module("cupy.cuda.memory", OutOfMemoryError=memory.OutOfMemoryError, MemoryPool=memory.MemoryPool)
    blas = _module("cupy.cuda.cublas", getVersion=lambda handle: 130000)
    cuda = _module("cupy.cuda", runtime=runtime, memory=allocation, cublas=blas, Device=Device, Stream=streams.Stream,
                   Event=streams.Event, MemoryPool=memory.MemoryPool, get_current_stream=streams.get_current_stream,
                   get_elapsed_time=streams.get_elapsed_time, is_available=lambda: True,
                   MemoryPointer=memory.MemoryPointer, PinnedMemoryPointer=memory.PinnedMemoryPointer,
                   alloc_pinned_memory=memory.PinnedMemoryPointer)
    return {module.__name__: module for module in (runtime, allocation, blas, cuda)}
