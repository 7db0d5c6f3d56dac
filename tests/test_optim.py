"""SGD (AlexNet's rule) and Adam against one Python float at a time."""

import math

import numpy as np
import pytest
from helpers import assert_close, fetch, normal, send

from minicnn import SGD, Adam, BatchNorm1d, Conv2d, Linear, MinicnnError, Sequential

pytestmark = pytest.mark.every_backend

SHAPES = [(3, 5), (7,), (2, 3, 2, 1)]


class Scalar:
    """One number and its optimiser's state."""

    def __init__(self, w, lr_mult=1.0, decay_mult=1.0):
        self.w, self.lr_mult, self.decay_mult, self.v, self.m, self.s, self.steps = (
            w,
            lr_mult,
            decay_mult,
            0.0,
            0.0,
            0.0,
            0,
        )

    def sgd(self, g, lr, momentum, decay):
        """Krizhevsky et al. 2012, section 5: v = momentum v - decay lr w - lr g; w = w + v."""
        rate = lr * self.lr_mult
        self.v = momentum * self.v - decay * self.decay_mult * rate * self.w - rate * g
        self.w += self.v

    def adam(self, g, lr, betas, eps, decay):
        """Kingma and Ba 2015, algorithm 1, with the decay added to the gradient (L2)."""
        g += decay * self.decay_mult * self.w
        self.steps += 1
        self.m = betas[0] * self.m + (1 - betas[0]) * g
        self.s = betas[1] * self.s + (1 - betas[1]) * g * g
        m, s = self.m / (1 - betas[0] ** self.steps), self.s / (1 - betas[1] ** self.steps)
        self.w -= lr * self.lr_mult * m / (math.sqrt(s) + eps)


class Net:
    """Three parameters of a real network, each with its scalars beside it."""

    def __init__(self, dtype="float64"):
        self.net = Sequential(a=Linear(5, 3), b=BatchNorm1d(7), c=Conv2d(3, 2, (2, 1))).astype(dtype)
        self.parameters = [self.net.a.weight, self.net.b.weight, self.net.c.weight]
        for seed, p in enumerate(self.parameters):
            p.data[...] = send(normal(*p.data.shape, seed=seed, dtype=dtype))
        self.scalars = []

    def multiply(self, number, lr_mult, decay_mult):
        self.parameters[number].lr_mult, self.parameters[number].decay_mult = lr_mult, decay_mult

    def start(self):
        for p in self.parameters:
            flat = fetch(p.data).reshape(-1).astype(np.float64)
            self.scalars.append([Scalar(float(w), p.lr_mult, p.decay_mult) for w in flat])
        return self.parameters

    def step(self, optimiser, rule, seed, *options):
        """One step of the optimiser and of each scalar, with the same random gradient."""
        for number, p in enumerate(self.parameters):
            gradient = normal(*p.data.shape, seed=10 * seed + number, dtype=p.data.dtype)
            p.grad = send(gradient.copy())
            for scalar, g in zip(self.scalars[number], gradient.reshape(-1), strict=True):
                getattr(scalar, rule)(float(g), *options)
        optimiser.step()

    def check(self, tolerance):
        for p, scalars in zip(self.parameters, self.scalars, strict=True):
            assert_close(fetch(p.data).reshape(-1), [scalar.w for scalar in scalars], tolerance, p.name)


@pytest.mark.parametrize("dtype, tolerance", [("float64", 1e-13), ("float32", 2e-6)])
@pytest.mark.parametrize("momentum, decay", [(0.0, 0.0), (0.9, 0.0), (0.0, 0.1), (0.9, 5e-4), (0.5, 0.3)])
def test_sgd_is_alexnets_rule(momentum, decay, dtype, tolerance):
    net = Net(dtype)
    optimiser = SGD(net.start(), lr=0.1, momentum=momentum, weight_decay=decay)
    for step in range(4):
        net.step(optimiser, "sgd", step, 0.1, momentum, decay)
    net.check(tolerance)
    assert {p.data.dtype for p in net.parameters} == {np.dtype(dtype)}


def test_velocity_keeps_its_scale_when_the_rate_changes():
    """PyTorch's rule (v = m v + g; w -= lr v) shrinks the velocity too; AlexNet's does not."""
    net = Net()
    optimiser = SGD(net.start(), lr=0.1, momentum=0.9, weight_decay=0.01)
    for step in range(6):
        optimiser.lr = 0.1 if step < 3 else 0.001
        net.step(optimiser, "sgd", step, optimiser.lr, 0.9, 0.01)
    net.check(1e-13)


def test_two_steps_of_sgd_by_hand():
    layer = Linear(1, 1, bias=False).astype("float64")
    layer.weight.data[...] = 1.0
    optimiser = SGD(layer.parameters(), lr=0.5, momentum=0.9, weight_decay=0.1)
    layer.weight.grad = send(np.array([[2.0]]))
    optimiser.step()  # v = -0.1 * 0.5 * 1 - 0.5 * 2 = -1.05
    assert float(layer.weight.data[0, 0]) == pytest.approx(-0.05)
    optimiser.lr = 0.1
    optimiser.step()  # v = 0.9 * -1.05 - 0.1 * 0.1 * -0.05 - 0.1 * 2 = -1.1445
    assert float(layer.weight.data[0, 0]) == pytest.approx(-1.1945)


@pytest.mark.parametrize("rule", ["sgd", "adam"])
def test_lr_mult_scales_gradient_and_decay_and_decay_mult_only_decay(rule):
    net = Net()
    net.multiply(0, 2.0, 0.0)
    net.multiply(1, 0.5, 3.0)
    net.multiply(2, 0.0, 1.0)
    frozen = fetch(net.parameters[2].data).copy()
    if rule == "sgd":
        optimiser, options = SGD(net.start(), 0.1, 0.9, 0.2), (0.1, 0.9, 0.2)
    else:
        optimiser, options = Adam(net.start(), 0.1, weight_decay=0.2), (0.1, (0.9, 0.999), 1e-8, 0.2)
    for step in range(3):
        net.step(optimiser, rule, step, *options)
    net.check(1e-13)
    np.testing.assert_array_equal(fetch(net.parameters[2].data), frozen)


@pytest.mark.parametrize("dtype, tolerance", [("float64", 1e-12), ("float32", 4e-6)])
@pytest.mark.parametrize("options", [(1e-3, (0.9, 0.999), 1e-8, 0.0), (0.05, (0.8, 0.95), 1e-3, 0.1)], ids=str)
def test_adam_is_bias_corrected_with_l2(options, dtype, tolerance):
    net = Net(dtype)
    lr, betas, eps, decay = options
    optimiser = Adam(net.start(), lr, betas=betas, eps=eps, weight_decay=decay)
    for step in range(5):
        net.step(optimiser, "adam", step, *options)
    net.check(tolerance)
    assert {p.data.dtype for p in net.parameters} == {np.dtype(dtype)}


def test_first_step_of_adam_is_the_rate_whatever_the_gradient():
    layer = Linear(2, 1, bias=False).astype("float64")
    before = fetch(layer.weight.data).copy()
    layer.weight.grad = send(np.array([[1e-3, -1e3]]))
    Adam(layer.parameters(), lr=0.01).step()
    np.testing.assert_allclose(fetch(layer.weight.data) - before, [[-0.01, 0.01]], rtol=1e-4)


def test_defaults():
    layer = Linear(2, 1)
    adam = Adam(layer.parameters())
    assert adam.lr == 1e-3
    sgd = SGD(layer.parameters(), lr=0.5)
    layer.weight.data[...] = 1
    layer.weight.grad = send(np.ones((1, 2), np.float32))
    sgd.step()
    sgd.step()
    np.testing.assert_array_equal(fetch(layer.weight.data), [[0, 0]])


@pytest.mark.parametrize("kind", [SGD, Adam])
def test_parameters_without_gradient_are_skipped(kind):
    layer = Linear(3, 2)
    optimiser = kind(layer.parameters(), lr=0.1, weight_decay=0.5)
    before = layer.state_dict()
    layer.weight.grad = send(np.ones((2, 3), np.float32))
    optimiser.step()
    np.testing.assert_array_equal(layer.state_dict()["bias"], before["bias"])
    assert (layer.state_dict()["weight"] != before["weight"]).all()
    moved = layer.state_dict()
    optimiser.zero_grad()
    optimiser.step()
    for key, array in layer.state_dict().items():
        np.testing.assert_array_equal(array, moved[key])


@pytest.mark.parametrize("kind", [SGD, Adam])
def test_step_leaves_gradients_as_they_are_and_zero_grad_makes_them_none(kind):
    """Decay added into .grad would be added again by the next step."""
    layer = Linear(3, 2)
    optimiser = kind(layer.parameters(), lr=0.1, weight_decay=0.5)
    assert all(p.grad is None for p in layer.parameters())
    for p in layer.parameters():
        p.grad = send(np.full(p.data.shape, 3, np.float32))
    optimiser.step()
    assert all((fetch(p.grad) == 3).all() for p in layer.parameters())
    optimiser.zero_grad()
    assert all(p.grad is None for p in layer.parameters())


@pytest.mark.parametrize("kind", [SGD, Adam])
def test_parameters_larger_than_any_block(kind):
    """Every number is updated once, at the seams of the blocks too."""
    layer = Linear(1013, 517, bias=False)
    w, g = normal(517, 1013, seed=1, dtype=np.float32), normal(517, 1013, seed=2, dtype=np.float32)
    layer.weight.data[...] = send(w)
    optimiser = kind(layer.parameters(), lr=0.01, weight_decay=0.1)
    for _ in range(2):
        layer.weight.grad = send(g.copy())
        optimiser.step()
    wanted, m, s = w.astype(np.float64), 0.0, 0.0
    for step in (1, 2):
        if kind is SGD:
            wanted = wanted - 0.01 * 0.1 * wanted - 0.01 * g
        else:
            gradient = g + 0.1 * wanted
            m, s = 0.9 * m + 0.1 * gradient, 0.999 * s + 0.001 * gradient**2
            wanted = wanted - 0.01 * (m / (1 - 0.9**step)) / (np.sqrt(s / (1 - 0.999**step)) + 1e-8)
    assert_close(layer.weight.data, wanted, 1e-6)


@pytest.mark.parametrize(
    "kind, options",
    [
        (SGD, {"lr": -1}),
        (SGD, {"lr": 0.1, "momentum": -0.1}),
        (SGD, {"lr": 0.1, "momentum": 1.0}),
        (SGD, {"lr": 0.1, "weight_decay": -1}),
        (SGD, {"lr": float("nan")}),
        (Adam, {"lr": -1}),
        (Adam, {"betas": (1.0, 0.9)}),
        (Adam, {"eps": -1}),
        (Adam, {"weight_decay": -1}),
    ],
    ids=str,
)
def test_settings_without_sense_are_refused(kind, options):
    with pytest.raises(MinicnnError):
        kind(Linear(2, 3).parameters(), **options)


@pytest.mark.parametrize("kind", [SGD, Adam])
def test_nothing_to_optimise_is_refused(kind):
    with pytest.raises(MinicnnError):
        kind([], lr=0.1)


@pytest.mark.parametrize("kind", [SGD, Adam])
def test_two_parameters_of_one_name_do_not_share_a_state(kind):
    """Two layers outside a network are both called "weight": refused, or kept apart in the state."""
    one, other = Linear(2, 3, bias=False), Linear(2, 3, bias=False)
    try:
        optimiser = kind([*one.parameters(), *other.parameters()], lr=0.1)
    except MinicnnError:
        return
    one.weight.grad, other.weight.grad = send(np.ones((3, 2), np.float32)), send(np.zeros((3, 2), np.float32))
    optimiser.step()
    assert len([key for key in optimiser.state_dict() if key != "step"]) == 2 * (1 if kind is SGD else 2)
