"""What lies in a folder of classes: names and paths, in an order that does not depend on the file system."""

import os
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
        `root` is missing, is not a folder, has fewer than two classes, or two whose names print alike.
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
    return classes


def image_files(folder):
    """Every file with an image's suffix in `folder` and below: list of (name relative to it, path), sorted by name.

    Links are followed, except to a folder that contains them. Other files are passed over.
    """
    found, waiting = [], [("", str(folder), frozenset([os.path.realpath(folder)]))]
    while waiting:
        prefix, here, above = waiting.pop()
        for name, path in list_folder(here):
            if os.path.isdir(path):
                real = os.path.realpath(path)
                if real not in above:
                    waiting.append((f"{prefix}{name}/", path, above | {real}))
            elif is_image_name(path):
                found.append((prefix + name, path))
    return sorted(found)


def check_folder(path):
    """Raise `DataError` unless `path` is a folder."""
    path = Path(path)
    if not path.exists():
        raise DataError(f"{printable(path)}: no such folder")
    if not path.is_dir():
        packed = path.suffix.lower() in (".zip", ".tar", ".tgz", ".gz", ".bz2", ".xz", ".7z", ".rar")
        raise DataError(f"{printable(path)} is a file; wanted a folder{' (unpack it first)' if packed else ''}")
