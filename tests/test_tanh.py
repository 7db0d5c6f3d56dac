"""Tanh, from -inf to inf without a warning."""

import math

import numpy as np
import pytest
from helpers import check_layer, fetch, normal, run, send

from minicnn import Tanh, gradcheck

pytestmark = pytest.mark.every_backend


@pytest.mark.parametrize("shape", [(5,), (3, 7), (2, 3, 5, 7), (41, 2, 3)], ids=str)
def test_tanh_equals_math_tanh_of_each_number(shape):
    def forward(x, p):
        return np.array([math.tanh(value) for value in x.flat]).reshape(shape)

    def backward(x, dy, p):
        return np.array([d * (1 - math.tanh(value) ** 2) for value, d in zip(x.flat, dy.flat, strict=True)]).reshape(shape)

    check_layer(Tanh(), 2 * normal(*shape), forward, backward)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.filterwarnings("error")
def test_large_values_do_not_overflow(dtype):
    x = np.array([[-np.inf, -1e4, -100, 0, 100, 1e4, np.inf]], dtype)
    y, dx, _ = run(Tanh().astype(dtype), x, np.ones_like(x))
    np.testing.assert_array_equal(y, [[-1, -1, -1, 0, 1, 1, 1]])
    np.testing.assert_array_equal(dx, [[0, 0, 0, 1, 0, 0, 0]])


def test_nan_is_not_hidden():
    assert np.isnan(fetch(Tanh()(send(np.array([[np.nan, 1]], np.float32)))))[0, 0]


def test_gradcheck():
    assert gradcheck(Tanh(), normal(3, 2, 5, 4)).passed
    assert gradcheck(Tanh().eval(), normal(3, 7)).passed
