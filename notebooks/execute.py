"""Run notebooks from clean kernels, and compare what their cells leave with the outputs that are committed.

    python notebooks/execute.py                        # all of them: fails on an error, or on outputs of another kind
    python notebooks/execute.py 02 07 --write          # these two, and keep the new outputs

Compared are the kinds of outputs, cell by cell: a picture, a table, printed text. Pixels and digits differ from machine to
machine. Needs the packages of the extra "notebooks".
"""

import argparse
import os
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

FOLDER = Path(__file__).resolve().parent
LIMIT = 900  # seconds after which a notebook is taken to hang; on two quiet cores each takes less than 180
KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("numbers", nargs="*", help="how the names begin, e.g. 02; all of them if none is given")
    parser.add_argument("--write", action="store_true", help="keep the new outputs in the files")
    args = parser.parse_args()
    paths = [path for path in sorted(FOLDER.glob("*.ipynb")) if path.name.startswith(tuple(args.numbers) or "")]
    if not paths:
        parser.error(f"no notebook in {FOLDER} begins with {' or '.join(args.numbers) or 'anything'}")
    faults = [fault for path in paths for fault in check(path, args.write)]
    raise SystemExit("\n".join(faults) or None)


def check(path, write=False):
    """Run one notebook; what is wrong with it, as sentences."""
    before, notebook = (nbformat.read(path, as_version=4) for _ in range(2))
    start, faults = time.perf_counter(), []
    try:
        run(notebook)
    except CellExecutionError as error:
        return [f"{path.name}: {error}"]
    seconds = time.perf_counter() - start
    print(f"{path.name}: {seconds:.0f} s", flush=True)
    if seconds > LIMIT:
        faults.append(f"{path.name} took {seconds:.0f} s; it has {LIMIT}")
    if write:
        save(notebook, path)
    else:
        faults += [f"{path.name}, cell {number} ({old.id}): committed are {kinds(old)}, this run left {kinds(new)}"
                   for number, (old, new) in enumerate(zip(before.cells, notebook.cells)) if kinds(old) != kinds(new)]
    return faults


def run(notebook):
    """Every cell in a new kernel, whose working directory is this folder; minicnn is that of this repository."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(FOLDER.parent), os.environ.get("PYTHONPATH", "")])}
    client = NotebookClient(notebook, timeout=LIMIT, kernel_name="python3", record_timing=False,
                            resources={"metadata": {"path": str(FOLDER)}})
    client.execute(env=environment)


def kinds(cell):
    """What a cell left, e.g. ['text', 'image/png']: of several outputs of one kind in a row, one."""
    found = []
    for output in cell.get("outputs", []):
        kind = {"stream": output.get("name"), "error": "error"}.get(output.output_type) or best(output.data)
        found += [] if found[-1:] == [kind] else [kind]
    return found


def best(data):
    """The kind that a reader sees of an output that comes in several."""
    return next(kind for kind in ("image/png", "text/html", "text/plain") if kind in data)


def save(notebook, path):
    """Write it with the kernel's name as its only metadata, so that a run on another machine changes outputs alone."""
    notebook.metadata = nbformat.from_dict({"kernelspec": KERNEL})
    nbformat.write(notebook, path)


if __name__ == "__main__":
    main()
