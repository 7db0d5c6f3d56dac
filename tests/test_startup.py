"""The start-up check: every pathological start is flagged, for its own reason, and no healthy one is."""

import math
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers import fetch, normal, send

from minicnn import (
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
    data,
    startup,
    watch,
)
from minicnn.initialisers import Constant, Normal

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "examples"))

from alexnet import RECIPES, alexnet


@pytest.fixture(scope="module")
def drawn():
    """`drawn(pixels, size)`: eight drawn images as the trainer gives them, or as a mistake would, and their labels."""
    shapes = data.Shapes(48, size=256, seed=0)
    statistics = data.PixelStatistics.fit(shapes)
    whole = np.stack([shapes.image(i) for i in range(40, 48)]).transpose(0, 3, 1, 2).astype(np.float32)
    mean, std = statistics.mean.transpose(2, 0, 1), statistics.std.reshape(3, 1, 1)
    ways = {"raw": whole - mean, "unit": (whole - mean) / std, "0 to 255": whole, "0 to 1": whole / 255}

    def cut(pixels, size=227):
        margin = (256 - size) // 2
        images = ways[pixels][:, :, margin:margin + size, margin:margin + size]
        return send(np.ascontiguousarray(images, np.float32)), shapes.labels[40:48]
    return cut


def kinds(net, images, labels=None):
    return [finding.kind for finding in watch(net, images, labels).findings]


# --- healthy ---


@pytest.mark.parametrize("width", [0.04, 0.25])
@pytest.mark.parametrize("recipe", RECIPES)
def test_the_trainer_s_default_is_not_flagged(recipe, width, drawn):
    for seed in range(2 if width < 0.1 else 1):
        net = alexnet(recipe, 12, width, "he", seed=seed)
        assert kinds(net, *drawn("unit", RECIPES[recipe].input_size)) == []


@pytest.mark.parametrize("recipe", ["torchvision", "flowers17"])
def test_published_starts_for_unit_pixels_are_not_flagged(recipe, drawn):
    assert kinds(alexnet(recipe, 12, 0.25), *drawn("unit", RECIPES[recipe].input_size)) == []


def thin(act=ReLU, depth=3, last=12, **options):
    """Convolutions of 16 maps on 227 × 227, and one dense layer."""
    layers = {"conv0": Conv2d(3, 16, 5, stride=4, seed=0), "act0": act()}
    for i in range(1, depth):
        layers |= {f"conv{i}": Conv2d(16, 16, 3, padding=1, seed=i), f"act{i}": act()}
    return Sequential(**layers, pool=MaxPool2d(8), flat=Flatten(), drop=Dropout(), fc=Linear(16 * 49, last, seed=99))


@pytest.mark.parametrize("act, start, depth", [(ReLU, "he", 3), (ReLU, "he", 12), (ReLU, "xavier", 6), (Tanh, "xavier", 12)])
def test_other_healthy_networks(act, start, depth, drawn):
    assert kinds(thin(act, depth).initialize(start), *drawn("unit")) == []


def test_a_last_layer_of_zeros_is_a_good_start(drawn):
    """All logits are 0 at first, and the loss is log K; the features under them are what matters."""
    net = thin()
    net.fc.initialize(Constant(0))
    assert kinds(net, *drawn("unit")) == [] and watch(net, *drawn("unit")).dependence is None
    linear = Sequential(flat=Flatten(), fc=Linear(3 * 227 * 227, 12)).initialize(Constant(0))
    assert kinds(linear, *drawn("unit")) == []


# --- flagged ---


def biased(value):
    net = thin()
    for layer in net.leaves():
        if layer.parameters():
            layer.bias.data[...] = value
    return net


def broken():
    net = thin()
    net.conv1.weight.data[3, 0, 0, 0] = math.nan
    return net


SICK = {  # what is wrong: (network, pixels, kind, layer, word of the remedy)
    "weights that are 0": (lambda: thin().initialize(Constant(0)), "unit", "dead", "conv0", "he"),
    "biases far below 0": (lambda: biased(-50), "unit", "dead", "act0", "biases"),
    "weights that are equal": (lambda: thin().initialize(Constant(0.02)), "unit", "symmetric", "conv0", "random"),
    "a weight that is no number": (broken, "unit", "not finite", "conv1", "numbers"),
    "weights that are small": (lambda: thin(depth=12).initialize(Normal(0.01)), "unit", "vanishing", "fc", "he"),
    "weights that are large": (lambda: thin().initialize(Normal(1.0)), "unit", "exploding", "", "he"),
    "the paper's start, thinned": (lambda: alexnet("paper", 12, 0.25), "unit", "blind", "conv2", "he"),
    "large biases": (lambda: biased(5.0), "unit", "exploding", "", "he"),
    "deep sigmoids": (lambda: thin(Sigmoid, 6).initialize("he"), "unit", "blind", "act3", "batch norm"),
    "pixels that are not scaled": (lambda: alexnet("paper", 12, 0.25, "he"), "raw", "input scale", "input", "of 1:"),
    "pixels as they are in the file": (thin, "0 to 255", "input scale", "input", "of 1:"),
}


@pytest.mark.parametrize("case", SICK)
def test_each_pathological_start_is_flagged(case, drawn):
    make, pixels, kind, layer, word = SICK[case]
    (found,) = watch(make(), *drawn(pixels)).findings
    assert (found.kind, found.layer) == (kind, layer), found
    assert word in found.remedy and str(found).startswith(kind) and "  " not in str(found)


def test_the_paper_s_start_wants_pixels_of_0_to_255(drawn):
    """At full width; with pixels of unit variance the biases of 1 outweigh what conv2 makes of them."""
    net = alexnet("paper", 12)
    right, wrong = (watch(net, *drawn(pixels)) for pixels in ("raw", "unit"))
    assert right.dependence > 0.02 and right.findings == () and wrong.dependence < 0.003
    (found,) = wrong.findings
    assert found.kind == "input scale" and "0 to 255" in found.remedy and "conv2" in found.text


def test_input_so_small_that_nothing_arrives(drawn):
    images, labels = drawn("unit")
    (found,) = watch(thin(), images * np.float32(1e-6), labels).findings
    assert found.kind == "input scale" and "gradient" in found.text


def test_images_that_are_all_alike():
    same = send(np.repeat(normal(1, 3, 227, 227, dtype=np.float32), 4, axis=0))
    assert kinds(thin(), same) == ["input alike"]
    assert kinds(thin(), send(np.zeros((4, 3, 227, 227), np.float32))) == ["input alike"]


def test_pixels_that_are_no_numbers(drawn):
    images = fetch(drawn("unit")[0]).copy()
    images[2, 1, 5, 7] = np.inf
    (found,) = watch(thin(), send(images)).findings
    assert (found.kind, found.layer) == ("not finite", "input") and "the input" in found.text


def test_batch_normalisation_heals_sigmoids(drawn):
    layers = {"conv0": Conv2d(3, 16, 5, stride=4, seed=0), "bn0": BatchNorm2d(16), "act0": Sigmoid()}
    for i in range(1, 6):
        layers |= {f"conv{i}": Conv2d(16, 16, 3, padding=1, seed=i), f"bn{i}": BatchNorm2d(16), f"act{i}": Sigmoid()}
    net = Sequential(**layers, pool=MaxPool2d(8), flat=Flatten(), fc=Linear(16 * 49, 12, seed=99))
    assert kinds(net, *drawn("unit")) == []


# --- thresholds ---


@pytest.fixture(scope="module")
def healthy(drawn):
    return watch(thin(), *drawn("unit"))


def judged(watched):
    return [finding.kind for finding in startup.find(watched, thin(), lambda factor: watched)]


def with_row(watched, number, **changes):
    rows = list(watched.rows)
    rows[number] = replace(rows[number], **changes)
    return replace(watched, rows=tuple(rows))


def test_where_the_lines_are(healthy):
    assert judged(healthy) == []
    for factor, flagged in ((1.01, False), (0.99, True)):
        assert judged(replace(healthy, dependence=startup.BLIND * factor)) == ["blind"] * flagged
        assert judged(with_row(healthy, 3, ratio=startup.VANISHING * factor)) == ["vanishing"] * flagged
        assert judged(with_row(healthy, 0, varies=startup.ALIKE * factor)) == ["input alike"] * flagged
        assert judged(with_row(healthy, 4, dead=startup.DEAD / factor)) == ["dead"] * flagged
        loss = math.log(12) + startup.EXPLODING / factor
        assert judged(replace(healthy, loss=loss)) == ["exploding"] * flagged


def test_two_copies_among_many_units_are_nothing(drawn):
    net = thin()
    net.conv1.weight.data[1] = net.conv1.weight.data[0]
    assert kinds(net, *drawn("unit")) == []


def test_the_remedy_is_tried_before_it_is_given(healthy):
    """Another scale is recommended only if the network was found well with it."""
    sick, tried = replace(healthy, dependence=1e-4), []

    def retry(factor):
        tried.append(factor)
        return healthy if factor > 10 else sick

    (found,) = startup.find(sick, thin(), retry)
    scale = math.hypot(sick.rows[0].mean, sick.rows[0].std)
    assert tried == [pytest.approx(60 / scale)] and found.kind == "input scale" and "0 to 255" in found.remedy
    assert [finding.kind for finding in startup.find(sick, thin(), lambda factor: sick)] == ["blind"]
