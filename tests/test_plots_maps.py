"""Feature maps and gradient maps: what is drawn is what the network computes."""

import numpy as np
import pytest
from helpers import normal
from twice import Twice

from minicnn import (
    LRN,
    BatchNorm2d,
    Conv2d,
    Dropout,
    Flatten,
    Linear,
    MaxPool2d,
    ReLU,
    Sequential,
    SoftmaxCrossEntropy,
    plots,
)
from minicnn.errors import DtypeError, ShapeError, StateError
from minicnn.plots.passes import gradients, outputs
from minicnn.plots.style import paint, signed_colours

LAYERS = ["conv1", "relu1", "norm1", "pool1", "conv2", "flatten", "drop", "fc"]


def make_net(channels=3):
    return Sequential(conv1=Conv2d(channels, 5, 3, seed=0), relu1=ReLU(), norm1=LRN(3), pool1=MaxPool2d(2),
                      conv2=Conv2d(5, 4, 2, seed=1), flatten=Flatten(), drop=Dropout(0.5), fc=Linear(24, 3, seed=2)).seed(0)


def image(*shape, seed=0):
    return normal(*(shape or (3, 10, 8)), seed=seed, dtype=np.float32)


def tiles(axes):
    """The pixels of a row of maps."""
    return np.asarray(axes.get_images()[0].get_array())


def side_by_side(maps, scale=None):
    """Maps (C, H, W) as they should look."""
    return np.concatenate(list(paint(maps, scale or np.abs(maps).max())), axis=1)


def labels(figure):
    return [axes.get_ylabel() for axes in figure.axes if axes.get_ylabel()]


def test_outputs_are_those_of_the_layers_one_by_one():
    net, x = make_net(), image()[None]
    for (leaf, y), name in zip(outputs(net, x), LAYERS, strict=True):
        assert leaf.name == name
        x = net[name].infer(x)
        assert np.array_equal(y, x)


def test_a_block_with_a_forward_of_its_own_is_passed_as_a_whole():
    """Its inner layers have no place in the row: what it gives is not what the last of them gives."""
    net = Sequential(conv=Conv2d(3, 4, 3, seed=0), block=Twice(conv=Conv2d(4, 4, 1, seed=1), relu=ReLU()), flatten=Flatten(),
                     fc=Linear(4 * 8 * 6, 3, seed=2))
    x, loss = image()[None], SoftmaxCrossEntropy()
    *_, (last, y) = outputs(net, x)
    assert last.name == "fc" and np.array_equal(y, net.predict(x))
    first, block, *_ = gradients(net, x, [1])
    loss(net(x), np.array([1]))
    assert block[0].name == "block" and np.array_equal(block[1], net.block(net.conv(x)))
    dy = net.fc.backward(loss.backward())
    assert np.array_equal(block[2], net.flatten.backward(dy))
    assert np.array_equal(first[2], net.block.backward(block[2]))
    with pytest.raises(StateError, match=r"no layer 'block.relu' in the network: it has conv, block, flatten, fc"):
        list(outputs(net, x, "block.relu"))


def test_gradients_are_those_of_backward():
    """dL/dy of a layer is what the layers behind it return; and of the last, what the loss returns."""
    net, x, classes = make_net().eval(), np.stack([image(seed=i) for i in range(2)]), np.array([2, 0])
    for leaf, y, dy in gradients(net, x, classes):
        behind = Sequential(*list(net)[LAYERS.index(leaf.name) + 1:])
        loss = SoftmaxCrossEntropy()
        loss(behind(y) if len(behind) else y, classes)
        wanted = behind.backward(loss.backward()) if len(behind) else loss.backward()
        assert np.array_equal(dy, wanted), leaf.name


def test_gradients_leave_the_network_as_it_was():
    net = Sequential(conv=Conv2d(3, 4, 3, seed=0), bn=BatchNorm2d(4), flat=Flatten(), drop=Dropout(0.5),
                     fc=Linear(192, 3, seed=1))
    before, random = net.state_dict(), net.random_state()
    gradients(net, np.stack([image(), image(seed=1)]), [0, 1])
    assert net.random_state() == random and all(parameter.grad is None for parameter in net.parameters())
    assert all(np.array_equal(before[name], array) for name, array in net.state_dict().items())


def test_gradients_are_in_the_networks_mode():
    """In training dropout makes zeros, in evaluation none."""
    net, x = make_net(), np.stack([image(), image(seed=1)])
    zeros = [np.mean(gradients(mode(), x, [0, 1], "drop")[0][1] == 0) for mode in (net.train, net.eval)]
    assert zeros[0] > 0.2 and zeros[1] == 0


def test_feature_maps_draw_the_maps_of_every_layer_that_has_any():
    net, x = make_net(), image()
    figure = plots.feature_maps(net, x, maps=range(3))
    found = [(leaf, y[0]) for leaf, y in outputs(net, x[None]) if y.ndim == 4]
    largest = {"conv1": max(np.abs(y[:3]).max() for _, y in found[:4]), "conv2": np.abs(found[4][1][:3]).max()}
    for axes, (leaf, y) in zip(figure.axes[1:], found):
        scale = largest["conv2" if leaf.name == "conv2" else "conv1"]
        assert np.array_equal(tiles(axes), side_by_side(y[:3], scale)), leaf.name
    words = labels(figure)
    assert words[0] == "image\n3 × 10 × 8" and words[5] == "conv2\n4 × 3 × 2\n0% zeros" and len(words) == 6
    assert words[2] == f"relu1\n5 × 8 × 6\n{np.mean(found[1][1] == 0):.0%} zeros"


def test_there_is_one_colour_bar_a_scale_and_it_tells_the_numbers():
    net, x = make_net(), image()
    figure = plots.feature_maps(net, x, maps=range(3))
    bars = [axes for axes in figure.axes if axes.get_label() == "<colorbar>"]
    largest = max(np.abs(y[0][:3]).max() for leaf, y in outputs(net, x[None], ["conv1", "relu1", "norm1", "pool1"]))
    assert len(bars) == 2 and np.isclose(bars[0].get_ylim()[1], largest) and np.isclose(bars[0].get_ylim()[0], -largest)


def test_maps_can_be_chosen_and_those_missing_are_left_out():
    net, x = make_net(), image()
    figure = plots.feature_maps(net, x, ["conv1", "conv2"], maps=[4, 1])
    (_, one), (_, two) = outputs(net, x[None], ["conv1", "conv2"])
    assert np.array_equal(tiles(figure.axes[1]), side_by_side(one[0][[4, 1]]))
    assert np.array_equal(tiles(figure.axes[2]), side_by_side(two[0][[1]]))


def test_gradient_maps_draw_both_of_each_layer_on_scales_of_their_own():
    net, x = make_net(), image()
    figure = plots.gradient_maps(net, x, 2, ["conv1", "pool1"])
    found = gradients(make_net().eval(), x[None], [2], ["conv1", "pool1"])
    wanted = [values[0] for _, y, dy in found for values in (y, dy)]
    for axes, values in zip(figure.axes[1:], wanted):
        assert np.array_equal(tiles(axes), side_by_side(values))
    assert [text.splitlines()[-1] for text in labels(figure)[1:]] == ["y", "dL/dy"] * 2
    assert net.training


@pytest.mark.parametrize("shape", [(1, 10, 8), (3, 10, 8), (2, 10, 8)])
def test_any_number_of_channels(shape, tmp_path):
    plots.feature_maps(make_net(shape[0]), image(*shape), path=tmp_path / "maps.png")
    assert (tmp_path / "maps.png").stat().st_size > 5000


def test_nan_is_black_and_a_dead_map_white():
    net, x = make_net(), image()
    net.conv1.weight.data[0], net.conv1.bias.data[1] = np.nan, -1000
    row = tiles(plots.feature_maps(net, x, ["relu1"]).axes[1])
    assert not row[:, :6].any() and (row[:, 6:12] == row[0, 6]).all() and np.allclose(row[0, 6], 1, atol=0.02)
    assert len(np.unique(row[:, 12:].reshape(-1, 3), axis=0)) > 10


def test_colours_are_white_at_zero_and_differ_in_hue_by_sign():
    negative, zero, positive = paint(np.array([-0.5, 0, 0.5]), 1)
    assert np.allclose(zero, 1, atol=0.02) and negative[2] > negative[0] + 0.3 and positive[0] > positive[2] + 0.3
    assert np.array_equal(paint(np.array(7.0), 1), signed_colours()(1.0)[:3])
    assert np.allclose(paint(np.zeros(2), 0), 1, atol=0.02)


def test_what_cannot_be_drawn_is_refused():
    net = make_net()
    with pytest.raises(StateError, match="no layer 'conv7'"):
        plots.feature_maps(net, image(), ["conv7"])
    with pytest.raises(ShapeError, match="no maps to draw"):
        plots.feature_maps(net, image(), ["fc"])
    with pytest.raises(ShapeError, match="no maps to draw"):
        plots.feature_maps(net, image(), ["conv1"], maps=[77])
    with pytest.raises(DtypeError, match="float64"):
        plots.feature_maps(net, image().astype(np.float64))
