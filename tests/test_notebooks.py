"""The notebooks as they are committed: run through, small, free of traces of a machine; and exercises that can be solved.

Whether they run is for `notebooks/execute.py`, which CI calls.
"""

import ast
import contextlib
import getpass
import io
import itertools
import json
import re
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[1] / "notebooks"
PATHS = sorted(FOLDER.glob("*.ipynb"))
OUTPUT, ALL = 300_000, 3_000_000  # characters of one output, and of all notebooks together
OURS = {"minicnn", "alexnet", "numpy"}
PRIVATE = ("minicnn.backends",)  # behind the seam: the public names are in minicnn itself
PLACES = re.compile(r"/home/|/root\b|/tmp/|/Users/|/usr/|/opt/|/var/|/work/|[A-Z]:\\|site-packages|ipykernel_\d")
SOLUTION = re.compile(r"<details><summary>Solution</summary>\n\n```python\n((?:(?!```).)*)```\n\n</details>", re.DOTALL)

each = pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)


def text(lines):
    """Sources and outputs are a string, or a list of lines."""
    return lines if isinstance(lines, str) else "".join(lines)


def read(path):
    return json.loads(path.read_text(encoding="utf-8"))


def cells(path, kind):
    return [cell for cell in read(path)["cells"] if cell["cell_type"] == kind]


def code(path):
    return [(cell, text(cell["source"])) for cell in cells(path, "code")]


def exercises(path):
    """(exercise, solution) of every code cell under which a solution is folded."""
    every = read(path)["cells"]
    folded = [(before, text(cell["source"])) for before, cell in itertools.pairwise(every) if is_solution(cell)]
    return [(text(before["source"]), SOLUTION.fullmatch(solution).group(1)) for before, solution in folded]


def is_solution(cell):
    return cell["cell_type"] == "markdown" and "<details>" in text(cell["source"])


def every_exercise():
    return [pytest.param(*pair, id=f"{path.stem}-{i}") for path in PATHS for i, pair in enumerate(exercises(path), 1)]


def outputs(path):
    """(kind, text) of everything that cells left, in every form in which it is kept."""
    for cell in cells(path, "code"):
        for output in cell["outputs"]:
            yield from ((kind, text(data)) for kind, data in output.get("data", {}).items())
            if output["output_type"] == "stream":
                yield output["name"], text(output["text"])


def test_there_are_notebooks_and_they_are_numbered():
    assert PATHS and all(re.fullmatch(r"0\d_[a-z0-9_]+\.ipynb", path.name) for path in PATHS)
    assert len({path.name[:2] for path in PATHS}) == len(PATHS)


@each
def test_the_format_holds_nothing_of_a_machine(path):
    notebook = read(path)
    assert notebook["metadata"] == {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
    ids = [cell["id"] for cell in notebook["cells"]]
    assert len(set(ids)) == len(ids)
    assert all(cell["metadata"] == {} for cell in notebook["cells"])


@each
def test_every_cell_was_run_in_order(path):
    assert [cell["execution_count"] for cell, _ in code(path)] == list(range(1, len(code(path)) + 1))


@each
def test_no_output_is_an_error_or_a_warning(path):
    left = [output for cell in cells(path, "code") for output in cell["outputs"]]
    assert not [output for output in left if output["output_type"] == "error" or output.get("name") == "stderr"]


@each
def test_outputs_are_there(path):
    """Of cells that print, and of those that end with a picture."""
    for cell, source in code(path):
        kinds = {kind for output in cell["outputs"] for kind in output.get("data", [output.get("name")])}
        statements = ast.parse(source).body
        calls = [ast.unparse(s.value.func) for s in statements if isinstance(s, ast.Expr) and isinstance(s.value, ast.Call)]
        last = ast.unparse(statements[-1])
        assert "print" not in calls or "stdout" in kinds, source
        assert not last.startswith("plots.") or "image/png" in kinds, source


@each
def test_nothing_tells_of_a_machine(path):
    home, user = str(Path.home()), getpass.getuser()
    for kind, content in [("source", text(cell["source"])) for cell in read(path)["cells"]] + list(outputs(path)):
        if kind != "image/png":
            assert not PLACES.search(content) and str(FOLDER.parent) not in content and f"{home}/" not in content, content
            assert user == "root" or not re.search(rf"\b{re.escape(user)}\b", content), content


@each
def test_no_output_is_large(path):
    assert max((len(content) for _, content in outputs(path)), default=0) <= OUTPUT


def test_all_together_are_small():
    assert sum(path.stat().st_size for path in PATHS) <= ALL


@each
def test_only_public_names_of_this_library_are_used(path):
    for _, source in code(path):
        for node in ast.walk(ast.parse(source)):  # a magic would be a syntax error
            modules = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            modules += [node.module] if isinstance(node, ast.ImportFrom) else []
            for module in modules:
                top = module.split(".")[0]
                assert (top in OURS or top in sys.stdlib_module_names) and not module.startswith(PRIVATE), source
            names = [a.name for a in node.names] if isinstance(node, ast.ImportFrom) else []
            assert not [name for name in names if name.startswith("_")], source


@each
def test_there_are_exercises_with_folded_solutions(path):
    assert 3 <= len(exercises(path)) <= 6
    for cell in read(path)["cells"]:
        assert not is_solution(cell) or SOLUTION.fullmatch(text(cell["source"])), text(cell["source"])


@pytest.mark.parametrize("exercise, solution", every_exercise())
def test_a_solution_is_its_exercise_with_the_gaps_filled(exercise, solution):
    lines = iter(solution.splitlines())
    for line in exercise.splitlines():
        assert "..." in line or line in lines, f"{line!r} of the exercise is not in the solution, or elsewhere"
    assert "..." in exercise and not re.search(r"^[^#]*\.\.\.", solution, re.MULTILINE)


@pytest.mark.parametrize("exercise, solution", every_exercise())
def test_a_solution_passes_and_the_open_exercise_does_not(exercise, solution, monkeypatch):
    monkeypatch.chdir(FOLDER)
    monkeypatch.setattr(sys, "path", [*sys.path])
    assert any(line.startswith("✓") for line in run(solution))
    lines = run(exercise)
    assert any(line.startswith("not yet") for line in lines) and not any(line.startswith("✓") for line in lines)


def run(source):
    """The lines that a cell prints, in a namespace of its own."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(source, "cell", "exec"), {"__name__": "cell"})
    return printed.getvalue().splitlines()
