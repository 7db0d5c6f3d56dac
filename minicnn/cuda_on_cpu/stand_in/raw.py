"""`cupy.RawModule` and `cupy.RawKernel`, whose kernels g++ compiles and the CPU runs."""

import functools

import numpy as np

from minicnn.cuda_on_cpu import kernel, settings
from minicnn.cuda_on_cpu.arguments import LaunchError
from minicnn.cuda_on_cpu.stand_in import memory
from minicnn.cuda_on_cpu.stand_in.array import ndarray


class RawModule:
    """CUDA C as text, compiled when a function is first asked for."""

    def __init__(self, *, code, options=(), backend="nvrtc"):
        self.code, self.options, self.backend = code, tuple(options), backend
        self._variant = functools.cache(functools.partial(kernel.Module, code))

    def compile(self, log_stream=None):
        self._variant(settings.variant())

    def get_function(self, name):
        return RawKernel._of(self, name)


class RawKernel:
    """A kernel that is launched with `kernel(grid, block, args, shared_mem=bytes)`."""

    def __init__(self, code, name, options=(), backend="nvrtc"):
        self._bind(RawModule(code=code, options=options, backend=backend), name)

    @classmethod
    def _of(cls, module, name):
        self = cls.__new__(cls)
        self._bind(module, name)
        self._function(settings.variant())
        return self

    def _bind(self, module, name):
        self.name, self.max_dynamic_shared_size_bytes = name, kernel.SHARED_BYTES
        self._function = functools.cache(lambda variant: module._variant(variant).function(name))

    @property
    def max_threads_per_block(self):
        return self._function(settings.variant()).most_threads

    def __call__(self, grid, block, args, *, shared_mem=0):
        found = self._function(settings.variant())(
            grid, block, [_inside(self.name, k, argument) for k, argument in enumerate(args)], shared_mem,
            self.max_dynamic_shared_size_bytes, settings.reverse)
        for k, argument in enumerate(args):
            if isinstance(argument, ndarray) and memory.overrun(argument._array):
                raise LaunchError(f"{self.name}: wrote just outside of the memory of argument {k + 1}")
        if found is not None:
            settings.launches.append(found)


def _inside(name, k, argument):
    """The NumPy array that an array of the device wraps; all else as it is."""
    if isinstance(argument, np.ndarray):
        raise LaunchError(f"{name}: argument {k + 1} is an array of the host (NumPy), wanted one of the device")
    return argument._array if isinstance(argument, ndarray) else argument
