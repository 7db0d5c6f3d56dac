"""Modes and prediction: evaluation, nothing kept, nothing changed, memory bounded by the batch."""

import inspect
import tracemalloc

import numpy as np
import pytest
from helpers import assert_close, clear, fetch, normal, run, send

from minicnn import (
    LRN,
    BatchNorm2d,
    Conv2d,
    Dropout,
    Flatten,
    Linear,
    MaxPool2d,
    MinicnnError,
    ReLU,
    Sequential,
)

pytestmark = pytest.mark.every_backend

IMAGES = (7, 2, 6, 5)


def small(**options):
    return Sequential(
        conv=Conv2d(2, 3, (3, 2), padding=(1, 0), seed=0),
        bn=BatchNorm2d(3),
        relu=ReLU(),
        pool=MaxPool2d(2),
        flatten=Flatten(),
        drop=Dropout(0.5, seed=0),
        fc=Linear(18, 4, seed=1),
    )


def images(seed=0, dtype=np.float32, count=7):
    return normal(count, *IMAGES[1:], seed=seed, dtype=dtype)


def test_modes_reach_every_layer_and_return_the_network():
    net = small()
    assert net.training and all(layer.training for layer in net.layers.values())
    assert net.eval() is net and not net.training and not any(layer.training for layer in net.layers.values())
    assert net.train() is net and all(layer.training for layer in net.layers.values())
    assert net.astype("float64") is net and net.dtype == np.float64
    assert all(layer.dtype == np.float64 for layer in net.layers.values())
    assert net.to("numpy") is net and net.backend == "numpy"


@pytest.mark.parametrize("mode", ["train", "eval"])
def test_predict_equals_forward_in_evaluation_and_restores_the_mode(mode):
    net = getattr(small(), mode)()
    net(send(images(seed=3))) if mode == "train" else None  # moves batch norm's statistics
    logits = fetch(net.predict(send(images())))
    modes = [layer.training for layer in net.layers.values()]
    assert modes == [mode == "train"] * 7 and net.training == (mode == "train")
    np.testing.assert_allclose(logits, fetch(net.eval()(send(images()))), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("batch_size", [1, 2, 3, 7, 8, 128])
def test_predict_in_batches_equals_predict_at_once(batch_size):
    """Also where the last batch is smaller."""
    net = small().astype("float64")
    x = images(dtype=np.float64)
    assert_close(net.predict(send(x), batch_size=batch_size), fetch(net.eval()(send(x))), 1e-13)


def test_predict_restores_mixed_modes():
    net = small()
    net.bn.eval()
    net.predict(send(images()))
    assert not net.bn.training and net.drop.training and net.conv.training


def test_predict_restores_the_mode_after_an_error():
    net = small()
    with pytest.raises(MinicnnError):
        net.predict(send(np.zeros((3, 9, 6, 5), np.float32)))
    assert net.training and all(layer.training for layer in net.layers.values())


def test_predict_does_not_disturb_a_pending_backward():
    dy, x = send(normal(7, 4, seed=1, dtype=np.float32)), send(images())
    nets = [small(), small()]
    gradients = []
    for predicts, net in enumerate(nets):
        net(x)
        if predicts:
            net.predict(send(images(seed=5, count=11)), batch_size=4)
        gradients.append([fetch(net.backward(dy)), *(fetch(p.grad) for p in net.parameters())])
    for one, other in zip(*gradients, strict=True):
        np.testing.assert_array_equal(one, other)


def test_predict_changes_nothing():
    net = small()
    state, random_state = net.state_dict(), net.random_state()
    clear(net)
    net.predict(send(images()))
    assert net.random_state() == random_state
    assert all(p.grad is None for p in net.parameters())
    for key, array in net.state_dict().items():
        np.testing.assert_array_equal(array, state[key], key)


@pytest.mark.numpy_only
@pytest.mark.usefixtures("new_memory")
def test_memory_of_predict_is_bounded_by_the_batch():
    """Two images at a time: never the activations of all 64, and nothing kept."""
    net, x = (
        Sequential(Conv2d(1, 32, 3, padding=1, seed=0), ReLU(), LRN(), MaxPool2d(8)),
        normal(64, 1, 64, 64, dtype=np.float32),
    )
    tracemalloc.start()
    try:
        net.predict(send(x), batch_size=2)
        kept, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 16e6, "one layer's output for all images alone is 33 MB"
    assert kept < 12e6


@pytest.mark.parametrize("batch_size", [0, -1, 2.5, "3", None])
def test_batch_size_without_sense_is_refused(batch_size):
    with pytest.raises(MinicnnError):
        small().predict(send(images()), batch_size=batch_size)


def test_default_batch_size_of_predict_is_128():
    assert inspect.signature(Sequential.predict).parameters["batch_size"].default == 128


def test_evaluation_has_a_backward_too():
    """Saliency: the gradient of one logit by the pixels."""
    net = small().eval()
    x, dy = images(dtype=np.float32), np.zeros((7, 4), np.float32)
    dy[:, 2] = 1
    _, dx, _ = run(net, x, dy)
    assert dx.shape == IMAGES and np.abs(dx).max() > 0
