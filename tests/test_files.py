"""Atomic writing: at every failure the target holds what it held before, whole, and nothing is left beside it."""

import errno
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from minicnn.errors import FileError
from minicnn.files import atomic_link, atomic_write, remove_leftovers

OLD, NEW = b"old", b"new" * 1000


def content(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


class FullDisk:
    """A file that takes `room` bytes and then has no space left."""

    def __init__(self, file, room):
        self.file, self.room = file, room

    def write(self, data):
        if len(data) > self.room:
            self.file.write(data[:self.room])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.room -= len(data)
        return self.file.write(data)


def test_writes_and_replaces(tmp_path):
    target = tmp_path / "a"
    atomic_write(target, lambda file: file.write(OLD))
    assert content(tmp_path) == {"a": OLD}
    atomic_write(str(target), lambda file: file.write(NEW), verify=lambda path: None)
    assert content(tmp_path) == {"a": NEW}


@pytest.mark.parametrize("room", [0, 1, 7, 2999])
def test_a_full_disk_leaves_the_old_file(tmp_path, monkeypatch, room):
    """What was written of the new file is free again after it."""
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=100))
    target = tmp_path / "a"
    target.write_bytes(OLD)
    with pytest.raises(FileError) as caught:
        atomic_write(target, lambda file: FullDisk(file, room).write(NEW), size=lambda: 3000)
    message = str(caught.value)
    assert str(target) in message and "No space left" in message
    assert f"(at least 3,000 bytes needed, {100 + room:,} free in {tmp_path})" in message
    assert content(tmp_path) == {"a": OLD}


def test_the_kernel_refuses_in_the_middle(tmp_path):
    """A file size limit stands for a full disk: the error comes from the system, wherever buffers happen to be flushed."""
    pytest.importorskip("resource")
    (tmp_path / "a").write_bytes(OLD)
    program = ("import resource, sys; from minicnn.files import atomic_write; from minicnn.errors import FileError\n"
               "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
               "try: atomic_write(sys.argv[1], lambda file: file.write(b'x' * 5000), size=lambda: 5000)\n"
               "except FileError as error: print(error)")
    run = subprocess.run([sys.executable, "-c", program, str(tmp_path / "a")], capture_output=True, text=True, timeout=60,
                         cwd=Path(__file__).parents[1])
    assert "File too large" in run.stdout, run.stderr
    assert content(tmp_path) == {"a": OLD}


@pytest.mark.parametrize("error", [OSError(errno.EIO, "Input/output error"), FileError("other bytes"), ValueError(),
                                   KeyboardInterrupt()])
@pytest.mark.parametrize("stage", ["write", "verify", "fsync", "replace"])
def test_any_failure_leaves_the_old_file(tmp_path, monkeypatch, stage, error):
    def fail(*arguments, **options):
        raise error

    target = tmp_path / "a"
    target.write_bytes(OLD)
    if stage in ("fsync", "replace"):
        monkeypatch.setattr(os, stage, fail)
    with pytest.raises(FileError if isinstance(error, OSError) else type(error)):
        atomic_write(target, fail if stage == "write" else lambda file: file.write(NEW), fail if stage == "verify" else None)
    assert content(tmp_path) == {"a": OLD}


def test_file_and_folder_are_flushed_around_the_rename(tmp_path, monkeypatch):
    """Flushed before the rename: the file. Verified before the rename. Flushed after it: the folder."""
    calls = []
    fsync, replace = os.fsync, os.replace

    def flush(descriptor):
        calls.append("flush folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "flush file")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", flush)
    monkeypatch.setattr(os, "replace", lambda *names: (calls.append("rename"), replace(*names)))
    atomic_write(tmp_path / "a", lambda file: file.write(NEW), verify=lambda path: calls.append("verify"))
    assert calls == ["flush file", "verify", "rename", "flush folder"][:4 if os.name != "nt" else 3]


@pytest.mark.skipif(os.name == "nt", reason="modes are POSIX's")
def test_modes(tmp_path):
    old = os.umask(0o027)
    try:
        atomic_write(tmp_path / "new", lambda file: file.write(NEW))
        (tmp_path / "old").write_bytes(OLD)
        (tmp_path / "old").chmod(0o604)
        atomic_write(tmp_path / "old", lambda file: file.write(NEW))
    finally:
        os.umask(old)
    assert [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("new", "old")] == [0o640, 0o604]


def test_a_symbolic_link_stays_one(tmp_path):
    (tmp_path / "there").mkdir()
    (tmp_path / "there/a").write_bytes(OLD)
    (tmp_path / "b").symlink_to(tmp_path / "there/a")
    atomic_write(tmp_path / "b", lambda file: file.write(NEW))
    assert (tmp_path / "b").is_symlink() and (tmp_path / "there/a").read_bytes() == NEW


def test_no_folder_and_a_folder_in_the_way(tmp_path):
    with pytest.raises(FileError, match="there is no folder"):
        atomic_write(tmp_path / "none/a", lambda file: file.write(NEW))
    (tmp_path / "b").mkdir()
    with pytest.raises(FileError, match="cannot write"):
        atomic_write(tmp_path / "b", lambda file: file.write(NEW))
    assert [path.name for path in tmp_path.iterdir()] == ["b"]


@pytest.mark.parametrize("links", [True, False])
def test_link(tmp_path, monkeypatch, links):
    if not links:
        def fail(*names):
            raise OSError(errno.EPERM, "Operation not permitted")
        monkeypatch.setattr(os, "link", fail)
    (tmp_path / "a").write_bytes(NEW)
    (tmp_path / "b").write_bytes(OLD)
    atomic_link(tmp_path / "a", tmp_path / "b")
    assert content(tmp_path) == {"a": NEW, "b": NEW}
    assert (tmp_path / "a").samefile(tmp_path / "b") == links


def test_leftovers_of_a_killed_process_are_removed(tmp_path):
    program = ("import os, sys, signal; from minicnn.files import atomic_write\n"
               "atomic_write(sys.argv[1], lambda file: (file.write(b'x'), os.kill(os.getpid(), signal.SIGKILL)))")
    (tmp_path / "a").write_bytes(OLD)
    subprocess.run([sys.executable, "-c", program, str(tmp_path / "a")], timeout=60, cwd=Path(__file__).parents[1])
    assert (tmp_path / "a").read_bytes() == OLD and len(content(tmp_path)) == 2
    remove_leftovers(tmp_path, ["a"])
    assert content(tmp_path) == {"a": OLD}


def test_only_our_own_leftovers_are_removed(tmp_path):
    ours = [".a.npz.123-0123abcd.part", ".b.1-ffffffff.part"]
    others = [".my_download.iso.part", ".c.123-0123abcd.part", ".a.npz.part", "a.npz.1-01234567.part",
              ".aXnpz.1-01234567.part"]
    for name in ours + others:
        (tmp_path / name).write_bytes(b"")
    others += [".a.npz.9-00000000.part", ".b.9-00000000.part"]
    (tmp_path / others[-2]).mkdir()
    (tmp_path / others[-1]).symlink_to(tmp_path / others[0])
    remove_leftovers(tmp_path, ["a.npz", "b"])
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(others)
    remove_leftovers(tmp_path / "none", ["a.npz"])


@pytest.mark.parametrize("write", [lambda folder: atomic_write(folder / "b", lambda file: file.write(NEW)),
                                   lambda folder: atomic_link(folder / "a", folder / "b")], ids=["write", "link"])
def test_a_disk_that_turns_read_only(tmp_path, monkeypatch, write):
    """Nothing can be written, and nothing removed: the error is still a FileError."""
    def refuse(*arguments, **options):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    (tmp_path / "a").write_bytes(OLD)
    for name in ("replace", "unlink", "remove"):
        monkeypatch.setattr(os, name, refuse)
    monkeypatch.setattr(Path, "unlink", refuse)
    with pytest.raises(FileError, match=r"cannot write.*Read-only"):
        write(tmp_path)
    assert (tmp_path / "a").read_bytes() == OLD and not (tmp_path / "b").exists()
