"""Pictures: they are there, they are not blank, and they show what they should."""

import builtins

import numpy as np
import pytest
from PIL import Image

from minicnn import plots
from minicnn.errors import FileError
from minicnn.plots.style import AMBER, BLUE, ORANGE, SKY

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
    plots.predictions(np.zeros((1, 9, 9, 3), np.uint8), [1], np.array([[0.2, 0.8]]), CLASSES[:2], path=tmp_path / "p.png")
    assert contains(pixels(tmp_path / "p.png"), SKY)


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


def test_names_of_classes_are_not_formulas_and_need_no_font(tmp_path):
    """A dollar sign begins no formula; a script that the font lacks is no reason for a warning."""
    classes = ["$x_{$", "藍色", "a$b"]
    plots.predictions(np.zeros((3, 9, 9, 3), np.uint8), [0, 1, 2], np.eye(3), classes, path=tmp_path / "p.png")
    assert contains(pixels(tmp_path / "p.png"), SKY)
