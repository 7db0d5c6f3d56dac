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
import math
import os
import tokenize
import zipfile
import zlib
from pathlib import Path

import numpy as np

from minicnn.errors import FileError
from minicnn.files import MEBIBYTE, atomic_write

FORMAT = "minicnn checkpoint 1"
_COMMENT = b"minicnn crc32 "  # then eight hexadecimal digits, and the end of the file
_TAIL = len(_COMMENT) + 8
_STATE = {"format": str, "config": dict, "classes": list, "batches": int, "epoch": int, "position": int, "sums": dict,
          "history": list, "random": dict, "schedule": dict}
_UNPARSABLE = (ValueError, TypeError, KeyError, SyntaxError, RecursionError, MemoryError, EOFError, OSError,
               NotImplementedError, RuntimeError, tokenize.TokenError, zipfile.BadZipFile)


class NotSaved(FileError):
    """A checkpoint, or another file of a run, could not be written. What was there before is intact."""


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
    """
    text = json.dumps({"format": FORMAT, **state}).encode()

    def write(file):
        with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
            for name, array in arrays():
                _write_member(archive, name, array)
            _write_member(archive, "state", np.frombuffer(text, np.uint8))
            archive.comment = _COMMENT + b"00000000"
        file.seek(-8, os.SEEK_END)
        end = file.tell()
        checksum = _crc32(file, end)
        file.seek(end)
        file.write(b"%08x" % checksum)

    try:
        atomic_write(path, write, verify=_verify, size=_estimate(path))
    except FileError as error:
        raise NotSaved(str(error)) from error


class Checkpoint:
    """A checkpoint that was read, found whole, and waits to be taken over.

    Opening it verifies the file and reads `state`; `arrays` reads the rest, a section at a time.

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
    """

    def __init__(self, path):
        self.path = Path(path)
        try:
            _verify(self.path)
            with zipfile.ZipFile(self.path) as archive:
                _refuse_bombs(archive, self.path)
                self.shapes = {info.filename.removesuffix(".npy"): _read_header(archive, info)
                               for info in archive.infolist()}
            self.state = self._read_state()
        except FileNotFoundError as error:
            raise FileError(f"there is no checkpoint {self.path}") from error
        except FileError:
            raise
        except _UNPARSABLE as error:
            raise FileError(f"{self.path} is not a minicnn checkpoint: {error}") from error

    def arrays(self, section):
        """The arrays of one section, {"conv1.weight": array, ...} of "net"."""
        names = [name for name in self.shapes if name.startswith(section + "/")]
        try:
            with zipfile.ZipFile(self.path) as archive:
                return {name.removeprefix(section + "/"): _read_member(archive, name) for name in names}
        except _UNPARSABLE as error:
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
            if not _alike(self.state[entry], here):
                raise FileError(f"{self.path} does not fit this run: {entry} is {self.state[entry]} in the file, "
                                f"{here} here")

    def _read_state(self):
        with zipfile.ZipFile(self.path) as archive:
            state = json.loads(_read_member(archive, "state").tobytes())
        if not isinstance(state, dict) or state.get("format") != FORMAT:
            raise ValueError(f"its format is not '{FORMAT}'")
        for key, kind in _STATE.items():
            if not isinstance(state.get(key), kind):
                raise ValueError(f"its state has no valid '{key}'")
        if not 0 <= state["position"] <= state["batches"] or state["epoch"] < 0:
            raise ValueError(f"it stands at epoch {state['epoch']}, batch {state['position']} of {state['batches']}")
        return state


def _alike(there, here):
    """Are two JSON values made alike? Numbers are, whether whole or not, except that a whole one here must be whole."""
    if isinstance(here, dict):
        return isinstance(there, dict) and there.keys() == here.keys() and all(_alike(there[k], here[k]) for k in here)
    if isinstance(here, list):
        return isinstance(there, list) and len(there) == len(here) and all(map(_alike, there, here))
    return isinstance(there, (int, float) if isinstance(here, float) else type(here)) and not isinstance(there, bool)


def _describe(shape):
    return "missing" if shape is None else f"{shape[0]} {shape[1]}"


def _write_member(archive, name, array):
    # A ZipInfo of one's own has a fixed date: the same state gives the same bytes.
    with archive.open(zipfile.ZipInfo(name + ".npy"), "w", force_zip64=True) as member:
        np.lib.format.write_array(member, np.asarray(array), allow_pickle=False)


def _read_member(archive, name):
    with archive.open(name + ".npy") as member:
        return np.lib.format.read_array(member, allow_pickle=False)


def _read_header(archive, info):
    """(shape, dtype) of a member, after checking that its size is the one that its header promises."""
    with archive.open(info) as member:
        version = np.lib.format.read_magic(member)
        read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}[version]
        shape, _, dtype = read(member)
        if dtype.hasobject or dtype.names:
            raise ValueError(f"{info.filename} holds {dtype}, not numbers")
        if min(shape, default=0) < 0 or member.tell() + math.prod(shape) * dtype.itemsize != info.file_size:
            raise ValueError(f"{info.filename} claims the shape {shape}, which is not what it holds")
    return shape, dtype


def _refuse_bombs(archive, path):
    """No compression, no encryption, no two members of one name or in one place: what is read is bounded by the file."""
    members = archive.infolist()
    if any(m.compress_type != zipfile.ZIP_STORED or m.file_size != m.compress_size or m.flag_bits & 1 for m in members):
        raise ValueError("it has compressed or encrypted members")
    if sum(m.file_size for m in members) > path.stat().st_size:
        raise ValueError("its members are larger than the file")
    if len({m.filename for m in members}) != len(members) or not all(m.filename.endswith(".npy") for m in members):
        raise ValueError("its members have wrong names")


def _verify(path):
    """Compare the checksum at the end of the file with all that comes before it."""
    with open(path, "rb") as file:
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


def _estimate(path):
    """The next checkpoint of a run is as large as the last one."""
    return path.stat().st_size if Path(path).exists() else 0
