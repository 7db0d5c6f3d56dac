"""One of every layer with an input shape, for tests of what all layers owe their caller."""

import numpy as np
import pytest
from helpers import normal

from minicnn import (
    LRN,
    AvgPool2d,
    BatchNorm1d,
    BatchNorm2d,
    Conv2d,
    Dropout,
    Flatten,
    Linear,
    MaxPool2d,
    ReLU,
    Sequential,
    Sigmoid,
    Tanh,
)

IMAGES = (3, 4, 7, 5)
LAYERS = {
    "conv": (lambda: Conv2d(4, 6, (3, 2), (2, 1), (1, 0), groups=2, seed=0), IMAGES),
    "conv without bias": (lambda: Conv2d(4, 3, 1, bias=False, seed=0), IMAGES),
    "max pool": (lambda: MaxPool2d((3, 2), 2, padding=1), IMAGES),
    "average pool": (lambda: AvgPool2d((3, 2), 2, padding=1, ceil_mode=True), IMAGES),
    "lrn": (lambda: LRN(3, 1.0), IMAGES),
    "relu": (ReLU, IMAGES),
    "tanh": (Tanh, IMAGES),
    "sigmoid": (Sigmoid, IMAGES),
    "dropout": (lambda: Dropout(0.4, seed=0), IMAGES),
    "linear": (lambda: Linear(6, 5, seed=0), (3, 6)),
    "flatten": (Flatten, IMAGES),
    "batch norm 1d": (lambda: BatchNorm1d(6), (5, 6)),
    "batch norm 2d": (lambda: BatchNorm2d(4), IMAGES),
    "network": (
        lambda: Sequential(Conv2d(4, 3, 2, seed=0), ReLU(), MaxPool2d(2), Flatten(), Linear(18, 5, seed=1)),
        IMAGES,
    ),
}
with_state = pytest.mark.parametrize("make", [make for make, _ in LAYERS.values() if make().state_dict()])
every_layer = pytest.mark.parametrize("make, shape", LAYERS.values(), ids=LAYERS.keys())


def numbers(shape, seed=0, dtype=np.float32):
    return normal(*shape, seed=seed, dtype=dtype)
