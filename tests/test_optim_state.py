"""The state of optimisers: named, copied, strict, and enough to continue to the last bit."""

import numpy as np
import pytest
from helpers import normal, send

from minicnn import SGD, Adam, BatchNorm1d, Linear, MinicnnError, Sequential

pytestmark = pytest.mark.every_backend


def make(kind, net):
    return SGD(net.parameters(), 0.1, 0.9, 0.01) if kind is SGD else Adam(net.parameters(), 0.1, weight_decay=0.01)


def network(seed):
    return Sequential(fc1=Linear(3, 5, seed=seed), bn=BatchNorm1d(5), fc2=Linear(5, 2, bias=False, seed=seed + 1))


def train(net, optimiser, steps):
    for step in steps:
        optimiser.zero_grad()
        y = net(send(normal(4, 3, seed=step, dtype=np.float32)))
        net.backward(send(normal(*y.shape, seed=100 + step, dtype=np.float32)))
        optimiser.step()


@pytest.mark.parametrize("kind", [SGD, Adam])
def test_state_dict_continues_to_the_last_bit(kind):
    net = network(0)
    optimiser = make(kind, net)
    train(net, optimiser, range(3))
    weights, state = net.state_dict(), optimiser.state_dict()
    train(net, optimiser, range(3, 6))
    other = network(7)
    other.load_state_dict(weights)
    resumed = make(kind, other)
    resumed.load_state_dict(state)
    train(other, resumed, range(3, 6))
    for key, array in net.state_dict().items():
        np.testing.assert_array_equal(other.state_dict()[key], array, key)


def test_keys_of_the_state_are_named_after_the_parameters():
    net = network(0)
    names = ["fc1.weight", "fc1.bias", "bn.weight", "bn.bias", "fc2.weight"]
    for kind, kinds in ((SGD, ["velocity"]), (Adam, ["m", "v"])):
        optimiser = make(kind, net)
        train(net, optimiser, range(1))
        state = optimiser.state_dict()
        assert {key for key in state if key != "step"} == {f"{k}.{name}" for k in kinds for name in names}
        assert all(isinstance(array, np.ndarray) for array in state.values())
    assert state["step"].shape == () and state["step"] == 1


@pytest.mark.parametrize("kind", [SGD, Adam])
def test_state_dict_is_a_copy(kind):
    net = network(0)
    optimiser = make(kind, net)
    train(net, optimiser, range(2))
    state = optimiser.state_dict()
    kept = {key: array.copy() for key, array in state.items()}
    train(net, optimiser, range(2, 4))
    for key, array in state.items():
        np.testing.assert_array_equal(array, kept[key], key)
    optimiser.load_state_dict(state)
    train(net, optimiser, range(4, 5))
    for key, array in state.items():
        np.testing.assert_array_equal(array, kept[key], key)


@pytest.mark.parametrize("damage", ["missing", "unexpected", "shape", "dtype"])
@pytest.mark.parametrize("kind", [SGD, Adam])
def test_load_state_dict_is_strict_and_changes_nothing_when_it_fails(kind, damage):
    net = network(0)
    optimiser = make(kind, net)
    train(net, optimiser, range(2))
    before = optimiser.state_dict()
    state = {key: array + 1 for key, array in before.items()}
    key = next(key for key in reversed(state) if key != "step")
    if damage == "missing":
        del state[key]
    elif damage == "unexpected":
        state["velocity.other.weight"] = np.zeros(3, np.float32)
    elif damage == "shape":
        state[key] = state[key].T if state[key].ndim > 1 else state[key][1:]
    else:
        state[key] = np.full(state[key].shape, "x")
    with pytest.raises(MinicnnError):
        optimiser.load_state_dict(state)
    for name, array in optimiser.state_dict().items():
        np.testing.assert_array_equal(array, before[name], name)


@pytest.mark.parametrize("kind", [SGD, Adam])
def test_state_follows_parameters_to_float64(kind):
    net = network(0)
    optimiser = make(kind, net)
    train(net, optimiser, range(2))
    parameters = net.parameters()
    net.astype("float64")
    assert all(one is other for one, other in zip(net.parameters(), parameters, strict=True))
    optimiser.zero_grad()
    y = net(send(normal(4, 3)))
    net.backward(send(np.ones(y.shape)))
    optimiser.step()
    assert {p.data.dtype for p in net.parameters()} == {np.dtype("float64")}
