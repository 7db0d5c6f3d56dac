"""The seam between backends, and how minicnn comes to its NumPy: import order, BLAS kernels, environment."""

import ast
import os
import pathlib
import subprocess
import sys
import textwrap

import pytest
from helpers import normal, send

import minicnn
from minicnn import Conv2d, Linear, Sequential, backends
from minicnn.errors import BackendError

PACKAGE = pathlib.Path(minicnn.__file__).parent
AVX512 = {"avx512f", "avx512cd", "avx512bw", "avx512dq", "avx512vl"}


def python(code, **environment):
    """What a fresh interpreter prints; environment entries of None are removed."""
    variables = {k: v for k, v in (os.environ | environment).items() if v is not None}
    variables["PYTHONPATH"] = os.pathsep.join([str(PACKAGE.parent), variables.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, env=variables, timeout=60
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.split()


WORK = "y = minicnn.Conv2d(2, 3, 3)(numpy.ones((2, 2, 5, 5), 'float32')); print(y.shape[1], y.dtype)\n"
KERNELS = """
import threadpoolctl
print(*{pool.get("architecture") for pool in threadpoolctl.threadpool_info() if pool["internal_api"] == "openblas"})
"""


@pytest.mark.parametrize("order", ["import numpy, minicnn", "import minicnn, numpy"])
def test_either_import_order_works(order):
    assert python(f"{order}\n{WORK}") == ["3", "float32"]


def test_import_alone_loads_nothing_heavy_and_no_gpu():
    found = python("""
        import sys, minicnn
        heavy = "matplotlib", "PIL", "tqdm", "cupy", "safetensors", "onnx", "mpi4py"
        print(*[name for name in heavy if name in sys.modules])
    """)
    assert found == []


def test_training_step_loads_nothing_heavy():
    found = python(f"""
        import sys, numpy, minicnn
        {WORK}
        print(*[name for name in ("matplotlib", "PIL", "tqdm", "cupy") if name in sys.modules])
    """)
    assert found == ["3", "float32"]


@pytest.mark.parametrize("mine", ["Haswell", "prescott", "SkylakeX"])
def test_an_older_core_type_in_the_environment_is_passed_over(mine):
    found = python(f"import minicnn, os\nprint(os.environ['OPENBLAS_CORETYPE'])\n{KERNELS}", OPENBLAS_CORETYPE=mine)
    passed_over = cpu_flags() >= AVX512 and mine != "SkylakeX"
    assert found == [mine, *python(f"import numpy\n{KERNELS}", OPENBLAS_CORETYPE=None if passed_over else mine)]


@pytest.mark.parametrize("order", ["import minicnn", "import numpy, minicnn", "import minicnn, numpy"])
def test_child_processes_choose_their_own_kernels(order):
    child = "import os; print(os.environ.get('OPENBLAS_CORETYPE'))"
    code = f"""
        import subprocess, sys
        {order}
        print(subprocess.run([sys.executable, "-c", {child!r}], capture_output=True, text=True).stdout)
    """
    assert python(code, OPENBLAS_CORETYPE=None) == ["None"]


def test_work_leaves_the_environment_as_it_was():
    code = """
        import os
        before = dict(os.environ)
        import minicnn, numpy
        minicnn.Conv2d(2, 3, 3)(numpy.ones((2, 2, 5, 5), "float32"))
        after = dict(os.environ)
        print(*[name for name in after.keys() | before.keys() if after.get(name) != before.get(name)])
    """
    assert python(code, OPENBLAS_CORETYPE=None, KMP_DUPLICATE_LIB_OK=None) == []


@pytest.mark.parametrize("mine", [None, "Haswell"])
def test_numpy_loaded_first_keeps_its_kernels(mine):
    plain = python(f"import numpy\n{KERNELS}", OPENBLAS_CORETYPE=mine)
    assert python(f"import numpy, minicnn\n{KERNELS}", OPENBLAS_CORETYPE=mine) == plain


def cpu_flags():
    try:
        text = pathlib.Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace")
    except OSError:
        return set()
    return {flag for line in text.splitlines() if line.startswith("flags") for flag in line.split()}


def test_avx512_processors_get_avx512_kernels():
    """OpenBLAS takes some of them for Haswell and runs at half speed."""
    plain = python(f"import numpy\n{KERNELS}", OPENBLAS_CORETYPE=None)
    if not plain or not cpu_flags() >= AVX512:
        pytest.skip("no OpenBLAS, or no AVX-512")
    assert python(f"import minicnn\n{KERNELS}", OPENBLAS_CORETYPE=None) != ["Haswell"]


def test_processors_without_avx512_are_not_given_its_kernels():
    """They would die of an illegal instruction."""
    if cpu_flags() >= AVX512:
        pytest.skip("has AVX-512")
    plain = python(f"import numpy\n{KERNELS}", OPENBLAS_CORETYPE=None)
    assert python(f"import minicnn\n{KERNELS}", OPENBLAS_CORETYPE=None) == plain


@pytest.mark.parametrize("name", ["cuda", "NumPy", "", None, 3, "torch"])
def test_unknown_backend_is_refused_and_the_known_are_named(name):
    layer = Linear(2, 3)
    with pytest.raises(BackendError, match=r"(?s)(?=.*numpy)(?=.*cupy)"):
        layer.to(name)
    assert layer.backend == "numpy"


def test_missing_gpu_is_named_and_the_layer_stays():
    try:
        backends.get("cupy")
    except BackendError as error:
        assert len(str(error)) > 20
    else:
        pytest.skip("has a GPU")
    net = Sequential(conv=Conv2d(2, 3, 3, seed=0), fc=Linear(2, 2, seed=0))
    with pytest.raises(BackendError):
        net.to("cupy")
    assert net.backend == "numpy" and {layer.backend for layer in net.layers.values()} == {"numpy"}
    assert net.conv(send(normal(1, 2, 4, 4, dtype="float32"))).shape == (1, 3, 2, 2)


def imported(path):
    """Top-level names of the modules that a file imports."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module


@pytest.mark.parametrize("path", sorted((PACKAGE / "layers").glob("*.py")), ids=lambda path: path.name)
def test_no_layer_names_an_array_library_for_its_mathematics(path):
    """base.py converts dtypes and states, which are NumPy's on every backend."""
    modules = set(imported(path))
    assert "cupy" not in modules and not any(name.startswith("minicnn.backends.") for name in modules)
    if path.name != "base.py":
        assert "numpy" not in modules


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_arrows_point_one_way(path):
    """Backends do not know layers, layers do not know networks, networks do not know training."""
    order = ["windows", "backends", "layers", "network", "training"]
    place = path.relative_to(PACKAGE).with_suffix("").parts[0]
    if place not in order:
        return
    above = {f"minicnn.{name}" for name in order[order.index(place) + 1 :]}
    for module in imported(path):
        assert not any(module == name or module.startswith(name + ".") for name in above), module


def test_no_environment_variable_chooses_a_backend():
    assert python("import minicnn\nprint(minicnn.Linear(2, 3).backend)", MINICNN_BACKEND="cupy", BACKEND="cupy") == ["numpy"]
