"""What every layer owes its caller, whatever it computes: dtypes, ownership, and one backward a forward."""

import numpy as np
import pytest
from every_layer import every_layer, numbers
from helpers import clear, fetch, run, send

from minicnn import (
    BatchNorm1d,
    BatchNorm2d,
    Dropout,
    Sequential,
)
from minicnn.errors import StateError

pytestmark = pytest.mark.every_backend

both_modes = pytest.mark.parametrize("mode", ["train", "eval"])
both_dtypes = pytest.mark.parametrize("dtype", ["float32", "float64"])


@every_layer
@both_modes
@both_dtypes
def test_dtype_that_goes_in_comes_out_and_the_callers_arrays_stay(make, shape, mode, dtype):
    layer = getattr(make().astype(dtype), mode)()
    y, dx, _ = run(layer, numbers(shape, dtype=dtype), numbers(layer.output_shape(shape), seed=1, dtype=dtype))
    assert dx.shape == shape and y.shape == layer.output_shape(shape)
    assert {array.dtype for array in layer.state_dict().values()} <= {np.dtype(dtype)}


@every_layer
def test_backward_without_forward_is_a_named_error(make, shape):
    layer = make()
    with pytest.raises(StateError, match=type(layer).__name__):
        layer.backward(send(numbers(layer.output_shape(shape))))


@every_layer
@both_modes
def test_second_backward_is_a_named_error_and_changes_nothing(make, shape, mode):
    layer = getattr(make(), mode)()
    dy = numbers(layer.output_shape(shape), seed=1)
    _, dx, gradients = run(layer, numbers(shape), dy)
    kept_dy, kept_dx, kept = dy.copy(), dx.copy(), {name: array.copy() for name, array in gradients.items()}
    with pytest.raises(StateError):
        layer.backward(send(dy))
    np.testing.assert_array_equal(dy, kept_dy)
    np.testing.assert_array_equal(dx, kept_dx)
    for name, array in gradients.items():
        np.testing.assert_array_equal(array, kept[name])


@every_layer
def test_backward_after_predicting_alone_is_a_named_error(make, shape):
    net = Sequential(layer=make())
    net.predict(send(numbers(shape)))
    with pytest.raises(StateError):
        net.backward(send(numbers(net.output_shape(shape))))


@every_layer
def test_gradients_are_none_at_first_and_add_up(make, shape):
    layer = make().eval()  # dropout would draw another mask, batch norm is the same both times
    clear(layer)
    dy = numbers(layer.output_shape(shape), seed=1)
    assert all(p.grad is None for p in layer.parameters())
    layer(send(numbers(shape)))
    assert all(p.grad is None for p in layer.parameters())
    layer.backward(send(dy))
    once = [fetch(p.grad).copy() for p in layer.parameters()]
    layer(send(numbers(shape)))
    layer.backward(send(dy))
    for p, gradient in zip(layer.parameters(), once, strict=True):
        np.testing.assert_allclose(fetch(p.grad), 2 * gradient, rtol=1e-6)
        assert p.grad.dtype == np.float32 and p.grad.shape == p.data.shape


@every_layer
@both_modes
def test_what_a_call_returned_is_never_overwritten(make, shape, mode):
    layer = getattr(make(), mode)()
    first_y = layer(send(numbers(shape)))
    kept_y = fetch(first_y).copy()
    first_dx = layer.backward(send(numbers(first_y.shape, seed=1)))
    kept_dx = fetch(first_dx).copy()
    for seed in (2, 3):
        layer(send(numbers(shape, seed=seed)))
        layer.backward(send(numbers(first_y.shape, seed=seed + 10)))
    np.testing.assert_array_equal(fetch(first_y), kept_y)
    np.testing.assert_array_equal(fetch(first_dx), kept_dx)


VIEWS = {
    "slice": lambda y: y[1:, ..., ::2],
    "transposed": lambda y: y.T,
    "memory": lambda y: np.asarray(memoryview(y)),
    "bytes": lambda y: y.view(np.uint8),
}


@pytest.mark.numpy_only
@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS.keys())
@every_layer
def test_a_view_keeps_what_a_call_returned(make, shape, view):
    """Memory that is used again must wait for the last view, whatever became of the array itself."""
    layer, shape = make(), (shape[0] * 150, *shape[1:])  # large enough for memory to be worth keeping
    y = layer(send(numbers(shape)))
    dx = layer.backward(send(numbers(y.shape, seed=1)))
    views = [view(fetch(y)), view(fetch(dx))]
    kept = [array.copy() for array in views]
    del y, dx
    for seed in (2, 3):
        y = layer(send(numbers(shape, seed=seed)))
        layer.backward(send(numbers(y.shape, seed=seed + 10)))
    for array, copy_ in zip(views, kept, strict=True):
        np.testing.assert_array_equal(array, copy_)


@every_layer
@both_modes
def test_result_does_not_depend_on_the_calls_before(make, shape, mode):
    """Buffers that are used again must not leak the past: other sizes before, the same answer after."""
    fresh, used = (getattr(make(), mode)() for _ in range(2))
    larger = (2 * shape[0] + 1, *shape[1:])
    used(send(numbers(larger, seed=4)))
    used.backward(send(numbers(used.output_shape(larger), seed=5)))
    if hasattr(used, "load_random_state") or isinstance(used, Dropout):
        used = getattr(make(), mode)()  # its masks have moved on, rightly
    if isinstance(used, BatchNorm1d | BatchNorm2d):
        used.load_state_dict(fresh.state_dict())
    x, dy = numbers(shape), numbers(fresh.output_shape(shape), seed=1)
    (y, dx, gradients), (wanted_y, wanted_dx, wanted) = run(used, x, dy), run(fresh, x, dy)
    np.testing.assert_array_equal(y, wanted_y)
    np.testing.assert_array_equal(dx, wanted_dx)
    for name in wanted:
        np.testing.assert_array_equal(gradients[name], wanted[name])


@every_layer
@both_dtypes
def test_arrays_need_not_be_contiguous(make, shape, dtype):
    """Transposed, reversed and strided arrays mean what they show."""
    layer = make().astype(dtype)
    x, dy = numbers(shape, dtype=dtype), numbers(layer.output_shape(shape), seed=1, dtype=dtype)

    def awkward(array):
        wide = np.repeat(array.T[::-1], 2, axis=0)  # Fortran order, reversed, every second number
        view = wide[::-2].T
        np.testing.assert_array_equal(view, array)
        assert not view.flags.c_contiguous
        return view

    wanted_y, wanted_dx, wanted = run(layer, x, dy)
    clear(layer)
    other = make().astype(dtype)
    y = other(send(awkward(x)))
    dx = other.backward(send(awkward(dy)))
    tolerance = {"rtol": 0, "atol": 1e-5 if dtype == "float32" else 1e-12}
    np.testing.assert_allclose(fetch(y), wanted_y, **tolerance)
    np.testing.assert_allclose(fetch(dx), wanted_dx, **tolerance)
    for p, name in zip(other.parameters(), wanted, strict=True):
        np.testing.assert_allclose(fetch(p.grad), wanted[name], **tolerance)


@every_layer
@pytest.mark.numpy_only  # CuPy has no such arrays
def test_read_only_arrays_are_enough(make, shape):
    layer = make()
    x, dy = numbers(shape), numbers(layer.output_shape(shape))
    x.flags.writeable = dy.flags.writeable = False
    layer(x)
    layer.backward(dy)
