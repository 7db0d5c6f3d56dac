"""NVRTC, the compiler for CUDA kernels that CuPy uses, called without CuPy, a driver or a GPU."""

import ctypes
import functools
import importlib.metadata
import re
from typing import NamedTuple

# what CuPy 14 gives to NVRTC for a RawModule (cupy/cuda/compiler.py), and a report on registers in the log
OPTIONS = ("--std=c++17", "-ftz=true", "--device-as-default-execution-space", "--ptxas-options=-v")


class Usage(NamedTuple):
    """What a kernel needs of a GPU."""

    registers: int  # of each thread
    spilled: int  # bytes of registers that did not fit
    stack: int  # bytes of local arrays that are no registers
    shared: int  # bytes of static shared memory


@functools.cache
def library():
    """NVRTC as a `ctypes.CDLL`, out of the package nvidia-cuda-nvrtc; None where that is not installed."""
    for distribution in importlib.metadata.distributions():
        if (distribution.metadata["Name"] or "").startswith("nvidia-cuda-nvrtc"):
            for file in distribution.files or ():
                if re.search(r"libnvrtc\.so\.\d+$", str(file)):
                    return ctypes.CDLL(str(distribution.locate_file(file)))
    return None


def compile_kernels(text, name, architecture):
    """{kernel: Usage} of the text of a .cu file, compiled for a GPU such as "sm_90"; a RuntimeError has NVRTC's words."""
    nvrtc, program = library(), ctypes.c_void_p()
    if nvrtc.nvrtcCreateProgram(ctypes.byref(program), text.encode(), name.encode(), 0, None, None):
        raise RuntimeError("NVRTC takes no program")
    try:
        options = [option.encode() for option in (f"-arch={architecture}", *OPTIONS)]
        failed = nvrtc.nvrtcCompileProgram(program, len(options), (ctypes.c_char_p * len(options))(*options))
        log = _log(nvrtc, program)
    finally:
        nvrtc.nvrtcDestroyProgram(ctypes.byref(program))
    if failed or re.search("warning", log):
        raise RuntimeError(f"{name} for {architecture}: {log}")
    return _usage(log)


def _log(nvrtc, program):
    size = ctypes.c_size_t()
    nvrtc.nvrtcGetProgramLogSize(program, ctypes.byref(size))
    log = ctypes.create_string_buffer(size.value)
    nvrtc.nvrtcGetProgramLog(program, log)
    return log.value.decode()


def _usage(log):
    found = {}
    for part in log.split("Compiling entry function '")[1:]:
        stack, stores, loads = map(int, re.search(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill",
                                                  part).groups())
        shared = re.search(r"(\d+) bytes smem", part)
        registers = int(re.search(r"Used (\d+) registers", part)[1])
        found[part.partition("'")[0]] = Usage(registers, stores + loads, stack, int(shared[1]) if shared else 0)
    return found
