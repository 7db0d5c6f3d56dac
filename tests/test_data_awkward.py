"""The odd and broken files that Pillow's own tests keep, and broken data sets found in the wild."""

import json
import shutil
import warnings

import numpy as np
import pytest
from PIL import Image

from minicnn.data import ImageFolder, open_dataset, read_image
from minicnn.data.cifar10 import read_batch
from minicnn.data.decode import to_rgb
from minicnn.data.idx import open_idx, read_idx
from minicnn.errors import DataError


@pytest.fixture
def images(shared_data):
    return shared_data("awkward_images")


def cases(folder):
    records = json.loads((folder / "expected_pillow.json").read_text())
    assert len(records) == 34
    return records


def is_broken(case):
    return case.get("load") != "ok"


def test_every_file_is_read_or_refused_by_name_without_a_warning(images):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for case in cases(images):
            if is_broken(case):
                with pytest.raises(DataError) as caught:
                    read_image(images / case["file"])
                assert case["file"] in str(caught.value) and "\n" not in str(caught.value)
            else:
                result = read_image(images / case["file"], 64)
                assert (result.shape, result.dtype) == ((64, 64, 3), np.uint8), case["file"]


def test_colours_of_opaque_files(images):
    for case in cases(images):
        if is_broken(case):
            continue
        with Image.open(images / case["file"]) as image:
            image.load()
            if image.has_transparency_data:
                pixels = np.asarray(image.convert("RGBA"), float) if image.mode != "I;16" else None
                expected = None if pixels is None else composite(pixels).mean((0, 1))
            else:
                expected = case["rgb_mean"]
            if expected is not None:
                np.testing.assert_allclose(np.asarray(to_rgb(image)).mean((0, 1)), expected, atol=0.51,
                                           err_msg=case["file"])


def composite(rgba):
    alpha = rgba[..., 3:] / 255
    return rgba[..., :3] * alpha + 255 * (1 - alpha)


@pytest.mark.parametrize("orientation", [3, 6])
def test_rotated_hopper_stands_upright(images, orientation):
    upright = read_image(images / "hopper.jpg", 128).astype(float)
    rotated = read_image(images / f"hopper_orientation_{orientation}.jpg", 128)
    with Image.open(images / f"hopper_orientation_{orientation}.jpg") as image:
        as_stored = np.array(image)
    assert np.abs(rotated - upright).mean() < 8
    np.testing.assert_array_equal(rotated, np.rot90(as_stored, 2 if orientation == 3 else -1))


def test_a_folder_of_them_trains_with_what_can_be_read(images, tmp_path):
    for name in ("one", "two"):
        shutil.copytree(images, tmp_path / name)
    told = []
    train, val = open_dataset(tmp_path, size=32, warn=told.append)
    broken = sorted(case["file"] for case in cases(images) if is_broken(case))
    assert sorted(path.rsplit("/", 1)[1] for path, _ in train.skipped) == sorted(broken * 2)
    assert len(train) + len(val) + len(train.skipped) == 68
    assert len(told) == 1 and f"{2 * len(broken)} of 68 images" in told[0]
    assert f"and {2 * len(broken) - 10} more" in told[0]
    assert {name.rsplit("/", 1)[1] for name in train.names + val.names}.isdisjoint(broken)


def test_only_broken_images(images, tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        shutil.copy(images / "zero_byte.jpg", tmp_path / name)
    with pytest.raises(DataError, match=r"no usable image \(.*zero_byte.jpg"):
        ImageFolder(tmp_path)


@pytest.mark.parametrize("name,words", [
    ("idx3_truncated.gz", "not a whole gzip file"),
    ("idx3_truncated_raw", "10,000×28×28 = 7,840,000 values, but holds only 262,128"),
    ("idx3_is_html.gz", "HTML page"),
    ("idx3_is_lfs_pointer", "git-lfs pointer"),
    ("idx1_count_mismatch", "10,000 = 10,000 values, but holds only 100"),
])
def test_broken_idx_files(shared_data, name, words):
    with pytest.raises(DataError, match=name) as caught:
        read_idx(shared_data("awkward_datasets", name))
    assert words in str(caught.value)


def test_truncated_cifar_pickle(shared_data):
    with pytest.raises(DataError, match=r"truncated\.pickle is not a whole CIFAR-10 pickle"):
        read_batch(shared_data("awkward_datasets", "cifar_data_batch_truncated.pickle"))


def test_mnist_with_its_test_files_alone(shared_data):
    told = []
    train, val = open_dataset(shared_data("mnist"), warn=told.append)
    if told:
        assert "t10k files only" in told[0] and len(train) + len(val) == 10_000
    else:
        assert (len(train), len(val)) == (60_000, 10_000)
    assert train.classes == tuple("0123456789")
    assert train.image(0).shape == (256, 256, 3)


def test_fashion_mnist(shared_data):
    train, val = open_idx(shared_data("fashion_mnist_subset"), size=28)
    assert (len(train), len(val), train.classes[9]) == (1813, 1770, "Ankle boot")
    assert train.labels[:5].tolist() == [9, 0, 0, 3, 0]
    np.testing.assert_array_equal(val.image(7)[..., 2], val.pixels[7])


def test_photographs(shared_data):
    train, val = open_dataset(shared_data("caltech101_10"), size=64, warn=pytest.fail)
    assert (len(train), len(val), len(train.classes)) == (600, 200, 10)
    car_side = train.image(int(np.flatnonzero(train.labels == train.classes.index("car_side"))[0]))
    assert (car_side[..., 0] == car_side[..., 2]).all() and car_side.std() > 10
