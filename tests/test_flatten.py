"""Flatten: (N, C, H, W) as (N, C * H * W), channel first, and back."""

import numpy as np
import pytest
from helpers import check_layer, fetch, normal, run, send

from minicnn import Flatten, gradcheck
from minicnn.errors import ShapeError

pytestmark = pytest.mark.every_backend


@pytest.mark.parametrize("shape", [(2, 3, 5, 7), (1, 2, 3, 4), (3, 1, 2, 5), (4, 6), (2, 3, 4)], ids=str)
def test_flatten_is_a_reshape_both_ways(shape):
    check_layer(Flatten(), normal(*shape), lambda x, p: x.reshape(shape[0], -1), lambda x, dy, p: dy.reshape(shape))


def test_order_is_channel_row_column():
    x = np.arange(2 * 3 * 5 * 7, dtype=np.float32).reshape(2, 3, 5, 7)
    y = fetch(Flatten()(send(x)))
    for n, c, i, j in np.ndindex(x.shape):
        assert y[n, (c * 5 + i) * 7 + j] == x[n, c, i, j]


def test_transposed_input_is_flattened_by_index_not_by_memory():
    x = normal(2, 7, 5, 3, dtype=np.float32).transpose(0, 3, 2, 1)
    wanted = np.ascontiguousarray(x).reshape(2, -1)
    np.testing.assert_array_equal(fetch(Flatten()(send(x))), wanted)
    np.testing.assert_array_equal(fetch(Flatten()(send(np.asfortranarray(x)))), wanted)


def test_backward_gives_the_shape_back():
    _, dx, _ = run(Flatten(), normal(2, 3, 5, 7, dtype=np.float32), normal(2, 105, dtype=np.float32))
    assert dx.shape == (2, 3, 5, 7)


def test_dy_of_another_shape_is_refused():
    layer = Flatten()
    layer(send(normal(2, 3, 5, 7, dtype=np.float32)))
    with pytest.raises(ShapeError):
        layer.backward(send(normal(2, 104, dtype=np.float32)))


def test_gradcheck():
    assert gradcheck(Flatten(), normal(2, 3, 2, 5)).passed
