"""The idx files of MNIST and Fashion-MNIST, raw or gzip-compressed.

An idx file is four bytes (0, 0, type, number of axes), the length of each axis as a big-endian 32-bit integer, and the
values. Type 8 is uint8, the only one in these sets.

References
----------
LeCun, Cortes, Burges, The MNIST database of handwritten digits, section "File formats".
"""

import gzip
import math
import re
import struct
import zlib
from pathlib import Path

import numpy as np

from minicnn.data.arrays import ArrayImages
from minicnn.data.cache import PixelCache
from minicnn.data.describe import describe_bytes, printable
from minicnn.data.scan import list_folder
from minicnn.data.split import split_indices
from minicnn.errors import DataError

_NAME = re.compile(r"(train|t10k)-(images|labels)[-.]idx[13]-ubyte(\.gz)?", re.IGNORECASE)
_LIMIT = 4 << 30  # bytes of values; the whole of MNIST is 47 MB
_UINT8 = 0x08

FASHION = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")


def read_idx(path):
    """The array in an idx file.

    Returns
    -------
    ndarray of uint8: (N,) labels or (N, h, w) images

    Raises
    ------
    DataError
        The file is not an idx file of bytes, or holds fewer or more values than it says.
    """
    try:
        with open(path, "rb") as file:
            packed = file.read(2) == b"\x1f\x8b"
        with (gzip.open if packed else open)(path, "rb") as file:
            shape = _read_shape(file, path)
            wanted = math.prod(shape)
            if wanted > _LIMIT:
                raise DataError(f"{printable(path)} claims {_times(shape)} values, more than is credible")
            values = file.read(wanted + 1)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{printable(path)} is not a whole gzip file (a broken download?): {error}") from error
    except OSError as error:
        raise DataError(f"{printable(path)}: {error.strerror or error}") from error
    if len(values) != wanted:
        found = f"only {len(values):,}" if len(values) < wanted else "more"
        raise DataError(f"{printable(path)} says {_times(shape)} = {wanted:,} values, but holds {found}")
    return np.frombuffer(values, np.uint8).reshape(shape)


def _read_shape(file, path):
    start = file.read(4)
    if len(start) < 4 or start[:3] != bytes([0, 0, _UINT8]) or start[3] not in (1, 3):
        raise DataError(f"{printable(path)} is not an idx file of images or labels: "
                        f"{describe_bytes(start + file.read(60))}")
    axes = start[3]
    lengths = file.read(4 * axes)
    if len(lengths) < 4 * axes:
        raise DataError(f"{printable(path)} ends within its header")
    return struct.unpack(f">{axes}I", lengths)


def idx_files(folder):
    """The idx files in a folder: dict of ("train" or "t10k", "images" or "labels") to path, raw before compressed."""
    found = {}
    for name, path in list_folder(folder):
        match = _NAME.fullmatch(name)
        if match:
            found.setdefault((match[1].lower(), match[2].lower()), path)
    return found


def open_idx(path, size=256, seed=0, warn=print, cache=None):
    """Training and validation set from the train-* and t10k-* files in a folder.

    With both pairs there, t10k is the validation set. With one pair only, a seeded fifth of each of its classes is held
    out and `warn` is told. Images stay in memory as they are and grow to `size` when they are asked for.

    Returns
    -------
    train, val : ArrayImages

    Examples
    --------
    >>> import struct
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> def write(path, array):               # magic number, lengths of the axes, values
    ...     path.write_bytes(struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes())
    >>> with TemporaryDirectory() as folder:
    ...     for part, count in (("train", 6), ("t10k", 4)):
    ...         _ = write(Path(folder, f"{part}-images-idx3-ubyte"), np.zeros((count, 28, 28), np.uint8))
    ...         _ = write(Path(folder, f"{part}-labels-idx1-ubyte"), np.arange(count, dtype=np.uint8))
    ...     train, val = open_idx(folder, size=32)
    >>> len(train), len(val), train.image(0).shape
    (6, 4, (32, 32, 3))
    """
    files, cache = idx_files(path), PixelCache() if cache is None else cache
    parts = {part: _read_pair(files, part, path) for part in ("train", "t10k") if (part, "images") in files
             or (part, "labels") in files}
    labels = np.concatenate([labels for _, labels in parts.values()])
    classes = _class_names(path, labels)
    if len(parts) == 2:
        pairs = parts["train"], parts["t10k"]
    else:
        (part, (images, labels)), = parts.items()
        warn(f"{printable(path)} has the {part} files only: a fifth of their images is held out for validation")
        pairs = [(images[rows], labels[rows]) for rows in split_indices(labels, seed, classes)]
    return tuple(ArrayImages(images, labels, classes, size, cache) for images, labels in pairs)


def _read_pair(files, part, folder):
    for kind in ("images", "labels"):
        if (part, kind) not in files:
            raise DataError(f"{printable(folder)} has no {part}-{kind} file beside the other {part} file")
    images, labels = read_idx(files[part, "images"]), read_idx(files[part, "labels"])
    for array, kind, axes in ((images, "images", 3), (labels, "labels", 1)):
        if array.ndim != axes:
            raise DataError(f"{printable(files[part, kind])} has {array.ndim} axes; {kind} have {axes}")
    if len(images) != len(labels):
        raise DataError(f"{printable(folder)} has {len(images):,} {part} images and {len(labels):,} {part} labels")
    if not images.size:
        raise DataError(f"{printable(files[part, 'images'])} holds no pixels: its shape is {_times(images.shape)}")
    return images, labels


def _class_names(path, labels):
    count = int(labels.max()) + 1
    if count < 2:
        raise DataError(f"{printable(path)} has one class only; at least two are needed")
    fashion = "fashion" in str(Path(path).resolve()).lower() and count <= len(FASHION)
    return FASHION if fashion else tuple(str(label) for label in range(max(count, 10)))


def _times(shape):
    return "×".join(f"{length:,}" for length in shape)
