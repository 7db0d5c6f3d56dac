"""SoftmaxCrossEntropy against loops, in value and gradient, and its refusals."""

import math

import numpy as np
import pytest
from helpers import assert_close, fetch, integers, normal, send
from oracles import softmax_cross_entropy

from minicnn import MinicnnError, SoftmaxCrossEntropy
from minicnn.errors import StateError

pytestmark = pytest.mark.every_backend

SHAPES = [(5, 7), (1, 3), (4, 2), (131, 11), (3, 1), (4, 1000)]


def labels_for(shape, seed=5, dtype=np.int64):
    return integers(shape[0], low=0, high=shape[1], seed=seed, dtype=dtype)


@pytest.mark.parametrize("dtype, tolerance", [("float64", 1e-13), ("float32", 2e-6)])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_value_and_gradient_equal_loops(shape, dtype, tolerance):
    logits, labels, loss = 3 * normal(*shape, dtype=dtype), labels_for(shape), SoftmaxCrossEntropy()
    logits, kept = logits.astype(dtype), logits.copy()
    wanted, wanted_gradient = softmax_cross_entropy(logits.astype(np.float64), labels)
    assert float(loss(send(logits), labels)) == pytest.approx(wanted, rel=tolerance, abs=tolerance)
    dlogits = loss.backward()
    assert dlogits.dtype == logits.dtype
    assert_close(shape[0] * fetch(dlogits), shape[0] * wanted_gradient, tolerance)
    np.testing.assert_array_equal(logits, kept, "the caller's logits were changed")


def test_gradient_equals_central_differences():
    logits, labels, loss, h = normal(3, 5), labels_for((3, 5)), SoftmaxCrossEntropy(), 1e-6
    loss(send(logits), labels)
    dlogits = fetch(loss.backward())
    for place in np.ndindex(logits.shape):
        step = np.zeros_like(logits)
        step[place] = h
        numerical = (float(loss(send(logits + step), labels)) - float(loss(send(logits - step), labels))) / (2 * h)
        assert dlogits[place] == pytest.approx(numerical, abs=1e-9)


def test_loss_is_the_mean_over_the_batch():
    """Twice the images: the same loss, and half the gradient an image."""
    logits, labels, loss = normal(3, 5), labels_for((3, 5)), SoftmaxCrossEntropy()
    once, gradient = float(loss(send(logits), labels)), fetch(loss.backward())
    twice = float(loss(send(np.concatenate([logits] * 2)), np.concatenate([labels] * 2)))
    assert twice == pytest.approx(once, rel=1e-14)
    assert_close(fetch(loss.backward())[:3], gradient / 2, 1e-15)


def test_loss_on_the_cpu_is_a_python_float():
    assert type(SoftmaxCrossEntropy()(normal(3, 5, dtype=np.float32), labels_for((3, 5)))) is float


def test_untrained_loss_of_cs231n():
    """Stanford cs231n: with ten classes and tiny scores the loss is close to log(10) = 2.3026."""
    loss = float(SoftmaxCrossEntropy()(send(0.001 * normal(50, 10)), labels_for((50, 10))))
    assert loss == pytest.approx(math.log(10), abs=1e-3)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.filterwarnings("error")
def test_large_logits_do_not_overflow(dtype):
    logits, loss = np.array([[1e4, -1e4, 0], [-3e38, 0, 5]], dtype), SoftmaxCrossEntropy()
    assert float(loss(send(logits), np.array([0, 2]))) == pytest.approx(math.log1p(math.exp(-5)) / 2, rel=1e-5)
    assert np.isfinite(fetch(loss.backward())).all()
    assert float(loss(send(logits), np.array([1, 2]))) == pytest.approx(1e4, rel=1e-5)


def test_nan_gives_nan_and_no_exception():
    assert math.isnan(float(SoftmaxCrossEntropy()(send(np.array([[np.nan, 1.0]])), np.array([1]))))


@pytest.mark.parametrize("dtype", ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"])
def test_labels_of_any_integer_dtype(dtype):
    logits, labels, loss = normal(6, 5), labels_for((6, 5)), SoftmaxCrossEntropy()
    wanted, gradient = softmax_cross_entropy(logits, labels)
    assert float(loss(send(logits), labels.astype(dtype))) == pytest.approx(wanted, rel=1e-13)
    assert_close(loss.backward(), gradient, 1e-14)


@pytest.mark.parametrize("bad", [-1, 5, 127, -128])
@pytest.mark.parametrize("dtype", ["int8", "int64"])
def test_label_out_of_range_is_refused(bad, dtype):
    """-1 would silently mean the last class."""
    with pytest.raises(MinicnnError, match=str(bad)):
        SoftmaxCrossEntropy()(send(normal(3, 5)), np.array([0, bad, 2], dtype))


@pytest.mark.parametrize(
    "labels",
    [
        np.array([0.0, 1.0, 2.0]),
        np.array([0, 1]),
        np.array([[0, 1, 2]]),
        np.array([[0], [1], [2]]),
        np.eye(5, dtype=np.int64)[:3],
        np.array(["a", "b", "c"]),
        [0, 1, 2],
    ],
    ids=["float", "too few", "row", "column", "one-hot", "strings", "list"],
)
def test_labels_that_are_not_n_integers_are_refused(labels):
    with pytest.raises(MinicnnError):
        SoftmaxCrossEntropy()(send(normal(3, 5)), labels)


@pytest.mark.parametrize("shape", [(5,), (3, 5, 1), (3, 5, 2, 2)], ids=str)
def test_logits_that_are_not_n_by_k_are_refused(shape):
    with pytest.raises(MinicnnError):
        SoftmaxCrossEntropy()(send(normal(*shape)), np.zeros(shape[0], np.int64))


@pytest.mark.parametrize(
    "logits", [np.ones((3, 5), np.int64), np.ones((3, 5), np.float16), [[1.0] * 5] * 3], ids=["int", "half", "list"]
)
def test_logits_that_are_not_floating_point_arrays_are_refused(logits):
    with pytest.raises(MinicnnError):
        SoftmaxCrossEntropy()(logits, np.array([0, 1, 2]))


def test_backward_without_forward_and_twice_are_refused():
    loss = SoftmaxCrossEntropy()
    with pytest.raises(StateError):
        loss.backward()
    loss(send(normal(3, 5)), labels_for((3, 5)))
    loss.backward()
    with pytest.raises(StateError):
        loss.backward()


def test_gradient_of_one_call_is_not_overwritten_by_the_next():
    loss = SoftmaxCrossEntropy()
    loss(send(normal(3, 5)), labels_for((3, 5)))
    first = loss.backward()
    kept = fetch(first).copy()
    loss(send(normal(3, 5, seed=1)), labels_for((3, 5), seed=2))
    loss.backward()
    np.testing.assert_array_equal(fetch(first), kept)
