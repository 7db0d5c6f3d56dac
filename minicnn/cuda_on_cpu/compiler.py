"""Compiles the text of a .cu file with g++, once: what was built is found again by a hash of all that went into it."""

import contextlib
import ctypes
import functools
import hashlib
import os
import platform
import secrets
import shutil
import subprocess
import tempfile
from pathlib import Path

from minicnn.errors import BackendError

INCLUDE = Path(__file__).with_name("include")

_FLAGS = ("-std=c++17", "-g1", "-fPIC", "-shared", "-fvisibility=hidden", "-ffp-contract=off", "-U_FORTIFY_SOURCE",
          "-fno-exceptions",
          "-Wno-unknown-pragmas")
_VARIANTS = {
    "plain": ("-O2",),
    "address": ("-O1", "-fno-omit-frame-pointer", "-fsanitize=address,undefined", "-fsanitize-recover=address"),
    "thread": ("-O1", "-fno-omit-frame-pointer", "-fsanitize=thread"),
    # the calls of -fsanitize=thread come to include/record.h: without the libraries that would take them
    "record": ("-O1", "-DCUDA_ON_CPU_RECORD", "-fsanitize=thread", "-nodefaultlibs", "-lm", "-lc", "-lgcc"),
}


class CompileError(BackendError):
    """g++ refused the text of a .cu file."""


def build(program, variant):
    """The shared library of a C++ program (text), as a `ctypes.CDLL`.

    Parameters
    ----------
    program : str
    variant : str
        A key of `_VARIANTS`.

    Raises
    ------
    CompileError
        With g++'s words, which name the line of the .cu file.
    BackendError
        There is no g++.
    """
    flags = _FLAGS + _VARIANTS[variant]
    path = _cache() / f"{_key(program, flags)}.so"
    if not path.exists():
        _compile(program, flags, path)
    return ctypes.CDLL(str(path))


def _key(program, flags):
    headers = [path.read_text(encoding="utf-8") for path in sorted(INCLUDE.glob("*.h"))]
    everything = "\0".join([program, *headers, *flags, _version(), platform.machine()])
    return hashlib.sha256(everything.encode()).hexdigest()[:32]


def _compile(program, flags, path):
    """Under a name of its own, then renamed: two processes may do the same at the same time."""
    temporary = path.with_name(f"{path.stem}.{os.getpid()}-{secrets.token_hex(4)}.part")
    try:
        command = [_compiler(), f"-I{INCLUDE}", "-x", "c++", "-", "-o", str(temporary), *flags]
        done = subprocess.run(command, input=program, text=True, capture_output=True)
        if done.returncode:
            said = [line for line in done.stderr.splitlines() if "error:" in line or "required from" in line]
            raise CompileError("\n".join(["g++ cannot compile the kernels:", *(said or [done.stderr])]))
        os.replace(temporary, path)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def _compiler():
    found = shutil.which("g++")
    if not found:
        raise BackendError("CUDA kernels run on the CPU only where g++ is installed, and it is not found on the PATH")
    return found


@functools.cache
def _version():
    return subprocess.run([_compiler(), "--version"], text=True, capture_output=True, check=True).stdout


@functools.cache
def _cache():
    """~/.cache/minicnn/cuda_on_cpu, or a folder of this process alone where that cannot be written."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(home) / "minicnn" / "cuda_on_cpu"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except OSError:
        return Path(_temporary_folder().name)


@functools.cache
def _temporary_folder():
    return tempfile.TemporaryDirectory(prefix="minicnn-")
