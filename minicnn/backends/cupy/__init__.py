"""The GPU backend: every operation of the layers on CuPy arrays, by the kernels of `kernels/` and by cuBLAS.

The same names and signatures as `minicnn.backends.numpy`. Without a usable GPU the import itself fails, with a
`BackendError` that says what is missing.
"""

from minicnn.backends.cupy.probe import require_usable

require_usable()  # the modules below import CuPy

from minicnn.backends.cupy.arrays import asarray, astype, concatenate, copy, to_numpy, zeros
from minicnn.backends.cupy.conv import conv2d, conv2d_algorithms, conv2d_backward, conv2d_fastest, conv2d_workspace
from minicnn.backends.cupy.im2col import col2im, im2col
from minicnn.backends.cupy.linear import linear, linear_backward
from minicnn.backends.cupy.relu import relu, relu_backward

__all__ = [
    "asarray", "astype", "col2im", "concatenate", "conv2d", "conv2d_algorithms", "conv2d_backward", "conv2d_fastest",
    "conv2d_workspace", "copy", "im2col", "linear", "linear_backward", "relu", "relu_backward", "require_usable", "to_numpy",
    "zeros",
]
