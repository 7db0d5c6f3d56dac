"""Weight files that are broken or made to harm: refused with a FileError, never run, never given memory."""

import importlib.util
import io
import json
import os
import struct
import subprocess
import sys
import textwrap
import zipfile

import numpy as np
import pytest
from helpers import fill

from minicnn import BatchNorm2d, Conv2d, Flatten, Linear, Sequential, weights
from minicnn.errors import FileError

HAVE_SAFETENSORS = importlib.util.find_spec("safetensors") is not None
needs_safetensors = pytest.mark.skipif(not HAVE_SAFETENSORS, reason="the package safetensors is not installed")
both_formats = pytest.mark.parametrize("suffix", [".npz", pytest.param(".safetensors", marks=needs_safetensors)])


def network(seed=0):
    return Sequential(conv=Conv2d(2, 3, 2, seed=seed), bn=BatchNorm2d(3), flatten=Flatten(), fc=Linear(12, 4, seed=seed))


@pytest.fixture
def npz(tmp_path):
    path = tmp_path / "net.npz"
    fill(network()).save(path)
    return path


@both_formats
@pytest.mark.parametrize("content", [b"", b"x", b"PK\x03\x04", b"\0" * 100, b"\xff" * 100, b"<html></html>" * 20])
def test_rubbish_is_refused(tmp_path, suffix, content):
    path = tmp_path / f"net{suffix}"
    path.write_bytes(content)
    with pytest.raises(FileError, match="net"):
        weights.load(path)


@both_formats
def test_every_truncation_is_refused(tmp_path, suffix):
    path = tmp_path / f"net{suffix}"
    network().save(path)
    whole = path.read_bytes()
    for length in range(0, len(whole), max(1, len(whole) // 60)):
        path.write_bytes(whole[:length])
        with pytest.raises(FileError):
            weights.load(path)


def test_flipped_bit_in_npz_is_refused(npz):
    """CRC: a changed weight is never loaded. What is not data (a time stamp) may load, if the arrays are the same."""
    whole, wanted = bytearray(npz.read_bytes()), fill(network()).state_dict()
    refused = 0
    for place in range(0, len(whole), 3):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << (place % 8)
        npz.write_bytes(damaged)
        try:
            loaded = weights.load(npz)
        except FileError:
            refused += 1
            continue
        same = loaded.keys() == wanted.keys() and all(np.array_equal(loaded[key], wanted[key]) for key in wanted)
        assert same or loaded.keys() != wanted.keys(), f"byte {place} changed a weight unseen"
    assert refused > len(whole) // 6


def npz_with(path, name, data, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr(name, data)
    return path


def npy(descr="'<f4'", shape="(3,)", data=b"\0" * 12):
    header = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}".encode()
    header += b" " * (-(len(header) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + data


def test_helper_writes_an_array_that_numpy_reads():
    np.testing.assert_array_equal(np.load(io.BytesIO(npy())), np.zeros(3))


@pytest.mark.parametrize(
    "member",
    [
        npy(shape="(1000000000000,)"),
        npy(shape="(1000000, 1000000, 1000000, 1000000)"),
        npy(shape="(-3,)"),
        npy(shape="('a',)"),
        npy(shape="(4,)"),
        npy(descr="'|O'", data=b"cos\nsystem\n(S'exit 1'\ntR."),
        npy(descr="'<U3'"),
        npy(descr="[('a', '<f4')]"),
        npy(descr="'nonsense'"),
        b"not an array",
        npy()[:9],
        npy() + b"more",
    ],
    ids=[
        "terabytes",
        "overflow",
        "negative",
        "letters",
        "too short",
        "pickle",
        "text",
        "records",
        "unknown",
        "rubbish",
        "header",
        "longer",
    ],
)
def test_npz_made_to_harm_is_refused(tmp_path, member):
    path = npz_with(tmp_path / "net.npz", "fc.weight.npy", member)
    with pytest.raises(FileError):
        weights.load(path)


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED], ids=["stored", "deflated"])
@pytest.mark.parametrize("lies", [["file_size"], ["file_size", "compress_size"]], ids=["one", "two"])
def test_archive_that_lies_about_its_sizes_is_refused(tmp_path, lies, compression):
    """The table of contents is no safer than the header: four terabytes are not asked for."""
    with zipfile.ZipFile(tmp_path / "net.npz", "w", compression) as archive:
        member = npy(shape="(1000000000000,)")
        archive.writestr("fc.weight.npy", member)
        for name in lies:
            setattr(archive.filelist[0], name, len(member) - 12 + 4 * 10**12)
    with pytest.raises(FileError):
        weights.load(tmp_path / "net.npz")


def test_pickle_is_never_run(tmp_path):
    class Bomb:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "exploded"),)

    np.savez(tmp_path / "net.npz", a=np.array([Bomb()], dtype=object), allow_pickle=True)
    with pytest.raises(FileError):
        weights.load(tmp_path / "net.npz")
    assert not (tmp_path / "exploded").exists()


def test_two_members_of_one_name_are_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "net.npz", "w") as archive:
        archive.writestr("a.npy", npy())
        with pytest.warns(UserWarning):
            archive.writestr("a.npy", npy(data=b"\1" * 12))
    with pytest.raises(FileError):
        weights.load(tmp_path / "net.npz")


def test_bomb_of_zeros_needs_no_memory_to_refuse(tmp_path):
    """A gigabyte of zeros in a megabyte, given to a network that wants 12 numbers."""
    path, options = tmp_path / "net.npz", {"compression": zipfile.ZIP_DEFLATED, "compresslevel": 1}
    with zipfile.ZipFile(path, "w", **options) as archive, archive.open("fc.weight.npy", "w") as member:
        member.write(npy(shape="(268435456,)", data=b""))
        for _ in range(64):
            member.write(bytes(1 << 24))
    code = f"""
        import resource
        from minicnn import Sequential, Linear, MinicnnError
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        try:
            Sequential(fc=Linear(3, 4, bias=False)).load({str(path)!r})
        except MinicnnError:
            print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
        """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True)
    assert done.stdout and int(done.stdout) < 200_000, f"{done.stdout} KiB {done.stderr[-500:]}"


def safetensors_file(path, header, data=b"\0" * 12, length=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text) if length is None else length) + text + data)
    return path


def tensor(start=0, stop=12, shape=(3,), dtype="F32"):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [start, stop]}


@needs_safetensors
def test_helper_writes_a_file_that_safetensors_means(tmp_path):
    loaded = weights.load(safetensors_file(tmp_path / "x.safetensors", {"a": tensor(), "__metadata__": {"made": "by hand"}}))
    np.testing.assert_array_equal(loaded["a"], np.zeros(3, np.float32))


BAD_SAFETENSORS = {
    "beyond the end": ({"a": tensor(0, 16)}, {}),
    "too short": ({"a": tensor(0, 8)}, {}),
    "before the start": ({"a": tensor(-12, 0)}, {}),
    "backwards": ({"a": tensor(12, 0)}, {}),
    "terabytes": ({"a": tensor(shape=(10**12,))}, {}),
    "negative shape": ({"a": tensor(shape=(-3,))}, {}),
    "fractional shape": ({"a": tensor(shape=(1.5, 2))}, {}),
    "unknown dtype": ({"a": tensor(dtype="F999")}, {}),
    "no shape": ({"a": {"dtype": "F32"}}, {}),
    "number": ({"a": 3}, {}),
    "list": ([1, 2], {}),
    "not json": (b"{not json", {}),
    "nested": (b"[" * 100_000, {}),
    "huge header": ({"a": tensor()}, {"length": 1 << 60}),
    "small header": ({"a": tensor()}, {"length": 3}),
    "truncated": ({"a": tensor()}, {"data": b"\0" * 8}),
}


@needs_safetensors
@pytest.mark.parametrize("header, options", BAD_SAFETENSORS.values(), ids=BAD_SAFETENSORS.keys())
def test_safetensors_made_to_harm_are_refused(tmp_path, header, options):
    path = safetensors_file(tmp_path / "net.safetensors", header, **options)
    with pytest.raises(FileError):
        weights.load(path)


def test_file_that_may_not_be_read_or_written(tmp_path):
    if os.geteuid() == 0:
        pytest.skip("root may do everything")
    path = tmp_path / "net.npz"
    network().save(path)
    path.chmod(0)
    with pytest.raises(FileError):
        weights.load(path)
    tmp_path.chmod(0o500)
    with pytest.raises(FileError):
        network().save(tmp_path / "other.npz")
    tmp_path.chmod(0o700)
