"""The initialisers: their spread, their seeds, and what `initialize` draws anew."""

import math

import numpy as np
import pytest

from minicnn import BatchNorm2d, Conv2d, Linear, MinicnnError, Sequential
from minicnn.initialisers import Constant, HeNormal, Normal, XavierUniform

CONV, LINEAR = (64, 30, 5, 3), (500, 300)
FAN_IN = {CONV: 30 * 15, LINEAR: 300}
FAN_OUT = {CONV: 64 * 15, LINEAR: 500}


def drawn(initialiser, shape):
    net = Sequential(layer=Conv2d(30, 64, (5, 3)) if shape == CONV else Linear(300, 500))
    net.initialize(initialiser, seed=3)
    return net.layer.weight.data.astype(np.float64)


def check_normal(w, std):
    """Mean, spread, and the shares beyond one and two standard deviations, within five standard errors."""
    error = 5 / math.sqrt(w.size)
    assert abs(w.mean()) < std * error
    assert abs(w.std() / std - 1) < error
    assert abs((np.abs(w) > std).mean() - 0.3173) < error
    assert abs((np.abs(w) > 2 * std).mean() - 0.0455) < error


@pytest.mark.parametrize("shape", [CONV, LINEAR], ids=["conv", "linear"])
def test_he_normal_is_two_over_fan_in(shape):
    check_normal(drawn(HeNormal(), shape), math.sqrt(2 / FAN_IN[shape]))


def test_fan_in_counts_the_maps_of_one_group():
    w = Conv2d(60, 64, (5, 3), groups=2, seed=1).weight.data.astype(np.float64)
    check_normal(w, math.sqrt(2 / FAN_IN[CONV]))


@pytest.mark.parametrize("layer, shape", [(Conv2d(30, 64, (5, 3), seed=1), CONV), (Linear(300, 500, seed=1), LINEAR)])
def test_weights_start_he_normal_and_biases_zero(layer, shape):
    check_normal(layer.weight.data.astype(np.float64), math.sqrt(2 / FAN_IN[shape]))
    assert layer.weight.data.shape == shape
    assert layer.weight.data.dtype == np.float32 and layer.bias.data.dtype == np.float32
    assert not layer.bias.data.any()


@pytest.mark.parametrize("shape", [CONV, LINEAR], ids=["conv", "linear"])
def test_xavier_uniform_is_six_over_fan_in_and_fan_out(shape):
    """Glorot and Bengio 2010, equation 16."""
    w, bound = drawn(XavierUniform(), shape), math.sqrt(6 / (FAN_IN[shape] + FAN_OUT[shape]))
    assert np.abs(w).max() <= bound * (1 + 1e-6)
    assert np.abs(w).max() > 0.99 * bound
    assert abs(w.mean()) < 5 * bound / math.sqrt(3 * w.size)
    assert abs((np.abs(w) < bound / 2).mean() - 0.5) < 5 * 0.5 / math.sqrt(w.size)


@pytest.mark.parametrize("std", [0.01, 0.3])
def test_normal_has_the_spread_asked_for(std):
    check_normal(drawn(Normal(std), LINEAR), std)


def test_constant():
    assert (drawn(Constant(0.5), LINEAR) == 0.5).all()


@pytest.mark.parametrize("name, same", [("he", HeNormal()), ("xavier", XavierUniform())])
def test_named_initialisers(name, same):
    np.testing.assert_array_equal(drawn(name, LINEAR), drawn(same, LINEAR))


@pytest.mark.parametrize("wrong", ["kaiming", None])
def test_unknown_initialiser_is_refused_and_changes_nothing(wrong):
    net = Sequential(fc=Linear(3, 5, seed=0))
    before = net.state_dict()
    with pytest.raises(MinicnnError):
        net.initialize(wrong)
    for key, array in net.state_dict().items():
        np.testing.assert_array_equal(array, before[key])


@pytest.mark.parametrize("std", [-1, float("nan")])
def test_spread_without_sense_is_refused(std):
    with pytest.raises(MinicnnError):
        Normal(std)


@pytest.mark.parametrize(
    "make", [lambda seed: Conv2d(3, 4, 2, seed=seed), lambda seed: Linear(5, 7, seed=seed)], ids=["conv", "linear"]
)
def test_same_seed_same_weights_another_seed_other_weights(make):
    np.testing.assert_array_equal(make(3).weight.data, make(3).weight.data)
    assert (make(3).weight.data != make(4).weight.data).all()
    assert (make(None).weight.data != make(None).weight.data).any()


def net(dtype="float32"):
    layers = {"a": Linear(6, 6), "b": Linear(6, 6), "c": Conv2d(6, 6, 1)}
    return Sequential(**layers, bn=BatchNorm2d(6)).astype(dtype)


def test_initialize_draws_all_anew_from_the_seed_alone():
    one, other = net(), net()
    for p in other.parameters():
        p.data[...] = 7
    one.initialize(HeNormal(), seed=5)
    other.initialize(HeNormal(), seed=5)
    for key, array in one.state_dict().items():
        np.testing.assert_array_equal(array, other.state_dict()[key], key)
    assert not one.a.bias.data.any() and (one.bn.weight.data == 1).all()
    assert (one.a.weight.data != one.b.weight.data).all(), "two layers of one size share their weights"
    first = one.state_dict()
    one.initialize(HeNormal(), seed=6)
    assert (one.a.weight.data != first["a.weight"]).all()
    one.initialize(HeNormal())
    zero = one.state_dict()
    one.initialize(HeNormal(), seed=0)
    np.testing.assert_array_equal(one.a.weight.data, zero["a.weight"], "the default seed is 0")


def test_initialize_keeps_dtype_and_parameter_objects():
    network = net("float64")
    parameters = network.parameters()
    network.initialize(HeNormal(), seed=1)
    assert all(p is q for p, q in zip(network.parameters(), parameters, strict=True))
    assert all(p.data.dtype == np.float64 for p in parameters)
