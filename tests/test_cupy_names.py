"""Names of CuPy that the GPU backend uses, and those that the stand-in has, are names that CuPy has."""

import ast
from pathlib import Path

import numpy as np
import pytest
from cupy_names import CLASSES, MODULES, names

import minicnn
from minicnn.cuda_on_cpu import stand_in

REAL = names()
PACKAGE = Path(minicnn.__file__).parent
USERS = [*(PACKAGE / "backends" / "cupy").glob("*.py"), *(PACKAGE.parent / "benchmarks").glob("*.py")]
OPERATORS = [f"{prefix}{name}" for prefix in ("", "r", "i") for name in stand_in.array.ARITHMETIC] + [
    *stand_in.array.COMPARISONS, *stand_in.array.SIGNS, "array", "array_ufunc", "array_function", "bool", "complex",
    "contains", "copy", "deepcopy", "float", "format", "getitem", "index", "int", "iter", "len", "reversed", "setitem"]


def chains(path):
    """("cuda", "runtime", "getDevice") for each `cupy.cuda.runtime.getDevice` in a file; names imported from CuPy too."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "cupy":
            yield from ((*node.module.split(".")[1:], alias.name) for alias in node.names)
        chain = []
        while isinstance(node, ast.Attribute):
            chain, node = [node.attr, *chain], node.value
        if chain and isinstance(node, ast.Name) and node.id == "cupy":
            yield tuple(chain)


def test_whoever_uses_cupy_uses_names_that_it_has():
    found = {(chain, path.name) for path in USERS for chain in chains(path)}
    assert len(found) > 20 and any(chain == ("cuda", "runtime", "getDeviceCount") for chain, _ in found)
    for chain, file in found:
        place = "cupy"
        for name in chain:
            if place not in REAL:
                break  # an attribute of something that is neither a module nor a class of the list
            assert name in REAL[place], f"{file}: {place}.{name}"
            place = f"{place}.{name}"


@pytest.mark.parametrize("path", sorted((PACKAGE / "backends" / "cupy").glob("*.py")), ids=lambda path: path.name)
def test_attributes_of_arrays_are_those_of_cupys_arrays(path):
    """What NumPy's arrays have and CuPy's have not, the backend does not ask for, whatever it asks."""
    only_numpys = set(dir(np.ndarray)) - REAL["cupy.ndarray"]
    used = {node.attr for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Attribute)}
    assert "ctypes" in only_numpys and not used & only_numpys


@pytest.mark.parametrize("module", MODULES)
def test_modules_of_the_stand_in_have_no_other_names(module):
    own = {name for name in vars(stand_in.modules()[module]) if not name.startswith("_")}
    assert own and not own - REAL[module]


@pytest.mark.parametrize("name", CLASSES)
def test_classes_of_the_stand_in_have_no_other_names(name):
    module, _, last = name.rpartition(".")
    own = vars(getattr(stand_in.modules()[module], last))
    public = {attribute for attribute in own if not attribute.startswith("_")}
    if name == "cupy.ndarray":
        public |= {f"__{operator}__" for operator in OPERATORS} & own.keys()
    assert public and not public - REAL[name]
