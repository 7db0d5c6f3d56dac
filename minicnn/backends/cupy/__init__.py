"""The GPU backend: every operation of the layers on CuPy arrays, by the kernels of `kernels/` and by cuBLAS.

The same names and signatures as `minicnn.backends.numpy`. Without a usable GPU the import itself fails, with a
`BackendError` that says what is missing.
"""

from minicnn.backends.cupy.probe import require_usable

require_usable()  # the modules below import CuPy

from minicnn.backends.cupy.arrays import asarray, astype, concatenate, copy, to_numpy, zeros
from minicnn.backends.cupy.relu import relu, relu_backward

__all__ = [
    "asarray", "astype", "concatenate", "copy", "relu", "relu_backward", "require_usable", "to_numpy", "zeros",
]
