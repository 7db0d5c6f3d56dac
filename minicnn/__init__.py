"""minicnn: convolutional networks from scratch, without autograd, on CPU and GPU.

Layers have a forward and a backward pass written by hand; `Sequential` chains them; `gradcheck` tells whether a backward
is right; `trace` shows shapes, parameters, work and memory before anything runs, `watch` what really flows.
"""

from minicnn import blas as blas  # isort: skip  # first of all: it loads NumPy with the fastest kernels
from minicnn.backends.numpy import col2im, im2col
from minicnn.backends.numpy.parallel import get_num_threads, set_num_threads
from minicnn.errors import BackendError, DataError, DtypeError, FileError, MinicnnError, ShapeError, StateError
from minicnn.gradcheck import gradcheck
from minicnn.layers import (
    LRN,
    AvgPool2d,
    BatchNorm1d,
    BatchNorm2d,
    Conv2d,
    Dropout,
    Flatten,
    Layer,
    Linear,
    MaxPool2d,
    ReLU,
    Sigmoid,
    Tanh,
)
from minicnn.losses import SoftmaxCrossEntropy
from minicnn.network import Sequential
from minicnn.optim import SGD, Adam
from minicnn.parameter import Parameter
from minicnn.schedules import PlateauSchedule, StepSchedule
from minicnn.trace import trace
from minicnn.watch import watch

__version__ = "0.1.0"

__all__ = [
    "LRN", "SGD", "Adam", "AvgPool2d", "BackendError", "BatchNorm1d", "BatchNorm2d", "Conv2d", "DataError", "Dropout",
    "DtypeError", "FileError", "Flatten", "Layer", "Linear", "MaxPool2d", "MinicnnError", "Parameter", "PlateauSchedule",
    "ReLU", "Sequential", "ShapeError", "Sigmoid", "SoftmaxCrossEntropy", "StateError", "StepSchedule", "Tanh", "col2im",
    "get_num_threads", "gradcheck", "im2col", "set_num_threads", "trace",
    "watch",
]
