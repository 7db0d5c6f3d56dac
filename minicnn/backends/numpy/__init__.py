"""The CPU backend: every operation of the layers on NumPy arrays, spread over threads."""

from minicnn.backends.numpy.arrays import (
    asarray,
    astype,
    bytes_in_use,
    concatenate,
    copy,
    memory_errors,
    require_usable,
    to_numpy,
    zeros,
)
from minicnn.backends.numpy.batchnorm import batchnorm, batchnorm_backward, batchnorm_inference
from minicnn.backends.numpy.conv import conv2d, conv2d_algorithms, conv2d_backward, conv2d_fastest, conv2d_workspace
from minicnn.backends.numpy.dropout import dropout, dropout_backward
from minicnn.backends.numpy.im2col import col2im, im2col
from minicnn.backends.numpy.linear import linear, linear_backward
from minicnn.backends.numpy.losses import softmax_cross_entropy, softmax_cross_entropy_backward
from minicnn.backends.numpy.lrn import lrn, lrn_backward, lrn_workspace
from minicnn.backends.numpy.optim import adam_update, sgd_update
from minicnn.backends.numpy.parallel import describe
from minicnn.backends.numpy.pool import (
    avg_pool2d,
    avg_pool2d_backward,
    max_pool2d,
    max_pool2d_backward,
    pool2d_workspace,
)
from minicnn.backends.numpy.relu import relu, relu_backward
from minicnn.backends.numpy.sigmoid import sigmoid, sigmoid_backward
from minicnn.backends.numpy.tanh import tanh, tanh_backward

__all__ = [
    "adam_update", "asarray", "astype", "avg_pool2d", "avg_pool2d_backward", "batchnorm", "batchnorm_backward",
    "batchnorm_inference", "bytes_in_use", "col2im", "concatenate", "conv2d", "conv2d_algorithms", "conv2d_backward",
    "conv2d_fastest", "conv2d_workspace", "copy", "describe", "dropout", "dropout_backward", "im2col", "linear",
    "linear_backward", "lrn", "lrn_backward", "lrn_workspace", "max_pool2d", "max_pool2d_backward", "memory_errors",
    "pool2d_workspace", "relu", "relu_backward", "require_usable", "sgd_update", "sigmoid", "sigmoid_backward",
    "softmax_cross_entropy", "softmax_cross_entropy_backward", "tanh", "tanh_backward", "to_numpy", "zeros",
]
