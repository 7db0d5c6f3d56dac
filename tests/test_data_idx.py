"""idx files: read exactly, and refused with a description of what was found."""

import gzip
import struct

import numpy as np
import pytest

from minicnn.data import open_dataset
from minicnn.data.idx import FASHION, read_idx
from minicnn.errors import DataError


def idx(array):
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


def make(root, part="train", count=40, names="{}-{}-idx{}-ubyte", pack=bytes, seed=0):
    root.mkdir(parents=True, exist_ok=True)
    images = np.random.default_rng(seed).integers(0, 256, (count, 6, 5), np.uint8)
    labels = (np.arange(count) % 4).astype(np.uint8)
    (root / names.format(part, "images", 3)).write_bytes(pack(idx(images)))
    (root / names.format(part, "labels", 1)).write_bytes(pack(idx(labels)))
    return images, labels


@pytest.mark.parametrize("names,pack", [
    ("{}-{}-idx{}-ubyte", bytes),
    ("{}-{}-idx{}-ubyte.gz", gzip.compress),
    ("{}-{}.idx{}-ubyte", bytes),
    ("{}-{}-idx{}-ubyte", gzip.compress),  # compressed under the other name, and the other way round
    ("{}-{}-idx{}-ubyte.gz", bytes),
])
def test_both_pairs(tmp_path, names, pack):
    images, labels = make(tmp_path, "train", 40, names, pack)
    val_images, _ = make(tmp_path, "t10k", 12, names, pack, seed=1)
    (tmp_path / "LICENSE.txt").write_text("x")
    train, val = open_dataset(tmp_path, size=5, warn=pytest.fail)
    assert (len(train), len(val), train.classes) == (40, 12, tuple("0123456789"))
    assert train.labels.tolist() == labels.tolist() and train.labels.dtype == np.int64
    np.testing.assert_array_equal(train.pixels, images)
    np.testing.assert_array_equal(val.image(11)[..., 0], val_images[11][:5])  # the centre of 6×5, rounded up


@pytest.mark.parametrize("part", ["train", "t10k"])
def test_one_pair_is_split_with_a_warning(tmp_path, part):
    images, _ = make(tmp_path, part)
    told = []
    train, val = open_dataset(tmp_path, size=6, seed=3, warn=told.append)
    assert len(told) == 1 and f"{part} files only" in told[0]
    assert np.bincount(train.labels).tolist() == [8] * 4 and np.bincount(val.labels).tolist() == [2] * 4
    seen = {row.tobytes() for row in train.pixels} | {row.tobytes() for row in val.pixels}
    assert seen == {row.tobytes() for row in images}
    again, _ = open_dataset(tmp_path, size=6, seed=3, warn=told.append)
    np.testing.assert_array_equal(again.pixels, train.pixels)


def test_pixels_stay_small_and_grow_on_demand(tmp_path):
    make(tmp_path)
    train, val = open_dataset(tmp_path, size=64, warn=str, budget=2 * 64 * 64 * 3)
    assert train._cache.used == 0 and train.pixels.nbytes == 32 * 30
    for i in range(8):
        assert train.image(i).shape == (64, 64, 3)
    assert train._cache.used == 2 * 64 * 64 * 3
    assert (train.image(0) != val.image(0)).any(), "two datasets share a cache but not its entries"


def test_fashion_mnist_by_its_folder(tmp_path):
    make(tmp_path / "FashionMNIST" / "raw")
    assert open_dataset(tmp_path / "FashionMNIST" / "raw", warn=str)[0].classes == FASHION


GOOD = idx(np.zeros((3, 2, 2), np.uint8))


@pytest.mark.parametrize("content,words", [
    (b"", "not an idx file of images or labels: an empty file"),
    (b"<!DOCTYPE html><html>", "an HTML page"),
    (b"version https://git-lfs.github.com/spec/v1\n", "git-lfs pointer"),
    (b"\0\0\x0d\3" + GOOD[4:], "not an idx file"),  # floats
    (b"\0\0\x08\2" + GOOD[4:], "not an idx file"),  # two axes
    (GOOD[:9], "ends within its header"),
    (GOOD[:-1], "3×2×2 = 12 values, but holds only 11"),
    (GOOD + b"\0", "3×2×2 = 12 values, but holds more"),
    (gzip.compress(GOOD)[:-9], "not a whole gzip file"),
    (gzip.compress(GOOD)[:12] + b"\xff" + gzip.compress(GOOD)[13:], "gzip"),
    (b"\x1f\x8bnot gzip at all", "not a whole gzip file"),
    (b"\0\0\x08\3" + b"\xff" * 12, "more than is credible"),
    (b"\0\0\x08\3" + struct.pack(">III", 1 << 20, 28, 28), "but holds only 0"),
])
def test_what_is_no_idx_file(tmp_path, content, words):
    path = tmp_path / "train-images-idx3-ubyte"
    path.write_bytes(content)
    with pytest.raises(DataError, match="train-images-idx3-ubyte") as caught:
        read_idx(path)
    assert words in str(caught.value)


def test_a_gzip_bomb_is_read_no_further_than_its_header_says(tmp_path):
    path = tmp_path / "train-images-idx3-ubyte.gz"
    path.write_bytes(gzip.compress(GOOD + bytes(50_000_000)))
    with pytest.raises(DataError, match="holds more"):
        read_idx(path)


def test_pairs_that_do_not_match(tmp_path):
    make(tmp_path / "a")
    labels = tmp_path / "a" / "train-labels-idx1-ubyte"
    labels.write_bytes(idx(np.zeros(39, np.uint8)))
    with pytest.raises(DataError, match="40 train images and 39 train labels"):
        open_dataset(tmp_path / "a")
    labels.unlink()
    with pytest.raises(DataError, match="no train-labels file"):
        open_dataset(tmp_path / "a")
    labels.write_bytes(idx(np.zeros((40, 2, 2), np.uint8)))
    with pytest.raises(DataError, match="3 axes; labels have 1"):
        open_dataset(tmp_path / "a")
    labels.write_bytes(idx(np.zeros(40, np.uint8)))
    with pytest.raises(DataError, match="one class only"):
        open_dataset(tmp_path / "a")
    labels.write_bytes(idx(np.zeros(0, np.uint8)))
    (tmp_path / "a" / "train-images-idx3-ubyte").write_bytes(idx(np.zeros((0, 28, 28), np.uint8)))
    with pytest.raises(DataError, match="holds no pixels"):
        open_dataset(tmp_path / "a")
