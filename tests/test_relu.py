"""ReLU: max(x, 0), whose slope at zero is zero."""

import numpy as np
import pytest
from helpers import check_layer, fetch, normal, run, send

from minicnn import ReLU, gradcheck

pytestmark = pytest.mark.every_backend


@pytest.mark.parametrize("shape", [(5,), (3, 7), (2, 3, 5), (2, 3, 5, 7), (2, 1, 3, 2, 2), (41, 2, 3, 5)], ids=str)
def test_relu_equals_a_comparison_of_each_number(shape):
    def forward(x, p):
        return np.array([value if value > 0 else 0.0 for value in x.flat]).reshape(shape)

    def backward(x, dy, p):
        return np.array([d if value > 0 else 0.0 for value, d in zip(x.flat, dy.flat, strict=True)]).reshape(shape)

    check_layer(ReLU(), normal(*shape), forward, backward)


def test_slope_at_zero_is_zero():
    x = np.array([[0.0, -0.0, 1.0, -1.0]], np.float32)
    y, dx, _ = run(ReLU(), x, np.array([[3, 3, 3, 3]], np.float32))
    np.testing.assert_array_equal(y, [[0, 0, 1, 0]])
    np.testing.assert_array_equal(dx, [[0, 0, 3, 0]])


def test_nan_is_not_hidden():
    assert np.isnan(fetch(ReLU()(send(np.array([[np.nan, 1]], np.float32)))))[0, 0]


def test_float64_in_the_tests_of_known_values():
    """Stanford cs231n, assignment 2, FullyConnectedNets.ipynb: "ReLU activation: forward"."""
    y = fetch(ReLU().astype("float64")(send(np.linspace(-0.5, 0.5, 12).reshape(3, 4))))
    wanted = [[0, 0, 0, 0], [0, 0, 0.04545455, 0.13636364], [0.22727273, 0.31818182, 0.40909091, 0.5]]
    np.testing.assert_allclose(y, wanted, rtol=0, atol=5e-9)


def test_gradcheck():
    assert gradcheck(ReLU(), normal(3, 2, 5, 4)).passed
    assert gradcheck(ReLU().eval(), normal(3, 7)).passed
