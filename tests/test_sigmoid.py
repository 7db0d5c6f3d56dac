"""Sigmoid, from -inf to inf without a warning."""

import math

import numpy as np
import pytest
from helpers import check_layer, fetch, normal, run, send

from minicnn import Sigmoid, gradcheck

pytestmark = pytest.mark.every_backend


def sigmoid(value):
    return 1 / (1 + math.exp(-value))


@pytest.mark.parametrize("shape", [(5,), (3, 7), (2, 3, 5, 7), (41, 2, 3)], ids=str)
def test_sigmoid_equals_its_formula_for_each_number(shape):
    def forward(x, p):
        return np.array([sigmoid(value) for value in x.flat]).reshape(shape)

    def backward(x, dy, p):
        slopes = [d * sigmoid(value) * (1 - sigmoid(value)) for value, d in zip(x.flat, dy.flat, strict=True)]
        return np.array(slopes).reshape(shape)

    check_layer(Sigmoid(), 3 * normal(*shape), forward, backward)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.filterwarnings("error")
def test_large_values_do_not_overflow(dtype):
    x = np.array([[-np.inf, -1e4, -800, 0, 800, 1e4, np.inf]], dtype)
    y, dx, _ = run(Sigmoid().astype(dtype), x, np.ones_like(x))
    np.testing.assert_allclose(y, [[0, 0, 0, 0.5, 1, 1, 1]], rtol=0, atol=1e-30)
    np.testing.assert_allclose(dx, [[0, 0, 0, 0.25, 0, 0, 0]], rtol=0, atol=1e-30)


def test_far_below_zero_it_is_exp_and_not_zero():
    y = fetch(Sigmoid().astype("float64")(send(np.array([[-40.0, -300.0]]))))
    np.testing.assert_allclose(y, [[math.exp(-40), math.exp(-300)]], rtol=1e-12)


def test_nan_is_not_hidden():
    assert np.isnan(fetch(Sigmoid()(send(np.array([[np.nan, 1]], np.float32)))))[0, 0]


def test_gradcheck():
    assert gradcheck(Sigmoid(), normal(3, 2, 5, 4)).passed
    assert gradcheck(Sigmoid().eval(), normal(3, 7)).passed
