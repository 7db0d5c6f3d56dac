"""CUDA on the CPU: its beginning and its end, and what is compiled and kept."""

import importlib.util
import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
from cuda_helpers import device, run
from helpers import forget_cupy

import minicnn
from minicnn import BackendError, Conv2d, cuda_on_cpu
from minicnn.cuda_on_cpu import compiler, source

ROOT = Path(minicnn.__file__).parents[1]
needs_gcc = pytest.mark.skipif(not shutil.which("g++"), reason="no g++, which compiles CUDA kernels for the CPU")

def python(code, **environment):
    """What a new interpreter prints that finds this minicnn."""
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=100,
                          env=os.environ | {"PYTHONPATH": path} | environment)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.split()


STEP = textwrap.dedent("""
    import numpy as np
    from minicnn import Conv2d, cuda_on_cpu
    with cuda_on_cpu.pretend():
        import cupy
        y = Conv2d(2, 3, 3, seed=0).to("cupy")(cupy.asarray(np.ones((1, 2, 4, 4), np.float32)))
""")


def test_nothing_pretends_by_itself():
    assert python("import sys, minicnn\nprint(*[m for m in sys.modules if 'cupy' in m or 'cuda_on_cpu' in m])") == []


@pytest.mark.parametrize("backend", ["cuda_on_cpu"], indirect=True)
def test_within_it_cupy_is_the_stand_in_and_a_second_time_is_refused():
    import cupy

    assert cupy.__version__.endswith("cuda_on_cpu")
    with pytest.raises(BackendError, match="in force already"):
        cuda_on_cpu.pretend()


@needs_gcc
def test_afterwards_everything_is_as_before(monkeypatch):
    forget_cupy(monkeypatch)
    monkeypatch.setitem(sys.modules, "cupy", None)  # not installed
    before = {name: module for name, module in sys.modules.items() if "cupy" in name}
    with cuda_on_cpu.pretend() as pretence:
        assert Conv2d(2, 3, 3).to("cupy").backend == "cupy"
        pretence.stop()
        pretence.stop()  # once more changes nothing
    assert {name: module for name, module in sys.modules.items() if "cupy" in name} == before
    with pytest.raises(BackendError):
        Conv2d(2, 3, 3).to("cupy")


ANOTHER_CUPY = """
import sys
import cupy, cupy.cuda
from minicnn import backends
theirs = cupy, cupy.cuda
try:
    backends.get("cupy")            # whether there is a GPU or not
except Exception as error:
    print(type(error).__name__)
ours = sys.modules.get("minicnn.backends.cupy")
for turn in range(2):
    with cuda_on_cpu.pretend():
        import cupy
        y = Conv2d(2, 3, 3, seed=0).to("cupy")(cupy.asarray(np.ones((1, 2, 4, 4), np.float32)))
        print(type(y) is cupy.ndarray, cupy is theirs[0], "cupy.own" in sys.modules)
    import cupy
    print((cupy, cupy.cuda) == theirs, sys.modules.get("minicnn.backends.cupy") is ours)
"""


@needs_gcc
def test_a_cupy_that_is_imported_is_put_aside_and_comes_back(tmp_path):
    """Without a GPU, the question for one imports it; with one, it is in use."""
    (tmp_path / "cupy" / "cuda").mkdir(parents=True)
    (tmp_path / "cupy" / "own.py").touch()
    (tmp_path / "cupy" / "__init__.py").write_text("import cupy.cuda, cupy.own\n__version__ = '14.2.0'\n")
    (tmp_path / "cupy" / "cuda" / "__init__.py").write_text("class runtime:\n    driverGetVersion = lambda: 0\n")
    said = python(STEP.partition("with")[0] + ANOTHER_CUPY, PYTHONPATH=f"{ROOT}{os.pathsep}{tmp_path}")
    assert said == ["BackendError", *["True", "False", "False", "True", "True"] * 2]


@needs_gcc
@pytest.mark.skipif(importlib.util.find_spec("cupy") is None, reason="CuPy is not installed")
def test_the_real_cupy_is_put_aside_and_comes_back():
    said = python(STEP.partition("with")[0] + ANOTHER_CUPY)
    assert said[-10:] == ["True", "False", "False", "True", "True"] * 2


@pytest.mark.parametrize("wrong", [{"order": "sideways"}, {"sanitizer": "leak"}, {"order": None}])
def test_unknown_settings_are_refused(wrong):
    with pytest.raises(BackendError, match="wanted one of"):
        cuda_on_cpu.pretend(**wrong)


ORDER = """
    order[atomicAdd(next, 1)] = 10 * blockIdx.x + threadIdx.x;
    __syncthreads();
    order[atomicAdd(next, 1)] = 100 + 10 * blockIdx.x + threadIdx.x;
"""


@needs_gcc
@pytest.mark.parametrize("order, first", [("forward", [0, 1, 2, 100, 101, 102, 10, 11, 12, 110, 111, 112]),
                                          ("reverse", [12, 11, 10, 112, 111, 110, 2, 1, 0, 102, 101, 100])])
def test_threads_and_blocks_run_in_order_or_in_reverse(order, first):
    with cuda_on_cpu.pretend(order):
        found, place = device(np.zeros(12), np.int32), device([0], np.int32)
        run(ORDER, found, place, grid=(2,), block=(3,), parameters="int *order, int *next")
        assert found.get().tolist() == first


@needs_gcc
def test_what_was_compiled_is_found_again(tmp_path):
    assert python(STEP + "print(y.shape[1])", XDG_CACHE_HOME=str(tmp_path)) == ["3"]
    built = {path: path.stat().st_mtime_ns for path in (tmp_path / "minicnn" / "cuda_on_cpu").iterdir()}
    assert built and all(path.suffix == ".so" for path in built)
    assert python(STEP + "print(y.shape[1])", XDG_CACHE_HOME=str(tmp_path), PATH=fake_compiler(tmp_path)) == ["3"]
    assert {path: path.stat().st_mtime_ns for path in built} == built


def fake_compiler(folder):
    """A PATH with a g++ that knows its version, and compiles nothing."""
    version = subprocess.run(["g++", "--version"], capture_output=True, text=True, check=True).stdout
    (folder / "bin").mkdir()
    (folder / "version").write_text(version)
    (folder / "bin" / "g++").write_text(f'#!/bin/sh\n[ "$1" = --version ] && cat {folder}/version\n')
    (folder / "bin" / "g++").chmod(0o755)
    return f"{folder / 'bin'}:/usr/bin:/bin"


@needs_gcc
def test_two_processes_that_compile_the_same_do_not_disturb_each_other(tmp_path):
    environment = os.environ | {"XDG_CACHE_HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}
    code = STEP + "print(float(y.sum()))"
    both = [subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE) for _ in range(2)]
    said = [process.communicate(timeout=100)[0] for process in both]
    assert said[0] == said[1] and not any(process.returncode for process in both)
    assert not list(tmp_path.rglob("*.part"))


@needs_gcc
def test_a_folder_that_cannot_be_written_does_no_harm(tmp_path):
    (tmp_path / "minicnn").write_text("a file, where a folder should be")
    assert python(STEP + "print(y.shape[1])", XDG_CACHE_HOME=str(tmp_path)) == ["3"]


def test_without_a_compiler_one_sentence_says_so(tmp_path):
    code = f"try:\n{textwrap.indent(STEP, '    ')}\nexcept Exception as error:\n    print(type(error).__name__, error)"
    said = python(code, XDG_CACHE_HOME=str(tmp_path), PATH=str(tmp_path))
    assert said[0] == "BackendError" and "g++" in said and len(said) < 30


@needs_gcc
def test_changed_headers_are_compiled_anew(tmp_path, monkeypatch):
    before = compiler._key("int x;", ("-O2",))
    shutil.copytree(compiler.INCLUDE, tmp_path / "include")
    monkeypatch.setattr(compiler, "INCLUDE", tmp_path / "include")
    assert compiler._key("int x;", ("-O2",)) == before
    with open(tmp_path / "include" / "warp.h", "a", encoding="utf-8") as file:
        file.write("// changed\n")
    assert compiler._key("int x;", ("-O2",)) != before


def test_the_text_keeps_its_lines():
    """Comments, strings and declarations over several lines: what follows is where it was."""
    text = ('// a "comment" /*\n/* __shared__ float no[3];\n*/\nextern "C" __global__ void __launch_bounds__(f(1, 2), 3)\n'
            'k(const float *x,\n  int n /* (an int) */, float y[3])\n{\n    __shared__ float a[2][N + 1],\n'
            '        b, c[M(1, 2)];\n    printf("// %d __shared__ float q;", n);\n}\nint last;\n')
    program, found = source.program(text)
    body = program.partition('#line 1 "kernel.cu"\n')[2].splitlines()
    assert body[text.splitlines().index("int last;")] == "int last;"
    assert found["k"] == source.Kernel("k", ("x", "n", "y"), "f(1, 2), 3")
    assert "float a_type_[2][N + 1]" in program and "float b_type_;" in program and "c_type_[M(1, 2)]" in program
    assert 'printf("// %d __shared__ float q;", n);' in program and "no_type_" not in program
