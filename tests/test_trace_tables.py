"""What a trace says beyond the numbers of test_trace.py: formulas, memory, misfits, and the ways out of it."""

import csv
import functools
import io
import json
import re
import sys
import tracemalloc
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from helpers import normal

from minicnn import (
    LRN,
    SGD,
    Adam,
    AvgPool2d,
    BatchNorm1d,
    BatchNorm2d,
    Conv2d,
    Dropout,
    Flatten,
    Layer,
    Linear,
    MaxPool2d,
    ReLU,
    Sequential,
    Sigmoid,
    SoftmaxCrossEntropy,
    StateError,
    Tanh,
    get_num_threads,
    set_num_threads,
    trace,
)
from minicnn.errors import ShapeError

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "examples"))

from alexnet import RECIPES, alexnet


def every_kind(**options):
    """All that keeps something different for backward."""
    return Sequential(
        conv=Conv2d(2, 6, 3, padding=1), relu=ReLU(), lrn=LRN(3), pool=MaxPool2d(3, 2), grouped=Conv2d(6, 4, 3, groups=2),
        bn=BatchNorm2d(4), tanh=Tanh(), mean=AvgPool2d(2, 1), wide=MaxPool2d(16, 4, padding=8), flat=Flatten(),
        drop=Dropout(0.5, seed=0), again=Flatten(), fc=Linear(48, 5), bn1=BatchNorm1d(5), sigmoid=Sigmoid(),
        still=Dropout(0.0), out=Linear(5, 3),
    )  # fmt: skip


SHAPE = (7, 2, 23, 31)


@functools.cache
def column():
    """The paper's network at its full width: drawing its weights takes longer than all that is asked of it here."""
    return alexnet("paper")


# --- formulas ---


def test_formulas_of_the_single_column():
    t = trace(column(), (1, 3, 227, 227))
    assert {row.name: row.formula for row in t.rows if row.formula} == {
        "conv1": "(227 − 11)/4 + 1 = 55", "pool1": "(55 − 3)/2 + 1 = 27", "conv2": "27 + 2·2 − 5 + 1 = 27",
        "pool2": "(27 − 3)/2 + 1 = 13", "conv3": "13 + 2·1 − 3 + 1 = 13", "conv4": "13 + 2·1 − 3 + 1 = 13",
        "conv5": "13 + 2·1 − 3 + 1 = 13", "pool5": "(13 − 3)/2 + 1 = 6", "flatten": "256·6·6 = 9216"}


def test_formulas_of_the_code_of_2012_round_up():
    t = trace(alexnet("2012", width=0.02), (1, 3, 224, 224))
    assert t["conv1"].formula == "⌈(224 − 11)/4⌉ + 1 = 55"


@pytest.mark.parametrize("recipe", RECIPES)
def test_formulas_end_in_the_shapes(recipe):
    """That they come out so is a test of windows."""
    size = RECIPES[recipe].input_size
    for row in trace(alexnet(recipe, width=0.02), (1, 3, size, size)).rows:
        assert bool(row.formula) == (row.type in ("Conv2d", "MaxPool2d", "Flatten"))
        assert not row.formula or row.formula.endswith(f" = {row.output_shape[-1]}"), row.name


# --- memory ---


def arrays_in(kept):
    if isinstance(kept, tuple):
        return [array for part in kept for array in arrays_in(part)]
    return [kept] if isinstance(kept, np.ndarray) else []


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_kept_bytes_are_what_the_layers_hold(dtype):
    """Arrays that two layers hold are one: they are counted by where in memory they begin."""
    net = every_kind().astype(dtype)
    net(normal(*SHAPE, dtype=dtype))
    held = {array.ctypes.data: array.nbytes for layer in net.leaves() for array in arrays_in(layer._kept)}
    rows = trace(net, SHAPE).rows
    assert sum(row.kept_bytes for row in rows) == sum(held.values()) > 0
    assert [row.name for row in rows if not row.kept_bytes] == ["lrn", "mean", "flat", "again", "still"]


def test_a_layer_of_one_s_own_is_taken_to_keep_its_input():
    class Square(Layer):
        def _forward(self, ops, x, training):
            return x * x, x

    t = trace(Sequential(Square(), Square()), (3, 5))
    assert [row.kept_bytes for row in t.rows] == [60, 60]


def test_parts_of_the_memory_by_hand():
    net = Sequential(conv=Conv2d(2, 4, 3), relu=ReLU(), flat=Flatten(), fc=Linear(4 * 5 * 6, 3))
    t = trace(net, (10, 2, 7, 8))
    weights, x, y = 4 * (4 * 2 * 9 + 4 + 120 * 3 + 3), 4 * 10 * 2 * 7 * 8, 4 * 10 * 4 * 5 * 6
    training, inference = t.training, t.inference
    assert (training.weights, training.gradients, training.optimiser) == (weights, weights, weights)
    assert training.activations == x + y  # the images for conv; relu's output for itself and for fc
    assert training.workspace == max(y + t["conv"].workspace_bytes, 2 * y)
    assert (inference.weights, inference.gradients, inference.optimiser) == (weights, 0, 0)
    assert inference.activations + inference.workspace == x + max(y + t["conv"].workspace_bytes, 2 * y)
    assert training.total == 3 * weights + training.activations + training.workspace
    assert inference.total == weights + inference.activations + inference.workspace


def test_the_optimiser_s_state():
    net = Sequential(fc=Linear(10, 5))
    weights = 4 * 55
    for optimiser, slots in ((SGD, 1), (Adam, 2), (Adam(net.parameters()), 2)):
        t = trace(net, (3, 10), optimiser)
        assert t.training.optimiser == slots * weights
        assert t.optimiser == ("SGD" if slots == 1 else "Adam") and t.optimiser in str(t)


def test_work_of_a_step():
    """845 GFLOP at batch 128; the images need no gradient."""
    t = trace(column(), (128, 3, 227, 227))
    assert t.training_macs == 3 * t.macs - t["conv1"].macs and round(2 * t.training_macs / 1e9) == 845
    pooled = trace(Sequential(pool=MaxPool2d(2), conv=Conv2d(3, 4, 3)), (1, 3, 20, 20))
    assert pooled.training_macs == 3 * pooled.macs > 0


@pytest.fixture
def one_thread():
    before = get_num_threads()
    set_num_threads(1)
    yield
    set_num_threads(before)


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("recipe", ["paper", "flowers17"])
def test_memory_is_what_a_step_and_predict_take(recipe, new_memory):
    size = RECIPES[recipe].input_size
    net = alexnet(recipe, 5, width=0.3)  # so wide that what threads keep for other layers, some 10 MiB, is a small part
    images, labels = normal(32, 3, size, size, dtype=np.float32), np.arange(32) % 5
    wanted = trace(net, images.shape)
    optimiser, loss = SGD(net.parameters(), 0.01), SoftmaxCrossEntropy()

    def step():
        loss(net(images), labels)
        net.backward(loss.backward(), need_dx=False)
        optimiser.step()

    for action, predicted in ((step, wanted.training), (lambda: net.predict(images), wanted.inference)):
        new_memory()
        net.zero_grad()
        for layer in net.leaves():
            layer._kept = None
        tracemalloc.start()
        try:
            action()
            taken = tracemalloc.get_traced_memory()[1] + images.nbytes + predicted.weights
        finally:
            tracemalloc.stop()
        assert 0.8 * predicted.total <= taken <= 1.1 * predicted.total, (taken, predicted)


# --- a network that does not fit ---


def misfit(net, shape):
    with pytest.raises(ShapeError) as caught:
        trace(net, shape)
    return str(caught.value), caught.value.trace


def test_a_misfit_has_the_table_down_to_it_and_says_why():
    text, found = misfit(column(), (1, 3, 200, 200))
    assert [row.name for row in found.rows][-2:] == ["flatten", "fc6"] and len(found.rows) == 17
    assert found.rows[-1].input_shape == (1, 6400) and found.rows[-1].output_shape == ()
    lines = text.splitlines()
    assert lines[0] == "the network does not fit at fc6"
    assert lines[-1] == ("fc6: Linear(9216→4096): got an input of shape (1, 6400), wanted (N, 9216); "
                         "flatten before it gives 256·5·5 = 6400")
    rows = [line for line in lines if line.startswith(("conv1 ", "pool5 ", "flatten ", "fc6 "))]
    assert any("(200 − 11)/4" in row for row in rows) and any("does not fit" in row for row in rows)
    assert "fc7" not in text and "relu6" not in text and "parameters;" not in text


def test_the_first_layer_may_be_the_misfit():
    text, found = misfit(Conv2d(3, 4, 5), (2, 1, 9, 9))
    assert len(found.rows) == 1 and "at Conv2d" in text and text.endswith("wanted (N, 3, H, W)")
    text, found = misfit(Sequential(a=Conv2d(3, 4, 5), relu=ReLU(), b=Conv2d(4, 4, 7)), (2, 3, 9, 9))
    assert [row.name for row in found.rows] == ["a", "relu", "b"]
    assert "does not fit into 5 pixels" in text and text.endswith("a before it gives 9 − 5 + 1 = 5")
    text, _ = misfit(Sequential(flat=Flatten(), a=Linear(18, 4), relu=ReLU(), b=Linear(5, 4)), (1, 2, 3, 3))
    assert text.endswith("wanted (N, 5)")


@pytest.mark.parametrize("shape", [(), None, "1×3×9×9", (1, 3, 9.0, 9), (1, 3, 0, 9), (1, 3, -9, 9), (True, 3, 9, 9), 5])
def test_what_is_no_shape_is_refused(shape):
    with pytest.raises(ShapeError, match="trace: got an input of shape"):
        trace(Conv2d(3, 4, 3), shape)


def test_what_is_no_network_is_refused():
    with pytest.raises(ShapeError, match="wanted a network or a layer"):
        trace([Conv2d(3, 4, 3)], (1, 3, 9, 9))


def test_a_network_without_layers():
    t = trace(Sequential(), (1, 3, 9, 9))
    assert t.rows == () and t.parameters == t.training_macs == 0 and "no layers" in str(t)
    assert t.to_dict()["rows"] == [] and len(t.to_csv().splitlines()) == 1


def test_rows_by_name():
    t = trace(every_kind(), SHAPE)
    assert t["fc"].type == "Linear"
    with pytest.raises(StateError, match="no layer 'fc9' in the table: it has conv, relu"):
        t["fc9"]


# --- how it shows ---


@pytest.mark.parametrize("width", [80, 100, 120, 200])
@pytest.mark.parametrize("recipe", RECIPES)
def test_text_fits_and_leaves_nothing_out(recipe, width):
    size = RECIPES[recipe].input_size
    t = trace(alexnet(recipe, width=0.25), (128, 3, size, size))
    text = t.to_text(width)
    lines = text.splitlines()
    assert max(map(len, lines)) <= width and all(line == line.rstrip() for line in lines)
    for cells in t._cells():
        assert all(cell in text for cell in cells)
    blocks = len(re.findall(r"^name\b", text, re.MULTILINE))
    assert blocks == (1 if width == 200 else len(re.findall(r"^fc8\b", text, re.MULTILINE)))
    assert sum(text.count(f" {column.title}") for column in t.columns) >= len(t.columns) - 1


def test_text_takes_the_width_of_the_terminal(monkeypatch):
    t = trace(alexnet("paper", width=0.1), (1, 3, 227, 227))
    for columns in (90, 150):
        monkeypatch.setenv("COLUMNS", str(columns))
        assert str(t) == repr(t) == t.to_text(columns)


def test_the_table_in_full(monkeypatch):
    """Every character, as a terminal of 100 columns shows it; what buffers a convolution takes is another test's matter."""
    monkeypatch.setattr(Conv2d, "workspace_bytes", lambda layer, shape: 5000)
    net = Sequential(conv=Conv2d(3, 4, 3, stride=2, padding=(1, 0), algorithm="im2col"), relu=ReLU(), flat=Flatten(),
                     fc=Linear(80, 10))  # fmt: skip
    assert trace(net, (2, 3, 9, 10)).to_text(100) == """\
batch of 2, float32, on numpy: shapes are one image's, work and memory the batch's
name  type     settings                      input   output
───────────────────────────────────────────────────────────
conv  Conv2d   3→4, k=3, s=2, p=1×0, im2col  3×9×10  4×5×4
relu  ReLU                                   4×5×4   4×5×4
flat  Flatten                                4×5×4   80
fc    Linear   80→10                         80      10
───────────────────────────────────────────────────────────
name  output size
───────────────────────────────────────────────────
conv  (9 + 2·1 − 3)/2 + 1 = 5; ⌊(10 − 3)/2⌋ + 1 = 4
relu
flat  4·5·4 = 80
fc
───────────────────────────────────────────────────
name  parameters   MACs  activation     kept  workspace  field  stride  algorithm
─────────────────────────────────────────────────────────────────────────────────
conv         112  4,320       640 B  2.1 KiB    4.9 KiB      3       2  im2col
relu                          640 B    640 B                 3       2
flat                          640 B                       11×9       2
fc           810  1,600        80 B                       11×9       2
─────────────────────────────────────────────────────────────────────────────────
922 parameters; 5,920 multiply-adds (MACs, of 2 FLOP each) forward, 13,440 in a training step
Conv2d has 12.1% of the parameters and 73.0% of the MACs, Linear has 87.9% of the parameters and
  27.0% of the MACs
to train with SGD: 19.0 KiB = weights 3.6 KiB + gradients 3.6 KiB + optimiser 3.6 KiB + activations
  2.7 KiB + workspace 5.5 KiB
to predict: 11.2 KiB = weights 3.6 KiB + activations 2.7 KiB + workspace 4.9 KiB"""


def test_numbers_stand_at_the_right():
    lines = trace(alexnet("paper", width=0.25), (1, 3, 227, 227)).to_text(300).splitlines()
    end = lines[1].index("parameters") + len("parameters")
    for row in lines[3:-5]:
        assert row[end:end + 1] in ("", " ")
    assert [line[:end].split()[-1] for line in lines if line.startswith("fc7 ")] == ["1,049,600"]


def test_notes_are_wrapped_between_words_but_not_before_a_unit():
    t = trace(column(), (128, 3, 227, 227))
    for width in range(60, 130):
        for line in t.to_text(width).splitlines():
            assert not re.match(r"\s*(B|[KMG]iB)\b", line)


class Cells(HTMLParser):
    """The cells of the table, each as (tag, style, text); refuses tags that do not match."""

    def __init__(self, text):
        super().__init__()
        self.open, self.rows, self.paragraphs = [], [], []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attributes):
        self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append([tag, dict(attributes)["style"], ""])

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open[-1] in ("td", "th"):
            self.rows[-1][-1][2] += data
        else:
            assert self.open == ["p"]
            self.paragraphs.append(data)


def test_html_is_a_proper_table():
    t = trace(every_kind(), SHAPE)
    found = Cells(t._repr_html_())
    height = 1 + len(t.rows)
    blocks = [found.rows[i:i + height] for i in range(0, len(found.rows), height)]
    assert len(blocks) == 2 and all(blocks[1][i][0] == blocks[0][i][0] for i in range(height))  # the names come again
    head, *body = (first + second[1:] for first, second in zip(*blocks, strict=True))
    assert [text for _, _, text in head] == [column.title for column in t.columns]
    assert {tag for tag, _, _ in head} == {"th"} and {tag for row in body for tag, _, _ in row} == {"td"}
    assert [[text for _, _, text in row] for row in body] == t._cells()
    sides = [f"text-align:{'right' if column.right else 'left'};white-space:nowrap" for column in t.columns]
    assert all([style for _, style, _ in row] == sides for row in (head, *body))
    assert found.paragraphs == [t.heading(), *t.notes()]


def test_html_is_escaped():
    class Odd(Layer):
        def settings(self):
            return "<b>&|"

    found = Cells(trace(Sequential(Odd()), (1, 2))._repr_html_())
    assert found.rows[1][2][2] == "<b>&|"
    line = trace(Sequential(Odd()), (1, 2)).to_markdown().splitlines()[4]
    assert "<b>&\\|" in line


def test_markdown_round_trip():
    t = trace(every_kind(), SHAPE)
    text = t.to_markdown()
    lines = [line for line in text.splitlines() if line.startswith("|")]
    parsed = [[cell.strip() for cell in line[1:-1].split("|")] for line in lines]
    assert parsed[0] == [column.title for column in t.columns]
    assert parsed[1] == ["--:" if column.right else ":--" for column in t.columns]
    assert parsed[2:] == [[cell.strip() for cell in cells] for cells in t._cells()]
    assert text.split("\n\n")[0] == t.heading() and text.split("\n\n")[-1] == t.notes()[-1]


def test_csv_round_trip():
    t = trace(every_kind(), SHAPE)
    rows = list(csv.DictReader(io.StringIO(t.to_csv())))
    assert len(rows) == len(t.rows)
    for found, row in zip(rows, t.rows, strict=True):
        for name in ("parameters", "macs", "activation_bytes", "kept_bytes", "workspace_bytes"):
            assert int(found[name]) == getattr(row, name)
        for name in ("input_shape", "output_shape"):
            assert tuple(map(int, found[name].split("×"))) == getattr(row, name)
        for name in ("name", "type", "settings", "formula", "algorithm"):
            assert found[name] == getattr(row, name)


def test_dict_round_trip():
    """Through JSON and back, and the rows are there again."""
    t = trace(every_kind(), SHAPE, Adam)
    found = t.to_dict()
    assert json.loads(json.dumps(found)) == found
    rows = [{key: tuple(value) if isinstance(value, list) else value for key, value in row.items()} for row in found["rows"]]
    assert tuple(type(t.rows[0])(**row) for row in rows) == t.rows
    assert (found["parameters"], found["macs"], found["training_macs"]) == (t.parameters, t.macs, t.training_macs)
    assert found["training"]["total"] == t.training.total and found["inference"]["weights"] == t.inference.weights
    assert (found["dtype"], found["backend"], found["optimiser"]) == ("float32", "numpy", "Adam")
