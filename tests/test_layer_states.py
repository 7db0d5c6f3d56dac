"""Modes, conversions and states of every layer."""

import copy

import helpers
import numpy as np
import pytest
from every_layer import every_layer, numbers, with_state
from helpers import fill, run

from minicnn import (
    BatchNorm1d,
    Dropout,
    Linear,
    MinicnnError,
    ReLU,
    Sigmoid,
    Tanh,
)
from minicnn.errors import DtypeError

pytestmark = pytest.mark.every_backend


@every_layer
def test_modes_and_conversions_return_the_layer_and_keep_its_parameters(make, shape):
    layer = make()
    parameters = layer.parameters()
    assert layer.training and layer.backend == helpers.BACKEND and layer.dtype == np.float32
    for change in (
        lambda: layer.eval(),
        lambda: layer.astype("float64"),
        lambda: layer.astype(np.float32),
        lambda: layer.astype(np.dtype("float64")),
        lambda: layer.to(helpers.BACKEND),
        lambda: layer.train(),
    ):
        assert change() is layer
        assert all(p is q for p, q in zip(layer.parameters(), parameters, strict=True))
    assert layer.dtype == np.float64 and layer.training
    assert all(p.data.dtype == np.float64 for p in parameters)
    assert not layer.eval().training


@every_layer
@pytest.mark.parametrize("dtype", ["float16", "int32", "complex128"])
def test_layers_are_float32_or_float64(make, shape, dtype):
    layer = make()
    with pytest.raises(MinicnnError):
        layer.astype(dtype)
    assert layer.dtype == np.float32


def test_dtype_that_does_not_exist_is_refused():
    with pytest.raises(DtypeError):
        ReLU().astype("no such type")


@every_layer
def test_gradients_follow_astype(make, shape):
    layer = make()
    run(layer, numbers(shape), numbers(layer.output_shape(shape)))
    layer.astype("float64")
    assert all(p.grad is None or p.grad.dtype == np.float64 for p in layer.parameters())


@every_layer
def test_state_dict_is_numpy_and_a_copy(make, shape):
    layer = make()
    state = layer.state_dict()
    kept = {key: array.copy() for key, array in state.items()}
    for array in state.values():
        assert type(array) is np.ndarray
        array += 1
    for key, array in layer.state_dict().items():
        np.testing.assert_array_equal(array, kept[key], key)
    layer.load_state_dict(state)
    for array in state.values():
        array += 1
    for key, array in layer.state_dict().items():
        np.testing.assert_array_equal(array, kept[key] + 1, key)


@with_state
@pytest.mark.parametrize("damage", ["missing", "unexpected", "shape", "one axis more", "integers", "text"])
def test_load_state_dict_is_strict_and_changes_nothing_when_it_fails(make, damage):
    layer = fill(make())
    before = layer.state_dict()
    state = {key: array + 1 for key, array in before.items()}
    key = next(reversed(state))
    whole = state.pop(key)
    if damage == "unexpected":
        state |= {key: whole, "stranger": np.zeros(2, np.float32)}
    elif damage != "missing":
        state[key] = {
            "shape": np.concatenate([whole, whole]),
            "one axis more": whole[None],
            "integers": whole.astype(np.int64),
            "text": np.full(whole.shape, "x"),
        }[damage]
    with pytest.raises(MinicnnError, match="stranger" if damage == "unexpected" else key):
        layer.load_state_dict(state)
    for name, array in layer.state_dict().items():
        np.testing.assert_array_equal(array, before[name])


@every_layer
def test_load_state_dict_keeps_the_parameter_objects_and_the_dtype(make, shape):
    layer = make().astype("float64")
    parameters = layer.parameters()
    layer.load_state_dict({key: array.astype(np.float32) for key, array in layer.state_dict().items()})
    assert all(p is q for p, q in zip(layer.parameters(), parameters, strict=True))
    assert all(p.data.dtype == np.float64 for p in parameters)


@every_layer
def test_layer_shows_its_name(make, shape):
    layer = make()
    assert type(layer).__name__ in repr(layer)


@every_layer
def test_output_shape_computes_nothing(make, shape):
    """Not even for a shape that no memory would hold."""
    layer = make()
    if isinstance(layer, Linear | BatchNorm1d):
        assert layer.output_shape((10**9, shape[1]))[0] == 10**9
    else:
        assert layer.output_shape((10**9, *shape[1:]))[0] == 10**9


@every_layer
def test_deep_copy_is_independent(make, shape):
    layer = make()
    before = layer.state_dict()
    other = copy.deepcopy(layer)
    fill(other)
    for key, array in layer.state_dict().items():
        np.testing.assert_array_equal(array, before[key])


@pytest.mark.parametrize(
    "kind", [ReLU, Tanh, Sigmoid, lambda: Dropout(0.5, seed=0)], ids=["relu", "tanh", "sigmoid", "dropout"]
)
@pytest.mark.parametrize("shape", [(7,), (3, 5), (2, 3, 5), (2, 3, 5, 7), (2, 1, 3, 2, 4)], ids=str)
def test_element_wise_layers_take_any_rank(kind, shape):
    y, dx, _ = run(kind(), numbers(shape), numbers(shape, seed=1))
    assert y.shape == dx.shape == shape
