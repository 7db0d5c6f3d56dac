"""CIFAR-10 as its authors publish it: the Python version (pickles) and the binary version.

A binary record is one label byte and 3,072 pixel bytes: 1,024 red, 1,024 green, 1,024 blue, row by row. The pickles
hold a dict with b"data", uint8 (N, 3072) in the same order, and b"labels", a list.

A pickle is a program. Before it runs, its opcodes are looked through; while it runs, the three names that these files
use are answered by stand-ins of our own, and every other name is refused: nothing that a file says is ever called.

References
----------
Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009, and the description on the data set's page.
"""

import io
import pickle
import pickletools
from pathlib import Path

import numpy as np

from minicnn.data.arrays import ArrayImages
from minicnn.data.cache import PixelCache
from minicnn.data.describe import describe_bytes, printable
from minicnn.data.split import split_indices
from minicnn.errors import DataError

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
FOLDERS = ("cifar-10-batches-py", "cifar-10-batches-bin")  # what the published archives unpack to
_TRAIN = tuple(f"data_batch_{k}" for k in range(1, 6))
_PIXELS = 3 * 32 * 32
_FILE_LIMIT = 64 << 20  # bytes; a published batch has 31 million
_MEMO_LIMIT = 1 << 20  # entries; the unpickler allocates as many as the highest number that the file names


class _Array:
    """Stands in for a pickled array: keeps the state that the file gives it."""

    def __setstate__(self, state):
        self.state = state


class _Dtype:
    """Stands in for a pickled dtype: keeps its type string."""

    def __init__(self, kind, *rest):
        self.kind = kind

    def __setstate__(self, state):
        pass


def _reconstruct(*arguments):
    return _Array()


_STAND_INS = {
    ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy._core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Dtype,
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module, name):
        try:
            return _STAND_INS[module, name]
        except KeyError:
            wanted = printable(f"{module}.{name}")
            raise pickle.UnpicklingError(f"it asks for {wanted}, which no batch needs") from None


def read_pickle(path):
    """The dict in one of CIFAR-10's pickles; arrays come as NumPy arrays, strings as bytes.

    Raises
    ------
    DataError
        The file is cut off, is no pickle, or asks for anything that a batch does not need.
    """
    content = _read(path)
    try:
        for opcode, argument, _ in pickletools.genops(content):
            if opcode.name in ("PUT", "BINPUT", "LONG_BINPUT") and argument > _MEMO_LIMIT:
                raise pickle.UnpicklingError("its memo is too large")
        batch = _Unpickler(io.BytesIO(content), encoding="bytes").load()
        if not isinstance(batch, dict):
            raise pickle.UnpicklingError(f"it holds a {type(batch).__name__}; wanted a dict")
        return {key: _array(value) if isinstance(value, _Array) else value for key, value in batch.items()}
    except Exception as error:  # a malformed pickle raises nearly every type there is
        raise DataError(f"{printable(path)} is not a whole CIFAR-10 pickle ({describe_bytes(content[:64])}): "
                        f"{printable(error)}") from error


def _array(stand_in):
    """The NumPy array whose state (version, shape, dtype, Fortran order, bytes) was pickled."""
    _, shape, dtype, fortran, values = stand_in.state
    if dtype.kind not in (b"u1", "u1") or not isinstance(values, bytes):
        raise pickle.UnpicklingError(f"an array of {dtype.kind!r}; wanted uint8")
    return np.frombuffer(values, np.uint8).reshape(shape, order="F" if fortran else "C")


def read_batch(path):
    """One batch file of either version.

    Returns
    -------
    pixels : ndarray of uint8, shape (N, 32, 32, 3)
    labels : ndarray of int64, shape (N,)
    """
    if Path(path).suffix == ".bin":
        content = _read(path)
        if not content or len(content) % (1 + _PIXELS):
            raise DataError(f"{printable(path)}: {len(content):,} bytes are not a whole number of records of "
                            f"{1 + _PIXELS:,} ({describe_bytes(content[:64])})")
        records = np.frombuffer(content, np.uint8).reshape(-1, 1 + _PIXELS)
        data, labels = records[:, 1:], records[:, 0]
    else:
        batch = read_pickle(path)
        data, labels = batch.get(b"data", batch.get("data")), batch.get(b"labels", batch.get("labels"))
    return _checked(data, labels, path)


def _checked(data, labels, path):
    if not isinstance(data, np.ndarray) or data.ndim != 2 or data.shape[1] != _PIXELS or not len(data):
        raise DataError(f"{printable(path)} has no data of shape (N, {_PIXELS}); is it CIFAR-10?")
    if isinstance(labels, np.ndarray):
        labels = labels.tolist()
    if not isinstance(labels, list) or not all(type(label) is int and 0 <= label < len(CLASSES) for label in labels):
        raise DataError(f"{printable(path)} has no list of labels from 0 to {len(CLASSES) - 1}; is it CIFAR-10?")
    if len(labels) != len(data):
        raise DataError(f"{printable(path)} has {len(data):,} images and {len(labels):,} labels")
    pixels = data.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    return np.ascontiguousarray(pixels), np.array(labels, np.int64)


def cifar10_files(folder):
    """Batch files in a folder or in the one its archive unpacks to: dict of batch name to path; pickles go first."""
    places = [Path(folder), *(Path(folder, name) for name in FOLDERS)]
    for place in places:
        for suffix in ("", ".bin"):
            paths = {name: place / (name + suffix) for name in (*_TRAIN, "test_batch")}
            found = {name: path for name, path in paths.items() if path.is_file()}
            if found:
                return found
    return {}


def open_cifar10(path, size=256, seed=0, warn=print, cache=None):
    """Training and validation set from CIFAR-10's files; test_batch is the validation set.

    Without test_batch, or with nothing else, a seeded fifth of each class is held out. `warn` is told of missing files.

    Returns
    -------
    train, val : ArrayImages

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> record = bytes([3]) + bytes(3072)                    # of the binary version: a label, and 3 × 32 × 32 pixels
    >>> with TemporaryDirectory() as folder:
    ...     for name in [*(f"data_batch_{k}" for k in range(1, 6)), "test_batch"]:
    ...         _ = Path(folder, f"{name}.bin").write_bytes(2 * record)
    ...     train, val = open_cifar10(folder, size=32)
    >>> len(train), len(val), train.classes[train.labels[0]]
    (10, 2, 'cat')
    """
    files, cache = cifar10_files(path), PixelCache() if cache is None else cache
    missing = [name for name in (*_TRAIN, "test_batch") if name not in files]
    if missing:
        warn(f"{printable(path)} lacks {', '.join(missing)}: going on with the other {len(files)} files")
    classes = _class_names(next(iter(files.values())).parent)
    train, test = [[read_batch(files[name]) for name in names if name in files] for names in (_TRAIN, ["test_batch"])]
    if train and test:
        parts = _join(train), _join(test)
    else:
        pixels, labels = _join(train or test)
        parts = [(pixels[rows], labels[rows]) for rows in split_indices(labels, seed, classes)]
    return tuple(ArrayImages(pixels, labels, classes, size, cache) for pixels, labels in parts)


def _join(batches):
    pixels, labels = zip(*batches, strict=True)
    return np.concatenate(pixels), np.concatenate(labels)


def _class_names(folder):
    """Names from batches.meta or batches.meta.txt where they are, the published ones otherwise."""
    meta, text = folder / "batches.meta", folder / "batches.meta.txt"
    names = CLASSES
    if meta.is_file():
        names = read_pickle(meta).get(b"label_names", CLASSES)
    elif text.is_file():
        names = _read(text).split()
    if not isinstance(names, list | tuple) or len(names) != len(CLASSES):
        raise DataError(f"{printable(folder)}: batches.meta does not name {len(CLASSES)} classes")
    return tuple(printable(name.decode("utf-8", "replace") if isinstance(name, bytes) else name) for name in names)


def _read(path):
    try:
        with open(path, "rb") as file:
            content = file.read(_FILE_LIMIT + 1)
    except OSError as error:
        raise DataError(f"{printable(path)}: {error.strerror or error}") from error
    if len(content) > _FILE_LIMIT:
        raise DataError(f"{printable(path)} is larger than any CIFAR-10 file")
    return content
