"""LRN against float64 loops, with alpha of 1 and more: at the paper's 1e-4 a wrong gradient hides in the rounding."""

import numpy as np
import pytest
from helpers import assert_close, check_layer, fetch, normal, run, send
from oracles import lrn, lrn_backward

from minicnn import LRN, MinicnnError, gradcheck
from minicnn.backends.numpy import parallel
from minicnn.errors import ShapeError

pytestmark = pytest.mark.every_backend

# x shape, size, alpha, beta, k: never N = C, nor C = H, nor the window as wide as the maps
CASES = {
    "five of seven maps": ((2, 7, 3, 5), 5, 1.0, 0.75, 2.0),
    "three of four": ((3, 4, 5, 2), 3, 1.5, 0.6, 1.0),
    "one": ((2, 5, 3, 4), 1, 2.0, 0.75, 1.0),
    "window wider than the maps": ((2, 3, 4, 5), 15, 1.0, 0.75, 1.0),
    "window of five over two maps": ((4, 2, 3, 5), 5, 3.0, 0.9, 0.5),
    "one map": ((3, 1, 4, 2), 5, 1.0, 0.75, 2.0),
    "one image": ((1, 8, 2, 3), 5, 1.2, 0.75, 2.0),
    "half a power": ((2, 6, 3, 1), 3, 1.0, 0.5, 1.0),
    "power one": ((2, 6, 1, 3), 7, 1.0, 1.0, 1.5),
    "more images than maps": ((11, 4, 2, 2), 3, 1.0, 0.75, 1.0),
    "batch above any chunk": ((37, 6, 2, 3), 5, 1.0, 0.75, 2.0),
    "the paper's constants": ((2, 9, 3, 4), 5, 1e-4, 0.75, 2.0),
}


@pytest.mark.parametrize("mode", ["sum", "mean"])
@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_lrn_equals_loops(case, mode):
    shape, *constants = case
    check_layer(
        LRN(*constants, alpha_mode=mode),
        2 * normal(*shape),
        lambda x, p: lrn(x, *constants, mode),
        lambda x, dy, p: lrn_backward(x, dy, *constants, mode),
    )


def test_default_is_the_papers():
    """Krizhevsky et al. 2012, section 3.3: k = 2, n = 5, alpha = 1e-4, beta = 0.75, alpha not divided by n."""
    x = 200 * normal(2, 7, 3, 4)
    layer = LRN().astype("float64")
    assert_close(layer(send(x)), lrn(x, 5, 1e-4, 0.75, 2.0, "sum"), 1e-12)


def test_mean_form_divides_alpha_by_the_size_at_the_border_too():
    x = normal(2, 7, 3, 4)
    mean, total = LRN(5, 1.0, 0.75, 2.0, "mean").astype("float64"), LRN(5, 0.2, 0.75, 2.0, "sum").astype("float64")
    assert_close(mean(send(x)), fetch(total(send(x))), 1e-13)


def test_one_spike_reaches_two_maps_to_each_side_and_no_further():
    """The window is five maps wide, everywhere, also over the first maps."""
    for spike in range(9):
        x = np.ones((1, 9, 1, 1))
        x[0, spike] = 10
        changed = fetch(LRN(5, 1.0, 0.75, 1.0).astype("float64")(send(x)))
        x[0, spike] = 1
        usual = fetch(LRN(5, 1.0, 0.75, 1.0).astype("float64")(send(x)))
        reached = np.flatnonzero((changed != usual)[0, :, 0, 0]).tolist()
        assert reached == list(range(max(0, spike - 2), min(9, spike + 3)))


def test_backward_has_its_second_term():
    """The gradient of one map reaches its neighbours (an approximate or identity backward does not send it there)."""
    x = np.ones((1, 9, 1, 1))
    dy = np.zeros_like(x)
    dy[0, 4] = 1
    _, dx, _ = run(LRN(5, 1.0, 0.75, 1.0).astype("float64"), x, dy)
    s = 6.0
    assert_close(dx[0, [2, 3, 5, 6], 0, 0], np.full(4, -2 * 0.75 * s**-1.75), 1e-13)
    assert dx[0, 4, 0, 0] == pytest.approx(s**-0.75 - 2 * 0.75 * s**-1.75, rel=1e-13)
    assert not dx[0, [0, 1, 7, 8]].any()


def test_images_do_not_mix():
    """A reference implementation once looped over the batch instead of the maps."""
    x = normal(9, 4, 2, 2)
    layer = LRN(3, 1.0).astype("float64")
    assert_close(layer(send(x)), np.concatenate([fetch(layer(send(x[n : n + 1]))) for n in range(9)]), 1e-14)


@pytest.mark.numpy_only
def test_the_smallest_pieces_change_nothing(monkeypatch):
    """One image a piece, whose buffers hold what the piece before left."""
    x, dy = (10 * normal(5, 7, 3, 4, seed=seed, dtype=np.float32) for seed in (0, 1))
    wanted = run(LRN(5, 1.0), x, dy)
    monkeypatch.setattr(parallel, "PIECE", 1)
    for mine, whole in zip(run(LRN(5, 1.0), x, dy)[:2], wanted):
        np.testing.assert_array_equal(mine, whole)


@pytest.mark.parametrize("value", [np.inf, np.nan])
def test_what_is_no_number_reaches_the_maps_whose_window_holds_it_and_no_others(value):
    x = normal(2, 9, 2, 3, dtype=np.float32)
    clean = fetch(LRN()(send(x)))
    x[1, 4, 1, 2] = value
    changed = fetch(LRN()(send(x))) != clean
    assert changed[1, 2:7, 1, 2].all() and changed.sum() == 5


def test_large_values_stay_finite():
    x = np.full((1, 6, 1, 2), 1e15, np.float32)
    y, dx, _ = run(LRN(5, 1.0), x, np.ones_like(x))
    assert np.isfinite(y).all() and np.isfinite(dx).all()


@pytest.mark.parametrize("mode", ["sum", "mean"])
@pytest.mark.parametrize("name", ["five of seven maps", "window wider than the maps", "one image", "the paper's constants"])
def test_gradcheck(name, mode):
    shape, *constants = CASES[name]
    layer = LRN(*constants, alpha_mode=mode)
    assert gradcheck(layer, normal(*shape)).passed
    assert gradcheck(layer.eval(), normal(*shape)).passed


def test_values_of_onnx():
    """ONNX, node test lrn: size 3, alpha 2e-4, beta 0.5, bias 2, alpha over the size; square and power by hand."""
    x = normal(5, 6, 3, 4, dtype=np.float32)
    padded = np.pad(x.astype(np.float64) ** 2, ((0, 0), (1, 1), (0, 0), (0, 0)))
    wanted = x / (2 + 2e-4 / 3 * (padded[:, :-2] + padded[:, 1:-1] + padded[:, 2:])) ** 0.5
    assert_close(LRN(3, 2e-4, 0.5, 2.0, "mean")(send(x)), wanted, 1e-6)


@pytest.mark.parametrize("size", [0, 2, 4, -3])
def test_even_size_is_refused(size):
    with pytest.raises(MinicnnError, match=str(size)):
        LRN(size)


@pytest.mark.parametrize("mode", ["caffe", "SUM", None])
def test_unknown_alpha_mode_is_refused(mode):
    with pytest.raises(MinicnnError, match=r"(?s)(?=.*sum)(?=.*mean)"):
        LRN(5, alpha_mode=mode)


def test_wrong_rank_is_refused():
    with pytest.raises(ShapeError):
        LRN()(send(np.zeros((2, 5), np.float32)))
