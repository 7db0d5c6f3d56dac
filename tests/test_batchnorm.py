"""BatchNorm1d and BatchNorm2d against loops over the channels, in training and in evaluation."""

import math

import numpy as np
import pytest
from helpers import assert_close, check_layer, fetch, fill, normal, run, send, values

from minicnn import BatchNorm1d, BatchNorm2d, MinicnnError, Sequential, gradcheck
from minicnn.errors import ShapeError

pytestmark = pytest.mark.every_backend

EPS = 1e-5
SHAPES = [(5, 3), (2, 4), (41, 2), (4, 3, 5, 2), (2, 5, 1, 3), (1, 3, 4, 5), (3, 1, 2, 5), (37, 2, 3, 1)]


def build(shape, **options):
    return fill((BatchNorm1d if len(shape) == 2 else BatchNorm2d)(shape[1], **options))


def channels(x):
    """One list of the values of each channel."""
    return [np.moveaxis(x, 1, 0).reshape(x.shape[1], -1)[c].tolist() for c in range(x.shape[1])]


def back(rows, shape):
    """Lists of values of each channel, as an array of `shape`."""
    moved = (shape[1], shape[0], *shape[2:])
    return np.moveaxis(np.array(rows).reshape(moved), 0, 1)


def statistics(values_):
    """Mean and biased variance, in two passes."""
    mean = math.fsum(values_) / len(values_)
    return mean, math.fsum((value - mean) ** 2 for value in values_) / len(values_)


def normalise(x, p):
    rows = []
    for c, row in enumerate(channels(x)):
        mean, variance = statistics(row)
        rows.append([(v - mean) / math.sqrt(variance + EPS) * p["weight"][c] + p["bias"][c] for v in row])
    return back(rows, x.shape)


def normalise_backward(x, dy, p):
    """dx[i] = g / s (dy[i] - mean of dy - h[i] mean of dy h), h the normalised values, s = sqrt(variance + eps)."""
    rows, dweight, dbias = [], [], []
    for c, (row, slopes) in enumerate(zip(channels(x), channels(dy), strict=True)):
        mean, variance = statistics(row)
        s = math.sqrt(variance + EPS)
        h = [(v - mean) / s for v in row]
        dbias.append(math.fsum(slopes))
        dweight.append(math.fsum(d * v for d, v in zip(slopes, h, strict=True)))
        m = len(row)
        rows.append([p["weight"][c] / s * (d - dbias[c] / m - v * dweight[c] / m) for d, v in zip(slopes, h, strict=True)])
    return back(rows, x.shape), {"weight": np.array(dweight), "bias": np.array(dbias)}


def loose(layer):
    """Running statistics that are neither 0 nor 1."""
    C = layer.state_dict()["weight"].shape[0]
    state = dict(layer.state_dict(), running_mean=normal(C, seed=5), running_var=1 + np.abs(normal(C, seed=6)))
    layer.load_state_dict({key: array.astype(layer.dtype) for key, array in state.items()})
    return layer


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_training_equals_loops(shape):
    check_layer(build(shape), 1 + 2 * normal(*shape), normalise, normalise_backward, {"float64": 1e-11, "float32": 3e-5})


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_evaluation_equals_loops_with_the_running_statistics_as_constants(shape):
    layer = loose(build(shape).astype("float64")).eval()
    state = {key: array.astype(np.float64) for key, array in layer.state_dict().items()}
    scale = [1 / math.sqrt(v + EPS) for v in state["running_var"]]

    def hat(x):
        return [[(v - state["running_mean"][c]) * scale[c] for v in row] for c, row in enumerate(channels(x))]

    def forward(x, p):
        return back([[v * p["weight"][c] + p["bias"][c] for v in row] for c, row in enumerate(hat(x))], shape)

    def backward(x, dy, p):
        slopes = channels(dy)
        dx = back([[d * p["weight"][c] * scale[c] for d in row] for c, row in enumerate(slopes)], shape)
        dweight = [math.fsum(d * v for d, v in zip(s, h, strict=True)) for s, h in zip(slopes, hat(x), strict=True)]
        return dx, {"weight": np.array(dweight), "bias": np.array([math.fsum(s) for s in slopes])}

    check_layer(layer, normal(*shape), forward, backward, {"float64": 1e-11, "float32": 1e-5})
    for key in ("running_mean", "running_var"):
        np.testing.assert_allclose(layer.state_dict()[key], state[key], rtol=1e-6, err_msg="evaluation moved them")


@pytest.mark.parametrize("shape", [(5, 3), (4, 3, 5, 2)], ids=str)
def test_running_statistics_move_by_momentum_towards_the_mean_and_the_unbiased_variance(shape):
    layer = build(shape, momentum=0.3).astype("float64")
    mean, variance = np.zeros(3), np.ones(3)
    for step in range(3):
        x = 5 + 3 * normal(*shape, seed=step)
        layer(send(x))
        for c, row in enumerate(channels(x)):
            batch_mean, batch_variance = statistics(row)
            mean[c] = 0.7 * mean[c] + 0.3 * batch_mean
            variance[c] = 0.7 * variance[c] + 0.3 * batch_variance * len(row) / (len(row) - 1)
    assert_close(layer.state_dict()["running_mean"], mean, 1e-13)
    assert_close(layer.state_dict()["running_var"], variance, 1e-13)


def test_default_momentum_weighs_the_new_value_with_a_tenth():
    layer = BatchNorm1d(1).astype("float64")
    layer(send(np.array([[10.0], [20.0]])))
    assert layer.state_dict()["running_mean"] == pytest.approx(0.1 * 15)
    assert layer.state_dict()["running_var"] == pytest.approx(0.9 + 0.1 * 50)


def test_eps_is_added_to_the_variance():
    x = np.array([[1.0], [3.0]])
    y = fetch(BatchNorm1d(1, eps=3.0).astype("float64")(send(x)))
    assert_close(y, [[-0.5], [0.5]], 1e-15)


def test_starts_as_scale_one_shift_zero():
    for kind in (BatchNorm1d, BatchNorm2d):
        p = values(kind(3))
        assert p["weight"].tolist() == [1, 1, 1] and p["bias"].tolist() == [0, 0, 0]
        state = kind(3).state_dict()
        assert state["running_mean"].tolist() == [0, 0, 0] and state["running_var"].tolist() == [1, 1, 1]


def test_keys_of_the_state():
    assert set(BatchNorm2d(3).state_dict()) == {"weight", "bias", "running_mean", "running_var"}
    assert set(Sequential(bn=BatchNorm1d(3)).state_dict()) == {
        "bn.weight",
        "bn.bias",
        "bn.running_mean",
        "bn.running_var",
    }
    assert {p.name for p in BatchNorm1d(3).parameters()} == {"weight", "bias"}, "running statistics are not trained"


@pytest.mark.parametrize("kind, shape", [(BatchNorm1d, (1, 3)), (BatchNorm2d, (1, 3, 1, 1))], ids=["1d", "2d"])
def test_one_value_a_channel_is_refused_in_training_only(kind, shape):
    layer = kind(3)
    before = layer.state_dict()
    with pytest.raises(MinicnnError):
        layer(send(np.ones(shape, np.float32)))
    for key, array in layer.state_dict().items():
        np.testing.assert_array_equal(array, before[key])
    assert fetch(layer.eval()(send(np.ones(shape, np.float32)))).shape == shape


def test_large_mean_keeps_its_digits_in_float32():
    """E[x^2] - E[x]^2 in float32 would give noise, or a negative variance."""
    x = (10_000 + normal(64, 2, 5, 7)).astype(np.float32)
    wanted = normalise(x.astype(np.float64), {"weight": np.ones(2), "bias": np.zeros(2)})
    assert_close(BatchNorm2d(2)(send(x)), wanted, 2e-3)


def test_predict_does_not_move_the_running_statistics():
    net = Sequential(bn=BatchNorm2d(3))
    before = net.state_dict()
    net.predict(send(5 + normal(7, 3, 2, 4, dtype=np.float32)), batch_size=3)
    for key, array in net.state_dict().items():
        np.testing.assert_array_equal(array, before[key])


@pytest.mark.parametrize("shape", [(7, 3), (3, 4, 2, 5), (1, 2, 3, 2)], ids=str)
def test_gradcheck_and_its_running_statistics_stay(shape):
    layer = loose(build(shape))
    before = layer.state_dict()
    assert gradcheck(layer, normal(*shape)).passed
    assert gradcheck(layer.eval(), normal(*shape)).passed
    for key, array in layer.state_dict().items():
        np.testing.assert_array_equal(array, before[key])


@pytest.mark.parametrize(
    "kind, shape",
    [
        (BatchNorm1d, (4, 3, 5, 2)),
        (BatchNorm1d, (4, 3, 2)),
        (BatchNorm1d, (4, 2)),
        (BatchNorm2d, (4, 3)),
        (BatchNorm2d, (4, 2, 3, 3)),
    ],
)
def test_other_shapes_are_refused(kind, shape):
    with pytest.raises(ShapeError):
        kind(3)(send(np.zeros(shape, np.float32)))


def test_dy_of_another_shape_is_refused():
    layer = BatchNorm1d(3)
    layer(send(normal(4, 3, dtype=np.float32)))
    with pytest.raises(ShapeError):
        layer.backward(send(normal(5, 3, dtype=np.float32)))


def test_running_statistics_follow_astype():
    layer = loose(BatchNorm1d(3)).astype("float64")
    assert {array.dtype for array in layer.state_dict().values()} == {np.dtype("float64")}
    y, _, _ = run(layer, normal(4, 3), normal(4, 3))
    assert y.dtype == np.float64
