"""The names that CuPy has. `python tests/cupy_names.py`, with CuPy and cuBLAS installed, writes them to cupy_names.json.

No GPU is needed for it. Tests read the file, so that they need no CuPy.
"""

import functools
import json
from pathlib import Path

FILE = Path(__file__).with_suffix(".json")
MODULES = ("cupy", "cupy.cuda", "cupy.cuda.runtime", "cupy.cuda.memory", "cupy.cuda.cublas")
CLASSES = ("cupy.ndarray", "cupy.RawModule", "cupy.RawKernel", "cupy.cuda.Device", "cupy.cuda.Stream", "cupy.cuda.Event",
           "cupy.cuda.MemoryPool", "cupy.cuda.MemoryPointer", "cupy.cuda.PinnedMemoryPointer")


def names():
    """{"cupy": {names}, "cupy.ndarray": {names}, …}"""
    found = json.loads(FILE.read_text(encoding="utf-8"))
    return {place: set(found[place].split()) for place in (*MODULES, *CLASSES)}


def main():
    import cupy

    found = {"version": cupy.__version__}
    for place in (*MODULES, *CLASSES):
        thing = functools.reduce(getattr, place.split(".")[1:], cupy)
        lazy = {other.rpartition(".")[2] for other in MODULES if other.rpartition(".")[0] == place}  # not in dir()
        every = lazy | set(dir(thing))
        found[place] = " ".join(sorted(name for name in every if is_public(name) or place == "cupy.ndarray"))
    FILE.write_text(json.dumps(found, indent=0) + "\n", encoding="utf-8")


def is_public(name):
    return not name.startswith("_") or name == "__version__"


if __name__ == "__main__":
    main()
