"""Checkpoints: everything that a run needs to go on, in one `.npz` that is refused if one bit is wrong.

A checkpoint is a zip archive of uncompressed `.npy` members, which `numpy.load` reads too:

    net/conv1.weight ...             weights and running statistics
    optimiser/velocity.conv1.weight  the optimiser's state
    statistics/mean ...              the pixel statistics
    state                            JSON as bytes: epoch, position, history, configuration, random states ...

The zip's own CRC-32s do not cover its directory, so the archive comment at the very end holds one of the whole file.
It is checked before anything is parsed: damage never reaches a parser. A file that was made to harm can forge it, and
meets the second line: members are stored, not compressed, so that nothing can grow; their sizes must add up to less than
the file; a `.npy` header must describe exactly the bytes that follow it; nothing is ever unpickled.
"""

import json
import os
import weakref
import zipfile
import zlib
from pathlib import Path

import numpy as np

from minicnn import npz
from minicnn.errors import FileError
from minicnn.files import MEBIBYTE, atomic_write
from minicnn.training.state import FORMAT, alike, check_state

_COMMENT = b"minicnn crc32 "  # then eight hexadecimal digits, and the end of the file
_TAIL = len(_COMMENT) + 8


class NotSaved(FileError):
    """A checkpoint, or another file of a run, could not be written. What was there before is intact.

    Examples
    --------
    >>> from minicnn.training import NotSaved, write_checkpoint
    >>> try:
    ...     write_checkpoint("no/such/folder/last.npz", lambda: [], {})
    ... except NotSaved as error:
    ...     print("last.npz" in str(error))
    True
    """


def write_checkpoint(path, arrays, state):
    """Write a checkpoint atomically, and read it back before it takes the place of the one before.

    Parameters
    ----------
    path : str or Path
    arrays : callable
        ``arrays()`` yields (name, array) pairs. Each array is written before the next one is asked for, so that a
        caller who copies them from a GPU holds one copy at a time.
    state : dict
        JSON-able; `FORMAT` is added to it.

    Raises
    ------
    NotSaved
        If the disk is full, read-only, or gives back other bytes than it was given.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder, "last.npz")
    ...     write_checkpoint(path, lambda: [("net/fc.bias", np.ones(3, np.float32))], {"epoch": 0})
    ...     with np.load(path) as saved:
    ...         print(saved["net/fc.bias"], bytes(saved["state"]))
    [1. 1. 1.] b'{"format": "minicnn checkpoint 1", "epoch": 0}'
    """
    text = json.dumps({"format": FORMAT, **state}).encode()

    def write(file):
        with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
            for name, array in arrays():
                npz.write_member(archive, name, array)
            npz.write_member(archive, "state", np.frombuffer(text, np.uint8))
            archive.comment = _COMMENT + b"00000000"
        file.seek(-8, os.SEEK_END)
        end = file.tell()
        checksum = _crc32(file, end)
        file.seek(end)
        file.write(b"%08x" % checksum)

    def size():
        return len(text) + sum(np.asarray(array).nbytes for _, array in arrays())

    try:
        atomic_write(path, write, verify=_verify, size=size)
    except FileError as error:
        raise NotSaved(str(error)) from error


class Checkpoint:
    """A checkpoint that was read, found whole, and waits to be taken over.

    Opening it verifies the file and reads `state`; `arrays` reads the rest, a section at a time. The file stays open as
    long as this object lives: a run that goes on puts a new file in its place, and state and arrays still are of one moment.

    Parameters
    ----------
    path : str or Path

    Attributes
    ----------
    state : dict
        What `write_checkpoint` was given.
    shapes : dict
        Name of each array -> (shape, dtype).

    Raises
    ------
    FileError
        If the file is missing, damaged, not a checkpoint, or made to harm.

    Examples
    --------
    >>> from minicnn.training import RunFolder, Trainer
    >>> from tempfile import TemporaryDirectory
    >>> from minicnn import SGD, Flatten, Linear, Sequential
    >>> from minicnn.data import Batches, PixelStatistics, Shapes
    >>> data = Shapes(24, size=32)
    >>> batches = Batches(data, 10, crop=28, statistics=PixelStatistics.fit(data))
    >>> net = Sequential(flat=Flatten(), fc=Linear(3 * 28 * 28, 12, seed=0))
    >>> trainer = Trainer(net, SGD(net.parameters(), lr=1e-3), batches, batches)
    >>> with TemporaryDirectory() as path, RunFolder(path) as trainer.folder:
    ...     _ = trainer.fit(epochs=1)
    ...     checkpoint = Checkpoint(trainer.folder.last)
    >>> checkpoint.progress, sorted(checkpoint.arrays("net"))
    ((1, 0), ['fc.bias', 'fc.weight'])
    """

    def __init__(self, path):
        self.path = Path(path)
        try:
            self._file = open(self.path, "rb")  # noqa: SIM115  # closed by the next line
            weakref.finalize(self, self._file.close)
            _compare_checksum(self._file, self.path)
            with zipfile.ZipFile(self._file) as archive:
                members = _stored_members(archive, self._file)
                self.shapes = {name: npz.read_header(archive, member) for name, member in members.items()}
                self.state = json.loads(npz.read_member(archive, members["state"]).tobytes())
            check_state(self.state)
        except FileNotFoundError as error:
            raise FileError(f"there is no checkpoint {self.path}") from error
        except FileError:
            raise
        except npz.UNREADABLE as error:
            raise FileError(f"{self.path} is not a minicnn checkpoint: {error}") from error

    def arrays(self, section):
        """The arrays of one section, {"conv1.weight": array, ...} of "net"."""
        try:
            with zipfile.ZipFile(self._file) as archive:
                return {name.removeprefix(section + "/"): npz.read_member(archive, member)
                        for name, member in _stored_members(archive, self._file).items() if name.startswith(section + "/")}
        except npz.UNREADABLE as error:
            raise FileError(f"cannot read {self.path}: {error}") from error

    def require(self, expected, like):
        """Refuse the checkpoint unless it is made like this run.

        Parameters
        ----------
        expected : dict
            Name -> (shape, dtype) of every array but `state`.
        like : dict
            Entries of `state`, such as "schedule", with values of this run: keys, lengths and types must be the same.
        """
        found = {name: shape for name, shape in self.shapes.items() if name != "state"}
        for name in sorted(expected.keys() | found.keys()):
            if expected.get(name) != found.get(name):
                raise FileError(f"{self.path} does not fit this run: {name} is {_describe(found.get(name))} in the file, "
                                f"{_describe(expected.get(name))} here")
        for entry, here in like.items():
            if not alike(self.state[entry], here):
                raise FileError(f"{self.path} does not fit this run: {entry} is {self.state[entry]} in the file, "
                                f"{here} here")

    @property
    def progress(self):
        """(finished epochs, finished batches of the next one): what is further compares as greater."""
        return self.state["epoch"], self.state["position"]


def _describe(shape):
    return "missing" if shape is None else f"{shape[0]} {shape[1]}"


def _stored_members(archive, file):
    """A checkpoint's members are not compressed: what is read is bounded by the file."""
    members = npz.members(archive, os.fstat(file.fileno()).st_size)
    if any(member.compress_type != zipfile.ZIP_STORED for member in members.values()):
        raise ValueError("it has compressed members")
    return members


def _verify(path):
    with open(path, "rb") as file:
        _compare_checksum(file, path)


def _compare_checksum(file, path):
    """Compare the checksum at the end of the file with all that comes before it."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - _TAIL))
    tail = file.read()
    if not tail.startswith(_COMMENT) or len(tail) != _TAIL:
        raise FileError(f"{path} is not a minicnn checkpoint, or was cut short")
    if b"%08x" % _crc32(file, size - 8) != tail[-8:]:
        raise FileError(f"{path} is damaged: its checksum is wrong")


def _crc32(file, count):
    """CRC-32 of the first `count` bytes."""
    checksum = 0
    file.seek(0)
    while count:
        block = file.read(min(count, MEBIBYTE))
        if not block:
            raise OSError(f"the file ends {count:,} bytes early")
        checksum = zlib.crc32(block, checksum)
        count -= len(block)
    return checksum
