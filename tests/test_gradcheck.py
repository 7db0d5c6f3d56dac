"""gradcheck passes what is right, fails what is wrong, leaves kinks out, and touches nothing."""

import numpy as np
import pytest
from helpers import clear, fetch, fill, integers, normal, send

from minicnn import (
    LRN,
    AvgPool2d,
    BatchNorm1d,
    BatchNorm2d,
    Conv2d,
    Dropout,
    Flatten,
    Linear,
    MaxPool2d,
    ReLU,
    Sequential,
    Sigmoid,
    Tanh,
    gradcheck,
)

pytestmark = pytest.mark.every_backend


def everything():
    """One small network of every layer."""
    return Sequential(
        conv=Conv2d(2, 4, (3, 2), (2, 1), ((1, 0), (0, 1)), groups=2, seed=0),
        bn=BatchNorm2d(4),
        relu=ReLU(),
        lrn=LRN(3, 1.0),
        pool=MaxPool2d((2, 3), (1, 2), padding=(0, 1)),
        tanh=Tanh(),
        average=AvgPool2d(2, 1, ceil_mode=True),
        dropout=Dropout(0.3, seed=0),
        flatten=Flatten(),
        fc1=Linear(8, 5, seed=1),
        bn1=BatchNorm1d(5),
        sigmoid=Sigmoid(),
        fc2=Linear(5, 3, bias=False, seed=2),
    )


@pytest.mark.numpy_only  # slow elsewhere; each layer has a check of its own
@pytest.mark.parametrize("mode", ["train", "eval"])
def test_network_of_every_layer_passes(mode):
    net = getattr(fill(everything()), mode)()
    x = normal(3, 2, 7, 5)
    net.output_shape(x.shape)
    report = gradcheck(net, x)
    assert report.passed, str(report)


class Wrong:
    """Layers whose backward has one of the defects seen in the wild."""

    class NoDx(Tanh):
        def backward(self, dy, **options):
            super().backward(dy, **options)
            return dy

    class Scaled(Tanh):
        def backward(self, dy, **options):
            return super().backward(dy, **options) * 1.00001

    class OneElement(Tanh):
        def backward(self, dy, **options):
            dx = super().backward(dy, **options)
            dx[0, -1] *= 1.01
            return dx

    class MeanGradient(Linear):
        def backward(self, dy, **options):
            dx = super().backward(dy, **options)
            self.weight.grad /= len(dy)
            return dx

    class NoBias(Linear):
        def backward(self, dy, **options):
            dx = super().backward(dy, **options)
            self.bias.grad *= 0
            return dx

    class NeverFilled(Linear):
        def backward(self, dy, **options):
            dx = super().backward(dy, **options)
            self.bias.grad = None
            return dx


@pytest.mark.parametrize("kind", [Wrong.NoDx, Wrong.Scaled, Wrong.OneElement], ids=lambda kind: kind.__name__)
def test_wrong_gradient_of_the_input_fails(kind):
    assert not gradcheck(kind(), normal(2, 5)).passed


@pytest.mark.parametrize("kind", [Wrong.MeanGradient, Wrong.NoBias, Wrong.NeverFilled], ids=lambda kind: kind.__name__)
def test_wrong_gradient_of_a_parameter_fails(kind):
    assert not gradcheck(fill(kind(5, 3)), normal(2, 5)).passed


def test_wrong_layer_inside_a_network_fails():
    assert not gradcheck(Sequential(Linear(5, 4, seed=0), Wrong.Scaled(), Linear(4, 3, seed=1)), normal(2, 5)).passed


def test_lrn_with_its_first_term_only_fails_even_at_the_papers_alpha():
    class FirstTermOnly(LRN):
        def backward(self, dy, **options):
            super().backward(dy, **options)
            return dy * self.first

        def forward(self, x):
            y = super().forward(x)
            self.first = y / x
            return y

        __call__ = forward

    assert not gradcheck(FirstTermOnly(5, 1e-4, 0.75, 2.0), normal(2, 7, 2, 3)).passed
    assert not gradcheck(FirstTermOnly(5, 1.0, 0.75, 2.0), normal(2, 7, 2, 3)).passed


def test_kinks_are_left_out_and_counted():
    x = normal(3, 5)
    x[1, 2] = x[0, 4] = 0.0
    report = gradcheck(ReLU(), x)
    assert report.passed
    assert "2" in str(report)
    assert gradcheck(MaxPool2d(2, 1), integers(2, 2, 4, 5)).passed


def test_all_coordinates_on_a_kink_do_not_pass_as_checked_in_silence():
    """Nothing was compared: the report says how many were left out."""
    assert "15" in str(gradcheck(ReLU(), np.zeros((3, 5))))


def test_prints_a_table_that_names_the_input_and_every_parameter(capsys):
    report = gradcheck(Sequential(fc=Linear(3, 2, seed=0)), normal(2, 3))
    printed = capsys.readouterr().out
    for name in ("fc.weight", "fc.bias", "input"):
        assert name in printed or (name == "input" and "x" in printed)
    assert isinstance(report.passed, bool)


@pytest.mark.numpy_only  # slow elsewhere; each layer has a check of its own
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_layer_and_input_are_left_as_they_were(dtype):
    net = everything().astype("float32")
    x = normal(3, 2, 7, 5, dtype=dtype)
    kept, state, random_state = x.copy(), net.state_dict(), net.random_state()
    clear(net)
    assert gradcheck(net, x).passed
    np.testing.assert_array_equal(x, kept)
    assert net.dtype == np.float32 and net.training
    assert all(p.grad is None for p in net.parameters())
    assert net.random_state() == random_state
    for key, array in net.state_dict().items():
        np.testing.assert_array_equal(array, state[key], key)


def test_pending_backward_is_not_disturbed():
    layer, x, dy = Tanh(), normal(2, 5, dtype=np.float32), normal(2, 5, seed=1, dtype=np.float32)
    layer(send(x))
    gradcheck(layer, normal(3, 4))
    dx = fetch(layer.backward(send(dy)))
    np.testing.assert_allclose(dx, dy * (1 - np.tanh(x) ** 2), rtol=1e-5)


def test_result_is_the_same_every_time():
    one, other = (str(gradcheck(fill(Linear(5, 3)), normal(2, 5))) for _ in range(2))
    assert one == other


class _Wrong(ReLU):
    """A ReLU whose backward breaks one promise."""

    def __init__(self, how):
        super().__init__()
        self.how = how

    def _forward(self, ops, x, training):
        y, kept = super()._forward(ops, x, training)
        if self.how == "forward changes x":
            x *= 2
        return y, kept

    def _backward(self, ops, dy, y, need_dx):
        dx, gradients = super()._backward(ops, dy, y, need_dx)
        if self.how == "changes dy":
            dy *= 2
        if self.how == "wrong shape":
            dx = dx.reshape(-1)
        if self.how == "one per cent":
            dx = 1.01 * dx
        return dx, gradients


@pytest.mark.parametrize("how", ["forward changes x", "changes dy", "wrong shape", "one per cent"])
def test_each_broken_promise_is_named(how):
    report = gradcheck(_Wrong(how), 255 * normal(3, 5))
    assert not report.passed and "WRONG" in str(report)


def test_one_per_cent_is_found_among_many_large_outputs():
    assert not gradcheck(_Wrong("one per cent"), 255 * normal(4, 3, 50, 50), samples=10).passed


def test_gradients_that_replace_instead_of_adding_are_found():
    layer = Linear(3, 2, seed=0)
    layer.weight.accumulate = lambda gradient: setattr(layer.weight, "grad", gradient)
    layer.weight.__deepcopy__ = lambda memo: layer.weight
    layer.astype("float64")
    assert not gradcheck(layer, normal(2, 3)).passed


@pytest.mark.parametrize("order", [np.asfortranarray, lambda x: x[::-1, :, ::-1], lambda x: np.swapaxes(x, 1, 3)])
def test_order_in_memory_does_not_matter(order):
    assert gradcheck(Tanh(), order(normal(2, 3, 4, 3))).passed
