"""Checkpoints: what goes in comes out, and a file with anything wrong is refused."""

import contextlib
import errno
import io
import json
import math
import os
import pickle
import re
import time
import tracemalloc
import zipfile
import zlib

import numpy as np
import pytest

from minicnn.errors import FileError
from minicnn.training import Checkpoint, NotSaved, write_checkpoint
from minicnn.training.state import COLUMNS, FORMAT

STATE = {"config": {"lr": 0.1}, "classes": ["a", "ü"], "images": {"training": [9, "ab"], "validation": [3, "cd"]},
         "batches": 3, "epoch": 1, "position": 2,
         "sums": {"loss_sum": 0.1 + 0.2}, "history": [dict.fromkeys(COLUMNS, 1)], "random": {"drop": [2**63 + 1, 5]},
         "schedule": {"lr": 0.1}}


def arrays():
    rng = np.random.default_rng(0)
    return {"net/conv1.weight": rng.standard_normal((4, 3, 2, 2)).astype(np.float32),
            "net/fc.weight": rng.standard_normal((5, 7)).T,  # not contiguous in memory
            "optimiser/step": np.array(7),
            "statistics/none": np.zeros((0, 3), np.float32)}


@pytest.fixture
def path(tmp_path):
    write_checkpoint(tmp_path / "last.npz", lambda: arrays().items(), STATE)
    return tmp_path / "last.npz"


def refused(path, *words):
    """The file is refused with an error that names it, quickly."""
    start = time.perf_counter()
    with pytest.raises(FileError) as caught:
        Checkpoint(path)
    assert time.perf_counter() - start < 1
    assert str(path) in str(caught.value) and all(word in str(caught.value) for word in words), str(caught.value)


def test_a_path_may_be_a_text(path):
    write_checkpoint(str(path), lambda: arrays().items(), STATE)
    assert Checkpoint(str(path)).progress == (1, 2)


def test_round_trip(path):
    checkpoint = Checkpoint(path)
    assert checkpoint.state == {**STATE, "format": FORMAT}
    for section in ("net", "optimiser", "statistics"):
        wanted = {name.split("/")[1]: array for name, array in arrays().items() if name.startswith(section)}
        found = checkpoint.arrays(section)
        assert found.keys() == wanted.keys()
        for name, array in wanted.items():
            assert found[name].dtype == array.dtype
            np.testing.assert_array_equal(found[name], array)


def test_the_same_state_gives_the_same_bytes_and_numpy_reads_them(path, tmp_path):
    write_checkpoint(tmp_path / "again.npz", lambda: arrays().items(), STATE)
    assert (tmp_path / "again.npz").read_bytes() == path.read_bytes()
    with np.load(path, allow_pickle=False) as opened:
        np.testing.assert_array_equal(opened["net/fc.weight"], arrays()["net/fc.weight"])


def test_a_checkpoint_is_of_one_moment(path):
    """It is read while the run goes on, and puts its next checkpoint in the place of this one."""
    checkpoint, wanted = Checkpoint(path), arrays()["net/conv1.weight"]
    write_checkpoint(path, lambda: [("net/conv1.weight", wanted + 1)], {**STATE, "epoch": 0, "history": []})
    np.testing.assert_array_equal(checkpoint.arrays("net")["conv1.weight"], wanted)
    np.testing.assert_array_equal(Checkpoint(path).arrays("net")["conv1.weight"], wanted + 1)


def test_no_second_copy_of_everything_is_held(tmp_path):
    """Twenty arrays of 4 MB, made when they are asked for."""
    tracemalloc.start()
    write_checkpoint(tmp_path / "a.npz", lambda: ((f"net/{i}", np.full(2**20, i, np.float32)) for i in range(20)), STATE)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (tmp_path / "a.npz").stat().st_size > 80e6 and peak < 20e6


def test_any_flipped_bit_is_found(path):
    """Every third byte of the file, the zip's own directory and the checksum included, with a random one of its bits."""
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    for place in [*range(0, len(whole), 3), *range(len(whole) - 30, len(whole))]:
        damaged = bytearray(whole)
        damaged[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(damaged)
        with pytest.raises(FileError):
            Checkpoint(path)


def test_a_file_that_was_cut_short_or_goes_on_is_refused(path):
    whole = path.read_bytes()
    for length in [*range(0, len(whole), 37), len(whole) - 1]:
        path.write_bytes(whole[:length])
        refused(path, "cut short")
    path.write_bytes(whole + b"\0")
    refused(path)


def test_what_is_no_checkpoint_is_refused(tmp_path):
    refused(tmp_path / "none.npz", "no checkpoint")
    (tmp_path / "folder").mkdir()
    refused(tmp_path / "folder")
    for name, content in {"empty": b"", "text": b"hello" * 100, "pickle": pickle.dumps(STATE)}.items():
        (tmp_path / name).write_bytes(content)
        refused(tmp_path / name, "not a minicnn checkpoint")
    np.savez(tmp_path / "weights.npz", **{"conv1.weight": np.zeros(3)})
    refused(tmp_path / "weights.npz", "not a minicnn checkpoint")


# --- files made to harm: their checksum is right ---


def forge(path, members, compression=zipfile.ZIP_STORED):
    """A file with these members (bytes) under the names of a checkpoint, and a valid checksum."""
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in members:
            archive.writestr(name, content)
        archive.comment = b"minicnn crc32 00000000"
    seal(path)


def seal(path):
    content = path.read_bytes()[:-8]
    path.write_bytes(content + b"%08x" % zlib.crc32(content))


def npy(array, **options):
    file = io.BytesIO()
    np.lib.format.write_array(file, np.asarray(array), **options)
    return file.getvalue()


def header(shape, descr="'<f4'"):
    text = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}".encode()
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


def state_member(**changes):
    text = json.dumps({"format": FORMAT, **STATE, **changes}).encode()
    return "state.npy", npy(np.frombuffer(text, np.uint8))


def test_the_forgery_itself_is_accepted(tmp_path):
    """Otherwise the tests below would prove nothing."""
    forge(tmp_path / "a.npz", [("net/a.npy", npy(np.zeros(3))), state_member()])
    assert Checkpoint(tmp_path / "a.npz").shapes["net/a"] == ((3,), np.float64)


HEADERS = {
    "a billion values": header((10**9,)),
    "a shape beyond 64 bits": header((2**62, 2**62)),
    "a negative shape": header((-1,)) + b"\0" * 4,
    "too few bytes": header((3,)) + b"\0" * 11,
    "too many bytes": header((3,)) + b"\0" * 13,
    "objects": npy(np.array([{}], object), allow_pickle=True),
    "fields": npy(np.zeros(3, [("a", "f4")])),
    "no header": b"\0" * 100,
    "a header that never ends": b"\x93NUMPY\x02\x00" + (2**31).to_bytes(4, "little") + b"(" * 1000,
    "a header of brackets": b"\x93NUMPY\x01\x00" + (9000).to_bytes(2, "little") + b"(" * 9000,
    "code for a header": b"\x93NUMPY\x01\x00" + (20).to_bytes(2, "little") + b"__import__('os').abc",
    "an unhashable header": b"\x93NUMPY\x01\x00" + (7).to_bytes(2, "little") + b"{[]: 1}",
    "an unknown version": b"\x93NUMPY\x09\x00" + b"\0" * 100,
    "a dtype that is none": header((1,), "'<q9'"),
    "nothing": b"",
}


@pytest.mark.parametrize("content", HEADERS.values(), ids=HEADERS)
def test_hostile_arrays(tmp_path, content):
    forge(tmp_path / "a.npz", [("net/a.npy", content), state_member()])
    refused(tmp_path / "a.npz", "not a minicnn checkpoint")


STATES = {
    "another format": state_member(format="minicnn checkpoint 2"),
    "no history": state_member(history=None),
    "an epoch that is text": state_member(epoch="1"),
    "a position below 0": state_member(position=-1),
    "a position past the end": state_member(position=4),
    "an epoch that is true": state_member(epoch=True),
    "an epoch without history": state_member(epoch=10**6, history=[]),
    "history of numbers": state_member(history=[1]),
    "history of other rows": state_member(history=[{"epoch": 1}]),
    "history of texts": state_member(history=[dict.fromkeys(COLUMNS, "1")]),
    "history that is not finite": state_member(history=[dict.fromkeys(COLUMNS, math.inf)]),
    "classes of numbers": state_member(classes=[1, 2, 3]),
    "no images": state_member(images=None),
    "images of one part": state_member(images={"training": [9, "ab"]}),
    "images without a hash": state_member(images={"training": [9], "validation": [3, "cd"]}),
    "a hash of numbers": state_member(images={"training": [9, 8], "validation": [3, "cd"]}),
    "a random state below 0": state_member(random={"drop": [-1, 0]}),
    "a random state of fractions": state_member(random={"drop": [1, 2.5]}),
    "a random state of one number": state_member(random={"drop": [1]}),
    "a random state beyond 64 bits": state_member(random={"drop": [2**64, 0]}),
    "sums below 0": state_member(sums={"images": -1}),
    "a learning rate of 0": state_member(schedule={"lr": 0}),
    "a learning rate that is none": state_member(schedule={"lr": math.nan}),
    "a list": ("state.npy", npy(np.frombuffer(b"[]", np.uint8))),
    "brackets": ("state.npy", npy(np.frombuffer(b"[" * 100_000, np.uint8))),
    "not a number": ("state.npy", npy(np.frombuffer(b'{"format": NaN}', np.uint8))),
    "half a text": ("state.npy", npy(np.frombuffer(b'{"format": "\xff', np.uint8))),
    "floats": ("state.npy", npy(np.zeros(100))),
    "no state": ("net/b.npy", npy(np.zeros(3))),
}


@pytest.mark.parametrize("member", STATES.values(), ids=STATES)
def test_hostile_states(tmp_path, member):
    forge(tmp_path / "a.npz", [("net/a.npy", npy(np.zeros(3))), member])
    refused(tmp_path / "a.npz", "not a minicnn checkpoint")


@pytest.mark.parametrize("compression", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_zip_bombs(tmp_path, compression):
    forge(tmp_path / "a.npz", [("net/a.npy", npy(np.zeros(10**6))), state_member()], compression)
    assert (tmp_path / "a.npz").stat().st_size < 10**5
    refused(tmp_path / "a.npz", "compressed")


def test_many_members_in_one_place(tmp_path):
    """Members that overlap would be more than the file holds."""
    forge(tmp_path / "a.npz", [(f"net/{i}.npy", npy(np.zeros(1000))) for i in range(50)] + [state_member()])
    content = (tmp_path / "a.npz").read_bytes()
    directory = content.index(b"PK\x01\x02")
    first = content[directory + 42:directory + 46]
    for _ in range(50):  # every entry of the directory points to the first member
        content = content[:directory + 42] + first + content[directory + 46:]
        directory = content.find(b"PK\x01\x02", directory + 4)
    (tmp_path / "a.npz").write_bytes(content)
    seal(tmp_path / "a.npz")
    refused(tmp_path / "a.npz")


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("names", [["net/a.npy", "net/a.npy"], ["net/a"]], ids=["twice", "suffix"])
def test_wrong_member_names(tmp_path, names):
    forge(tmp_path / "a.npz", [(name, npy(np.zeros(3))) for name in names] + [state_member()])
    refused(tmp_path / "a.npz", "wrong names")


def test_random_changes_under_a_valid_checksum(path):
    """Whatever the bytes: FileError, or a checkpoint that can be read; never another exception."""
    whole = path.read_bytes()
    rng = np.random.default_rng(1)
    for _ in range(300):
        damaged = bytearray(whole)
        for place in rng.integers(len(whole), size=3):
            damaged[place] = int(rng.integers(256))
        path.write_bytes(damaged)
        seal(path)
        with contextlib.suppress(FileError):
            Checkpoint(path).arrays("net")


# --- fitting, and writing ---

EXPECTED = {name: (array.shape, array.dtype) for name, array in arrays().items()}


@pytest.mark.parametrize("change", [{"net/conv1.weight": ((4, 3, 2, 1), np.dtype("f4"))},
                                    {"net/conv1.weight": ((4, 3, 2, 2), np.dtype("f8"))},
                                    {"net/conv2.weight": ((1,), np.dtype("f4"))}], ids=["shape", "dtype", "missing"])
def test_arrays_that_do_not_fit(path, change):
    Checkpoint(path).require(EXPECTED, {})
    with pytest.raises(FileError, match=r"does not fit.*net/conv"):
        Checkpoint(path).require({**EXPECTED, **change}, {})


def test_arrays_too_many(path):
    with pytest.raises(FileError, match="optimiser/step"):
        Checkpoint(path).require({name: shape for name, shape in EXPECTED.items() if name != "optimiser/step"}, {})


@pytest.mark.parametrize("random", [{}, {"other": [1, 2]}, {"drop": [1, 2], "x": [1, 2]}])
def test_state_that_does_not_fit(path, random):
    Checkpoint(path).require(EXPECTED, {"random": {"drop": [0, 0]}})
    write_checkpoint(path, lambda: arrays().items(), {**STATE, "random": random})
    with pytest.raises(FileError, match="random"):
        Checkpoint(path).require(EXPECTED, {"random": {"drop": [0, 0]}})


def test_a_disk_that_gives_back_other_bytes_is_noticed(path, monkeypatch):
    """The bytes are read back after they were flushed; here one of them changes in between."""
    before, fsync = path.read_bytes(), os.fsync

    def rot(descriptor):
        fsync(descriptor)
        os.pwrite(descriptor, b"\xff", 200)

    monkeypatch.setattr(os, "fsync", rot)
    with pytest.raises(NotSaved, match="damaged"):
        write_checkpoint(path, lambda: arrays().items(), STATE)
    assert path.read_bytes() == before and [p.name for p in path.parent.iterdir()] == [path.name]


def test_a_full_disk_at_any_byte(path, monkeypatch):
    """The error says how much is needed: all arrays and the state, however little was written."""
    before, needed = path.read_bytes(), sum(array.nbytes for array in arrays().values())
    for room in range(0, len(before), 101):
        monkeypatch.setattr("builtins.open", limited(room))
        with pytest.raises(NotSaved, match=r"last.npz.*No space left.*at least [0-9,]+ bytes needed") as caught:
            write_checkpoint(path, lambda: arrays().items(), STATE)
        monkeypatch.undo()
        assert needed < int(re.search(r"([\d,]+) bytes", str(caught.value))[1].replace(",", "")) < len(before)
        assert path.read_bytes() == before and [p.name for p in path.parent.iterdir()] == [path.name]


def limited(room):
    """`open`, for files that hold no more than `room` bytes."""
    class Limited(io.FileIO):
        def write(self, data):
            if self.tell() + len(data) > room:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return super().write(data)

    def opened(path, mode="r", **options):
        return io.BufferedRandom(Limited(path, mode)) if mode == "x+b" else open(path, mode, **options)
    return opened
