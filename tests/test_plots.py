"""Pictures: they are there, they are not blank, and they show what they should."""

import builtins
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from minicnn import plots
from minicnn.errors import DataError, FileError, ShapeError
from minicnn.plots.style import AMBER, BLUE, ORANGE, SKY, columns_for, paint, shown

CLASSES = ["cat", "dog", "a class with quite a long name"]


def history(epochs):
    return [{"epoch": e + 1, "train_loss": 2 / (e + 1), "train_top1": 1 - 0.8 / (e + 1), "val_loss": 1.0,
             "val_top1": 0.5 - 0.01 * e, "val_top5": 1.0, "lr": 0.1 if e < 2 else 0.01} for e in range(epochs)]


def pixels(path):
    with Image.open(path) as image:
        assert image.format == "PNG"
        return np.array(image.convert("RGB"))


def contains(image, colour):
    return (image == [int(colour[i:i + 2], 16) for i in (1, 3, 5)]).all(axis=-1).sum() > 20


@pytest.mark.parametrize("epochs", [1, 2, 30])
def test_curves(tmp_path, epochs):
    plots.training_curves(history(epochs), path=tmp_path / "curves.png")
    image = pixels(tmp_path / "curves.png")
    assert image.shape[1] > 2 * image.shape[0] and contains(image, BLUE) and contains(image, ORANGE)


def test_curves_differ_with_the_history(tmp_path):
    for epochs in (2, 3):
        plots.training_curves(history(epochs), path=tmp_path / f"{epochs}.png")
    assert (pixels(tmp_path / "2.png") != pixels(tmp_path / "3.png")).any()


@pytest.mark.parametrize("shape", [(96, 3, 11, 11), (7, 4, 5, 3), (1, 3, 2, 2)])
def test_filters(tmp_path, shape):
    plots.filters(np.random.default_rng(0).standard_normal(shape).astype(np.float32), path=tmp_path / "f.png")
    image = pixels(tmp_path / "f.png")
    assert len(np.unique(image.reshape(-1, 3), axis=0)) >= min(10, shape[0] * shape[2])


def test_filters_beside_what_training_added(tmp_path):
    weights = np.random.default_rng(0).standard_normal((24, 3, 5, 5)).astype(np.float32)
    for name, start in (("alone", None), ("both", np.zeros_like(weights)), ("other", weights / 2)):
        plots.filters(weights, start, path=tmp_path / f"{name}.png")
    alone, both, other = (pixels(tmp_path / f"{name}.png") for name in ("alone", "both", "other"))
    assert both.shape[1] == 2 * alone.shape[1] and both.shape == other.shape
    plots.filters(weights, weights - np.eye(5, dtype=np.float32), path=tmp_path / "changed.png")
    middle = both.shape[1] // 2
    changed = pixels(tmp_path / "changed.png")
    assert (both[40:, :middle] == changed[40:, :middle]).all() and (both[40:, middle:] != changed[40:, middle:]).any()


def test_filters_show_their_colour_and_zero_is_grey(tmp_path):
    weights = np.zeros((3, 3, 4, 4), np.float32)
    weights[0, 0], weights[1, 2] = 5, -0.001  # red, and minus blue: each is scaled to itself
    plots.filters(weights, path=tmp_path / "f.png")
    image = pixels(tmp_path / "f.png")
    for colour in ("#ff8080", "#808000", "#808080"):
        near = np.abs(image.astype(int) - [int(colour[i:i + 2], 16) for i in (1, 3, 5)]).max(axis=-1) <= 1
        assert near.sum() > 1000, colour


@pytest.mark.parametrize("count", [1, 2, 18])
def test_predictions(tmp_path, count):
    """Class 0 is predicted for every image, and is right for every second one."""
    images = np.random.default_rng(0).integers(0, 255, (count, 31, 31, 3), dtype=np.uint8)
    plots.predictions(images, np.arange(count) % 2, np.tile([0.6, 0.3, 0.1], (count, 1)), CLASSES, path=tmp_path / "p.png")
    image = pixels(tmp_path / "p.png")
    assert contains(image, SKY) and contains(image, BLUE) and contains(image, AMBER) == (count > 1)


def test_predictions_with_two_classes(tmp_path):
    images = np.zeros((1, 9, 9, 3), np.uint8)
    figure = plots.predictions(images, [1], np.array([[0.2, 0.8]]), CLASSES[:2], path=tmp_path / "p.png")
    assert contains(pixels(tmp_path / "p.png"), SKY)
    assert len(figure.axes[0].patches) == 2 and np.isclose(figure.axes[0].get_ylim()[0], -0.29)  # no room for a third bar


def test_nothing_is_left_where_a_picture_cannot_be_written(tmp_path):
    with pytest.raises(FileError, match="cannot write"):
        plots.training_curves(history(2), path=tmp_path / "none/curves.png")


def test_pyplot_is_not_imported(tmp_path, monkeypatch):
    """It would choose a window system, and keep every figure."""
    real = builtins.__import__

    def watch(name, *arguments):
        assert not name.startswith("matplotlib.pyplot")
        return real(name, *arguments)

    monkeypatch.setattr(builtins, "__import__", watch)
    plots.training_curves(history(3), path=tmp_path / "a.png")


def test_matplotlib_is_imported_where_something_is_drawn():
    program = "import sys, minicnn.plots, minicnn.training.pictures; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_names_of_classes_are_not_formulas_and_need_no_font(tmp_path):
    """A dollar sign begins no formula; a script that the font lacks is no reason for a warning."""
    classes = ["$x_{$", "藍色", "a$b"]
    plots.predictions(np.zeros((3, 9, 9, 3), np.uint8), [0, 1, 2], np.eye(3), classes, path=tmp_path / "p.png")
    assert contains(pixels(tmp_path / "p.png"), SKY)


def test_filters_of_many_channels_are_a_table():
    """Tile (f, c) is filter f's channel c, white at zero and darkest at the filter's largest weight."""
    weights = np.random.default_rng(0).standard_normal((20, 50, 3, 2))
    figure = plots.filters(weights)
    sheet = figure.axes[0].get_images()[0].get_array()
    assert sheet.shape == (16 * 4 + 1, 48 * 3 + 1, 3)
    for f, c in ((0, 0), (15, 47), (3, 20)):
        tile = sheet[1 + 4 * f:4 + 4 * f, 1 + 3 * c:3 + 3 * c]
        assert np.array_equal(tile, paint(weights[f, c], np.abs(weights[f]).max()))
    title = figure.axes[0].get_title(loc="left")
    assert title.startswith("filters 0–15 of 20, channels 0–47 of 50, 3×2 pixels")


def test_filters_of_one_channel_are_tiles():
    weights = np.random.default_rng(0).standard_normal((6, 1, 5, 5))
    figure = plots.filters(weights)
    sheet = figure.axes[0].get_images()[0].get_array()
    assert sheet.shape == (13, 19, 3) and np.array_equal(sheet[7:12, 13:18], paint(weights[5, 0], np.abs(weights[5]).max()))


@pytest.mark.parametrize("channels", [1, 2, 3])
def test_weights_that_are_not_finite_are_black(channels):
    weights = np.ones((2, channels, 3, 3))
    weights[0, :, 1, 1] = np.nan
    sheet = plots.filters(weights).axes[0].get_images()[0].get_array()
    assert not sheet[2, 2].any() and sheet[1, 1].any()


@pytest.mark.parametrize("shape", [(4, 3, 5), (0, 3, 5, 5)])
def test_what_are_no_filters(shape):
    with pytest.raises(ShapeError, match="got weights of shape"):
        plots.filters(np.zeros(shape))
    with pytest.raises(ShapeError, match="start has shape"):
        plots.filters(np.zeros((2, 3, 5, 5)), np.zeros((2, 3, 5, 4)))


def stages(shape, *changed):
    """Weights of noise, and then those with ten times as much in the filters that are named."""
    start = np.random.default_rng(0).uniform(-1, 1, shape)
    end = start.copy()
    end[list(changed)] *= 10
    return {"start": start, "end": end}


@pytest.mark.parametrize("channels", [1, 3])
def test_a_filmstrip_is_a_row_for_each_stage_and_a_column_for_each_filter_that_changed(channels):
    """A filter has one scale in all rows."""
    both = stages((6, channels, 5, 4), 4, 1)
    axes = plots.filmstrip(both, count=2).axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["start", "end"]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["1", "4"]
    sheet = axes.get_images()[0].get_array()
    assert sheet.shape == (13, 11, 3)
    for row, weights in enumerate(both.values()):
        for column, f in enumerate((1, 4)):
            tile = sheet[1 + 6 * row:6 + 6 * row, 1 + 5 * column:5 + 5 * column]
            largest = np.abs(both["end"][f]).max()
            wanted = paint(weights[f, 0], largest) if channels == 1 else 0.5 + weights[f].transpose(1, 2, 0) / (2 * largest)
            assert np.allclose(tile, wanted)


def test_a_filmstrip_is_written_and_shows_all_filters_if_they_are_few(tmp_path):
    figure = plots.filmstrip(stages((3, 3, 5, 5), 2), path=tmp_path / "strip.png")
    assert len(figure.axes[0].get_xticklabels()) == 3 and len(np.unique(pixels(tmp_path / "strip.png"))) > 50


@pytest.mark.parametrize("given, count", [
    ({}, 10), ({"a": np.zeros((2, 4, 3, 3))}, 10), ({"a": np.zeros((2, 3, 3))}, 10), ({"a": np.zeros((0, 3, 3, 3))}, 10),
    ({"a": np.zeros((2, 3, 5, 5)), "b": np.zeros((3, 3, 5, 5))}, 10), ({"a": np.zeros((2, 3, 5, 5))}, 0)])
def test_what_is_no_filmstrip(given, count):
    with pytest.raises(ShapeError, match="filmstrip: got"):
        plots.filmstrip(given, count)


def test_bars_of_predictions_are_the_probabilities_in_order():
    figure = plots.predictions([np.zeros((9, 9), np.uint8)], [2], [[0.1, 0.25, 0.2, 0.45]], [*"abcd"], 3)
    axes = figure.axes[0]
    assert [bar.get_width() for bar in axes.patches] == [0.45, 0.25, 0.2]
    assert [text.get_text() for text in axes.texts] == ["d", "45%", "b", "25%", "c", "20%"]
    assert axes.get_title(loc="left") == "✗ is c"


def test_images_keep_their_proportions():
    images = [np.zeros((20, 30, 3), np.uint8), np.zeros((1, 40, 10), np.float32)]
    figure = plots.predictions(images, [0, 0], np.ones((2, 1)), ["a"])
    extents = [axes.get_images()[0].get_extent() for axes in figure.axes]
    assert np.allclose(extents, [[0, 1, 0, 2 / 3], [0.375, 0.625, 0, 1]])


@pytest.mark.parametrize("count, labels, shape, classes", [
    (0, 0, (0, 3), 3), (2, 1, (2, 3), 3), (2, 2, (2, 3), 2), (2, 2, (1, 3), 3)])
def test_predictions_that_do_not_go_together(count, labels, shape, classes):
    with pytest.raises(ShapeError, match="predictions: got"):
        plots.predictions(np.zeros((count, 5, 5), np.uint8), np.zeros(labels, int), np.ones(shape), CLASSES[:classes])


def test_curves_are_the_history():
    rows = history(4)
    loss, accuracy = plots.training_curves(rows).axes
    assert [line.get_ydata().tolist() for line in loss.lines[:2]] == [
        [row["train_loss"] for row in rows], [row["val_loss"] for row in rows]]
    assert accuracy.lines[1].get_ydata().tolist() == [100 * row["val_top1"] for row in rows]
    assert accuracy.lines[3].get_xydata().tolist() == [[1, 50]]  # the best epoch
    assert accuracy.get_title(loc="right") == "● best 50.0%, epoch 1"
    assert [line.get_xdata()[0] for line in loss.lines[2:]] == [2.5]  # the rate has fallen


def test_a_history_without_an_epoch():
    with pytest.raises(DataError, match="no epoch"):
        plots.training_curves([])


# --- images and figures ----------------------------------------------------------------------------------------------


def test_images_as_they_are_shown():
    pixels = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    assert np.array_equal(shown(pixels), pixels / 255)
    for grey in (pixels[..., 0], pixels[..., :1]):
        assert np.array_equal(shown(grey), np.repeat(pixels[..., :1] / 255, 3, axis=2))
    values = np.linspace(-3, 5, 24, dtype=np.float32).reshape(3, 2, 4)
    assert np.allclose(shown(values), ((values + 3) / 8).transpose(1, 2, 0), atol=1e-6)
    two = shown(values[:2])
    assert two.shape == (2, 4, 3) and two.min() == 0 and two.max() == 1 and np.ptp(two, axis=2).max() == 0
    assert not shown(np.full((3, 2, 2), 7.0)).any()


@pytest.mark.parametrize("image", [
    np.zeros((2, 2, 2), np.uint8), np.zeros((1, 3, 2, 2)), np.zeros((2, 2)), np.zeros((3, 2, 2), int), np.zeros((0, 2, 2)),
    np.zeros((2, 0, 3), np.uint8)])
def test_what_is_no_image(image):
    with pytest.raises(ShapeError, match="an image to be shown"):
        shown(image)


def test_an_image_with_nan():
    with pytest.raises(DataError, match="not finite"):
        shown(np.full((3, 2, 2), np.nan))


def test_a_figure_is_returned_and_is_a_png_for_notebooks(tmp_path):
    figure = plots.training_curves(history(3), path=tmp_path / "c.png")
    assert type(figure).__mro__[1].__module__ == "matplotlib.figure"
    (tmp_path / "shown.png").write_bytes(figure._repr_png_())
    written, shown_ = pixels(tmp_path / "c.png"), pixels(tmp_path / "shown.png")
    assert written.shape == shown_.shape == (440, 1100, 3) and np.mean(written != shown_) < 0.05  # the layout moves a little


def test_a_figure_shows_in_a_notebook():
    """As the last expression of a cell, where nobody has imported pyplot: what IPython itself makes of it."""
    formatters = pytest.importorskip("IPython.core.formatters")
    data, _ = formatters.DisplayFormatter().format(plots.training_curves(history(3)))
    assert data["image/png"].startswith(b"\x89PNG")


def test_a_figure_full_of_noise_stays_small(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (4, 200, 200, 3), dtype=np.uint8)
    plots.predictions(noise, np.zeros(4, int), np.ones((4, 1)), ["a"], path=tmp_path / "p.png")
    image = pixels(tmp_path / "p.png")
    assert len(np.unique(image.reshape(-1, 3), axis=0)) <= 256 and (tmp_path / "p.png").stat().st_size < 200_000


def test_columns_fill_the_last_row_if_they_can():
    assert [columns_for(count) for count in (1, 2, 12, 20, 24, 96, 97, 384)] == [1, 2, 4, 5, 6, 12, 13, 24]
