"""Links in folders of images: no image under two labels, none twice, none in both parts without a word."""

import os

import pytest
from PIL import Image

from minicnn.data import ImageFolder, open_dataset
from minicnn.errors import DataError


def paint(path, grey=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (9, 9), (grey, grey, grey)).save(path, "PNG")


@pytest.fixture
def root(tmp_path):
    """root/x/0.png … 5.png and root/y/ the same."""
    for name in "xy":
        for k in range(6):
            paint(tmp_path / "root" / name / f"{k}.png")
    return tmp_path / "root"


PLAIN = [f"{name}/{k}.png" for name in "xy" for k in range(6)]


@pytest.mark.parametrize("target", ["..", ".", "../..", "../y", "../../root/y", "/"])
def test_a_link_out_of_a_class_adds_nothing_that_is_there_already(root, target):
    """To the folder above, itself, the one above the data set, another class, and the root of the file system."""
    (root / "x" / "up").symlink_to(target, target_is_directory=True)
    data = ImageFolder(root, size=8)
    assert data.names == PLAIN and data.labels.tolist() == [0] * 6 + [1] * 6 and data.skipped == []


def test_a_folder_and_a_link_to_it_are_listed_once(root):
    for k in range(5):
        paint(root / "x" / "zoo" / f"{k}.png", k)
    (root / "x" / "best").symlink_to("zoo", target_is_directory=True)
    (root / "x" / "again.png").symlink_to("zoo/3.png")
    train, val = open_dataset(root, size=8, warn=pytest.fail)
    assert sorted(train.names + val.names) == sorted(PLAIN + [f"x/zoo/{k}.png" for k in range(5)])
    assert set(map(os.path.realpath, train.paths)).isdisjoint(map(os.path.realpath, val.paths))


def test_folders_linked_to_each_other_do_not_explode(root):
    """Eight folders with links to the seven others: every order of visits would be 109,600 paths."""
    for a in range(8):
        paint(root / "x" / f"f{a}" / "a.png", a)
        for b in range(8):
            if a != b:
                (root / "x" / f"f{a}" / f"to{b}").symlink_to(f"../f{b}", target_is_directory=True)
    assert ImageFolder(root, size=8).names == PLAIN[:6] + [f"x/f{a}/a.png" for a in range(8)] + PLAIN[6:]


def test_what_lies_in_a_class_stays_there_whatever_links_to_it(root):
    """A link in the first class to a folder deep in the second."""
    paint(root / "y" / "deep" / "er" / "a.png")
    (root / "x" / "a link").symlink_to("../y/deep", target_is_directory=True)
    assert ImageFolder(root, size=8).names == [*PLAIN, "y/deep/er/a.png"]


def test_links_out_of_the_data_set_are_followed_once(root, tmp_path):
    paint(tmp_path / "pool" / "p.png")
    paint(tmp_path / "pool" / "more" / "q.png")
    (root / "x" / "pool").symlink_to(tmp_path / "pool", target_is_directory=True)
    (root / "x" / "same pool").symlink_to(tmp_path / "pool", target_is_directory=True)
    (root / "y" / "more").symlink_to(tmp_path / "pool" / "more", target_is_directory=True)
    data = ImageFolder(root, size=8)
    assert data.names == [*PLAIN[:6], "x/pool/more/q.png", "x/pool/p.png", *PLAIN[6:]]


def test_an_image_that_two_classes_claim_stays_where_it_lies_and_the_link_is_reported(root):
    (root / "x" / "link.png").symlink_to("../y/3.png")
    told = []
    train, val = open_dataset(root, size=8, warn=told.append)
    assert sorted(train.names + val.names) == PLAIN
    assert train.skipped == [(str(root / "x" / "link.png"), "the same file as y/3.png")]
    assert len(told) == 1 and "1 of 13 images" in told[0] and "link.png (the same file as y/3.png)" in told[0]


@pytest.mark.parametrize("target,words", [
    ("x", "class z is, through a link, the folder of class x too"),
    (".", "class z is, through a link, that of the data set"),
    ("../..", "class z is, through a link, that of the data set or one around it"),
])
def test_a_class_that_is_something_else_is_refused(root, target, words):
    (root / "z").symlink_to(target, target_is_directory=True)
    with pytest.raises(DataError, match=words):
        open_dataset(root, size=8)


def test_class_folders_may_be_links(root, tmp_path):
    (tmp_path / "views").mkdir()
    for name in "xy":
        (tmp_path / "views" / name).symlink_to(root / name, target_is_directory=True)
    assert ImageFolder(tmp_path / "views", size=8).names == PLAIN


def test_val_that_is_train_is_refused(root, tmp_path):
    root.rename(tmp_path / "train")
    (tmp_path / "val").symlink_to("train", target_is_directory=True)
    with pytest.raises(DataError, match=r"train and .*val are the same folder"):
        open_dataset(tmp_path, size=8)


def test_files_in_both_parts_are_counted(root, tmp_path):
    root.rename(tmp_path / "train")
    for name in "xy":
        paint(tmp_path / "val" / name / "own.png", 9)
    (tmp_path / "val" / "x" / "1.png").symlink_to("../../train/x/1.png")
    (tmp_path / "val" / "y" / "all").symlink_to("../../train/y", target_is_directory=True)
    told = []
    train, val = open_dataset(tmp_path, size=8, warn=told.append)
    assert (len(train), len(val)) == (12, 9)
    assert len(told) == 1 and "7 of 9 validation images" in told[0]
