"""Folders of images: what is found, what is left out and said, how the validation part is drawn."""

import os
import unicodedata

import numpy as np
import pytest
from PIL import Image

from minicnn.data import ImageFolder, PixelCache, folder, open_dataset
from minicnn.errors import DataError


def paint(path, grey=0, side=12):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (side, side), (grey, grey, grey)).save(path, "PNG")


def make(root, **counts):
    """root/<class>/<k>.png, every image of another grey; returns root."""
    for label, (name, count) in enumerate(counts.items()):
        for k in range(count):
            paint(root / name / f"{k}.png", 100 * label + k)
    return root


def greys(dataset):
    return {int(dataset.image(i)[0, 0, 0]) for i in range(len(dataset))}


def test_train_and_val_folders(tmp_path):
    make(tmp_path / "train", ant=3, bee=4)
    make(tmp_path / "val", ant=1, bee=2)
    train, val = open_dataset(tmp_path, size=8, warn=pytest.fail)
    assert train.classes == val.classes == ("ant", "bee")
    assert (train.labels.tolist(), val.labels.tolist()) == ([0] * 3 + [1] * 4, [0, 1, 1])
    assert train.labels.dtype == np.int64
    assert train.names[3] == "bee/0.png" and train.image(4)[0, 0].tolist() == [101] * 3
    assert train.skipped == val.skipped == [] and len(train) == 7


@pytest.mark.parametrize("train_name,val_name", [("Train", "VAL"), ("train", "valid"), ("training", "validation"),
                                                 ("train", "test")])
def test_other_names_of_the_two_parts(tmp_path, train_name, val_name):
    make(tmp_path / train_name, ant=2, bee=2)
    make(tmp_path / val_name, ant=1, bee=1)
    train, val = open_dataset(tmp_path, size=8)
    assert (len(train), len(val)) == (4, 2)


def test_val_goes_before_test(tmp_path):
    for name, count in (("train", 2), ("test", 3), ("val", 1)):
        make(tmp_path / name, ant=count, bee=count)
    assert len(open_dataset(tmp_path, size=8)[1]) == 2


@pytest.mark.parametrize("name", ["dev", "eval", "holdout"])
def test_dev_eval_and_holdout_go_before_test(tmp_path, name):
    for part, count in (("train", 3), ("test", 2), (name, 1)):
        make(tmp_path / part, cat=count, dog=count)
    train, val = open_dataset(tmp_path, size=8, warn=pytest.fail)
    assert (train.classes, len(train), len(val)) == (("cat", "dog"), 6, 2)


@pytest.mark.parametrize("loose", [0, 1])  # a stray picture makes no class of it
def test_train_beside_a_folder_of_unknown_purpose_is_split(tmp_path, loose):
    make(tmp_path / "train", cat=5, dog=5)
    make(tmp_path / "Unlabeled", x=4, y=4)
    for k in range(loose):
        paint(tmp_path / "train" / f"{k}.png")
    told = []
    train, val = open_dataset(tmp_path, size=8, warn=told.append)
    assert (train.classes, len(train), len(val)) == (("cat", "dog"), 8, 2)
    assert len(told) == 1 and "train is taken for the training part" in told[0] and "and Unlabeled is left out" in told[0]
    assert open_dataset(tmp_path, size=8, warn=told.append)[0].names == train.names


def test_a_lone_train_folder_is_split(tmp_path):
    make(tmp_path / "train", ant=5, bee=5)
    train, val = open_dataset(tmp_path, size=8)
    assert (train.classes, len(train), len(val)) == (("ant", "bee"), 8, 2)


def test_train_is_also_a_thing_in_photographs(tmp_path):
    paint(make(tmp_path, bus=5, car=5, train=5) / "train" / "steam" / "a.png")
    paint(tmp_path / "train" / "steam too" / "a.png")
    train, _ = open_dataset(tmp_path, size=8, warn=pytest.fail)
    assert train.classes == ("bus", "car", "train")


def test_trains_in_one_folder_below_are_a_class_too(tmp_path):
    for name in ("bus", "train"):
        make(tmp_path / name, photos=5)
    assert open_dataset(tmp_path, size=8, warn=pytest.fail)[0].classes == ("bus", "train")


def test_split_by_class(tmp_path):
    make(tmp_path, ant=10, bee=35)
    train, val = open_dataset(tmp_path, size=8, seed=4)
    assert np.bincount(train.labels).tolist() == [8, 28] and np.bincount(val.labels).tolist() == [2, 7]
    assert set(train.paths).isdisjoint(val.paths) and len(set(train.paths + val.paths)) == 45
    assert greys(train).isdisjoint(greys(val)), "an image is in both parts"
    again, _ = open_dataset(tmp_path, size=8, seed=4)
    other, _ = open_dataset(tmp_path, size=8, seed=5)
    assert again.names == train.names != other.names


def test_a_class_of_one_cannot_be_split(tmp_path):
    with pytest.raises(DataError, match="class bee has one usable image"):
        open_dataset(make(tmp_path, ant=4, bee=1), size=8)


def test_broken_images_are_named_once_and_left_out(tmp_path):
    make(tmp_path, ant=8, bee=8)
    for k in range(13):
        (tmp_path / "bee" / f"broken{k:02}.jpg").write_bytes(b"")
    (tmp_path / "ant" / "lost.jpg").symlink_to(tmp_path / "nowhere.jpg")
    told = []
    train, val = open_dataset(tmp_path, size=8, warn=told.append)
    assert len(told) == 1
    assert told[0].startswith("14 of 30 images cannot be used and are left out: ")
    assert "lost.jpg (No such file" in told[0] and "broken08.jpg" in told[0] and "broken09" not in told[0]
    assert told[0].endswith("and 4 more")
    assert len(train.skipped) == 14 and len(train) + len(val) == 16
    assert all(reason and str(tmp_path) not in reason for _, reason in train.skipped)


def test_broken_images_in_both_folders_make_one_warning(tmp_path):
    for part in ("train", "val"):
        make(tmp_path / part, ant=2, bee=2)
        (tmp_path / part / "ant" / "bad.png").write_text("not a picture")
    told = []
    train, val = open_dataset(tmp_path, size=8, warn=told.append)
    assert len(told) == 1 and "2 of 10 images" in told[0]
    assert (len(train.skipped), len(val.skipped)) == (1, 1)


def test_other_files_are_passed_over(tmp_path):
    make(tmp_path, ant=2, bee=2)
    for name in ("LICENSE.txt", ".DS_Store", "ant/Thumbs.db", "ant/._0.png", "ant/notes.md", "bee/.hidden.jpg"):
        (tmp_path / name).write_text("x")
    for name in (".git", "__MACOSX", "ant/.ipynb_checkpoints"):
        paint(tmp_path / name / "x.png")
    data = ImageFolder(tmp_path, size=8)
    assert (data.classes, len(data), data.skipped) == (("ant", "bee"), 4, [])


def test_formats_that_are_not_read_are_reported(tmp_path):
    make(tmp_path, ant=2, bee=2)
    (tmp_path / "ant" / "IMG_0001.HEIC").write_bytes(b"\0\0\0\x18ftypheic")
    skipped = ImageFolder(tmp_path, size=8).skipped
    assert len(skipped) == 1 and "not an image in a format read here" in skipped[0][1]


def test_suffixes_in_any_case_nested_folders_and_links(tmp_path):
    paint(tmp_path / "ant" / "A.PNG")
    paint(tmp_path / "ant" / "deep" / "er" / "b.JpG")  # a PNG by content: what counts is the content
    paint(tmp_path / "elsewhere.png")
    (tmp_path / "ant" / "linked.png").symlink_to(tmp_path / "elsewhere.png")
    (tmp_path / "ant" / "deep" / "round").symlink_to(tmp_path / "ant", target_is_directory=True)
    paint(tmp_path / "bee" / "folder.png" / "c.png")  # a folder that is named like an image
    data = ImageFolder(tmp_path, size=8)
    assert data.names == ["ant/A.PNG", "ant/deep/er/b.JpG", "ant/linked.png", "bee/folder.png/c.png"]
    assert data.skipped == []


def test_order_does_not_depend_on_the_file_system(tmp_path, monkeypatch):
    make(tmp_path, zebra=3, ant=3, Émeu=2)
    names, real = ImageFolder(tmp_path, size=8).names, os.listdir
    monkeypatch.setattr(os, "listdir", lambda path: real(path)[::-1])
    data = ImageFolder(tmp_path, size=8)
    assert data.names == names and data.classes == ("ant", "zebra", "Émeu")


def test_unicode_names_are_composed(tmp_path):
    """Some file systems hand back é as e and a combining accent."""
    make(tmp_path / "train", ant=1)
    make(tmp_path / "val", ant=1)
    paint(tmp_path / "train" / unicodedata.normalize("NFD", "café") / "日本.png", 7)
    paint(tmp_path / "val" / "café" / "日本.png", 7)
    train, val = open_dataset(tmp_path, size=8)
    assert train.classes == val.classes == ("ant", "café")
    assert train.names[1] == "café/日本.png" and greys(train) == {0, 7}


def test_names_that_print_alike_are_refused(tmp_path):
    make(tmp_path, ant=1)
    for form in ("NFC", "NFD"):
        paint(tmp_path / unicodedata.normalize(form, "é") / "a.png")
    if len(os.listdir(tmp_path)) < 3:
        pytest.skip("this file system takes the two names for one")
    with pytest.raises(DataError, match="print alike: é"):
        ImageFolder(tmp_path)


def test_undecodable_names(tmp_path):
    make(tmp_path, ant=1, bee=1)
    try:
        (tmp_path / "ant" / "0.png").rename(os.fsdecode(os.fsencode(tmp_path) + b"/ant/\xff\n.png"))
    except OSError:
        pytest.skip("this file system takes Unicode names only")
    data = ImageFolder(tmp_path, size=8)
    assert len(data) == 2 and data.names[0] == "ant/��.png"
    data.names[0].encode()


@pytest.mark.parametrize("make_it,words", [
    (lambda root: None, "no class folders"),
    (lambda root: root.rmdir(), "no such folder"),
    (lambda root: (root.rmdir(), root.write_text("x")), "is a file; wanted a folder"),
    (lambda root: make(root, ant=3), r"one class only \(ant\)"),
    (lambda root: make(root, ant=3, bee=0) and (root / "bee").mkdir(), "no usable image in bee"),
    (lambda root: [paint(root / f"{k}.jpg") for k in range(3)], "3 images but no class folders"),
    (lambda root: [(root / name).mkdir() for name in "ab"], "has no usable image"),
    (lambda root: (make(root / "train", a=1, b=1, c=1), make(root / "val", b=1, c=1, d=1, e=1)),
     "differ; only in training: a; only in validation: d, e$"),
    (lambda root: (make(root / "train", a=1, b=1), (root / "val").mkdir()), "val has no class folders"),
])
def test_what_cannot_be_trained_on_is_said_clearly(tmp_path, make_it, words):
    root = tmp_path / "data"
    root.mkdir()
    make_it(root)
    with pytest.raises(DataError, match=words):
        open_dataset(root, size=8)


def test_an_archive_is_to_be_unpacked(tmp_path):
    (tmp_path / "photos.zip").write_bytes(b"PK")
    with pytest.raises(DataError, match="unpack it first"):
        open_dataset(tmp_path / "photos.zip")


def test_classes_are_compared_before_anything_is_decoded(tmp_path, monkeypatch):
    make(tmp_path / "train", a=1, b=1)
    make(tmp_path / "val", a=1, c=1)
    monkeypatch.setattr(folder, "read_image", pytest.fail)
    with pytest.raises(DataError, match="only in training: b"):
        open_dataset(tmp_path)


def test_images_are_decoded_once_while_they_fit(tmp_path, monkeypatch):
    reads, real = [], folder.read_image
    monkeypatch.setattr(folder, "read_image", lambda path, size: reads.append(path) or real(path, size))
    make(tmp_path, ant=3, bee=3)
    image_bytes = 8 * 8 * 3
    train, val = open_dataset(tmp_path, size=8, budget=4 * image_bytes)
    assert len(reads) == 6
    for _ in range(2):
        assert greys(train) | greys(val) == {0, 1, 2, 100, 101, 102}
    assert len(reads) == 6 + 2 * 2, "two of six did not fit, and were read anew twice"
    assert train._cache.used == 4 * image_bytes


def test_a_zero_budget_keeps_nothing():
    cache = PixelCache(0)
    assert cache.get("a", lambda: np.ones(3)).sum() == 3 and cache.used == 0


def test_images_are_read_only(tmp_path):
    data = ImageFolder(make(tmp_path, ant=1, bee=1), size=8)
    with pytest.raises(ValueError, match="read-only"):
        data.image(0)[0] = 1


def test_a_file_that_vanishes_later_is_named(tmp_path):
    data = ImageFolder(make(tmp_path, ant=1, bee=1), size=8, cache=PixelCache(0))
    (tmp_path / "bee" / "0.png").unlink()
    with pytest.raises(DataError, match=r"0\.png: No such file"):
        data.image(1)


def test_progress_is_told(tmp_path):
    calls = []
    ImageFolder(make(tmp_path, ant=2, bee=3), size=8, progress=lambda done, total: calls.append((done, total)))
    assert calls == [(k, 5) for k in range(1, 6)]
