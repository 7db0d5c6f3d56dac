"""The recipes of examples/alexnet.py, against the numbers of their sources."""

import functools
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers import directional_check, fetch, normal, send

from minicnn import LRN, MinicnnError, trace

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "examples"))

from alexnet import RECIPES, TowerLRN, alexnet

PARAMETERS = {"paper": 62_378_344, "towers": 60_965_224, "2012": 60_965_224, "caffe": 60_965_224, "caffenet": 60_965_224,
              "torchvision": 61_100_840}


@functools.cache
def shapes(recipe):
    """{layer: output shape} of one image, and the trace."""
    size = RECIPES[recipe].input_size
    found = trace(alexnet(recipe), (1, 3, size, size))
    return {row.name: row.output_shape[1:] for row in found.rows}, found


@pytest.mark.parametrize("recipe", PARAMETERS)
def test_parameters_and_shapes_are_those_of_the_source(recipe):
    at, found = shapes(recipe)
    assert found.parameters == PARAMETERS[recipe]
    assert [at[name][-1] for name in ("conv1", "pool1", "conv2", "pool2", "conv5", "pool5")] == [55, 27, 27, 13, 13, 6]
    assert at["flatten"] == (9216,) and at["fc8"] == (1000,)


def test_parameters_of_each_layer_with_towers():
    """FACTS: 34,944 · 307,456 · 885,120 · 663,936 · 442,624 · 37,752,832 · 16,781,312 · 4,097,000."""
    counts = [row.parameters for row in shapes("towers")[1].rows if row.parameters]
    assert counts == [34_944, 307_456, 885_120, 663_936, 442_624, 37_752_832, 16_781_312, 4_097_000]


@pytest.mark.parametrize("recipe, macs", [("paper", 1_135_256_096), ("towers", 724_406_816)])
def test_work(recipe, macs):
    assert shapes(recipe)[1].macs == macs


def test_flowers17_goes_down_to_one_pixel():
    at, _ = shapes("flowers17")
    assert [at[name][-1] for name in ("conv1", "pool1", "conv2", "pool2", "conv3", "conv4", "conv5", "pool5")] == [
        54, 27, 17, 8, 6, 4, 2, 1]
    assert at["fc9"] == (17,) and [name for name in at if name.startswith("bn")] == [f"bn{i}" for i in range(1, 9)]


def test_order_of_layers_around_the_normalisation():
    def order(recipe):
        return [name for name in alexnet(recipe, width=0.02).layers if name[-1] == "1"]
    assert order("paper") == ["conv1", "relu1", "norm1", "pool1"]
    assert order("2012") == ["conv1", "norm1", "pool1", "relu1"]
    assert order("caffenet") == ["conv1", "relu1", "pool1", "norm1"]
    assert order("torchvision") == ["conv1", "relu1", "pool1"]


def test_dropout_stands_after_the_dense_layers_but_before_them_in_torchvision():
    names = list(alexnet("torchvision", width=0.02).layers)
    assert names[names.index("flatten"):] == ["flatten", "drop6", "fc6", "relu6", "drop7", "fc7", "relu7", "fc8"]
    names = list(alexnet("paper", width=0.02).layers)
    assert names[names.index("flatten"):] == ["flatten", "fc6", "relu6", "drop6", "fc7", "relu7", "drop7", "fc8"]


def test_constants_of_the_normalisation():
    assert repr(alexnet("paper", width=0.02).norm1) == "norm1: LRN(n=5, α=0.0001, β=0.75, k=2)"
    assert repr(alexnet("2012", width=0.02).norm1) == "norm1: TowerLRN(n=5, α=0.0001/n, β=0.75, k=2, within 2 towers)"
    assert repr(alexnet("caffe", width=0.02).norm1) == "norm1: LRN(n=5, α=0.0001/n, β=0.75, k=1)"


@pytest.mark.parametrize("recipe, stds, biases", [
    ("paper", [.01] * 8, [0, 1, 0, 1, 1, 1, 1, 0]),
    ("2012", [.01, .01, .03, .03, .03, .01, .01, .01], [0, 1, 0, 1, 1, 1, 1, 0]),
    ("caffe", [.01, .01, .01, .01, .01, .005, .005, .01], [0, .1, 0, .1, .1, .1, .1, 0]),
])
def test_published_initialisation(recipe, stds, biases):
    weights = list(alexnet(recipe, width=0.5).state_dict().items())
    for (name, weight), std in zip(weights[::2], stds):
        assert weight.std() == pytest.approx(std, rel=0.03) and abs(weight.mean()) < 4 * std / weight.size**0.5, name
    for (name, bias), value in zip(weights[1::2], biases):
        assert (bias == np.float32(value)).all(), name


def test_torchvision_starts_uniform_in_one_over_the_root_of_fan_in():
    weights = alexnet("torchvision", width=0.5).state_dict()
    bound = (3 * 11 * 11) ** -0.5
    assert 0.98 * bound < np.abs(weights["conv1.weight"]).max() <= bound
    assert np.abs(weights["conv1.bias"]).max() <= bound and weights["conv1.bias"].std() > 0.3 * bound
    assert not np.array_equal(weights["conv1.bias"][:8], weights["conv1.weight"].ravel()[:8])


def test_he_initialisation_of_any_recipe():
    weights = alexnet("paper", width=0.5, init="he").state_dict()
    assert weights["conv2.weight"].std() == pytest.approx((2 / (48 * 25)) ** 0.5, rel=0.03)
    assert not weights["conv2.bias"].any()


@pytest.mark.parametrize("recipe, lr, decay", [("paper", 1, 1), ("2012", 2, 0), ("caffe", 2, 0), ("torchvision", 1, 1)])
def test_how_biases_are_trained(recipe, lr, decay):
    for parameter in alexnet(recipe, width=0.02).parameters():
        wanted = (lr, decay) if parameter.name.endswith("bias") else (1, 1)
        assert (parameter.lr_mult, parameter.decay_mult) == wanted


def test_seed_decides_weights_and_dropout():
    def start(seed):
        net = alexnet("paper", 5, width=0.02, seed=seed)
        return net.state_dict(), net.random_state()
    (a, random_a), (b, random_b), (c, random_c) = start(3), start(3), start(4)
    assert all(np.array_equal(a[name], b[name]) for name in a) and random_a == random_b
    assert not np.array_equal(a["conv1.weight"], c["conv1.weight"]) and random_a != random_c


def test_layers_of_one_shape_start_differently():
    weights = alexnet("paper", width=1 / 96).state_dict()
    assert not np.array_equal(weights["conv3.weight"].ravel()[:8], weights["conv4.weight"].ravel()[:8])


@pytest.mark.parametrize("wrong", [
    {"recipe": "vgg"}, {"init": "zeros"}, {"num_classes": 0}, {"width": 0}, {"width": -1}, {"width": "1"}, {"width": 5},
], ids=str)
def test_wrong_settings_are_refused(wrong):
    with pytest.raises(MinicnnError):
        alexnet(**wrong)


def test_towers_do_not_see_each_other_in_the_normalisation():
    x = normal(2, 6, 3, 5)
    layer = TowerLRN(5, 1.0).astype("float64")
    alone = [LRN(5, 1.0).astype("float64")(send(np.ascontiguousarray(x[:, half]))) for half in (slice(3), slice(3, 6))]
    np.testing.assert_array_equal(fetch(layer(send(x))), np.concatenate([fetch(a) for a in alone], axis=1))


@pytest.mark.parametrize("recipe", RECIPES)
def test_gradients_of_every_recipe_along_random_directions(recipe):
    """The thinned network itself, at its own input size, in float64: the input and every parameter at once."""
    net = alexnet(recipe, num_classes=5, width=0.04, init="he", seed=1).astype("float64")
    state, forward, size = net.random_state(), net.forward, RECIPES[recipe].input_size

    class FixedMasks:
        parameters, backward = net.parameters, net.backward

        def __call__(self, x):
            net.load_random_state(state)
            return forward(x)

    directional_check(FixedMasks(), normal(3, 3, size, size, seed=2), seed=2, step=1e-8, tolerance=1e-5)
