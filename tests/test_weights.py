"""Weights on disk: round trips in both formats, and files that do not fit."""

import importlib.util
import os

import numpy as np
import pytest
from helpers import fill, normal, send

from minicnn import BatchNorm2d, Conv2d, Flatten, Linear, MinicnnError, Sequential, weights
from minicnn.errors import FileError

HAVE_SAFETENSORS = importlib.util.find_spec("safetensors") is not None
needs_safetensors = pytest.mark.skipif(not HAVE_SAFETENSORS, reason="the package safetensors is not installed")
both_formats = pytest.mark.parametrize("suffix", [".npz", pytest.param(".safetensors", marks=needs_safetensors)])


def network(seed=0):
    return Sequential(conv=Conv2d(2, 3, 2, seed=seed), bn=BatchNorm2d(3), flatten=Flatten(), fc=Linear(12, 4, seed=seed))


def state():
    return {"a.weight": normal(3, 5, dtype=np.float32), "a.bias": normal(5), "step": np.array(7, np.int64)}


@pytest.fixture
def npz(tmp_path):
    path = tmp_path / "net.npz"
    fill(network()).save(path)
    return path


# --- round trips ---


@both_formats
@pytest.mark.parametrize("kind", ["path", "text"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_network_round_trip(tmp_path, suffix, kind, dtype):
    path = tmp_path / f"net{suffix}"
    path = path if kind == "path" else str(path)
    one, other = fill(network()).astype(dtype), network(9).astype(dtype)
    one.save(path)
    other.load(path)
    for key, array in one.state_dict().items():
        np.testing.assert_array_equal(other.state_dict()[key], array, key)
        assert other.state_dict()[key].dtype == dtype
    x = send(normal(3, 2, 3, 3, dtype=dtype))
    np.testing.assert_array_equal(one.predict(x), other.predict(x))
    assert os.listdir(tmp_path) == [f"net{suffix}"], "a temporary file was left behind"


def test_the_weights_of_a_checkpoint_are_read_alone(tmp_path):
    arrays = {f"net/{name}": array for name, array in fill(network()).state_dict().items()}
    weights.save(tmp_path / "last.npz", {**arrays, "optimiser/step": np.array(3), "state": np.zeros(5, np.uint8)})
    net = network(3)
    net.load(tmp_path / "last.npz")
    np.testing.assert_array_equal(net.conv.weight.data, fill(network()).conv.weight.data)


@both_formats
def test_arrays_round_trip_with_dtype_shape_and_order(tmp_path, suffix):
    path = tmp_path / f"state{suffix}"
    weights.save(path, state())
    loaded = weights.load(path)
    assert loaded.keys() == state().keys()
    for key, array in state().items():
        np.testing.assert_array_equal(loaded[key], array)
        assert loaded[key].dtype == array.dtype and loaded[key].shape == array.shape
        assert type(loaded[key]) is np.ndarray


@both_formats
def test_transposed_and_strided_arrays_keep_their_values(tmp_path, suffix):
    """safetensors' own save_file writes wrong values for these, silently."""
    arrays = {
        "transposed": normal(3, 5).T,
        "strided": normal(6, 8)[::2, ::3],
        "reversed": normal(7)[::-1],
        "permuted": normal(2, 3, 4, 5, dtype=np.float32).transpose(3, 0, 2, 1),
        "big-endian": normal(4).astype(">f8"),
        "column": np.asfortranarray(normal(3, 4)),
    }
    weights.save(tmp_path / f"x{suffix}", arrays)
    loaded = weights.load(tmp_path / f"x{suffix}")
    for key, array in arrays.items():
        np.testing.assert_array_equal(loaded[key], array, key)


@both_formats
def test_loaded_weights_can_be_trained(tmp_path, suffix):
    network().save(tmp_path / f"x{suffix}")
    net = network(5)
    net.load(tmp_path / f"x{suffix}")
    for p in net.parameters():
        p.data[...] = 1


def test_npz_is_numpys_own(npz):
    with np.load(npz, allow_pickle=False) as file:
        assert set(file.files) == set(network().state_dict())
        np.testing.assert_array_equal(file["conv.weight"], fill(network()).conv.weight.data)


def test_npz_of_numpy_is_read(tmp_path):
    """Whoever has weights in a dict needs no more than numpy.savez, compressed or not."""
    for save in (np.savez, np.savez_compressed):
        save(tmp_path / "x.npz", **fill(network()).state_dict())
        net = network(3)
        net.load(tmp_path / "x.npz")
        np.testing.assert_array_equal(net.conv.weight.data, fill(network()).conv.weight.data)


def test_safetensors_is_read_and_written_as_the_library_does(tmp_path):
    numpy_api = pytest.importorskip("safetensors.numpy")
    network().save(tmp_path / "mine.safetensors")
    theirs = numpy_api.load_file(tmp_path / "mine.safetensors")
    for key, array in network().state_dict().items():
        np.testing.assert_array_equal(theirs[key], array, key)
    numpy_api.save_file({key: np.ascontiguousarray(a) for key, a in state().items()}, tmp_path / "theirs.safetensors")
    for key, array in weights.load(tmp_path / "theirs.safetensors").items():
        np.testing.assert_array_equal(array, state()[key], key)


@both_formats
def test_save_replaces_the_old_file_whole(tmp_path, suffix):
    path = tmp_path / f"net{suffix}"
    path.write_bytes(b"old" * 10_000)
    network().save(path)
    network(3).load(path)


@both_formats
def test_array_that_is_not_a_number_is_not_written(tmp_path, suffix):
    """Objects would need pickle to come back."""
    with pytest.raises(MinicnnError):
        weights.save(tmp_path / f"x{suffix}", {"a": np.array([{}], dtype=object)})
    assert os.listdir(tmp_path) == []


# --- files that do not fit ---


def refuse(path, match=""):
    """load names the file, and the network stays as it was."""
    net = fill(network(4), seed=7)
    before = net.state_dict()
    with pytest.raises(MinicnnError, match=match):
        net.load(path)
    for key, array in net.state_dict().items():
        np.testing.assert_array_equal(array, before[key], key)


@both_formats
def test_weights_of_another_network_are_refused(tmp_path, suffix):
    path = tmp_path / f"net{suffix}"
    Sequential(conv=Conv2d(2, 3, 2), fc=Linear(12, 4)).save(path)
    refuse(path, "bn.weight")
    whole = network().state_dict()
    weights.save(path, whole | {"extra.bias": np.zeros(3)})
    refuse(path, "extra.bias")
    weights.save(path, whole | {"fc.weight": whole["fc.weight"].T})
    refuse(path, "fc.weight")


@both_formats
def test_file_that_is_not_there(tmp_path, suffix):
    with pytest.raises(FileError, match="nothing"):
        weights.load(tmp_path / f"nothing{suffix}")


@both_formats
def test_folder_that_is_not_there(tmp_path, suffix):
    with pytest.raises(FileError, match="nowhere"):
        network().save(tmp_path / "nowhere" / f"net{suffix}")


@both_formats
def test_a_folder_instead_of_a_file(tmp_path, suffix):
    (tmp_path / f"net{suffix}").mkdir()
    with pytest.raises(FileError):
        weights.load(tmp_path / f"net{suffix}")
    with pytest.raises(FileError):
        network().save(tmp_path / f"net{suffix}")
    assert os.listdir(tmp_path) == [f"net{suffix}"]


@pytest.mark.parametrize("name", ["net.pkl", "net.pth", "net"])
def test_unknown_suffix_is_refused_and_the_known_are_named(tmp_path, name):
    with pytest.raises(FileError, match=r"(?s)(?=.*npz)(?=.*safetensors)"):
        network().save(tmp_path / name)
    (tmp_path / name).write_bytes(b"x")
    with pytest.raises(FileError, match=r"(?s)(?=.*npz)(?=.*safetensors)"):
        weights.load(tmp_path / name)
