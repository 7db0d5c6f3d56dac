"""Networks as a whole: a narrow AlexNet along random directions, and a small net that learns images by heart."""

import numpy as np
import pytest
from helpers import directional_check, fetch, normal, send

from minicnn import (
    LRN,
    SGD,
    Conv2d,
    Dropout,
    Flatten,
    Linear,
    MaxPool2d,
    ReLU,
    Sequential,
    SoftmaxCrossEntropy,
)


def narrow_alexnet():
    """AlexNet at a quarter of its size and a hundredth of its width: the same layers in the same order."""
    return Sequential(
        conv1=Conv2d(3, 4, 11, stride=4, seed=1), relu1=ReLU(), norm1=LRN(5, 1.0), pool1=MaxPool2d(3, 2),
        conv2=Conv2d(4, 6, 5, padding=2, groups=2, seed=2), relu2=ReLU(), norm2=LRN(5, 1.0), pool2=MaxPool2d(3, 2),
        conv3=Conv2d(6, 7, 3, padding=1, seed=3), relu3=ReLU(),
        conv4=Conv2d(7, 8, 3, padding=1, seed=4), relu4=ReLU(),
        conv5=Conv2d(8, 5, 3, padding=1, seed=5), relu5=ReLU(), pool5=MaxPool2d(3, 2),
        flatten=Flatten(), drop6=Dropout(0.5), fc6=Linear(20, 9, seed=6), relu6=ReLU(),
        drop7=Dropout(0.5), fc7=Linear(9, 8, seed=7), relu7=ReLU(), fc8=Linear(8, 10, seed=8),
    ).astype("float64")  # fmt: skip


@pytest.mark.parametrize("mode", ["train", "eval"])
@pytest.mark.parametrize("seed", range(3))
def test_narrow_alexnet_along_random_directions(seed, mode):
    """The input and every parameter at once: two forwards, whatever the size. The masks are held fixed."""
    net = getattr(narrow_alexnet(), mode)()
    for p in net.parameters():
        if p.name.endswith("bias"):
            p.data += send(normal(*p.data.shape, seed=seed) * 0.1)
    net.seed(11)
    state = net.random_state()
    forward = net.forward

    class FixedMasks:
        parameters, backward = net.parameters, net.backward

        def __call__(self, x):
            net.load_random_state(state)
            return forward(x)

    directional_check(FixedMasks(), 3 * normal(2, 3, 123, 127, seed=seed), seed=seed, step=1e-7, tolerance=1e-5)


def test_fits_eight_images_by_heart():
    """Loss, backward and optimiser together: a small convolutional net overfits random labels."""
    net, loss = (
        Sequential(Conv2d(2, 8, 3, seed=0), ReLU(), MaxPool2d(2), Flatten(), Linear(16, 4, seed=1)),
        SoftmaxCrossEntropy(),
    )
    x, labels = normal(8, 2, 6, 5, dtype=np.float32), np.arange(8) % 4
    optimiser = SGD(net.parameters(), lr=0.1, momentum=0.9)
    first = None
    for _ in range(60):
        value = float(loss(net(send(x)), labels))
        first = value if first is None else first
        optimiser.zero_grad()
        net.backward(loss.backward())
        optimiser.step()
    assert first > 1 and value < 0.01
    assert (fetch(net.predict(send(x))).argmax(1) == labels).all()
