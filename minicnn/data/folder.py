"""Folders of images, one folder for each class."""

import copy
import os

import numpy as np

from minicnn.data.cache import PixelCache
from minicnn.data.decode import read_image
from minicnn.data.describe import printable
from minicnn.data.prefetch import available_cores, ordered_map
from minicnn.data.scan import check_folder, class_folders, holds_classes, image_files, list_folder
from minicnn.data.split import split_indices
from minicnn.errors import DataError

TRAIN_NAMES = ("train", "training")
VAL_NAMES = ("val", "valid", "validation", "dev", "eval", "holdout", "test", "testing")  # the first that is there
NAMED = 10  # broken files named in a warning


class ImageFolder:
    """The images in `root`/<class>/, at any depth below the class.

    Every file with an image's suffix is decoded once here, by threads, before anything is trained: what cannot be
    read is left out and listed in `skipped`, and what can be read fills the cache. Links are followed, but a file comes
    once however many links lead to it; in `skipped` are also links to an image of another class.

    Parameters
    ----------
    root : path
    size : int
        Side of the prepared images.
    cache : PixelCache or None
        Where decoded images are kept; a new one by default.
    workers : int or None
        Threads for the first pass; all available cores by default.
    progress : callable(done, total) or None
        Called after each file of the first pass.

    Attributes
    ----------
    classes : tuple of str, sorted
    labels : ndarray of int64, shape (N,)
    names : list of str
        "class/file", with "/" on every system.
    paths : list of str
    skipped : list of (str, str)
        Path and reason of every image left out.

    Raises
    ------
    DataError
        No such folder, fewer than two classes, or a class without a usable image.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from PIL import Image
    >>> with TemporaryDirectory() as root:
    ...     for name in ("ant/1.png", "ant/2.png", "bee/1.png", "bee/2.png"):
    ...         path = Path(root, name)
    ...         path.parent.mkdir(exist_ok=True)
    ...         Image.new("RGB", (40, 30), "red").save(path)
    ...     data = ImageFolder(root, size=32)
    >>> data.classes, data.labels, data.names[3], data.image(3).shape
    (('ant', 'bee'), array([0, 0, 1, 1]), 'bee/2.png', (32, 32, 3))
    """

    def __init__(self, root, size=256, cache=None, workers=None, progress=None):
        folders = class_folders(root)
        self.classes, self.size = tuple(folders), size
        self._cache = PixelCache() if cache is None else cache
        files, doubles = image_files(root, folders)
        workers = available_cores() if workers is None else workers
        reasons = self._read_all([path for _, _, path in files], workers, progress)
        judged = list(zip(files, reasons, strict=True))
        self.skipped = [(path, reason) for (_, _, path), reason in judged if reason is not None] + doubles
        usable = [file for file, reason in judged if reason is None]
        self.names, self.paths = [name for _, name, _ in usable], [path for _, _, path in usable]
        self.labels = np.array([label for label, _, _ in usable], np.int64)
        self._check_classes(root)

    def __len__(self):
        return len(self.paths)

    def __repr__(self):
        return f"ImageFolder({len(self):,} images, {len(self.classes)} classes, size {self.size})"

    def image(self, i):
        """Image i, uint8 (size, size, 3)."""
        path = self.paths[i]
        return self._cache.get(path, lambda: read_image(path, self.size))

    def subset(self, indices):
        """The images at `indices`, as a dataset that shares this one's cache and has nothing in `skipped`."""
        part = copy.copy(self)
        part.labels, part.skipped = self.labels[indices], []
        part.names, part.paths = [self.names[i] for i in indices], [self.paths[i] for i in indices]
        return part

    def _read_all(self, paths, workers, progress):
        """Decode every file once: for each the reason why it cannot be used, or None."""
        reasons = []
        for reason in ordered_map(self._reason, paths, workers, ahead=4 * workers):
            reasons.append(reason)
            if progress is not None:
                progress(len(reasons), len(paths))
        return reasons

    def _reason(self, path):
        try:
            self._cache.get(path, lambda: read_image(path, self.size))
        except DataError as error:
            return str(error).removeprefix(f"{printable(path)}: ")
        return None

    def _check_classes(self, root):
        counts = np.bincount(self.labels, minlength=len(self.classes))
        broken = f" ({describe_skipped(self.skipped)})" if self.skipped else ""
        if not len(self):
            raise DataError(f"{printable(root)} has no usable image{broken}")
        empty = [name for name, count in zip(self.classes, counts, strict=True) if count == 0]
        if empty:
            raise DataError(f"{printable(root)} has no usable image in {_some(empty)}{broken}")


def open_folder(path, size=256, seed=0, warn=print, cache=None, workers=None, progress=None):
    """Training and validation set from DIR/train/<class> and DIR/val/<class>, or by a seeded split.

    What is split is DIR/train/<class> where that is there, or else DIR/<class>.

    Parameters are those of `minicnn.data.open_dataset`.

    Returns
    -------
    train, val : ImageFolder

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from PIL import Image
    >>> with TemporaryDirectory() as root:
    ...     for name in ("ant/1.png", "ant/2.png", "bee/1.png", "bee/2.png"):
    ...         path = Path(root, name)
    ...         path.parent.mkdir(exist_ok=True)
    ...         Image.new("RGB", (40, 30), "red").save(path)
    ...     train, val = open_folder(root, size=32)
    >>> train, val
    (ImageFolder(2 images, 2 classes, size 32), ImageFolder(2 images, 2 classes, size 32))
    """
    check_folder(path)
    cache = PixelCache() if cache is None else cache
    train_path, val_path, others = _parts(path)
    if train_path and val_path:
        _check_two_parts(train_path, val_path)
        train = ImageFolder(train_path, size, cache, workers, progress)
        val = ImageFolder(val_path, size, cache, workers, progress)
        _warn_of_common_files(train, val, warn)
    else:
        if others:
            warn(f"{printable(train_path)} is taken for the training part, and a fifth of each of its classes is held out: "
                 f"beside it is no folder called {', '.join(VAL_NAMES)}, and {_some(others)} is left out")
        whole = ImageFolder(train_path or path, size, cache, workers, progress)
        train, val = (whole.subset(part) for part in split_indices(whole.labels, seed, whole.classes))
        train.skipped = whole.skipped
    skipped = train.skipped + val.skipped
    if skipped:
        total = len(train) + len(val) + len(skipped)
        warn(f"{len(skipped):,} of {total:,} images cannot be used and are left out: {describe_skipped(skipped)}")
    return train, val


def describe_skipped(skipped):
    """The first few broken files with their reasons, and how many more there are."""
    return _some([f"{printable(path)} ({reason})" for path, reason in skipped])


def _some(words):
    more = f" and {len(words) - NAMED:,} more" if len(words) > NAMED else ""
    return ", ".join(words[:NAMED]) + more


def _parts(path):
    """Paths of the training and the validation folder, each or None, and the names of the folders beside a training one.

    "train" is also a thing in photographs: beside other folders, none of which is for validation, it is a class, unless
    what it holds looks like classes.
    """
    folders = {name.lower(): entry for name, entry in reversed(list_folder(path)) if os.path.isdir(entry)}
    train, val = (next((folders.pop(name) for name in names if name in folders), None) for names in (TRAIN_NAMES, VAL_NAMES))
    others = sorted(printable(os.path.basename(entry)) for entry in folders.values())
    if train is None or (val is None and others and not holds_classes(train)):
        return None, None, []
    return train, val, others


def _check_two_parts(train_path, val_path):
    if os.path.samefile(train_path, val_path):
        raise DataError(f"{printable(train_path)} and {printable(val_path)} are the same folder (one is a link); images to "
                        "validate on must not be those to train on")
    train, val = class_folders(train_path), class_folders(val_path)
    only_train, only_val = [c for c in train if c not in val], [c for c in val if c not in train]
    if only_train or only_val:
        sides = ("training", only_train), ("validation", only_val)
        found = "; ".join(f"only in {side}: {_some(names)}" for side, names in sides if names)
        raise DataError(f"the classes of the training and validation folders differ; {found}")


def _warn_of_common_files(train, val, warn):
    known = set(map(os.path.realpath, train.paths))
    common = sum(os.path.realpath(path) in known for path in val.paths)
    if common:
        warn(f"{common:,} of {len(val):,} validation images are links to training images or the reverse: "
             "the validation error will look better than it is")
