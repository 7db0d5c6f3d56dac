"""A strict stand-in for CuPy: what it has, works as there; what it does not have is not there.

One file for each part of CuPy: array.py (`cupy.ndarray`), functions.py (`cupy.zeros`, …), raw.py (`cupy.RawModule`),
cuda.py (`cupy.cuda`), streams.py and memory.py.
"""

import types

from minicnn.cuda_on_cpu.stand_in import cuda, memory
from minicnn.cuda_on_cpu.stand_in.array import ndarray
from minicnn.cuda_on_cpu.stand_in.functions import all_functions
from minicnn.cuda_on_cpu.stand_in.raw import RawKernel, RawModule


def modules():
    """{"cupy": …, "cupy.cuda": …, …}: what `sys.modules` is to hold."""
    below = cuda.modules()
    cupy = types.ModuleType("cupy", __doc__)
    vars(cupy).update(all_functions(), ndarray=ndarray, RawModule=RawModule, RawKernel=RawKernel, cuda=below["cupy.cuda"],
                      is_available=lambda: True, get_default_memory_pool=lambda: memory.pool,
                      __version__="14.2.0+cuda_on_cpu")
    cupy.__path__ = below["cupy.cuda"].__path__ = []
    return below | {"cupy": cupy}
