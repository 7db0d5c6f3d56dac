"""Sequential: names, forward and backward, messages and state."""

import numpy as np
import pytest
from helpers import assert_close, fetch, fill, normal, run, send
from twice import Twice

from minicnn import (
    SGD,
    BatchNorm2d,
    Conv2d,
    Dropout,
    Flatten,
    Linear,
    MaxPool2d,
    MinicnnError,
    ReLU,
    Sequential,
    SoftmaxCrossEntropy,
)
from minicnn.errors import BackendError, DtypeError, ShapeError, StateError

pytestmark = pytest.mark.every_backend

IMAGES = (7, 2, 6, 5)


def small(**options):
    return Sequential(
        conv=Conv2d(2, 3, (3, 2), padding=(1, 0), seed=0),
        bn=BatchNorm2d(3),
        relu=ReLU(),
        pool=MaxPool2d(2),
        flatten=Flatten(),
        drop=Dropout(0.5, seed=0),
        fc=Linear(18, 4, seed=1),
    )


def images(seed=0, dtype=np.float32, count=7):
    return normal(count, *IMAGES[1:], seed=seed, dtype=dtype)


# --- a convolution and the ReLU behind it ---


class OwnReLU(ReLU):
    def _forward(self, ops, x, training):
        return super()._forward(ops, x - 1, training)


def rectified(algorithm, relu=ReLU):
    return Sequential(
        conv=Conv2d(2, 4, 3, padding=1, groups=2, seed=0, algorithm=algorithm),
        relu=relu(),
        conv2=Conv2d(4, 3, 3, bias=False, seed=1, algorithm=algorithm),
        relu2=relu(),
        relu3=ReLU(),
        inner=Sequential(conv=Conv2d(3, 3, 2, seed=2, algorithm=algorithm)),
        relu4=ReLU(),
    )


def both_ways(make, x):
    """(outputs, inference, dx, gradients) of the network as one, and of its layers one by one."""
    found = []
    for one_by_one in (False, True):
        net = fill(make())
        steps = list(net.leaves()) if one_by_one else [net]
        y = send(x)
        for step in steps:
            y = step(y)
        dy = send(normal(*y.shape, seed=5, dtype=np.float32))
        for step in reversed(steps):
            dy = step.backward(dy)
        z = send(x)
        for step in steps:
            z = step.infer(z)
        found.append([fetch(array) for array in (y, z, dy, *(p.grad for p in net.parameters()))])
    return found


@pytest.mark.parametrize("algorithm", ["auto", "direct", "im2col"])
@pytest.mark.parametrize("count", [1, 7])
def test_a_network_rectifies_as_it_convolves_and_nothing_changes(algorithm, count):
    as_one, one_by_one = both_ways(lambda: rectified(algorithm), images(count=count))
    assert (as_one[0] == 0).any() and (as_one[0] >= 0).all()
    for one, other in zip(as_one, one_by_one, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.numpy_only
@pytest.mark.parametrize("algorithm", ["winograd", "fft"])
def test_so_do_the_fast_algorithms(algorithm):
    for one, other in zip(*both_ways(lambda: rectified(algorithm), images()), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.numpy_only
@pytest.mark.parametrize("algorithm", ["im2col", "winograd", "fft"])
def test_infinities_and_nan_go_through_every_rectified_convolution(algorithm):
    x = images()
    x[0, 0, 2, 1], x[1, 1, 3, 2], x[2, 0, 0, 0] = np.nan, np.inf, -np.inf
    as_one, one_by_one = both_ways(lambda: rectified(algorithm), x)
    assert np.isnan(as_one[0]).any()
    for one, other in zip(as_one, one_by_one, strict=True):
        np.testing.assert_array_equal(one, other)


def test_infinities_and_nan_go_through_a_rectified_convolution():
    x = images()
    x[0, 0, 2, 1], x[1, 1, 3, 2], x[2, 0, 0, 0] = np.nan, np.inf, -np.inf
    as_one, one_by_one = both_ways(lambda: rectified("direct"), x)
    assert np.isnan(as_one[0]).any()
    for one, other in zip(as_one, one_by_one, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_relu_of_ones_own_does_its_own_work():
    as_one, one_by_one = both_ways(lambda: rectified("direct", OwnReLU), images())
    for one, other in zip(as_one, one_by_one, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_convolution_alone_does_not_rectify():
    net = fill(rectified("direct"))
    net(send(images()))
    assert (fetch(net.conv(send(images()))) < 0).any()


# --- names and order ---


def test_layers_by_name_by_key_and_by_number():
    net = small()
    assert list(net.layers) == ["conv", "bn", "relu", "pool", "flatten", "drop", "fc"]
    assert net.conv is net["conv"] is net[0] is net.layers["conv"]
    assert net.fc is net[6] is net[-1]
    assert len(net) == 7 and list(net) in (list(net.layers.values()), list(net.layers))
    assert net.conv.weight.data.shape == (3, 2, 3, 2)


def test_layers_by_position_are_called_0_1_2():
    net = Sequential(Linear(3, 4, seed=0), ReLU(), Linear(4, 2, seed=1))
    assert list(net.layers) == ["0", "1", "2"]
    assert net[0] is net["0"] and net[2] is net["2"]
    assert list(net.state_dict()) == ["0.weight", "0.bias", "2.weight", "2.bias"]


@pytest.mark.parametrize("key", ["conv2", 7, -8, "0"])
def test_layer_that_is_not_there(key):
    with pytest.raises((KeyError, IndexError, MinicnnError)):
        small()[key]


def test_attribute_that_is_not_there_is_an_attribute_error():
    with pytest.raises(AttributeError, match="conv9"):
        _ = small().conv9


def test_parameters_are_named_after_their_layers():
    names = ["conv.weight", "conv.bias", "bn.weight", "bn.bias", "fc.weight", "fc.bias"]
    assert [p.name for p in small().parameters()] == names
    assert [key for key in small().state_dict() if "running" not in key] == names


def test_one_layer_twice_in_a_network_is_refused():
    """A layer keeps one forward at a time: used twice, its gradient would be silently wrong."""
    layer = Linear(3, 3, seed=0)
    with pytest.raises(MinicnnError):
        Sequential(layer, ReLU(), layer)
    with pytest.raises(MinicnnError):
        Sequential(layer, Sequential(ReLU(), layer))


@pytest.mark.parametrize("name", ["a.b", "forward", "parameters", "training", "layers", ""])
def test_layer_name_that_cannot_work_is_refused(name):
    """Dots separate the names of a state; attributes of networks would hide the layer."""
    with pytest.raises(MinicnnError):
        Sequential(**{name: Linear(2, 2)})


@pytest.mark.parametrize("wrong", [ReLU, "relu", None, 3])
def test_what_is_not_a_layer_is_refused(wrong):
    with pytest.raises(MinicnnError):
        Sequential(Linear(3, 3), wrong)


def test_networks_nest():
    block = Sequential(fc=Linear(3, 4, seed=0), act=ReLU())
    net = Sequential(first=block, last=Linear(4, 2, seed=1))
    assert [p.name for p in net.parameters()] == ["first.fc.weight", "first.fc.bias", "last.weight", "last.bias"]
    flat = Sequential(Linear(3, 4, seed=0), ReLU(), Linear(4, 2, seed=1))
    x, dy = normal(5, 3, dtype=np.float32), normal(5, 2, seed=1, dtype=np.float32)
    (y, dx, _), (wanted, wanted_dx, _) = run(net, x, dy), run(flat, x, dy)
    np.testing.assert_array_equal(y, wanted)
    np.testing.assert_array_equal(dx, wanted_dx)


# --- forward and backward ---


def test_network_is_its_layers_one_after_the_other():
    net, other = small().astype("float64"), small().astype("float64")
    x, dy = images(dtype=np.float64), normal(7, 4, seed=1)
    y, dx, _ = run(net, x, dy)
    value = send(x)
    for layer in other.layers.values():
        value = layer(value)
    slope = send(dy)
    for layer in reversed(other.layers.values()):
        slope = layer.backward(slope)
    assert_close(y, fetch(value), 1e-14)
    assert_close(dx, fetch(slope), 1e-14)
    for p, q in zip(net.parameters(), other.parameters(), strict=True):
        assert_close(p.grad, fetch(q.grad), 1e-14, p.name)


def test_caller_keeps_y_while_the_network_goes_on():
    net = small()
    kept = []
    for seed in range(3):
        y = net(send(images(seed)))
        dx = net.backward(send(normal(7, 4, seed=seed, dtype=np.float32)))
        kept += [(array, fetch(array).copy()) for array in (y, dx, net.predict(send(images(seed))))]
        SGD(net.parameters(), lr=0.1).step()
    for array, copy in kept:
        np.testing.assert_array_equal(fetch(array), copy)


# --- messages ---


@pytest.mark.parametrize(
    "x, error, names",
    [
        (np.zeros((2, 5, 6, 5), np.float32), ShapeError, "conv"),
        (np.zeros((2, 2, 9, 5), np.float32), ShapeError, "fc"),
        (np.zeros((2, 2, 1, 2), np.float32), ShapeError, "pool"),
        (np.zeros((2, 2, 6, 5)), DtypeError, "conv"),
        ([[1.0]], BackendError, "conv"),
    ],
    ids=["channels", "features", "too small", "dtype", "list"],
)
def test_message_names_the_layer(x, error, names):
    with pytest.raises(error, match=names):
        small()(send(x) if isinstance(x, np.ndarray) else x)


def test_state_error_of_a_network_names_it_or_its_layer():
    with pytest.raises(StateError, match="backward"):
        small().backward(np.zeros((7, 4), np.float32))


def test_output_shape_of_a_network_and_its_message():
    assert small().output_shape(IMAGES) == (7, 4)
    with pytest.raises(ShapeError, match="fc"):
        small().output_shape((7, 2, 16, 5))


def test_empty_network_is_the_identity_or_refused():
    x = images()
    try:
        net = Sequential()
    except MinicnnError:
        return
    np.testing.assert_array_equal(fetch(net(send(x))), x)


# --- state ---


def test_state_dict_moves_a_network():
    one, other = fill(small()), small()
    one(send(images()))
    other.load_state_dict(one.state_dict())
    np.testing.assert_array_equal(fetch(other.predict(send(images()))), fetch(one.predict(send(images()))))


@pytest.mark.parametrize("damage", ["missing", "unexpected", "shape"])
def test_load_state_dict_changes_no_layer_when_one_does_not_fit(damage):
    net = small()
    before = net.state_dict()
    state = {key: array + 1 for key, array in before.items()}
    if damage == "missing":
        del state["fc.bias"]
    elif damage == "unexpected":
        state["fc2.bias"] = state["fc.bias"]
    else:
        state["fc.bias"] = np.zeros(5, np.float32)
    with pytest.raises(MinicnnError, match="fc2.bias" if damage == "unexpected" else "fc.bias"):
        net.load_state_dict(state)
    for key, array in net.state_dict().items():
        np.testing.assert_array_equal(array, before[key], key)


def test_same_seed_gives_the_same_training():
    def train():
        net, loss = small(), SoftmaxCrossEntropy()
        net.initialize("he", seed=3)
        net.seed(4)
        optimiser = SGD(net.parameters(), lr=0.05, momentum=0.9)
        for step in range(3):
            loss(net(send(images(step))), np.arange(7) % 4)
            optimiser.zero_grad()
            net.backward(loss.backward())
            optimiser.step()
        return net.state_dict()

    one, other = train(), train()
    for key in one:
        np.testing.assert_array_equal(one[key], other[key], key)


def test_network_shows_its_layers():
    text = repr(small())
    for name in ("conv", "Conv2d", "pool", "MaxPool2d", "fc", "Linear"):
        assert name in text


class Renamed(Sequential):
    pass


def test_a_network_of_another_class_shows_that():
    assert repr(Twice(ReLU())) == "Twice(\n  0 = ReLU()\n)" and repr(Twice()) == "Twice()"


def test_a_chain_has_networks_with_a_forward_of_their_own_as_one_layer():
    net = Sequential(a=ReLU(), b=Renamed(c=ReLU(), d=Twice(e=ReLU(), f=ReLU())), g=Sequential(h=ReLU()))
    assert [layer.name for layer in net.chain()] == ["a", "b.c", "b.d", "g.h"]
    assert [layer.name for layer in net.leaves()] == ["a", "b.c", "b.d.e", "b.d.f", "g.h"]
    assert list(net.b.d.chain()) == [net.b.d]
