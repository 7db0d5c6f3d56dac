"""Pictures of numbers: costs, confusion, distributions, im2col show the numbers that there are."""

import numpy as np
import pytest
from helpers import integers, normal

from minicnn import Conv2d, Dropout, Flatten, Linear, MaxPool2d, ReLU, Sequential, plots, trace
from minicnn.errors import ShapeError
from minicnn.plots.distributions import BINS
from minicnn.plots.passes import gradients
from minicnn.plots.style import amount, memory


def make_net():
    return Sequential(conv1=Conv2d(3, 5, 3, seed=0), relu1=ReLU(), pool1=MaxPool2d(2), flatten=Flatten(), drop=Dropout(0.5),
                      fc=Linear(60, 3, seed=1)).seed(0)


# --- costs -----------------------------------------------------------------------------------------------------------


def test_bars_are_the_numbers_of_the_trace():
    rows = trace(make_net(), (2, 3, 10, 8))
    figure = plots.costs(rows)
    for axes, field, written in zip(figure.axes, ("parameters", "macs", "activation_bytes", "workspace_bytes"),
                                    (amount, amount, memory, memory), strict=True):
        values = [getattr(row, field) for row in rows.rows]
        assert [bar.get_width() for bar in axes.patches] == values
        assert [text.get_text().split(" (")[0] for text in axes.texts] == [written(value) for value in values if value]
        whole = f"at most {written(max(values))}" if field == "workspace_bytes" else written(sum(values))
        assert axes.get_title(loc="left").endswith(f": {whole}")
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == [row.name for row in rows.rows]
    assert "Linear layers have 57% of the parameters" in figure.get_suptitle()


def test_a_network_without_parameters_has_bars_too(tmp_path):
    plots.costs(trace(Sequential(pool=MaxPool2d(2)), (1, 1, 4, 4)), path=tmp_path / "c.png")
    assert (tmp_path / "c.png").exists()


def test_shares_add_up():
    figure = plots.costs(trace(make_net(), (2, 3, 10, 8)))
    shares = [text.get_text().split("(")[1].rstrip("%)") for text in figure.axes[2].texts]
    assert 98 <= sum(int(share) for share in shares if share != "<1") <= 100 and "<1" in shares


def test_workspace_is_shared_and_has_no_shares():
    figure = plots.costs(trace(make_net(), (2, 3, 10, 8)))
    assert figure.axes[3].texts and not [text for text in figure.axes[3].texts if "%" in text.get_text()]


# --- confusion -------------------------------------------------------------------------------------------------------


def test_counts_by_a_loop():
    labels, predicted = integers(60, low=0, high=5, dtype=int), integers(60, low=0, high=5, seed=1, dtype=int)
    counts = plots.confusion_counts(labels, predicted, 6)
    for t in range(6):
        for p in range(6):
            assert counts[t, p] == sum(a == t and b == p for a, b in zip(labels, predicted))


def test_the_matrix_is_shares_of_rows_with_counts_in_it():
    figure = plots.confusion([0, 0, 0, 1, 1], [0, 2, 2, 1, 0], ["cat", "dog", "cow"])
    matrix, pairs = figure.axes[:2]
    assert np.allclose(matrix.get_images()[0].get_array(), [[1 / 3, 0, 2 / 3], [1 / 2, 1 / 2, 0], [0, 0, 0]])
    assert cells(matrix) == {(0, 0): "1", (0, 2): "2", (1, 0): "1", (1, 1): "1"}
    assert [text.get_text() for text in pairs.texts] == ["2 of 3:  cat → cow", "1 of 2:  dog → cat"]
    assert [bar.get_width() for bar in pairs.patches] == [2, 1]
    assert figure.get_suptitle() == "2 of 5 images right (40.0%)"


@pytest.mark.parametrize("count", [1, 2, 100, 300])
def test_any_number_of_classes(count, tmp_path):
    classes = [f"a class with quite a long name, number {i}" for i in range(count)]
    labels = np.arange(3 * count) % count
    figure = plots.confusion(labels, np.roll(labels, 1), classes, path=tmp_path / "c.png")
    assert (figure.axes[0].get_xticklabels()[0].get_text() == "a class with quite …") == (count <= 40)
    assert figure.get_size_inches().max() <= 13 and len(figure.axes[0].texts) == (count if count <= 20 else 0)
    assert (tmp_path / "c.png").stat().st_size < 150_000


def test_without_a_mistake_there_are_no_confusions():
    figure = plots.confusion([0, 1], [0, 1], ["a", "b"])
    assert figure.axes[1].get_title(loc="left") == "no confusions" and not figure.axes[1].patches


@pytest.mark.parametrize("labels, predicted", [([0, 1], [0]), ([0, 3], [0, 1]), ([0, 1], [0, -1]), ([0.0, 1.0], [0, 1]),
                                               ([[0]], [[0]])])
def test_labels_that_are_none(labels, predicted):
    with pytest.raises(ShapeError, match="confusion"):
        plots.confusion(labels, predicted, ["a", "b", "c"])


# --- distributions ---------------------------------------------------------------------------------------------------


def test_histograms_hold_the_numbers_of_the_layers():
    """Heights, undone from their scale, are the counts of a histogram of the logarithms, negative and all."""
    net, x, labels = make_net().eval(), normal(4, 3, 10, 8, dtype=np.float32), np.array([0, 1, 2, 0])
    figure = plots.distributions(net, x, labels)
    for place, (_, y, dy) in enumerate(gradients(net, x, labels)):
        for axes, values in zip(figure.axes, (y, dy)):
            negative, everything = axes.patches[2 * place:2 * place + 2]
            edges = np.log10(everything.get_data().edges)
            assert np.allclose(np.diff(edges), 1 / BINS)
            logs = np.log10(np.abs(values[values != 0]))
            counts = np.histogram(logs, edges)[0]
            below = np.histogram(logs[values[values != 0] < 0], edges)[0]
            assert counts.sum() >= 0.998 * logs.size
            assert np.allclose(place - everything.get_data().values, 0.85 * counts / counts.max())
            assert np.allclose(place - negative.get_data().values, 0.85 * below / counts.max())


def test_what_has_no_logarithm_is_counted_beside():
    net, x = make_net().eval(), normal(2, 3, 10, 8, dtype=np.float32)
    net.conv1.weight.data[0], net.conv1.bias.data[1] = np.nan, -1000
    figure = plots.distributions(net, x, [0, 1], ["conv1", "relu1", "fc"])
    words = [text.get_text() for text in figure.axes[0].texts]
    relu = Sequential(net.conv1, net.relu1).infer(x)
    assert words[0].endswith(f"{2 * 8 * 6} NaN or ∞") and f"{np.mean(relu == 0):.0%} zeros" in words[1]
    assert words[2] == "nothing finite\n0% zeros\n6 NaN or ∞"


def test_a_layer_of_zeros_has_an_empty_row(tmp_path):
    net = make_net()
    net.conv1.weight.data[:] = 0
    figure = plots.distributions(net, normal(2, 3, 10, 8, dtype=np.float32), [0, 1], path=tmp_path / "d.png")
    assert "std 0\n100% zeros" in figure.axes[0].texts[0].get_text()


# --- im2col ----------------------------------------------------------------------------------------------------------


def cells(axes):
    """{(row, column): text} of a matrix."""
    return {tuple(map(int, text.get_position()[::-1])): text.get_text() for text in axes.texts}


def test_the_matrix_of_windows_by_loops():
    image = np.arange(2 * 4 * 5.0).reshape(2, 4, 5)
    *channels, matrix = plots.im2col(image, (2, 3), stride=(2, 1), padding=((1, 0), (0, 1))).axes
    for values, axes in zip(image, channels, strict=True):
        assert cells(axes) == {place: f"{value:g}" for place, value in np.ndenumerate(values)}
    wanted = {}
    for p in range(2):
        for q in range(4):
            for c in range(2):
                for i in range(2):
                    for j in range(3):
                        row, column = 2 * p + i - 1, q + j
                        if 0 <= row < 4 and 0 <= column < 5:
                            wanted[(c * 2 + i) * 3 + j, p * 4 + q] = f"{image[c, row, column]:g}"
    assert cells(matrix) == wanted and matrix.get_images()[0].get_array().shape == (12, 8)
    assert np.ma.count_masked(matrix.get_images()[0].get_array()) == 96 - len(wanted)
    assert matrix.get_title(loc="left") == "columns 12 × 8: 96 numbers from 40"


def test_the_first_and_the_last_window_are_outlined():
    *channels, matrix = plots.im2col(np.zeros((1, 5, 6)), 3, stride=2, padding=1).axes
    outlines = [tuple(patch.get_bbox().extents) for patch in channels[0].patches[1::2]]
    assert outlines == [(-1.5, -1.5, 1.5, 1.5), (2.5, 2.5, 5.5, 5.5)]
    outlines = [tuple(patch.get_bbox().extents) for patch in matrix.patches[1::2]]
    assert outlines == [(-0.5, -0.5, 0.5, 8.5), (7.5, -0.5, 8.5, 8.5)]


def test_a_large_matrix_has_no_numbers_in_it(tmp_path):
    figure = plots.im2col(normal(3, 60, 60), 11, 4, path=tmp_path / "i.png")
    assert not any(axes.texts for axes in figure.axes)
    assert figure.axes[-1].get_images()[0].get_array().shape == (363, 169)


def test_one_image_at_a_time():
    with pytest.raises(ShapeError, match="wanted \\(C, H, W\\)"):
        plots.im2col(np.zeros((1, 1, 5, 5)), 3)
    with pytest.raises(ShapeError, match="does not fit"):
        plots.im2col(np.zeros((1, 5, 5)), 7)
