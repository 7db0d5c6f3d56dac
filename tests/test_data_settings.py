"""Senseless settings are refused by name before any work is done."""

import numpy as np
import pytest

from minicnn.data import ArrayImages, ImageFolder, PixelStatistics, open_dataset
from minicnn.errors import DataError

PIXELS = np.zeros((4, 6, 6), np.uint8)


@pytest.mark.parametrize("wrong,words", [
    ({"workers": -1}, "workers must be a whole number, at least 1, not -1"),
    ({"workers": 0}, "workers must be a whole number, at least 1, not 0"),
    ({"workers": 1.5}, "workers must be a whole number"),
    ({"size": 0}, "size must be a whole number, at least 1, not 0"),
    ({"size": 8.5}, "size must be a whole number"),
    ({"seed": "0"}, "seed must be a whole number, not '0'"),
])
def test_open_dataset(tmp_path, wrong, words):
    with pytest.raises(DataError, match=f"open_dataset: {words}"):
        open_dataset(tmp_path, **wrong)


def test_threads_of_the_others(tmp_path):
    for name in "ab":
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.png").write_bytes(b"")
    with pytest.raises(DataError, match="workers must be a whole number, at least 1, not 0"):
        ImageFolder(tmp_path, workers=0)
    with pytest.raises(DataError, match="workers must be a whole number, at least 1, not -2"):
        PixelStatistics.fit(ArrayImages(PIXELS, [0] * 4, ["a"], size=6), workers=-2)


@pytest.mark.parametrize("pixels,labels,words", [
    (PIXELS, [0, 1, 0, 1, 0], r"4 images and labels of shape \(5,\)"),
    (PIXELS, [0, 1, 0], r"4 images and labels of shape \(3,\)"),
    (PIXELS, [[0], [1], [0], [1]], r"4 images and labels of shape \(4, 1\)"),
    (PIXELS, [0, 1, 0, 1.5], "labels are float64, wanted integers"),
    (PIXELS, [0, 1, 0, 2], "labels from 0 to 2, but 2 classes"),
    (PIXELS, [0, 1, 0, -1], "labels from -1 to 1, but 2 classes"),
    (PIXELS.astype(np.float32), [0, 1, 0, 1], r"pixels are float32 \(4, 6, 6\); wanted uint8"),
    (np.zeros((4, 3, 6, 6), np.uint8), [0, 1, 0, 1], r"pixels are uint8 \(4, 3, 6, 6\); wanted .*\(N, h, w, 3\)"),
    (PIXELS[0], [0] * 6, r"pixels are uint8 \(6, 6\)"),
])
def test_array_images(pixels, labels, words):
    with pytest.raises(DataError, match=f"ArrayImages: .*{words}"):
        ArrayImages(pixels, labels, ["a", "b"])
