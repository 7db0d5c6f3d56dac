"""Pictures of networks and their windows, images beside each other, and lines: they show the numbers that they are given."""

from io import BytesIO

import numpy as np
import pytest
from matplotlib.colors import to_hex
from PIL import Image

from minicnn import AvgPool2d, Conv2d, Flatten, Linear, MaxPool2d, ReLU, Sequential, plots, trace
from minicnn.errors import ShapeError
from minicnn.plots.style import AMBER, BLUE, ORANGE, SKY


def make_net():
    return Sequential(conv1=Conv2d(3, 6, 5, stride=2), relu1=ReLU(), pool1=MaxPool2d(3, 2),
                      conv2=Conv2d(6, 8, 3, padding=1, groups=2), flatten=Flatten(), fc=Linear(8 * 3 * 4, 10))


def texts(axes):
    return [text.get_text() for text in axes.texts]


def colours(patches):
    return [to_hex(patch.get_facecolor()).upper() for patch in patches]


def sizes(patch):
    """Width and height of what a patch covers."""
    extents = patch.get_path().get_extents(patch.get_patch_transform())
    return extents.width, extents.height


def test_architecture_has_a_block_for_each_layer_that_changes_the_shape():
    (axes,) = plots.architecture(trace(make_net(), (2, 3, 19, 23))).axes
    assert texts(axes) == ["input", "3\n19 × 23", "conv1", "6\n8 × 10", "pool1", "6\n3 × 4", "conv2", "8\n3 × 4", "fc", "10"]
    assert colours(axes.patches[::6])[1:5:2] == [SKY, SKY] and colours(axes.patches[::6])[4] == AMBER


def test_blocks_are_as_high_and_as_thick_as_the_roots_of_their_rows_and_maps():
    net = Sequential(conv=Conv2d(4, 36, 1), pool=MaxPool2d(4))
    fronts = [sizes(patch) for patch in plots.architecture(trace(net, (1, 4, 64, 64))).axes[0].patches[::6]]
    thick, high = np.array(fronts).T
    assert np.allclose(thick / thick[0], [1, 3, 3]) and np.allclose(high / high[0], [1, 1, 0.5])


def test_a_crowd_of_blocks_has_short_sizes():
    net = Sequential(*[Conv2d(2, 2, 1) for _ in range(14)])
    assert texts(plots.architecture(trace(net, (1, 2, 9, 9))).axes[0])[1::2] == ["2\n9²"] * 15
    assert texts(plots.architecture(trace(net, (1, 2, 9, 8))).axes[0])[1::2] == ["2\n9 × 8"] * 15


def test_connections_are_blocks_on_the_diagonal():
    figure = plots.connections(make_net())
    panels = [axes for axes in figure.axes if axes.get_title(loc="left")]
    assert [axes.get_title(loc="left") for axes in panels] == ["conv1", "conv2", "fc"]
    boxes = [[(patch.get_x(), patch.get_y(), *sizes(patch)) for patch in axes.patches] for axes in panels]
    assert boxes == [[(0, 0, 3, 6)], [(0, 0, 3, 4), (3, 4, 3, 4)], [(0, 0, 96, 10)]]
    assert [axes.get_xlabel().split("\n")[1] for axes in panels] == ["450", "216", "960"]
    with pytest.raises(ShapeError, match="no convolution and no linear layer"):
        plots.connections(make_net(), ["pool1"])


WINDOWS = [  # layer, pixels, windows, remark
    (Conv2d(1, 1, 11, stride=4), 227, 55, "all pixels are read, and nothing else"),
    (Conv2d(1, 1, 11, stride=4), 224, 54, "pixels never read: 1"),
    (Conv2d(1, 1, 11, stride=4, ceil_mode=True), 224, 55, "zeros are read: 3 on the right"),
    (Conv2d(1, 1, 11, stride=4, padding=2), 224, 55, "zeros are read: 2 on the left and 1 on the right"),
    (AvgPool2d(2, 3), 40, 13, "pixels never read: 14"),
    (MaxPool2d((7, 2), (5, 2)), 6, 3, "all pixels are read, and nothing else"),
]


@pytest.mark.parametrize("layer, pixels, count, remark", WINDOWS)
def test_windows_are_those_of_the_layer(layer, pixels, count, remark):
    left, right = plots.borders({"a title": (layer, pixels)}).axes
    assert (left.get_title(loc="left"), right.get_title(loc="right")) == (f"a title: {count} windows", remark)
    axis = layer.window.columns
    for axes, numbers in ((left, range(1, 4)), (right, range(count - 2, count + 1))):
        bars = {int(text.get_text()): line.get_xdata() for text, line in zip(axes.texts[-len(axes.lines):], axes.lines)}
        assert bars.keys() <= set(numbers) and len(bars) == min(3, count)
        for number, (first, last) in bars.items():
            start = (number - 1) * axis.stride - axis.before
            assert np.allclose([first, last], [start - 0.4, start + axis.kernel - 0.6])


def test_pixels_are_coloured_by_who_reads_them():
    left, right = plots.borders({"": (Conv2d(1, 1, 3, stride=4, padding=1), 32)}).axes
    assert colours(left.patches)[:7] == [AMBER, SKY, SKY, "#FFFFFF", SKY, SKY, SKY]
    assert colours(right.patches)[-3:] == [SKY, "#FFFFFF", "#FFFFFF"] and texts(right)[20] == "31"


def test_images_stand_in_rows_under_their_titles():
    pictures = [np.full((4, 6, 3), shade, np.uint8) for shade in (0, 100, 200)]
    figure = plots.images(pictures, ["a", "b", "c"], columns=2)
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["a", "b", "c", ""]
    assert [axes.get_images()[0].get_array().max() * 255 for axes in figure.axes[:3]] == pytest.approx([0, 100, 200])
    assert len(plots.images(pictures[:1]).axes) == 1
    with pytest.raises(ShapeError, match="3 images, 2 titles"):
        plots.images(pictures, ["a", "b"])
    with pytest.raises(ShapeError, match="0 images"):
        plots.images([])


def test_lines_are_the_values_and_share_colours_and_axes():
    panels = {"one": {"a": [3.0, 1.0], "b": ([10, 20, 40], [1.0, np.inf, 4.0])}, "two": {"b": ([10], [2.0])}}
    figure = plots.lines(panels, "x", "y", log="y")
    first, second = figure.axes
    a, b = first.lines
    assert a.get_xydata().tolist() == [[0, 3], [1, 1]] and b.get_xdata().tolist() == [10, 20, 40]
    assert np.isnan(b.get_ydata()[1]) and b.get_ydata()[2] == 4
    assert (a.get_color(), b.get_color(), second.lines[0].get_color()) == (BLUE, ORANGE, ORANGE)
    assert second.lines[0].get_linestyle() == b.get_linestyle() != a.get_linestyle()
    assert first.get_ylim() == second.get_ylim() and (first.get_xscale(), first.get_yscale()) == ("linear", "log")
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["a", "b"]
    assert second.get_xticks().tolist() == [0, 1, 10, 20, 40]


@pytest.mark.parametrize("values, ticks", [
    ([0.3, 8], ["0.5", "1", "2", "5"]), ([1e-3, 10], ["0.001", "0.01", "0.1", "1", "10"]),
    ([2e-6, 3e-2], ["1e-5", "1e-4", "0.001", "0.01"])])
def test_logarithmic_axes_have_plain_numbers(values, ticks):
    figure = plots.lines({"": {"a": (range(20), values * 10)}}, log="y")
    axes = figure.axes[0]
    figure.canvas.draw()
    low, high = axes.get_ylim()
    shown = zip(axes.yaxis.get_majorticklocs(), axes.yaxis.get_majorticklabels())
    assert [label.get_text() for place, label in shown if low <= place <= high] == ticks and len(axes.get_xticks()) < 20


@pytest.mark.parametrize("panels, log, wanted", [
    ({}, "", "0 lines"), ({"": {}}, "", "0 lines"), ({"": {"a": [1]}}, "z", "log='z'"),
    ({"": {"a": ([1, 2], [1])}}, "", "a has x of shape")])
def test_lines_refuse_what_they_cannot_draw(panels, log, wanted):
    with pytest.raises(ShapeError, match=wanted):
        plots.lines(panels, log=log)


def test_a_notebook_keeps_256_colours_and_a_file_all(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8)
    figure = plots.images([noise], path=tmp_path / "all.png")
    kept, whole = Image.open(BytesIO(figure._repr_png_())), Image.open(tmp_path / "all.png")
    assert len(kept.convert("RGB").getcolors(2**24)) <= 256 < len(whole.getcolors(2**24)) and kept.size == whole.size
