"""Weight files: .npz with checksums, and .safetensors for exchange with other libraries."""

import math
import tokenize
import zipfile
import zlib
from pathlib import Path

import numpy as np

from minicnn.errors import FileError
from minicnn.files import atomic_write

NUMBERS = "fiub"  # the kinds of dtype that a weight file holds
MAX_HEADER = 10_000  # bytes of an array's header; NumPy's own limit


def save(path, arrays):
    """Write {name: NumPy array} to `path`, .npz or .safetensors by its suffix; a file of that name is replaced whole.

    Raises
    ------
    FileError
        The suffix is neither, the package safetensors is missing, or the file cannot be written.
    """
    path = _checked_suffix(path)
    for name, array in arrays.items():
        if np.asarray(array).dtype.kind not in NUMBERS:
            raise FileError(f"{path}: {name} holds {np.asarray(array).dtype}, and weight files hold numbers alone")
    if path.suffix == ".npz":
        atomic_write(path, lambda file: _write_npz(file, arrays), verify=_load_npz)
        return
    to_bytes = _safetensors(path).save
    contiguous = {name: np.ascontiguousarray(array).reshape(np.shape(array)) for name, array in arrays.items()}
    atomic_write(path, lambda file: file.write(to_bytes(contiguous)))  # it ignores strides: give it contiguous arrays


def load(path):
    """{name: NumPy array} from a file of `save`. Nothing in the file is executed, and checksums are verified.

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


def _write_npz(file, arrays):
    """As `numpy.savez`, which cannot write an array called "file"."""
    with zipfile.ZipFile(file, "w") as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, np.asarray(array), allow_pickle=False)


def _load_npz(path):
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            if len(set(archive.namelist())) < len(members):
                raise ValueError("two arrays have one name")
            if sum(member.compress_size for member in members) > path.stat().st_size:
                raise ValueError("it claims more data than it has")
            return {member.filename.removesuffix(".npy"): _read_member(archive, member) for member in members}
    except (zipfile.BadZipFile, zlib.error, ValueError, EOFError, OSError, NotImplementedError, RuntimeError, KeyError,
            TypeError, SyntaxError, RecursionError, MemoryError, tokenize.TokenError) as error:
        raise FileError(f"{path}: not a whole .npz file of numbers: {error}") from None


def _read_member(archive, member):
    """One array; its header is compared with the sizes in the archive before any memory is asked for."""
    with archive.open(member) as file:
        version = np.lib.format.read_magic(file)
        read_header = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
        if version not in read_header:
            raise ValueError(f"{member.filename} has an unknown version {version}")
        shape, fortran, dtype = read_header[version](file, max_header_size=MAX_HEADER)
        if dtype.hasobject or dtype.kind not in NUMBERS:
            raise ValueError(f"{member.filename} holds {dtype}, not numbers")
        size = math.prod(shape) * dtype.itemsize
        densest = 1 if member.compress_type == zipfile.ZIP_STORED else 100
        if member.file_size > max(densest * member.compress_size, 10**6):
            raise ValueError(f"{member.filename} claims {member.file_size} bytes in {member.compress_size}")
        if size > member.file_size:
            raise ValueError(f"{member.filename} claims shape {shape}, but has only {member.file_size} bytes")
        array = np.empty(shape, dtype, order="F" if fortran else "C")
        if file.readinto(memoryview(array.reshape(-1, order="A")).cast("B")) != size or file.read(1):
            raise ValueError(f"{member.filename} does not have the {size} bytes of its shape {shape}")
        return array


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
