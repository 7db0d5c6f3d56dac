"""What lies in a folder of classes: names and paths, in an order that does not depend on the file system."""

import os
from collections import deque
from pathlib import Path

from minicnn.data.describe import printable
from minicnn.errors import DataError

# Formats that are not read are listed too, so that such a picture is reported as left out and not passed over.
IMAGE_SUFFIXES = (
    ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".dib", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm", ".pbm",
    ".pnm", ".heic", ".heif", ".avif", ".jxl", ".jp2", ".j2k", ".psd", ".svg", ".ico", ".tga", ".dng", ".cr2", ".nef",
)


def is_image_name(name):
    return name.lower().endswith(IMAGE_SUFFIXES)


def is_hidden(name):
    """Names that an operating system or an editor made: .DS_Store, ._photo.jpg, .ipynb_checkpoints, __MACOSX."""
    return name.startswith(".") or name == "__MACOSX"


def list_folder(folder):
    """The visible entries of a folder: list of (printable name, path), sorted by name."""
    try:
        names = [name for name in os.listdir(folder) if not is_hidden(name)]
    except OSError as error:
        raise DataError(f"{printable(folder)}: {error.strerror or error}") from error
    return sorted((printable(name), os.path.join(folder, name)) for name in names)


def class_folders(root):
    """The classes under `root`: dict of class name to path, sorted by the name's code points.

    Raises
    ------
    DataError
        `root` is missing, is not a folder, has fewer than two classes, two whose names print alike, two that are the same
        folder, or one that is `root` itself or a folder around it.
    """
    check_folder(root)
    entries = list_folder(root)
    folders = [entry for entry in entries if os.path.isdir(entry[1])]
    if not folders:
        loose = sum(is_image_name(name) for name, _ in entries)
        found = f"{loose:,} images but no class folders" if loose else "no class folders"
        raise DataError(f"{printable(root)} has {found}; wanted one folder of images for each class")
    if len(folders) == 1:
        raise DataError(f"{printable(root)} has one class only ({folders[0][0]}); at least two are needed")
    classes = dict(folders)
    if len(classes) < len(folders):
        names = [name for name, _ in folders]
        twice = next(name for name in names if names.count(name) > 1)
        raise DataError(f"{printable(root)} has two class folders whose names print alike: {twice}")
    _check_places(root, classes)
    return classes


def _check_places(root, classes):
    """Refuse a class folder that is really `root`, a folder around it, or the folder of another class."""
    places = dict.fromkeys(_around(root))
    for name, path in classes.items():
        real = os.path.realpath(path)
        if real in places:
            other = f"the folder of class {places[real]} too" if places[real] else "that of the data set or one around it"
            raise DataError(f"{printable(root)}: the folder of class {name} is, through a link, {other}")
        places[real] = name


def _around(root):
    """Real paths of `root` and of every folder that contains it."""
    real = Path(os.path.realpath(root))
    return [str(real), *map(str, real.parents)]


def holds_classes(folder):
    """Whether a folder looks like a folder of class folders, and not like a class with a few folders in it."""
    entries = list_folder(folder)
    folders = sum(os.path.isdir(path) for _, path in entries)
    return folders >= 2 and folders > sum(is_image_name(name) for name, path in entries if not os.path.isdir(path))


def image_files(root, classes):
    """Every file with an image's suffix in the class folders and below them.

    Links are followed, but each real folder is entered once, and `root`, the folders around it and those of other
    classes not at all: what lies in a class folder belongs to that class, whatever links lead to it. Of links to one
    file, a class keeps one. Other files are passed over.

    Parameters
    ----------
    root : path
    classes : dict of class name to path, as `class_folders` makes it

    Returns
    -------
    files : list of (label, "class/name", path), sorted
    doubles : list of (path, reason)
        Links to a file that another class has already.
    """
    seen = {*_around(root), *map(os.path.realpath, classes.values())}
    files, doubles, first = [], [], {}
    for _, label, name, path in sorted(_walk(classes, seen)):
        real = os.path.realpath(path)
        if real not in first:
            first[real] = label, name
            files.append((label, name, path))
        elif first[real][0] != label:
            doubles.append((path, f"the same file as {first[real][1]}"))
    return sorted(files), doubles


def _walk(classes, seen):
    """Yield (is a link, label, "class/name", path) of every image; enters links to folders after all other folders."""
    waiting = deque((label, f"{name}/", path) for label, (name, path) in enumerate(classes.items()))
    links = deque()
    while waiting or links:
        if waiting:
            label, prefix, folder = waiting.popleft()
        else:
            label, prefix, folder = links.popleft()
            if not _is_new(folder, seen):
                continue
        for name, path in list_folder(folder):
            if not os.path.isdir(path):
                if is_image_name(path):
                    yield os.path.islink(path), label, prefix + name, path
            elif os.path.islink(path):
                links.append((label, f"{prefix}{name}/", path))
            elif _is_new(path, seen):
                waiting.append((label, f"{prefix}{name}/", path))


def _is_new(folder, seen):
    """Whether a folder's real path is not in `seen` yet; puts it there."""
    real = os.path.realpath(folder)
    new = real not in seen
    seen.add(real)
    return new


def check_folder(path):
    """Raise `DataError` unless `path` is a folder."""
    path = Path(path)
    if not path.exists():
        raise DataError(f"{printable(path)}: no such folder")
    if not path.is_dir():
        packed = path.suffix.lower() in (".zip", ".tar", ".tgz", ".gz", ".bz2", ".xz", ".7z", ".rar")
        raise DataError(f"{printable(path)} is a file; wanted a folder{' (unpack it first)' if packed else ''}")
