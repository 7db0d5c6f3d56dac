"""trace: AlexNet's table to the last digit, before anything runs."""

import math
import tracemalloc

import numpy as np
import pytest
from helpers import normal

from minicnn import (
    LRN,
    AvgPool2d,
    BatchNorm2d,
    Conv2d,
    Dropout,
    Flatten,
    Linear,
    MaxPool2d,
    ReLU,
    Sequential,
    get_num_threads,
    set_num_threads,
    trace,
)
from minicnn.errors import ShapeError


def alexnet(groups):
    """Krizhevsky et al. 2012, on 227 x 227."""
    return Sequential(
        conv1=Conv2d(3, 96, 11, stride=4, seed=0), relu1=ReLU(), norm1=LRN(), pool1=MaxPool2d(3, 2),
        conv2=Conv2d(96, 256, 5, padding=2, groups=groups, seed=0), relu2=ReLU(), norm2=LRN(), pool2=MaxPool2d(3, 2),
        conv3=Conv2d(256, 384, 3, padding=1, seed=0), relu3=ReLU(),
        conv4=Conv2d(384, 384, 3, padding=1, groups=groups, seed=0), relu4=ReLU(),
        conv5=Conv2d(384, 256, 3, padding=1, groups=groups, seed=0), relu5=ReLU(), pool5=MaxPool2d(3, 2),
        flatten=Flatten(), fc6=Linear(9216, 4096, seed=0), relu6=ReLU(), drop6=Dropout(),
        fc7=Linear(4096, 4096, seed=0), relu7=ReLU(), drop7=Dropout(), fc8=Linear(4096, 1000, seed=0),
    )  # fmt: skip


@pytest.fixture(scope="module")
def column():
    """The single column, and the rows of its trace by name."""
    t = trace(alexnet(groups=1), (1, 3, 227, 227))
    return t, {row.name: row for row in t.rows}


WEIGHTED = ["conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7", "fc8"]


def test_parameters_of_the_single_column(column):
    t, rows = column
    counts = [34_944, 614_656, 885_120, 1_327_488, 884_992, 37_752_832, 16_781_312, 4_097_000]
    assert [rows[name].parameters for name in WEIGHTED] == counts
    assert t.parameters == sum(counts) == 62_378_344
    assert all(row.parameters == 0 for row in t.rows if row.name not in WEIGHTED)


def test_macs_of_the_single_column(column):
    """Output positions times weights, bias not counted: 1,135.3 M, of which 1,076.6 M are convolutions."""
    t, rows = column
    macs = [
        55 * 55 * 96 * 3 * 11 * 11,
        27 * 27 * 256 * 96 * 5 * 5,
        13 * 13 * 384 * 256 * 3 * 3,
        13 * 13 * 384 * 384 * 3 * 3,
        13 * 13 * 256 * 384 * 3 * 3,
        9216 * 4096,
        4096 * 4096,
        4096 * 1000,
    ]
    assert [rows[name].macs for name in WEIGHTED] == macs
    assert t.macs == sum(macs) == 1_135_256_096
    assert all(row.macs == 0 for row in t.rows if row.name not in WEIGHTED)


def test_macs_and_parameters_with_two_towers():
    t = trace(alexnet(groups=2), (1, 3, 227, 227))
    assert t.parameters == 60_965_224
    assert t.macs == 724_406_816
    macs = [row.macs for row in t.rows if row.name in WEIGHTED[:5]]
    assert [round(m / 1e6, 1) for m in macs] == [105.4, 223.9, 149.5, 112.1, 74.8]


def test_receptive_fields_and_strides(column):
    _, rows = column
    names = ["conv1", "pool1", "conv2", "pool2", "conv3", "conv4", "conv5", "pool5"]
    assert [rows[name].receptive_field for name in names] == [11, 19, 51, 67, 99, 131, 163, 195]
    assert [rows[name].stride for name in names] == [4, 8, 8, 16, 16, 16, 16, 32]
    assert rows["norm1"].receptive_field == 11 and rows["relu5"].stride == 16


def test_shapes(column):
    t, rows = column
    sides = {"conv1": 55, "pool1": 27, "conv2": 27, "pool2": 13, "conv3": 13, "conv4": 13, "conv5": 13, "pool5": 6}
    assert {name: rows[name].output_shape[2:] for name in sides} == {name: (side, side) for name, side in sides.items()}
    assert rows["flatten"].output_shape == (1, 9216) and rows["fc8"].output_shape == (1, 1000)
    assert t.rows[0].input_shape == (1, 3, 227, 227)
    for before, after in zip(t.rows, t.rows[1:], strict=False):
        assert before.output_shape == after.input_shape


def test_activation_bytes_are_those_of_the_output(column):
    for row in column[0].rows:
        assert row.activation_bytes == 4 * math.prod(row.output_shape), row.name


def test_workspace_is_bounded_whatever_the_batch():
    """im2col of the whole batch of 128 would be 536 MiB in conv1 alone."""
    net = Sequential(conv1=Conv2d(3, 96, 11, stride=4))
    one, many = (trace(net, (batch, 3, 227, 227)).rows[0].workspace_bytes for batch in (1, 128))
    assert 0 < one <= many <= 64 << 20


# layer, input shape; the weights of some are larger than a piece of the work
MEMORY = {
    "LRN": (lambda: LRN(), (9, 40, 50, 30)),
    "LRN, another power": (lambda: LRN(7, beta=0.6), (1, 40, 50, 30)),
    "max-pooling": (lambda: MaxPool2d(3, 2, 1), (9, 40, 50, 30)),
    "im2col": (lambda: Conv2d(256, 300, 3, padding=1, seed=0, algorithm="im2col"), (6, 256, 9, 7)),
    "im2col, one image": (lambda: Conv2d(256, 300, 3, padding=1, seed=0, algorithm="im2col"), (1, 256, 30, 17)),
    "winograd": (lambda: Conv2d(256, 300, 3, padding=1, seed=0, algorithm="winograd"), (6, 256, 9, 7)),
    "winograd, groups": (lambda: Conv2d(128, 300, 5, padding=2, groups=2, seed=0, algorithm="winograd"), (7, 128, 20, 17)),
}  # fmt: skip


@pytest.fixture
def one_thread():
    before = get_num_threads()
    set_num_threads(1)
    yield
    set_num_threads(before)


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("make, shape", MEMORY.values(), ids=MEMORY.keys())
def test_workspace_is_what_backward_takes(make, shape, new_memory):
    layer, x = make(), normal(*shape, dtype=np.float32)
    dy = np.ones_like(layer(x))
    new_memory()
    tracemalloc.start()
    try:
        results = [layer.backward(dy), *(p.grad for p in layer.parameters())]
        taken = tracemalloc.get_traced_memory()[1] - sum(array.nbytes for array in results)
    finally:
        tracemalloc.stop()
    assert layer.workspace_bytes(shape) == pytest.approx(taken, rel=0.15)


def test_batch_scales_work_and_activations_and_not_parameters(column):
    net = Sequential(conv=Conv2d(3, 5, 3), bn=BatchNorm2d(5), flatten=Flatten(), fc=Linear(5 * 7 * 8, 4))
    one, three = trace(net, (1, 3, 9, 10)), trace(net, (3, 3, 9, 10))
    assert three.parameters == one.parameters == 3 * 5 * 9 + 5 + 5 + 5 + 280 * 4 + 4
    assert three.macs == 3 * one.macs == 3 * (7 * 8 * 5 * 27 + 280 * 4)
    assert [row.activation_bytes for row in three.rows] == [3 * row.activation_bytes for row in one.rows]


def test_float64_counts_eight_bytes():
    net = Sequential(conv=Conv2d(3, 5, 3)).astype("float64")
    assert trace(net, (2, 3, 9, 10)).rows[0].activation_bytes == 8 * 2 * 5 * 7 * 8


def test_field_and_stride_of_dilated_and_average_windows():
    """r + (extent - 1) * j; j * stride; along the larger axis where the window is not square."""
    net = Sequential(
        a=Conv2d(1, 1, 3, stride=2, dilation=3), b=AvgPool2d(2), c=Conv2d(1, 1, 3), d=MaxPool2d(2, 1, dilation=2)
    )
    rows = trace(net, (1, 1, 64, 64)).rows
    assert [row.receptive_field for row in rows] == [7, 9, 17, 25]
    assert [row.stride for row in rows] == [2, 4, 4, 4]


def test_rows_carry_name_type_and_settings(column):
    row = column[1]["conv1"]
    assert row.name == "conv1" and row.type == "Conv2d"
    assert "11" in str(row.settings) and "4" in str(row.settings)


def test_prints_every_row_and_the_totals_in_full(column):
    text, html = str(column[0]), column[0]._repr_html_()
    for printed in (text, html):
        assert "62,378,344" in printed and "1,135,256,096" in printed
        assert all(row.name in printed and row.type in printed for row in column[0].rows)
    assert "<table" in html


def test_shape_error_names_the_layer():
    net = Sequential(conv1=Conv2d(3, 4, 3), flatten=Flatten(), fc=Linear(100, 2))
    with pytest.raises(ShapeError, match="conv1"):
        trace(net, (1, 1, 9, 9))
    with pytest.raises(ShapeError, match="fc"):
        trace(net, (1, 3, 9, 9))
    with pytest.raises(ShapeError, match="conv1"):
        trace(net, (1, 3, 2, 9))
    with pytest.raises(ShapeError):
        trace(net, (3, 9, 9))


def test_networks_in_networks_are_traced_through():
    inner = Sequential(conv=Conv2d(3, 4, 3), pool=MaxPool2d(2))
    t = trace(Sequential(block=inner, flatten=Flatten(), fc=Linear(36, 2)), (1, 3, 8, 8))
    assert t.parameters == 3 * 4 * 9 + 4 + 36 * 2 + 2
    assert t.rows[-1].output_shape == (1, 2)
    assert sum(row.macs for row in t.rows) == t.macs == 36 * 108 + 72


def test_a_layer_alone_is_traced():
    assert trace(Conv2d(3, 4, 3), (1, 3, 8, 8)).parameters == 112


def test_nothing_runs_and_nothing_changes():
    net = Sequential(conv=Conv2d(3, 4, 3, seed=0), bn=BatchNorm2d(4), drop=Dropout(0.5, seed=0))
    state, random_state = net.state_dict(), net.random_state()
    trace(net, (10**7, 3, 500, 500))
    assert net.random_state() == random_state and net.training
    assert all((array == state[key]).all() for key, array in net.state_dict().items())
