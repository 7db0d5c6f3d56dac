"""watch: what it measures, against loops; that the network stays as it is; and how the table shows."""

import copy
import csv
import io
import json
import math

import numpy as np
import pytest
from helpers import fetch, normal, send
from twice import Twice

from minicnn import (
    LRN,
    SGD,
    AvgPool2d,
    BatchNorm2d,
    Conv2d,
    Dropout,
    DtypeError,
    Flatten,
    Layer,
    Linear,
    MaxPool2d,
    ReLU,
    Sequential,
    ShapeError,
    Sigmoid,
    SoftmaxCrossEntropy,
    watch,
)
from minicnn.watch import _twin

pytestmark = pytest.mark.every_backend
SHAPE = (5, 2, 11, 9)


def net():
    """Dropout, running statistics, a map that is always dead, and a network in the network."""
    made = Sequential(
        conv=Conv2d(2, 6, 3, seed=0), bn=BatchNorm2d(6), relu=ReLU(), lrn=LRN(3, 1.0), drop=Dropout(0.5, seed=1),
        block=Sequential(conv=Conv2d(6, 4, 3, padding=1, seed=2), relu=ReLU(), pool=MaxPool2d(3, 2)), mean=AvgPool2d(2, 1),
        flat=Flatten(), fc=Linear(24, 3, seed=3),
    )  # fmt: skip
    made.block.conv.bias.data[...] = send(np.array([0.5, -1000, 0.1, -0.2], np.float32))
    return made


def images(dtype=np.float32, seed=4):
    return send(normal(*SHAPE, seed=seed, dtype=dtype))


LABELS = np.array([2, 0, 1, 1, 2])


def by_hand(array):
    """(mean, std, zeros, norm, varies, dead) with loops."""
    array = np.asarray(array, np.float64)
    values = [float(v) for v in array.ravel()]
    mean = math.fsum(values) / len(values)
    std = math.sqrt(math.fsum((v - mean) ** 2 for v in values) / len(values))
    zeros = sum(v == 0 for v in values) / len(values)
    norm = math.sqrt(math.fsum(v * v for v in values))
    count, spread = len(array), 0.0
    for place in np.ndindex(array.shape[1:]):
        column = [float(array[(n, *place)]) for n in range(count)]
        centre = math.fsum(column) / count
        spread += math.fsum((v - centre) ** 2 for v in column)
    channels = range(array.shape[1])
    dead = sum(all(v == 0 for v in array[:, c].ravel()) for c in channels) / len(channels)
    return mean, std, zeros, norm, math.sqrt(spread) / norm if norm else 0.0, dead


def alone(net, x, labels):
    """{layer: (output, its gradient)} and the loss, by running a copy layer by layer."""
    net = copy.deepcopy(net)
    layers, y, outputs = list(net.leaves()), x, []
    for layer in layers:
        if isinstance(layer, Dropout):
            layer.eval()
        y = layer.forward(y)
        outputs.append(fetch(y))
    loss = SoftmaxCrossEntropy()
    value, gradients = float(loss(y, labels)), []
    dy = loss.backward()
    for layer in reversed(layers):
        gradients.append(fetch(dy))
        dy = layer.backward(dy)
    return value, dict(zip([layer.name for layer in layers], zip(outputs, reversed(gradients)))), net


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_what_is_measured(dtype):
    subject, x = net().astype(dtype), images(dtype)
    w = watch(subject, x, LABELS)
    value, found, copied = alone(subject, x, LABELS)
    assert w.loss == pytest.approx(value, rel=1e-6) and w.classes == 3 and w.excess == pytest.approx(value - math.log(3))
    assert [row.name for row in w.rows] == ["input", *found]
    for row in w.rows[1:]:
        y, dy = found[row.name]
        wanted = by_hand(y)
        assert (row.mean, row.std, row.zeros, row.norm, row.varies, row.dead) == pytest.approx(wanted, rel=1e-6, abs=1e-9)
        got = row.gradient_mean, row.gradient_std, row.gradient_zeros, row.gradient_norm
        assert got == pytest.approx(by_hand(dy)[:4], rel=1e-5, abs=1e-9), row.name
    for name in ("conv", "bn", "block.conv", "fc"):
        parameters = [p for p in copied.parameters() if p.name in (f"{name}.weight", "bn.bias" if name == "bn" else "")]
        weights, gradients = (math.sqrt(sum(float((fetch(a).astype(float) ** 2).sum()) for a in arrays))
                              for arrays in ([p.data for p in parameters], [p.grad for p in parameters]))
        row = w[name]
        assert (row.weight_norm, row.weight_gradient_norm) == pytest.approx((weights, gradients), rel=1e-5)
        assert row.ratio == pytest.approx(gradients / weights, rel=1e-5)
    assert w["block.relu"].dead == 0.25 and w["relu"].ratio is None


def test_a_block_with_a_forward_of_its_own_is_measured_as_a_whole():
    def conv(seed):
        return Conv2d(2, 2, 3, padding=1, seed=seed)

    subject = Sequential(conv=conv(0), block=Twice(conv=conv(1), relu=ReLU()), flat=Flatten(), fc=Linear(198, 3, seed=2))
    w, loss = watch(subject, images(), LABELS), SoftmaxCrossEntropy()
    assert w.loss == pytest.approx(float(loss(subject(images()), LABELS)), rel=1e-6)
    assert [row.name for row in w.rows] == ["input", "conv", "block", "flat", "fc"]
    subject.backward(loss.backward())
    for name, layer in (("conv", subject.conv), ("block", subject.block.conv)):
        assert w[name].weight_gradient_norm == pytest.approx(np.linalg.norm(fetch(layer.weight.grad)), rel=1e-5)


def test_the_first_row_is_the_input():
    x = images()
    row = watch(net(), x, LABELS).rows[0]
    assert (row.mean, row.std, row.zeros, row.norm, row.varies, row.dead) == pytest.approx(by_hand(fetch(x)), rel=1e-6)
    assert row.name == "input" and row.gradient_norm is None and row.weight_norm is None


def test_dependence_is_the_spread_over_images_by_that_over_classes():
    subject, x = net(), images()
    logits = np.asarray(alone(subject, x, LABELS)[1]["fc"][0], np.float64)
    over_images = np.mean([np.std(logits[:, k]) for k in range(3)])
    over_classes = np.mean([np.std(logits[n]) for n in range(5)])
    assert watch(subject, x, LABELS).dependence == pytest.approx(over_images / over_classes, rel=1e-6)


def test_a_common_part_is_told_from_what_varies_even_if_it_is_huge():
    """Deviations of 1e-3 on a common 1000: 1e-6, in float64 sums of float32 numbers."""
    x = np.full((4, 1, 8, 8), 1000, np.float64)
    x[1::2] += 2e-3
    w = watch(Sequential(flat=Flatten(), fc=Linear(64, 3, seed=0)).astype("float64"), send(x))
    assert w.rows[0].varies == pytest.approx(1e-3 / 1000, rel=1e-5) and w.rows[0].std == pytest.approx(1e-3, rel=1e-3)


@pytest.mark.parametrize("n", range(3))
def test_a_map_is_alive_if_one_image_has_something_in_it(n):
    x = np.zeros((3, 4, 2, 2), np.float32)
    x[n, 1, 1, 0] = x[n, 3, 0, 0] = 1
    row = watch(Sequential(flat=Flatten(), fc=Linear(16, 2, seed=0)), send(x)).rows[0]
    assert row.dead == 0.5 and row.zeros == 1 - 2 / 48


def test_dropout_lets_everything_pass():
    w = watch(net(), images(), LABELS)
    assert w["drop"].norm == w["lrn"].norm and w["drop"].zeros == w["lrn"].zeros


# --- labels and losses ---


def test_labels_by_default_are_the_classes_in_turn():
    assert watch(net(), images()).to_dict() == watch(net(), images(), np.arange(5) % 3).to_dict()
    assert watch(net(), images()).to_dict() != watch(net(), images(), LABELS).to_dict()


def test_the_gradient_of_another_loss():
    subject, x = net(), images()
    y = subject.forward(x)
    dy = send(normal(*y.shape, seed=9, dtype=np.float32))
    w = watch(subject, x, dy=dy)
    assert w.loss is w.classes is w.excess is None and w.dependence > 0
    assert w["fc"].gradient_norm == pytest.approx(np.linalg.norm(fetch(dy)), rel=1e-6)
    part = Sequential(conv=Conv2d(2, 4, 3, seed=0), relu=ReLU())
    z = part.forward(x)
    w = watch(part, x, dy=z)
    assert w.dependence is None and w["relu"].gradient_norm == pytest.approx(w["relu"].norm, rel=1e-6)
    assert "loss" not in str(w) and w.findings == ()


def test_what_is_refused():
    with pytest.raises(ShapeError, match=r"watch: the output has the shape \(5, 4, 9, 7\), wanted logits"):
        watch(Sequential(conv=Conv2d(2, 4, 3, seed=0)), images())
    with pytest.raises(ShapeError, match="labels from 0 to 7"):
        watch(net(), images(), np.array([0, 1, 2, 3, 7]))
    with pytest.raises(DtypeError, match="float64"):
        watch(net(), images("float64"))
    with pytest.raises(ShapeError, match="wanted a network or a layer"):
        watch([net()], images())


def test_one_image_has_nothing_to_differ_from():
    subject = Sequential(conv=Conv2d(2, 6, 3, seed=0), relu=ReLU(), flat=Flatten(), fc=Linear(6 * 9 * 7, 3, seed=3))
    w = watch(subject, images()[:1])
    assert w.dependence is None and all(row.varies is row.dead is None for row in w.rows)
    assert w["conv"].norm > 0 and w.findings == () and "from image to image" not in str(w)


def test_features_instead_of_images_and_a_layer_alone():
    x = send(normal(6, 7, dtype=np.float32))
    w = watch(Sequential(fc=Linear(7, 4, seed=0), sig=Sigmoid(), out=Linear(4, 3, seed=1)), x)
    assert [row.name for row in w.rows] == ["input", "fc", "sig", "out"]
    w = watch(Linear(7, 4, seed=0), x)
    assert len(w.rows) == 2 and w.rows[1].type == "Linear"


# --- nothing changes ---


def everything(net):
    """All that a forward or backward could change, as bytes."""
    return {"state": {name: array.tobytes() for name, array in net.state_dict().items()}, "random": net.random_state(),
            "modes": [layer.training for layer in (net, *net.leaves())],
            "gradients": [None if p.grad is None else fetch(p.grad).tobytes() for p in net.parameters()]}


@pytest.mark.parametrize("mode", ["train", "eval"])
@pytest.mark.parametrize("pending", [False, True])
def test_the_network_stays_as_it_is(mode, pending):
    subject = getattr(net(), mode)()
    subject.forward(images(seed=1))
    subject.backward(send(normal(5, 3, dtype=np.float32)))  # so that there are gradients
    if pending:
        subject.forward(images(seed=2))
    before, arrays = everything(subject), [(p, p.data, p.grad) for p in subject.parameters()]
    kept, copied = [layer._kept for layer in subject.leaves()], copy.deepcopy(subject)
    watch(subject, images(), LABELS)
    assert everything(subject) == before
    assert all(p.data is data and p.grad is grad for p, data, grad in arrays)
    assert all(layer._kept is one for layer, one in zip(subject.leaves(), kept))
    if pending:  # the backward that was waiting gives what it would have given
        dy = send(normal(5, 3, seed=8, dtype=np.float32))
        np.testing.assert_array_equal(fetch(subject.backward(dy)), fetch(copied.backward(dy)))
        assert everything(subject) == everything(copied)


def test_a_failing_watch_leaves_the_network_alone_too():
    class Broken(Layer):
        def _forward(self, ops, x, training):
            raise RuntimeError("on purpose")

    subject = Sequential(bn=BatchNorm2d(2), drop=Dropout(0.5, seed=0), broken=Broken())
    before = everything(subject)
    with pytest.raises(RuntimeError, match="on purpose"):
        watch(subject, images())
    assert everything(subject) == before


def train(steps, watching):
    subject = net().seed(3)
    optimiser, loss = SGD(subject.parameters(), 0.1, momentum=0.9), SoftmaxCrossEntropy()
    for step in range(steps):
        x = images(seed=step)
        if watching:
            watch(subject, x, LABELS)
        loss(subject.forward(x), LABELS)
        if watching:
            watch(subject, x)
        optimiser.zero_grad()
        subject.backward(loss.backward(), need_dx=False)
        optimiser.step()
    return everything(subject)


def test_a_training_that_is_watched_ends_the_same_to_the_last_bit():
    assert train(4, watching=True) == train(4, watching=False) != train(3, watching=False)


def test_the_weights_are_not_copied():
    subject = net()
    twin = _twin(subject)
    for p, q in zip(subject.parameters(), twin.parameters(), strict=True):
        assert p is not q and p.data is q.data
    assert twin.bn.running_mean is not subject.bn.running_mean


# --- how it shows ---


def test_text_fits_and_has_all():
    w = watch(net(), images(), LABELS)
    for width in (80, 100, 120, 200):
        text = w.to_text(width)
        assert max(map(len, text.splitlines())) <= width
        assert all(cell in text for cells in w._cells() for cell in cells)
    blocks = w.to_text(100).split("name ")
    assert len(blocks) == 3 and "dead" in blocks[1] and "dy" not in blocks[1] and blocks[2].split()[:2] == ["dy", "mean"]
    assert "loss 1." in text and "log 3 = 1.1" in text and "from image to image" in text


def test_other_forms():
    w = watch(net(), images(), LABELS)
    assert w._repr_html_().count("<tr>") == 2 * (1 + len(w.rows)) and "text-align:right" in w._repr_html_()
    assert w.to_markdown().count("\n| ") == 2 + len(w.rows)
    rows = list(csv.DictReader(io.StringIO(w.to_csv())))
    assert [float(row["norm"]) for row in rows] == [row.norm for row in w.rows]
    assert rows[0]["ratio"] == "" and float(rows[1]["ratio"]) == w.rows[1].ratio
    found = w.to_dict()
    assert json.loads(json.dumps(found)) == found and found["rows"][1]["name"] == "conv" and found["loss"] == w.loss
