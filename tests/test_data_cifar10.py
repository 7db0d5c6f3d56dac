"""CIFAR-10's own files: both versions read alike; a pickle can run nothing."""

import pickle
import pickletools
import struct

import numpy as np
import pytest

from minicnn.data import open_dataset
from minicnn.data.cifar10 import CLASSES, read_batch, read_pickle
from minicnn.errors import DataError

RAN = []


def bomb(*_):
    RAN.append("ran")


def python2_pickle(data, labels):
    """A batch as Python 2 wrote it: protocol 2, byte strings, numpy.core.multiarray."""
    def short(text):
        return b"U" + bytes([len(text)]) + text

    dtype = b"cnumpy\ndtype\n(U\x02u1K\x00K\x01tR(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    values = data.tobytes()
    rows = b"(M" + struct.pack("<H", data.shape[0]) + b"M" + struct.pack("<H", data.shape[1]) + b"t"
    state = b"(K\x01" + rows + dtype + b"\x89T" + struct.pack("<I", len(values)) + values + b"t"
    array = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\x00tU\x01btR" + state + b"b"
    numbers = b"](" + b"".join(b"K" + bytes([label]) for label in labels) + b"e"
    items = short(b"data") + array + short(b"labels") + numbers + short(b"batch_label") + short(b"x")
    return b"\x80\x02}(" + items + b"u."


def batch(count=20, seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (count, 3072), np.uint8), [k % 10 for k in range(count)]


def binary(data, labels):
    return np.column_stack([np.array(labels, np.uint8), data]).tobytes()


def expected_pixels(data):
    """(N, 32, 32, 3) from planes of red, green and blue, value by value."""
    out = np.empty((len(data), 32, 32, 3), np.uint8)
    for n, row in enumerate(data):
        for c in range(3):
            for y in range(32):
                out[n, y, :, c] = row[1024 * c + 32 * y : 1024 * c + 32 * (y + 1)]
    return out


def test_the_python_2_pickle_made_here_is_one():
    data, labels = batch()
    loaded = pickle.loads(python2_pickle(data, labels), encoding="bytes")
    np.testing.assert_array_equal(loaded[b"data"], data)
    assert loaded[b"labels"] == labels


@pytest.mark.parametrize("write,name", [
    (python2_pickle, "data_batch_1"),
    (lambda data, labels: pickle.dumps({b"data": data, b"labels": labels}, 4), "data_batch_1"),
    (lambda data, labels: pickle.dumps({"data": np.asfortranarray(data), "labels": labels}, 3), "data_batch_1"),
    (binary, "data_batch_1.bin"),
])
def test_versions_agree(tmp_path, write, name):
    data, labels = batch()
    (tmp_path / name).write_bytes(write(data, labels))
    pixels, read_labels = read_batch(tmp_path / name)
    np.testing.assert_array_equal(pixels, expected_pixels(data))
    assert read_labels.tolist() == labels and read_labels.dtype == np.int64


@pytest.mark.parametrize("suffix,write,meta", [
    ("", python2_pickle, ("batches.meta", pickle.dumps({b"label_names": [c.upper().encode() for c in CLASSES]}, 3))),
    (".bin", binary, ("batches.meta.txt", "\n".join(CLASSES).upper().encode() + b"\n\n")),
])
@pytest.mark.parametrize("inside", [".", "cifar-10-batches-py"])
def test_whole_set(tmp_path, suffix, write, meta, inside):
    folder = tmp_path / inside
    folder.mkdir(exist_ok=True)
    for seed, name in enumerate([*(f"data_batch_{k}" for k in range(1, 6)), "test_batch"]):
        (folder / (name + suffix)).write_bytes(write(*batch(seed=seed)))
    (folder / meta[0]).write_bytes(meta[1])
    train, val = open_dataset(tmp_path, size=32, warn=pytest.fail)
    assert (len(train), len(val)) == (100, 20)
    assert train.classes == tuple(c.upper() for c in CLASSES)
    np.testing.assert_array_equal(val.image(3), expected_pixels(batch(seed=5)[0])[3])
    np.testing.assert_array_equal(train.image(41), expected_pixels(batch(seed=2)[0])[1])


def test_missing_files_are_told_and_one_file_is_split(tmp_path):
    (tmp_path / "data_batch_2").write_bytes(python2_pickle(*batch(40)))
    told = []
    train, val = open_dataset(tmp_path, size=32, warn=told.append)
    assert len(told) == 1 and "lacks data_batch_1, data_batch_3" in told[0] and "test_batch" in told[0]
    assert (len(train), len(val), train.classes) == (30, 10, CLASSES)


class Hostile:
    def __reduce__(self):
        return bomb, ("x",)


def hostile_pickles():
    data, labels = batch(2)
    good = python2_pickle(data, labels)
    import os  # named in a pickle below, never called
    return {
        "function of ours": pickle.dumps({b"data": Hostile(), b"labels": labels}),
        "os.system": pickle.dumps(os.system),
        "eval by name": b"cbuiltins\neval\n(S'1'\ntR.",
        "by instance opcode": b"(S'true'\nios\nsystem\n.",
        "by stack global": b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x04true\x85R.",
        "numpy function": b"cnumpy\nfromfile\n(S'/etc/passwd'\ntR.",
        "attribute of an admitted module": b"\x80\x04\x8c\x05numpy\x8c\x10ndarray.__class__\x93.",
        "object array": pickle.dumps({b"data": np.array([Hostile(), 1], object), b"labels": [0, 1]}),
        "float array": pickle.dumps({b"data": np.zeros((2, 3072)), b"labels": [0, 1]}),
        "huge shape": good.replace(b"M\x00\x0c", b"M\xff\xff"),
        "persistent id": b"Pfile\n.",
        "extension": b"\x80\x02\x82\x01.",
        "memo bomb": b"\x80\x02}r\x00\x00\x40\x00.",
        "list": pickle.dumps([1, 2]),
        "array without state": b"\x80\x02}U\x04datacnumpy.core.multiarray\n_reconstruct\n)Rs.",
        "endless depth": b"\x80\x02" + b"]" * 10_000 + b"a" * 9_999 + b".",
        "empty": b"",
        "html": b"<!DOCTYPE html><html>",
        "lfs": b"version https://git-lfs.github.com/spec/v1\n",
    }


@pytest.mark.parametrize("name", hostile_pickles())
def test_hostile_pickles_are_refused_and_nothing_runs(tmp_path, name, monkeypatch):
    monkeypatch.setattr("os.system", bomb)
    path = tmp_path / "data_batch_1"
    path.write_bytes(hostile_pickles()[name])
    RAN.clear()
    with pytest.raises(DataError, match="data_batch_1 is not a whole CIFAR-10 pickle"):
        read_pickle(path)
    assert not RAN


def test_the_bomb_works():
    """The test above could fail: without the restriction the function is called."""
    RAN.clear()
    pickle.loads(pickle.dumps(Hostile()))
    assert RAN == ["ran"]


@pytest.mark.parametrize("share", [0.001, 0.01, 0.3, 0.7, 0.99, 0.9999])
def test_truncated_pickles(tmp_path, share):
    content = python2_pickle(*batch())
    assert list(pickletools.genops(content))
    (tmp_path / "data_batch_1").write_bytes(content[: int(share * len(content))])
    with pytest.raises(DataError, match="not a whole CIFAR-10 pickle"):
        read_batch(tmp_path / "data_batch_1")


@pytest.mark.parametrize("content,words", [
    ({b"labels": [1]}, "no data of shape"),
    ({b"data": np.zeros((2, 3073), np.uint8), b"labels": [0, 1]}, "no data of shape"),
    ({b"data": np.zeros(3072, np.uint8), b"labels": [0]}, "no data of shape"),
    ({b"data": np.zeros((0, 3072), np.uint8), b"labels": []}, "no data of shape"),
    ({b"data": np.zeros((2, 3072), np.uint8), b"fine_labels": [0, 1]}, "no list of labels"),
    ({b"data": np.zeros((2, 3072), np.uint8), b"labels": 7}, "no list of labels"),
    ({b"data": np.zeros((2, 3072), np.uint8), b"labels": [0, 10]}, "no list of labels"),
    ({b"data": np.zeros((2, 3072), np.uint8), b"labels": [0, "1"]}, "no list of labels"),
    ({b"data": np.zeros((2, 3072), np.uint8), b"labels": [0]}, "2 images and 1 labels"),
])
def test_batches_of_the_wrong_content(tmp_path, content, words):
    (tmp_path / "test_batch").write_bytes(pickle.dumps(content))
    with pytest.raises(DataError, match=words):
        read_batch(tmp_path / "test_batch")


@pytest.mark.parametrize("cut", [1, 3072, 3073 * 20])
def test_truncated_binary(tmp_path, cut):
    (tmp_path / "test_batch.bin").write_bytes(binary(*batch())[:-cut])
    with pytest.raises(DataError, match="not a whole number of records"):
        read_batch(tmp_path / "test_batch.bin")


def test_names_of_the_wrong_number(tmp_path):
    (tmp_path / "data_batch_1").write_bytes(python2_pickle(*batch()))
    (tmp_path / "batches.meta").write_bytes(pickle.dumps({b"label_names": 5}))
    with pytest.raises(DataError, match="does not name 10 classes"):
        open_dataset(tmp_path, warn=str)
