"""Receptive fields against perturbed pixels, and the rectangles that are drawn of them."""

import numpy as np
import pytest
from helpers import normal
from twice import Twice

from minicnn import LRN, AvgPool2d, Conv2d, Flatten, Linear, MaxPool2d, ReLU, Sequential, plots, trace
from minicnn.errors import ShapeError, StateError
from minicnn.plots.receptive import Box, half_side


def smooth_net():
    """Every unit's answer changes with every pixel that it sees: no rectifiers, no maxima."""
    return Sequential(conv1=Conv2d(2, 3, (3, 2), stride=(2, 1), padding=((1, 0), (0, 2)), seed=0), norm1=LRN(3, alpha=1.0),
                      pool1=AvgPool2d(2, 2, ceil_mode=True), conv2=Conv2d(3, 4, 2, dilation=(1, 3), padding=(0, 2), seed=1),
                      flatten=Flatten(), fc=Linear(4 * 2 * 7, 5, seed=2)).astype("float64")


SHAPE = (2, 11, 10)


def moved_box(net, layer, unit):
    """The rectangle around the pixels whose change moves the unit, found by changing one after the other."""
    below = Sequential(*list(net)[:list(net.layers).index(layer) + 1]).astype("float64")
    x = normal(1, *SHAPE)
    place = (0, slice(None), *unit) if unit else (0,)
    before, seen = below.infer(x)[place], []
    for row in range(SHAPE[1]):
        for column in range(SHAPE[2]):
            x[0, :, row, column] += 1
            if np.abs(below.infer(x)[place] - before).max() > 1e-9:  # more than other pixels' rounding
                seen.append((row, column))
            x[0, :, row, column] -= 1
    if not seen:
        return Box(0, 0, 0, 0)
    rows, columns = zip(*seen)
    return Box(min(rows), min(columns), max(rows) + 1, max(columns) + 1)


def test_a_block_with_a_forward_of_its_own_is_not_looked_through():
    net = Sequential(conv=Conv2d(2, 2, 3), block=Twice(a=ReLU(), b=Conv2d(2, 2, 3)), last=Conv2d(2, 2, 3))
    assert plots.receptive_box(net, SHAPE, "conv").size == (3, 3)
    for name in ("block.b", "last"):
        with pytest.raises(ShapeError, match=f"what {name} sees is not followed through block, which has a forward pass of"):
            plots.receptive_box(net, SHAPE, name)


@pytest.mark.parametrize("layer", ["conv1", "norm1", "pool1", "conv2"])
def test_box_is_around_the_pixels_that_move_the_unit(layer):
    net = smooth_net()
    rows, columns = next(row for row in trace(net, (1, *SHAPE)).rows if row.name == layer).output_shape[2:]
    for unit in {(0, 0), (0, columns - 1), (rows - 1, 0), (rows - 1, columns - 1), (rows // 2, columns // 2)}:
        assert plots.receptive_box(net, SHAPE, layer, unit) == moved_box(net, layer, unit), unit


def test_the_middle_unit_is_the_one_that_is_meant():
    net = smooth_net()
    assert plots.receptive_box(net, SHAPE, "conv2") == plots.receptive_box(net, SHAPE, "conv2", (1, 3))


def test_behind_flatten_a_unit_sees_what_all_units_below_see():
    """The last row is read by no window."""
    net = smooth_net()
    assert plots.receptive_box(net, SHAPE, "fc") == moved_box(net, "fc", None) == Box(0, 0, 10, 10)


def test_alexnets_boxes():
    """11, 19, 51, 67, 99, 131, 163, 195 pixels: Araujo, Norris and Sim 2019 give the last as 195."""
    net = Sequential(conv1=Conv2d(1, 1, 11, stride=4), pool1=MaxPool2d(3, 2), conv2=Conv2d(1, 1, 5, padding=2),
                     pool2=MaxPool2d(3, 2), conv3=Conv2d(1, 1, 3, padding=1), conv4=Conv2d(1, 1, 3, padding=1),
                     conv5=Conv2d(1, 1, 3, padding=1), pool5=MaxPool2d(3, 2))
    boxes = [plots.receptive_box(net, (1, 227, 227), layer.name, None if layer.name != "pool5" else (2, 2)) for layer in net]
    assert [box.size for box in boxes] == [(n, n) for n in (11, 19, 51, 67, 99, 131, 163, 195)]


def test_padding_alone_is_an_empty_box():
    net = Sequential(conv=Conv2d(1, 1, 2, padding=3))
    assert plots.receptive_box(net, (1, 5, 5), "conv", (0, 0)).size == (0, 0)


@pytest.mark.parametrize("unit", [(9, 0), (-1, 0), (0,), (0, 0, 0)])
def test_units_that_are_not_there(unit):
    with pytest.raises(ShapeError, match="conv1 has maps of"):
        plots.receptive_box(smooth_net(), SHAPE, "conv1", unit)


def test_units_without_a_place_and_layers_that_are_not_there():
    with pytest.raises(ShapeError, match="no row and column"):
        plots.receptive_box(smooth_net(), SHAPE, "fc", (0, 0))
    with pytest.raises(StateError, match=r"no layer 'conv9'.*conv1"):
        plots.receptive_box(smooth_net(), SHAPE, "conv9")


@pytest.mark.parametrize("layer, unit", [("conv2", (1, 3)), ("conv1", (0, 0)), ("fc", None)])
def test_input_gradient_is_that_of_central_differences(layer, unit):
    net = smooth_net()
    below = Sequential(*list(net)[:list(net.layers).index(layer) + 1]).astype("float64")
    x, step = normal(*SHAPE), 1e-6
    wanted = np.zeros(SHAPE)
    for place in np.ndindex(SHAPE):
        answers = []
        for sign in (1, -1):
            changed = x.copy()
            changed[place] += sign * step
            y = below.infer(changed[None])[0]
            answers.append((y[:, *unit] if unit else y).sum())
        wanted[place] = (answers[0] - answers[1]) / (2 * step)
    actual = plots.input_gradient(net, x, layer, unit)
    assert np.abs(actual - np.abs(wanted).sum(axis=0)).max() < 1e-7 * np.abs(wanted).max()


def test_input_gradient_leaves_the_network_as_it_was():
    net = smooth_net().train()
    y = net(normal(3, *SHAPE))
    plots.input_gradient(net, normal(*SHAPE), "conv2")
    assert net.training and all(parameter.grad is None for parameter in net.parameters())
    net.backward(np.ones_like(y))  # of the forward above


def test_half_side_by_loops():
    moved, box = np.abs(normal(9, 12)), Box(1, 2, 8, 11)
    for side in range(1, 30, 2):
        held = sum(moved[r, c] for r in range(9) for c in range(12)
                   if abs(r - 4) <= side // 2 and abs(c - 6) <= side // 2)
        if held >= moved.sum() / 2:
            break
    assert half_side(moved, box) == side


def rectangles(axes):
    """(left, top, right, bottom) of the outlines, without the white rims under them; the last drawn is on top."""
    return [tuple(patch.get_bbox().extents) for patch in axes.patches[:0:-2]]


def test_rectangles_are_drawn_around_the_boxes():
    net = smooth_net()
    figure = plots.receptive_fields(net, normal(*SHAPE), unit=(1, 2))
    boxes = [plots.receptive_box(net, SHAPE, name, (1, 2)) for name in ("conv1", "pool1", "conv2")]
    assert rectangles(figure.axes[0]) == [(b.left - 0.5, b.top - 0.5, b.right - 0.5, b.bottom - 0.5) for b in boxes]
    words = [text.get_text() for text in figure.axes[1].get_legend().get_texts()]
    assert words[0] == "conv1: 3 × 2 pixels, stride 2 × 1" and len(words) == 3
    colours = {(patch.get_edgecolor(), patch.get_linestyle()) for patch in figure.axes[0].patches[1::2]}
    assert len(colours) == 3


def test_what_the_border_cuts_off_is_said():
    figure = plots.receptive_fields(smooth_net(), normal(*SHAPE), ["conv1", "fc"], None)
    words = [text.get_text() for text in figure.axes[1].get_legend().get_texts()]
    assert words[1].startswith("fc: 10 × 10 pixels") and "cut at the border" in words[1]


def test_many_layers_differ_in_colour_or_line():
    net = Sequential(*(Conv2d(1, 1, 3, padding=1) for _ in range(15)))
    figure = plots.receptive_fields(net, normal(1, 40, 30))
    assert len({(p.get_edgecolor(), p.get_linestyle()) for p in figure.axes[0].patches[1::2]}) == 15


def test_a_network_without_convolutions_has_fields_too():
    net = Sequential(one=MaxPool2d(2), two=MaxPool2d(3, 2))
    figure = plots.receptive_fields(net, np.zeros((12, 10), np.uint8), unit=(0, 1))
    assert rectangles(figure.axes[0]) == [(1.5, -0.5, 3.5, 1.5), (3.5, -0.5, 9.5, 5.5)]


def test_effective_field_shows_the_gradient_and_the_box():
    net, x = smooth_net(), normal(*SHAPE)
    figure = plots.effective_field(net, x, "conv2", (1, 3))
    moved = plots.input_gradient(net, x, "conv2", (1, 3))
    assert np.array_equal(figure.axes[1].get_images()[0].get_array(), moved / moved.max())
    box = plots.receptive_box(net, SHAPE, "conv2", (1, 3))
    assert rectangles(figure.axes[1]) == rectangles(figure.axes[0]) == [
        (box.left - 0.5, box.top - 0.5, box.right - 0.5, box.bottom - 0.5)]


def test_a_unit_that_nothing_moves_has_a_picture():
    net = Sequential(conv=Conv2d(1, 2, 3, seed=0), relu=ReLU())
    net.conv.bias.data[:] = -100
    figure = plots.effective_field(net, normal(1, 8, 8, dtype=np.float32), "relu")
    assert not np.any(figure.axes[1].get_images()[0].get_array()) and "no pixel" in figure.axes[1].get_title(loc="left")
