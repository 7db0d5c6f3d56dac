"""Writing files so that a crash, a full disk or an impatient user never leaves half of one behind."""

import contextlib
import os
import re
import secrets
import shutil
import stat
from pathlib import Path

from minicnn.errors import FileError

MEBIBYTE = 2**20


def atomic_write(path, write, verify=None, size=lambda: 0):
    """Write a file all or nothing: `path` holds what it held before, or everything that is new.

    The bytes go to a temporary file in the same folder (the same disk, so that the last step is a rename and not a
    copy). They are flushed to the disk *before* the rename, because a file system may otherwise order the rename first,
    and a power cut then leaves a file of the right name and no content. The folder is flushed last: it holds the name.

    Parameters
    ----------
    path : str or Path
        The target. A symbolic link is followed; an existing file keeps its mode, a new one gets what the umask allows.
    write : callable
        ``write(file)`` writes the content to a binary file object that can seek and read.
    verify : callable, optional
        ``verify(temporary_path)`` reads the finished file back, and raises an OSError (or FileError) if it is not whole.
    size : callable
        ``size()`` says how many bytes are coming, at least; asked only for the message about a full disk.

    Raises
    ------
    FileError
        For any OSError on the way. The message names the path, the reason, the bytes needed and the bytes free.
    """
    path = Path(path)
    target = Path(os.path.realpath(path))
    temporary = _temporary(target)
    try:
        _write_and_flush(temporary, write, target)
        if verify is not None:
            verify(temporary)
        os.replace(temporary, target)
        _flush_folder(target.parent)
    except OSError as error:
        raise FileError(_explain(path, target.parent, temporary, size, error)) from error
    finally:
        with contextlib.suppress(OSError):  # it may well be that nothing can be removed either
            temporary.unlink()


def atomic_link(source, path):
    """Give the file `source` a second name, replacing `path` in one step; a copy where the disk knows no hard links."""
    source, path = Path(source), Path(path)
    temporary = _temporary(path)
    try:
        os.link(source, temporary)
        os.replace(temporary, path)
        _flush_folder(path.parent)
    except OSError:
        atomic_write(path, lambda file: _copy(source, file), size=lambda: source.stat().st_size)
    finally:
        with contextlib.suppress(OSError):  # it may well be that nothing can be removed either
            temporary.unlink()


def remove_leftovers(folder, names):
    """Remove what a killed process left of files of these names, in a folder which nobody else is writing to.

    Parameters
    ----------
    folder : Path
    names : iterable of str
        Only temporary files of these are touched: other programs have files that end in .part, too.
    """
    ours = re.compile(rf"\.({'|'.join(map(re.escape, names))})\.\d+-[0-9a-f]{{8}}\.part")
    with contextlib.suppress(OSError):
        for leftover in folder.iterdir():
            if ours.fullmatch(leftover.name) and leftover.is_file() and not leftover.is_symlink():
                with contextlib.suppress(OSError):
                    leftover.unlink()


def _temporary(path):
    """A name beside `path` that nobody else has."""
    return path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.part")


def _copy(source, file):
    with open(source, "rb") as original:
        shutil.copyfileobj(original, file, MEBIBYTE)


def _write_and_flush(temporary, write, target):
    with open(temporary, "x+b") as file:
        write(file)
        file.flush()
        if target.exists():
            os.chmod(temporary, stat.S_IMODE(target.stat().st_mode))
        os.fsync(file.fileno())


def _flush_folder(folder):
    """Make the rename itself durable. Windows cannot open a folder, and needs no such call."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _explain(path, folder, temporary, size, error):
    text = f"cannot write {path}: {error.strerror or error}"
    if not folder.is_dir():
        return f"{text} (there is no folder {folder})"
    with contextlib.suppress(OSError):
        free = shutil.disk_usage(folder).free
        written = temporary.stat().st_size if temporary.exists() else 0  # they are free again when it is gone
        text += f" (at least {max(size(), written):,} bytes needed, {free + written:,} free in {folder})"
    return text
