"""The GPU backend: every operation of the layers on CuPy arrays, by the kernels of `kernels/` and by cuBLAS.

The same names and signatures as `minicnn.backends.numpy`, and three more for batches that are made here. Without a usable
GPU the import itself fails, with a `BackendError` that says what is missing. From here on, a full GPU is an `OutOfMemory`.
"""

from minicnn.backends.cupy.probe import describe, require_usable

require_usable()  # the modules below import CuPy

from minicnn.backends.cupy.arrays import asarray, astype, concatenate, copy, to_numpy, zeros
from minicnn.backends.cupy.augment import crops
from minicnn.backends.cupy.batchnorm import batchnorm, batchnorm_backward, batchnorm_inference
from minicnn.backends.cupy.conv import conv2d, conv2d_algorithms, conv2d_backward, conv2d_fastest, conv2d_workspace
from minicnn.backends.cupy.dropout import dropout, dropout_backward
from minicnn.backends.cupy.im2col import col2im, im2col
from minicnn.backends.cupy.linear import linear, linear_backward
from minicnn.backends.cupy.losses import softmax_cross_entropy, softmax_cross_entropy_backward
from minicnn.backends.cupy.lrn import lrn, lrn_backward, lrn_workspace
from minicnn.backends.cupy.memory import bytes_in_use, memory_errors
from minicnn.backends.cupy.optim import adam_update, sgd_update
from minicnn.backends.cupy.pool import (
    avg_pool2d,
    avg_pool2d_backward,
    max_pool2d,
    max_pool2d_backward,
    pool2d_workspace,
)
from minicnn.backends.cupy.relu import relu, relu_backward
from minicnn.backends.cupy.sigmoid import sigmoid, sigmoid_backward
from minicnn.backends.cupy.tanh import tanh, tanh_backward
from minicnn.backends.cupy.transfer import pinned, sent_ahead

__all__ = [
    "adam_update", "asarray", "astype", "avg_pool2d", "avg_pool2d_backward", "batchnorm", "batchnorm_backward",
    "batchnorm_inference", "bytes_in_use", "col2im", "concatenate", "conv2d", "conv2d_algorithms", "conv2d_backward",
    "conv2d_fastest", "conv2d_workspace", "copy", "crops", "describe", "dropout", "dropout_backward", "im2col", "linear",
    "linear_backward", "lrn", "lrn_backward", "lrn_workspace", "max_pool2d", "max_pool2d_backward", "memory_errors",
    "pinned", "pool2d_workspace", "relu", "relu_backward", "require_usable", "sent_ahead", "sgd_update", "sigmoid",
    "sigmoid_backward", "softmax_cross_entropy", "softmax_cross_entropy_backward", "tanh", "tanh_backward", "to_numpy",
    "zeros",
]

for _name in set(__all__) - {"memory_errors", "require_usable"}:
    globals()[_name] = memory_errors(globals()[_name])
