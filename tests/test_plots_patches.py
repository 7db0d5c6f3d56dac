"""The patches that excite a unit most, and nearest neighbours, against brute force."""

import numpy as np
import pytest
from helpers import integers, normal

from minicnn import Conv2d, Flatten, Linear, MaxPool2d, ReLU, Sequential, plots
from minicnn.errors import DataError, ShapeError
from minicnn.plots.style import shown


def make_net():
    return Sequential(conv1=Conv2d(3, 6, 3, stride=2, padding=1, seed=0), relu1=ReLU(), pool1=MaxPool2d(2),
                      flatten=Flatten(), fc=Linear(6 * 3 * 2, 5, seed=1))


def make_images(count=11):
    return normal(count, 3, 12, 9, dtype=np.float32)


def brute_force(net, images, layer, unit, count):
    """[(image, value, row, column)] of the largest answer in each image, strongest first, one unit at a time."""
    below, best = Sequential(*list(net)[:list(net.layers).index(layer) + 1]), []
    for n in range(len(images)):
        maps = below.infer(images[n:n + 1])[0, unit]
        row, column = np.unravel_index(maps.argmax(), maps.shape) if maps.ndim else (None, None)
        best.append((n, float(maps.max()), row, column))
    return sorted((b for b in best if b[1] != 0), key=lambda b: (-b[1], b[0]))[:count]


@pytest.mark.parametrize("layer", ["conv1", "relu1", "pool1", "fc"])
@pytest.mark.parametrize("batch_size", [3, 64])
def test_peaks_are_those_of_brute_force(layer, batch_size):
    net, images = make_net(), make_images()
    units = [4, 0, 2]
    for unit, found in zip(units, plots.peaks(net, images, layer, units, 4, batch_size), strict=True):
        wanted = brute_force(net, images, layer, unit, 4)
        assert [peak.image for peak in found] == [n for n, *_ in wanted]
        assert np.allclose([peak.value for peak in found], [value for _, value, *_ in wanted], rtol=1e-5, atol=1e-6)
        places = [None if row is None else (row, column) for *_, row, column in wanted]
        assert [peak.box for peak in found] == [plots.receptive_box(net, (3, 12, 9), layer, place) for place in places]


def test_of_equal_answers_the_first_comes_first():
    net = Sequential(conv=Conv2d(1, 1, 1, seed=0))
    net.conv.weight.data[:] = 1
    images = np.zeros((3, 1, 2, 2), np.float32)
    images[:, 0, 1] = 7
    assert [(peak.image, peak.box.top, peak.box.left) for peak in plots.peaks(net, images, "conv", [0])[0]] == [
        (0, 1, 0), (1, 1, 0), (2, 1, 0)]


def test_a_dead_unit_has_no_peaks_and_says_so():
    net, images = make_net(), make_images()
    net.conv1.bias.data[3] = -1000
    assert plots.peaks(net, images, "relu1", [3])[0] == [] and len(plots.peaks(net, images, "conv1", [3])[0]) == 8
    figure = plots.patches(net, images, "relu1", [2, 3])
    texts = [text.get_text() for axes in figure.axes[8:] for text in axes.texts]
    assert texts == ["unit 3", "dead: 0 for all of the 11 images"]
    assert [bool(axes.get_images()) for axes in figure.axes] == [True] * 8 + [False] * 8


def test_patches_are_cut_where_the_unit_looks():
    net, images = make_net(), make_images()
    pictures = integers(11, 12, 9, 3, low=0, high=256).astype(np.uint8)
    for source, given in ((images, None), (pictures, pictures)):
        figure = plots.patches(net, images, "relu1", [1, 5], count=4, pictures=given)
        found = [peak for peaks in plots.peaks(net, images, "relu1", [1, 5], 4) for peak in peaks]
        for axes, peak in zip(figure.axes, found, strict=True):
            assert np.array_equal(axes.get_images()[0].get_array(), shown(source[peak.image])[peak.box.slices])
            assert axes.texts[0].get_text() == f"{peak.value:.3g}"


def test_patches_are_drawn_to_one_scale():
    figure = plots.patches(make_net(), make_images(), "relu1", [1, 5], count=4)
    assert {abs(np.subtract(*limits)) for axes in figure.axes for limits in (axes.get_xlim(), axes.get_ylim())} == {3}


def test_answers_that_cannot_be_compared():
    net, images = make_net(), make_images()
    for unit in (6, -1):
        with pytest.raises(ShapeError, match="conv1 has 6 units"):
            plots.peaks(net, images, "conv1", [0, unit])
    net.conv1.weight.data[2] = np.nan
    assert plots.peaks(net, images, "conv1", [1])[0]
    with pytest.raises(DataError, match="NaN"):
        plots.peaks(net, images, "conv1", [2])


def test_pictures_of_another_size_are_refused():
    with pytest.raises(ShapeError, match=r"wanted 11 of \(12, 9\)"):
        plots.patches(make_net(), make_images(), "relu1", pictures=np.zeros((11, 13, 9, 3), np.uint8))
    with pytest.raises(ShapeError, match="10 pictures"):
        plots.patches(make_net(), make_images(), "relu1", pictures=np.zeros((10, 12, 9, 3), np.uint8))


# --- neighbours ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("batch_size", [2, 128])
def test_features_are_what_the_layer_gives(batch_size):
    net, images = make_net(), make_images()
    below = Sequential(*list(net)[:3])
    wanted = below.infer(images).reshape(11, -1)
    assert np.allclose(plots.features(net, images, "pool1", batch_size), wanted, rtol=1e-5)
    assert plots.features(net, images, "fc").shape == (11, 5)


def test_nearest_by_loops():
    features = integers(9, 3, seed=5)  # full of equal distances
    indices, distances = plots.nearest(features, [0, 4, 8], 6)
    for query, found, apart in zip((0, 4, 8), indices, distances):
        wanted = sorted((float(np.sqrt(sum((features[i][d] - features[query][d]) ** 2 for d in range(3)))), i)
                        for i in range(9) if i != query)[:6]
        assert found.tolist() == [i for _, i in wanted] and np.allclose(apart, [distance for distance, _ in wanted])


def test_a_twin_is_at_distance_zero_exactly():
    features = np.repeat(normal(1, 4096, dtype=np.float32), 2, axis=0)
    assert plots.nearest(features, [0], 1)[1] == 0


def test_neighbours_are_drawn_beside_their_query():
    images = [np.full((6, 5, 3), 10 * i, np.uint8) for i in range(8)]
    features, names = normal(8, 3), [f"class {i % 2}" for i in range(8)]
    figure = plots.neighbours(images, features, [3, 6], 4, names)
    indices, distances = plots.nearest(features, [3, 6], 4)
    assert len(set((indices % 2).ravel())) == 2
    cells = np.reshape(figure.axes, (2, 5))
    for row, query, others, apart in zip(cells, (3, 6), indices, distances):
        assert [round(float(axes.get_images()[0].get_array()[0, 0, 0] * 25.5)) for axes in row] == [query, *others]
        assert row[0].get_title(loc="left") == names[query]
        for axes, i, distance in zip(row[1:], others, apart):
            mark = "✓" if names[i] == names[query] else "✗"
            assert axes.get_title(loc="left") == f"{mark} {names[i]}, {distance:.3g}"


def test_neighbours_without_names():
    figure = plots.neighbours([np.zeros((4, 4), np.uint8)] * 3, np.arange(3.0)[:, None], [2], 1)
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["image 2", "1"]


@pytest.mark.parametrize("features, queries, count", [
    (normal(4), [0], 1), (normal(4, 2), [0], 4), (normal(4, 2), [0], 0), (normal(4, 2), [4], 1), (normal(4, 2), [-1], 1),
    (np.full((4, 2), np.nan), [0], 1)])
def test_what_has_no_neighbours(features, queries, count):
    with pytest.raises(ShapeError, match="nearest"):
        plots.nearest(features, queries, count)


def test_as_many_images_as_features():
    with pytest.raises(ShapeError, match="3 images and 4 features"):
        plots.neighbours([np.zeros((4, 4), np.uint8)] * 3, normal(4, 2), [0])
