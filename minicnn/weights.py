"""Weight files: .npz with checksums, and .safetensors for exchange with other libraries."""

import zipfile
from pathlib import Path

import numpy as np

from minicnn import npz
from minicnn.errors import FileError
from minicnn.files import atomic_write

CHECKPOINT = "net/"  # where a checkpoint of `minicnn.training` keeps the weights, among all else


def save(path, arrays):
    """Write {name: NumPy array} to `path`, .npz or .safetensors by its suffix; a file of that name is replaced whole.

    Raises
    ------
    FileError
        The suffix is neither, the package safetensors is missing, or the file cannot be written.
    """
    path = _checked_suffix(path)
    for name, array in arrays.items():
        if np.asarray(array).dtype.kind not in npz.NUMBERS:
            raise FileError(f"{path}: {name} holds {np.asarray(array).dtype}, and weight files hold numbers alone")
    if path.suffix == ".npz":
        atomic_write(path, lambda file: _write_npz(file, arrays), verify=_load_npz, size=lambda: _size(arrays))
        return
    to_bytes = _safetensors(path).save
    contiguous = {name: np.ascontiguousarray(array).reshape(np.shape(array)) for name, array in arrays.items()}
    atomic_write(path, lambda file: file.write(to_bytes(contiguous)),  # it ignores strides: give it contiguous arrays
                 size=lambda: _size(arrays))


def load(path):
    """{name: NumPy array} from a file of `save`, or the weights alone from a training run's checkpoint.

    Nothing in the file is executed, and checksums are verified.

    Raises
    ------
    FileError
        The file is missing, damaged, holds pickled objects, or claims more data than it has.
    """
    path = _checked_suffix(path)
    if not path.is_file():
        raise FileError(f"{path}: no such file")
    return _load_npz(path) if path.suffix == ".npz" else _load_safetensors(path)


def _checked_suffix(path):
    path = Path(path)
    if path.suffix not in (".npz", ".safetensors"):
        raise FileError(f"{path}: unknown suffix {path.suffix!r} of a weight file, wanted .npz or .safetensors")
    return path


def _size(arrays):
    return sum(np.asarray(array).nbytes for array in arrays.values())


def _write_npz(file, arrays):
    """As `numpy.savez`, which cannot write an array called "file"."""
    with zipfile.ZipFile(file, "w") as archive:
        for name, array in arrays.items():
            npz.write_member(archive, name, array)


def _load_npz(path):
    try:
        with zipfile.ZipFile(path) as archive:
            members = npz.members(archive, path.stat().st_size)
            weights = {name.removeprefix(CHECKPOINT): info for name, info in members.items() if name.startswith(CHECKPOINT)}
            return {name: npz.read_member(archive, info) for name, info in (weights or members).items()}
    except npz.UNREADABLE as error:
        raise FileError(f"{path}: not a whole .npz file of numbers: {error}") from None


def _load_safetensors(path):
    safetensors = _safetensors(path)
    try:
        return safetensors.load(path.read_bytes())
    except Exception as error:  # the package's own class of errors derives from Exception alone
        raise FileError(f"{path}: not a whole .safetensors file: {error}") from None


def _safetensors(path):
    try:
        import safetensors.numpy
    except ImportError:
        raise FileError(f"{path}: .safetensors files need the package safetensors: pip install safetensors") from None
    return safetensors.numpy
