"""Linear: y = x w^T + b, against loops and known values."""

import importlib

import numpy as np
import pytest
from helpers import assert_close, check_layer, fetch, fill, normal, run, send

from minicnn import Flatten, Linear, MinicnnError, ReLU, Sequential, SoftmaxCrossEntropy, gradcheck
from minicnn.errors import ShapeError

pytestmark = pytest.mark.every_backend

# images, features in, features out
SIZES = [(5, 3, 7), (1, 4, 2), (3, 1, 5), (4, 7, 1), (1, 1, 1), (131, 6, 5), (3, 2, 521), (2, 521, 3),
         (3, 1030, 19), (2, 530, 40), (2, 150, 530)]


def product(x, p):
    y = np.zeros((len(x), len(p["weight"])))
    for n, o in np.ndindex(y.shape):
        y[n, o] = p["bias"][o] if "bias" in p else 0.0
        for i in range(x.shape[1]):
            y[n, o] += p["weight"][o, i] * x[n, i]
    return y


def product_backward(x, dy, p):
    dx, dw, db = np.zeros(x.shape), np.zeros(p["weight"].shape), np.zeros(dy.shape[1])
    for n, o in np.ndindex(dy.shape):
        db[o] += dy[n, o]
        dw[o] += dy[n, o] * x[n]
        dx[n] += dy[n, o] * p["weight"][o]
    return dx, {"weight": dw, "bias": db} if "bias" in p else {"weight": dw}


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_linear_equals_loops(sizes, bias):
    N, features_in, features_out = sizes
    check_layer(fill(Linear(features_in, features_out, bias=bias)), normal(N, features_in), product, product_backward)


@pytest.mark.numpy_only
@pytest.mark.parametrize("images", [1, 2, 5, 32, 33])
@pytest.mark.parametrize("features", [(1, 1), (12, 12), (13, 11), (7, 25), (26, 8), (2, 14), (14, 1)], ids=str)
def test_blocks_of_every_number_and_rest_equal_loops(features, images, monkeypatch):
    """Blocks and pieces of a few features: none, one or several each way, with and without a rest."""
    module = importlib.import_module("minicnn.backends.numpy.linear")
    for name, value in (("BLOCK", (2, 3)), ("TURNED", (3, 2)), ("FEATURES", 6)):
        monkeypatch.setattr(module, name, value)
    check_layer(fill(Linear(*features)), normal(images, features[0]), product, product_backward)


@pytest.mark.numpy_only
@pytest.mark.parametrize("images", [1, 3, 40])
def test_an_image_without_numbers_stays_alone(images):
    """An infinite feature reaches its own image in y, its own column in dW, and nothing in dx."""
    layer, x, dy = fill(Linear(1100, 170).astype("float64")), normal(images, 1100), normal(images, 170, seed=1)
    clean_y, clean_dx, gradients = run(layer, x, dy)
    x[-1, 600] = np.inf
    with np.errstate(invalid="ignore"):
        y, dx, found = run(layer, x, dy)
    assert not np.isfinite(y[-1]).any() and not np.isfinite(found["weight"][:, 600]).any()
    np.testing.assert_array_equal(y[:-1], clean_y[:-1])
    np.testing.assert_array_equal(dx, clean_dx)
    for array in (found["weight"], gradients["weight"]):
        array[:, 600] = 0
    np.testing.assert_array_equal(found["weight"], gradients["weight"])


def test_bias_false_has_no_bias():
    assert [p.data.shape for p in Linear(3, 5, bias=False).parameters()] == [(5, 3)]


@pytest.mark.parametrize("shape", [(2, 3, 4, 5), (3, 2, 2, 1)], ids=str)
def test_four_axes_are_refused_and_flatten_is_named(shape):
    """Also where the last axis would fit."""
    with pytest.raises(ShapeError, match="Flatten"):
        Linear(shape[-1], 2)(send(np.zeros(shape, np.float32)))
    with pytest.raises(ShapeError, match="Flatten"):
        Linear(shape[-1], 2).output_shape(shape)


def test_wrong_number_of_features_is_refused_with_both_numbers():
    with pytest.raises(ShapeError, match=r"(?s)(?=.*37)(?=.*41)"):
        Linear(37, 2)(send(np.zeros((3, 41), np.float32)))


def test_vector_is_refused():
    with pytest.raises(ShapeError):
        Linear(3, 2)(send(np.zeros(3, np.float32)))


@pytest.mark.parametrize("sizes", [(0, 3), (3, 0), (-1, 2)], ids=str)
def test_sizes_without_sense_are_refused(sizes):
    with pytest.raises(MinicnnError):
        Linear(*sizes)


def test_dy_of_another_shape_is_refused():
    layer = Linear(3, 4)
    layer(send(np.zeros((2, 3), np.float32)))
    with pytest.raises(ShapeError):
        layer.backward(send(np.zeros((2, 3), np.float32)))


def test_gradcheck():
    assert gradcheck(fill(Linear(5, 3)), normal(2, 5)).passed
    assert gradcheck(fill(Linear(5, 3)).eval(), normal(2, 5)).passed


def test_value_of_cs231n():
    """Stanford cs231n, assignment 2, FullyConnectedNets.ipynb: "Affine layer: forward"."""
    net = Sequential(Flatten(), Linear(120, 3)).astype("float64")
    net[1].weight.data[...] = send(np.linspace(-0.2, 0.3, 360).reshape(120, 3).T)
    net[1].bias.data[...] = send(np.linspace(-0.3, 0.1, 3))
    y = fetch(net(send(np.linspace(-0.1, 0.5, 240).reshape(2, 4, 5, 6))))
    wanted = [[1.49834967, 1.70660132, 1.91485297], [3.25553199, 3.5141327, 3.77273342]]
    np.testing.assert_allclose(y, wanted, rtol=0, atol=5e-9)


def test_two_layers_of_cs231n():
    """Stanford cs231n, assignment 2, FullyConnectedNets.ipynb: the two-layer network's scores and loss."""
    net = Sequential(Linear(5, 50), ReLU(), Linear(50, 7)).astype("float64")
    net[0].weight.data[...] = send(np.linspace(-0.7, 0.3, 250).reshape(5, 50).T)
    net[0].bias.data[...] = send(np.linspace(-0.1, 0.9, 50))
    net[2].weight.data[...] = send(np.linspace(-0.3, 0.4, 350).reshape(50, 7).T)
    net[2].bias.data[...] = send(np.linspace(-0.9, 0.1, 7))
    scores = net(send(np.linspace(-5.5, 4.5, 15).reshape(5, 3).T))
    wanted = [11.53165108, 12.2917344, 13.05181771, 13.81190102, 14.57198434, 15.33206765, 16.09215096]
    np.testing.assert_allclose(fetch(scores)[0], wanted, rtol=0, atol=5e-8)
    assert float(SoftmaxCrossEntropy()(scores, np.array([0, 5, 1]))) == pytest.approx(3.4702243556, abs=1e-9)


def test_weight_gradient_is_the_sum_over_the_batch_not_the_mean():
    layer = fill(Linear(3, 4))
    x, dy = normal(2, 3, dtype=np.float32), normal(2, 4, seed=1, dtype=np.float32)
    _, _, once = run(layer, x, dy)
    _, _, twice = run(layer, np.concatenate([x, x]), np.concatenate([dy, dy]))
    for name in once:
        assert_close(twice[name], 2 * once[name], 1e-6, name)
