"""`cupy.RawModule` and `cupy.RawKernel`, whose kernels g++ compiles and the CPU runs."""

import numpy as np

from minicnn.cuda_on_cpu import kernel, settings
from minicnn.cuda_on_cpu.stand_in import memory
from minicnn.cuda_on_cpu.stand_in.array import ndarray


class RawModule:
    """CUDA C as text, compiled when a function is first asked for."""

    def __init__(self, *, code, options=(), backend="nvrtc"):
        self.code, self.options, self.backend, self._module = code, tuple(options), backend, None

    def compile(self, log_stream=None):
        if self._module is None:
            self._module = kernel.Module(self.code, settings.current.sanitizer)

    def get_function(self, name):
        self.compile()
        return RawKernel._of(self._module.function(name))


class RawKernel:
    """A kernel that is launched with `kernel(grid, block, args, shared_mem=bytes)`."""

    def __init__(self, code, name, options=(), backend="nvrtc"):
        self._function = RawModule(code=code, options=options).get_function(name)._function

    @classmethod
    def _of(cls, function):
        self = cls.__new__(cls)
        self._function = function
        return self

    @property
    def name(self):
        return self._function.name

    @property
    def max_threads_per_block(self):
        return self._function.most_threads

    @property
    def max_dynamic_shared_size_bytes(self):
        return self._function.most_dynamic_shared

    @max_dynamic_shared_size_bytes.setter
    def max_dynamic_shared_size_bytes(self, size):
        self._function.most_dynamic_shared = size

    def __call__(self, grid, block, args, *, shared_mem=0, stream=None):
        arrays = [argument._array for argument in args if isinstance(argument, ndarray)]
        self._function(grid, block, [self._inside(k, argument) for k, argument in enumerate(args)], shared_mem,
                       settings.current.reverse)
        for k, argument in enumerate(args):
            if isinstance(argument, ndarray) and memory.overrun(argument._array):
                raise kernel.LaunchError(f"{self.name}: wrote outside of argument {k + 1}, or of an array beside it "
                                         f"({len(arrays)} arrays)")

    def _inside(self, k, argument):
        if isinstance(argument, np.ndarray):
            raise kernel.LaunchError(f"{self.name}: argument {k + 1} is a NumPy array, wanted one of the device")
        return argument._array if isinstance(argument, ndarray) else argument
