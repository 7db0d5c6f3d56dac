"""The layers: one file each, with the mathematics in the docstring. Arithmetic is left to the backends;
NumPy is named in base.py alone, for dtypes and for saved state, which is NumPy's by contract."""

from minicnn.layers.base import Layer
from minicnn.layers.batchnorm import BatchNorm1d, BatchNorm2d
from minicnn.layers.conv import Conv2d
from minicnn.layers.dropout import Dropout
from minicnn.layers.flatten import Flatten
from minicnn.layers.linear import Linear
from minicnn.layers.lrn import LRN
from minicnn.layers.pool import AvgPool2d, MaxPool2d
from minicnn.layers.relu import ReLU
from minicnn.layers.sigmoid import Sigmoid
from minicnn.layers.tanh import Tanh

__all__ = ["LRN", "AvgPool2d", "BatchNorm1d", "BatchNorm2d", "Conv2d", "Dropout", "Flatten", "Layer", "Linear",
           "MaxPool2d", "ReLU", "Sigmoid", "Tanh"]
