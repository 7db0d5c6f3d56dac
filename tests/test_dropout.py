"""Dropout: kept values are x / (1 - p), the others 0; backward uses the very same mask; evaluation is the identity."""

import math

import numpy as np
import pytest
from helpers import fetch, normal, run, send

from minicnn import Dropout, Linear, MinicnnError, ReLU, Sequential, gradcheck
from minicnn.errors import StateError

pytestmark = pytest.mark.every_backend


def mask_of(layer, *shape, dtype=np.float32):
    """Which values the next call keeps."""
    return fetch(layer(send(np.ones(shape, dtype)))) != 0


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("p", [0.1, 0.5, 0.75])
@pytest.mark.parametrize("shape", [(7, 5), (2, 3, 5, 7), (41, 3)], ids=str)
def test_values_are_scaled_or_zero_and_backward_uses_the_same_mask(shape, p, dtype):
    x, dy = normal(*shape, dtype=dtype), normal(*shape, seed=1, dtype=dtype)
    y, dx, _ = run(Dropout(p, seed=3).astype(dtype), x, dy)
    kept = y != 0
    assert 0 < kept.sum() < kept.size
    np.testing.assert_allclose(y, np.where(kept, x / (1 - p), 0), rtol=1e-6)
    np.testing.assert_allclose(dx, np.where(kept, dy / (1 - p), 0), rtol=1e-6)


def test_backward_knows_the_mask_where_x_is_zero():
    """A mask read off the output would take a zero input for a dropped one."""
    y, dx, _ = run(Dropout(0.5, seed=3), np.zeros((50, 20), np.float32), np.ones((50, 20), np.float32))
    assert not y.any()
    assert set(np.unique(dx)) == {0.0, 2.0}


@pytest.mark.parametrize("p", [0.2, 0.5, 0.9])
def test_share_of_dropped_values_is_p(p):
    dropped = 1 - mask_of(Dropout(p, seed=1), 200, 500).mean()
    assert abs(dropped - p) < 4 * math.sqrt(p * (1 - p) / 100_000)


def test_every_position_is_dropped_as_often():
    layer, count = Dropout(0.5, seed=5), np.zeros((3, 7))
    for _ in range(400):
        count += mask_of(layer, 3, 7)
    assert np.all(np.abs(count - 200) < 5 * math.sqrt(400 * 0.25))


def test_neighbours_are_independent():
    """Along every axis, and from one call to the next."""
    layer = Dropout(0.5, seed=2)
    first, second = (2.0 * mask_of(layer, 40, 50, 50) - 1 for _ in range(2))
    pairs = [(first[1:], first[:-1]), (first[:, 1:], first[:, :-1]), (first[..., 1:], first[..., :-1]), (first, second)]
    for one, other in pairs:
        assert abs((one * other).mean()) < 5 / math.sqrt(one.size)


def test_expectation_is_the_input():
    x = np.full((300, 400), 3, np.float32)
    assert fetch(Dropout(0.3, seed=8)(send(x))).mean() == pytest.approx(3, rel=0.01)


def test_evaluation_is_the_identity_both_ways():
    x, dy = normal(3, 5, dtype=np.float32), normal(3, 5, seed=1, dtype=np.float32)
    y, dx, _ = run(Dropout(0.5).eval(), x, dy)
    np.testing.assert_array_equal(y, x)
    np.testing.assert_array_equal(dx, dy)


def test_probability_zero_keeps_everything():
    x, dy = normal(3, 5, dtype=np.float32), normal(3, 5, seed=1, dtype=np.float32)
    y, dx, _ = run(Dropout(0), x, dy)
    np.testing.assert_array_equal(y, x)
    np.testing.assert_array_equal(dx, dy)


@pytest.mark.parametrize("p", [1, 1.0, -0.1, 1.5, float("nan")])
def test_probability_outside_zero_to_one_is_refused(p):
    with pytest.raises(MinicnnError, match="p"):
        Dropout(p)


def test_same_seed_same_masks_another_seed_other_masks():
    def three(seed):
        layer = Dropout(0.5, seed=seed)
        return np.stack([mask_of(layer, 6, 7) for _ in range(3)])

    np.testing.assert_array_equal(three(4), three(4))
    for other in (5, 6, 4 + 2**32, 4 + 2**62):
        assert (three(4) != three(other)).any()
    assert (three(4)[0] != three(4)[1]).any(), "the same mask twice"


def test_mask_of_an_image_depends_on_its_position_not_on_the_batch():
    large, small = mask_of(Dropout(0.5, seed=4), 11, 6, 7), mask_of(Dropout(0.5, seed=4), 3, 6, 7)
    np.testing.assert_array_equal(large[:3], small)


def test_mask_is_the_same_in_float64():
    single, double = (
        mask_of(Dropout(0.5, seed=4), 5, 9),
        mask_of(Dropout(0.5, seed=4).astype("float64"), 5, 9, dtype=np.float64),
    )
    np.testing.assert_array_equal(single, double)


def test_evaluation_does_not_use_up_masks():
    """Looking at the validation loss must not change the training that follows."""
    one, other = Dropout(0.5, seed=4), Dropout(0.5, seed=4)
    mask_of(other.eval(), 6, 7)
    np.testing.assert_array_equal(mask_of(one, 6, 7), mask_of(other.train(), 6, 7))


def test_seed_of_a_network_reaches_every_dropout_and_each_differs():
    def masks(seed):
        net = Sequential(a=Dropout(0.5), b=Dropout(0.5))
        net.seed(seed)
        return mask_of(net.a, 8, 9), mask_of(net.b, 8, 9)

    first, again, other = masks(3), masks(3), masks(4)
    np.testing.assert_array_equal(first, again)
    assert (first[0] != first[1]).any(), "two layers share their masks"
    assert (first[0] != other[0]).any()


def test_random_state_continues_where_it_was():
    net = Sequential(fc=Linear(5, 6, seed=0), relu=ReLU(), drop=Dropout(0.5, seed=7))
    x = normal(4, 5, dtype=np.float32)
    net(send(x))
    state = net.random_state()
    wanted = fetch(net(send(x)))
    other = Sequential(fc=Linear(5, 6, seed=0), relu=ReLU(), drop=Dropout(0.5, seed=1))
    other.load_random_state(state)
    np.testing.assert_array_equal(fetch(other(send(x))), wanted)
    assert list(state) == ["drop"] and all(type(number) is int for number in state["drop"])


@pytest.mark.parametrize("state", [{}, {"drop": [1, 0], "other": [1, 0]}, {"other": [1, 0]}], ids=str)
def test_random_state_of_another_network_is_refused(state):
    net = Sequential(drop=Dropout(0.5, seed=1))
    before = net.random_state()
    with pytest.raises(MinicnnError):
        net.load_random_state(state)
    assert net.random_state() == before


def test_mask_is_forgotten_after_backward():
    layer = Dropout(0.5, seed=1)
    run(layer, np.ones((2, 3), np.float32), np.ones((2, 3), np.float32))
    with pytest.raises(StateError):
        layer.backward(send(np.ones((2, 3), np.float32)))


def test_gradcheck_with_the_mask_held_fixed():
    assert gradcheck(Dropout(0.4, seed=2), normal(3, 2, 5, 4)).passed
    assert gradcheck(Dropout(0.4).eval(), normal(3, 7)).passed
