"""MaxPool2d and AvgPool2d against float64 loops, known values, and the geometry of their windows."""

import numpy as np
import pytest
from helpers import assert_close, check_layer, fetch, integers, normal, run, send
from oracles import average_pool, average_pool_backward, max_pool, max_pool_backward

from minicnn import AvgPool2d, MaxPool2d, MinicnnError, gradcheck
from minicnn.errors import ShapeError

pytestmark = pytest.mark.every_backend

# x shape, kernel, stride, padding, dilation, ceil mode
CASES = {
    "plain": ((2, 3, 7, 9), (3, 2), (2, 3), 0, 1, False),
    "overlapping": ((2, 3, 9, 7), 3, 2, 0, 1, False),
    "stride of the kernel": ((2, 3, 6, 8), (2, 3), None, 0, 1, False),
    "padding": ((2, 3, 5, 8), (3, 4), (2, 1), (1, 3), 1, False),
    "four different paddings": ((1, 2, 6, 5), (4, 3), (1, 2), ((0, 3), (2, 1)), 1, False),
    "ceil mode": ((2, 3, 8, 9), 3, (2, 4), 0, 1, True),
    "ceil mode with padding": ((2, 3, 7, 6), (3, 2), (3, 2), 1, 1, True),
    "ceil mode, last window would begin beyond the input": ((2, 3, 5, 4), (1, 2), (3, 3), (0, 1), 1, True),
    "ceil mode, four paddings": ((2, 3, 8, 7), (3, 4), (2, 3), ((1, 0), (2, 1)), 1, True),
    "stride above the kernel": ((2, 3, 9, 8), (2, 1), (4, 3), 0, 1, False),
    "one image": ((1, 3, 5, 8), (2, 3), (1, 2), (1, 0), 1, False),
    "one channel": ((3, 1, 5, 7), (3, 2), 1, (0, 1), 1, False),
    "kernel as large as the image": ((3, 2, 4, 5), (4, 5), 1, 0, 1, False),
    "1x1": ((3, 2, 4, 5), 1, 1, 0, 1, False),
    "batch above any chunk": ((37, 2, 3, 4), 2, 1, (1, 0), 1, False),
    "many channels": ((2, 150, 5, 4), (2, 3), (1, 2), 0, 1, False),
}
DILATED = {
    "dilation": ((2, 3, 11, 9), (3, 2), 1, 0, (2, 3), False),
    "dilation, stride, padding": ((2, 2, 9, 8), (2, 3), (2, 1), (1, 2), (3, 2), False),
    "dilation, ceil mode, four paddings": ((2, 3, 8, 9), (2, 3), (3, 2), ((1, 0), (2, 1)), (3, 2), True),
    "padding as wide as the kernel": ((2, 3, 5, 6), (2, 3), 1, (2, 3), 3, False),
}
CASES_OF_MAX = CASES | DILATED


def arguments(case):
    """x, and (kernel, stride, padding, dilation, ceil mode) for the oracle, where no stride means the kernel's."""
    shape, kernel, stride, padding, dilation, ceil_mode = case
    return shape, (kernel, kernel if stride is None else stride, padding, dilation, ceil_mode)


# --- max pooling ---


@pytest.mark.parametrize("make", [normal, lambda *shape: integers(*shape, low=-2, high=3)], ids=["distinct", "ties"])
@pytest.mark.parametrize("case", CASES_OF_MAX.values(), ids=CASES_OF_MAX.keys())
def test_max_pool_equals_loops(case, make):
    shape, window = arguments(case)
    check_layer(
        MaxPool2d(*case[1:]),
        make(*shape),
        lambda x, p: max_pool(x, *window)[0],
        lambda x, dy, p: max_pool_backward(x, max_pool(x, *window)[1], dy),
    )


@pytest.mark.parametrize("case", CASES_OF_MAX.values(), ids=CASES_OF_MAX.keys())
def test_max_pool_of_a_negative_image_never_sees_the_padding(case):
    """Padding is -inf, not 0: a mutation found in two libraries."""
    shape, window = arguments(case)
    x = -1 - np.abs(normal(*shape))
    layer = MaxPool2d(*case[1:]).astype("float64")
    y, dx, _ = run(layer, x, np.ones(max_pool(x, *window)[0].shape))
    assert y.max() <= -1
    assert_close(y, max_pool(x, *window)[0], 0)
    assert dx.sum() == y.size, "gradient was lost on the padding"


def test_max_pool_of_minus_infinity_keeps_gradient_on_the_image():
    x = np.full((1, 1, 2, 3), -np.inf, np.float32)
    y, dx, _ = run(MaxPool2d(2, 1, padding=1), x, np.ones((1, 1, 3, 4), np.float32))
    assert (y == -np.inf).all()
    assert dx.sum() == 12


def test_first_maximum_wins_a_tie():
    x = np.zeros((2, 3, 5, 4), np.float32)
    dy = np.arange(1, 25, dtype=np.float32).reshape(2, 3, 2, 2)
    _, dx, _ = run(MaxPool2d(2, 2), x, dy)
    wanted = np.zeros_like(x)
    wanted[:, :, 0:4:2, 0:4:2] = dy
    np.testing.assert_array_equal(dx, wanted)


@pytest.mark.parametrize(
    "window, winner",
    [([[0, 5], [5, 5]], (0, 1)), ([[0, 0], [5, 5]], (1, 0)), ([[1, 5], [5, 2]], (0, 1)), ([[5, 0], [0, 5]], (0, 0))],
)
def test_first_maximum_is_first_by_row_and_then_by_column(window, winner):
    x = np.array(window, np.float32)[None, None]
    _, dx, _ = run(MaxPool2d(2), x, np.full((1, 1, 1, 1), 7, np.float32))
    assert np.argwhere(dx[0, 0]).tolist() == [list(winner)]
    assert dx[0, 0][winner] == 7


def test_gradients_of_overlapping_windows_add_up():
    x = np.zeros((1, 1, 3, 3), np.float32)
    x[0, 0, 1, 1] = 1
    _, dx, _ = run(MaxPool2d(2, 1), x, np.array([[[[1, 2], [4, 8]]]], np.float32))
    assert dx[0, 0, 1, 1] == 15 and dx.sum() == 15


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("places", [[(0, 0)], [(2, 3)], [(4, 6)], [(2, 2), (2, 3), (3, 2)]], ids=str)
def test_nan_goes_through_max_pool(places, dtype):
    """The first one, where a window has several."""
    x = normal(2, 3, 5, 7, dtype=dtype)
    for row, column in places:
        x[1, 2, row, column] = np.nan
    window = (3, 2, 1, 1, False)
    wanted, winner = max_pool(x, *window)
    dy = normal(*wanted.shape, dtype=dtype)
    y, dx, _ = run(MaxPool2d(*window).astype(dtype), x, dy)
    np.testing.assert_array_equal(np.isnan(y), np.isnan(wanted))
    np.testing.assert_array_equal(y, wanted.astype(dtype))
    assert_close(dx, max_pool_backward(x, winner, dy), 1e-6)


def test_the_last_tap_of_a_window_of_many_can_be_the_maximum():
    """289 taps: their number does not fit into a byte."""
    x = np.arange(2 * 19 * 21, dtype=np.float32).reshape(1, 2, 19, 21)
    window = (17, (2, 3), 0, 1, False)
    wanted, winner = max_pool(x, *window)
    dy = normal(*wanted.shape, dtype=np.float32)
    y, dx, _ = run(MaxPool2d(*window), x, dy)
    np.testing.assert_array_equal(y, wanted)
    assert_close(dx, max_pool_backward(x, winner, dy), 1e-6)


def test_an_infinite_gradient_goes_to_the_maximum_alone():
    """0·∞ would be NaN."""
    x, dy = normal(2, 3, 7, 5, dtype=np.float32), np.ones((2, 3, 3, 2), np.float32)
    dy[0, 1, 1, 1], dy[1, 2, 0, 0] = np.inf, np.nan
    _, dx, _ = run(MaxPool2d(3, 2), x, dy)
    np.testing.assert_array_equal(dx, max_pool_backward(x, max_pool(x, 3, 2)[1], dy).astype(np.float32))
    assert np.isinf(dx).sum() == np.isnan(dx).sum() == 1


@pytest.mark.numpy_only
@pytest.mark.parametrize("name", ["overlapping", "ceil mode, four paddings", "padding", "many channels"])
def test_the_smallest_pieces_change_nothing(name, monkeypatch):
    """One map a piece."""
    shape, window = arguments(CASES[name])
    x = normal(*shape, dtype=np.float32)
    x[0, :2] = -np.inf
    layers = MaxPool2d(*CASES[name][1:]), AvgPool2d(*window[:3], ceil_mode=window[4])
    dy = normal(*layers[0].output_shape(shape), dtype=np.float32)
    wanted = [run(layer, x, dy)[:2] for layer in layers]
    monkeypatch.setattr("minicnn.backends.numpy.pool.PIECE", 1)
    for layer, arrays in zip(layers, wanted, strict=True):
        for mine, whole in zip(run(layer, x, dy), arrays):
            np.testing.assert_array_equal(mine, whole)


@pytest.mark.parametrize("name", ["overlapping", "ceil mode, four paddings", "dilation, stride, padding"])
def test_gradcheck_of_max_pool(name):
    shape, _ = arguments(CASES_OF_MAX[name])
    assert gradcheck(MaxPool2d(*CASES_OF_MAX[name][1:]), normal(*shape)).passed


# --- average pooling ---


@pytest.mark.parametrize("count_include_pad", [True, False])
@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_average_pool_equals_loops(case, count_include_pad):
    shape, (kernel, stride, padding, _, ceil_mode) = arguments(case)
    window = (kernel, stride, padding, ceil_mode, count_include_pad)
    check_layer(
        AvgPool2d(kernel, case[2], padding, ceil_mode=ceil_mode, count_include_pad=count_include_pad),
        normal(*shape),
        lambda x, p: average_pool(x, *window),
        lambda x, dy, p: average_pool_backward(x, dy, *window),
    )


@pytest.mark.parametrize("count_include_pad", [True, False])
@pytest.mark.parametrize("name", ["overlapping", "four different paddings", "ceil mode, four paddings"])
def test_gradcheck_of_average_pool(name, count_include_pad):
    shape, (kernel, stride, padding, _, ceil_mode) = arguments(CASES[name])
    layer = AvgPool2d(kernel, stride, padding, ceil_mode, count_include_pad)
    assert gradcheck(layer, normal(*shape)).passed


def test_overhang_of_ceil_mode_is_never_counted():
    x = np.ones((1, 1, 4, 4), np.float32)
    for count_include_pad in (True, False):
        y = fetch(AvgPool2d(3, 2, ceil_mode=True, count_include_pad=count_include_pad)(send(x)))
        np.testing.assert_array_equal(y[0, 0], np.ones((2, 2)))


def test_padding_is_counted_only_if_asked():
    x = np.ones((1, 1, 2, 2), np.float32)
    np.testing.assert_array_equal(fetch(AvgPool2d(2, 1, padding=1)(send(x)))[0, 0, 0], [0.25, 0.5, 0.25])
    np.testing.assert_array_equal(fetch(AvgPool2d(2, 1, padding=1, count_include_pad=False)(send(x)))[0, 0], np.ones((3, 3)))


# --- geometry and refusals ---


@pytest.mark.parametrize("kind", [MaxPool2d, AvgPool2d])
@pytest.mark.parametrize(
    "options, shape",
    [
        ({"kernel_size": 2, "stride": 1, "padding": 2}, (1, 1, 4, 4)),
        ({"kernel_size": 2, "stride": 1, "padding": ((0, 2), (0, 0))}, (1, 1, 4, 4)),
        ({"kernel_size": 1, "stride": 1, "padding": (0, 1)}, (1, 1, 4, 4)),
    ],
    ids=str,
)
def test_window_that_would_see_only_padding_is_refused(kind, options, shape):
    with pytest.raises(ShapeError):
        kind(**options)(send(np.zeros(shape, np.float32)))


@pytest.mark.parametrize("kind", [MaxPool2d, AvgPool2d])
@pytest.mark.parametrize(
    "options", [{"kernel_size": 0}, {"stride": 0}, {"stride": -1}, {"padding": -1}, {"kernel_size": (2, 2, 2)}], ids=str
)
def test_settings_without_sense_are_refused(kind, options):
    with pytest.raises(MinicnnError):
        kind(**{"kernel_size": 3, **options})


@pytest.mark.parametrize("kind", [MaxPool2d, AvgPool2d])
@pytest.mark.parametrize("shape", [(6, 7), (3, 6, 7), (1, 2, 3, 6, 7)])
def test_wrong_rank_is_refused(kind, shape):
    with pytest.raises(ShapeError):
        kind(2)(send(np.zeros(shape, np.float32)))


@pytest.mark.parametrize("kind", [MaxPool2d, AvgPool2d])
def test_kernel_that_does_not_fit_is_refused(kind):
    with pytest.raises(ShapeError):
        kind((5, 2))(send(np.zeros((2, 3, 4, 7), np.float32)))


@pytest.mark.parametrize("kind", [MaxPool2d, AvgPool2d])
def test_dy_of_another_shape_is_refused(kind):
    layer = kind(2)
    layer(send(np.zeros((2, 3, 6, 8), np.float32)))
    with pytest.raises(ShapeError):
        layer.backward(send(np.zeros((2, 3, 3, 3), np.float32)))
