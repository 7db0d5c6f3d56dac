"""Every public name has a docstring with examples; that they run is what `--doctest-modules` checks."""

import importlib
import inspect
import re

import pytest

MODULES = ("minicnn", "minicnn.data", "minicnn.training", "minicnn.plots", "minicnn.initialisers", "minicnn.optim",
           "minicnn.schedules")


def public(module):
    """{name: function or class} that a module exports; without `__all__`, what it defines without an underscore."""
    module = importlib.import_module(module)
    own = [name for name, value in vars(module).items()
           if not name.startswith("_") and getattr(value, "__module__", None) == module.__name__]
    return {name: getattr(module, name) for name in getattr(module, "__all__", own)}


NAMES = [(module, name) for module in MODULES for name in public(module)]


def test_there_is_something_to_look_at():
    assert {"trace", "watch", "Conv2d", "MinicnnError"} <= public("minicnn").keys()
    assert {"HeNormal", "draw"} <= public("minicnn.initialisers").keys() and "Trainer" in public("minicnn.training")


@pytest.mark.parametrize("module, name", NAMES)
def test_a_public_name_has_examples(module, name):
    text = inspect.getdoc(public(module)[name]) or ""
    assert re.search(r"^Examples\n-{8}$", text, re.MULTILINE), f"{module}.{name} has no section of examples"
    assert ">>> " in text.split("Examples\n--------\n")[1], f"the examples of {module}.{name} show nothing to run"


@pytest.mark.parametrize("module, name", NAMES)
def test_the_docstring_is_its_own(module, name):
    """Not one that a class inherits, which would describe another."""
    value = public(module)[name]
    assert not inspect.isclass(value) or ("__doc__" in vars(value) and vars(value)["__doc__"])
