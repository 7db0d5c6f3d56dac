"""What all tests share."""

import functools
import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

os.environ.pop("OPENBLAS_CORETYPE", None)  # whoever's environment it is: the commands under test say nothing of it

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
BACKENDS = ("numpy", "cuda_on_cpu", "cupy")


def pytest_addoption(parser):
    add = parser.addoption
    add("--backend", choices=BACKENDS, help="where tests marked every_backend run: cupy needs a GPU, cuda_on_cpu plays one "
        "(default: numpy, and then cuda_on_cpu)")
    add("--sanitizer", choices=("address", "thread"), help="compile the kernels of cuda_on_cpu for it")
    add("--reverse", action="store_true", help="run the threads of those kernels from the last to the first")


def pytest_configure(config):
    """Without a GPU `--backend cupy` ends at once, and says what is missing."""
    if config.getoption("--backend") == "cupy":
        from minicnn import BackendError, backends

        try:
            backends.get("cupy")
        except BackendError as error:
            raise pytest.UsageError(error) from None


def pytest_generate_tests(metafunc):
    """Tests marked every_backend run on each, those marked gpu_only on kernels, numpy_only and all others on NumPy."""
    marked = metafunc.definition.get_closest_marker
    if marked("gpu_only"):
        chosen = metafunc.config.getoption("--backend") or "cuda_on_cpu"
        metafunc.parametrize("backend", [] if chosen == "numpy" else [chosen], indirect=True)
    if marked("every_backend") and not marked("numpy_only"):
        chosen = metafunc.config.getoption("--backend")
        metafunc.parametrize("backend", [chosen] if chosen else ["numpy", "cuda_on_cpu"], indirect=True)


@pytest.fixture(autouse=True)
def backend(request, monkeypatch):
    """Where the test runs: `send`, `fetch` and every layer that it makes are there."""
    name = getattr(request, "param", "numpy")
    if name == "numpy":
        yield name
        return
    import helpers

    monkeypatch.setattr(helpers, "BACKEND", "cupy")
    make_layers_on("cupy", monkeypatch)
    if name == "cupy":
        yield name
        return
    if not shutil.which("g++"):
        pytest.skip("no g++, which compiles CUDA kernels for the CPU")
    from minicnn import cuda_on_cpu

    option = request.config.getoption
    with cuda_on_cpu.pretend("reverse" if option("--reverse") else "forward", option("--sanitizer")):
        yield name


def make_layers_on(backend, monkeypatch):
    """Layers are made on the CPU; move each as soon as it is made."""
    from minicnn import Layer

    def moving(init):
        @functools.wraps(init)
        def __init__(self, *args, **kwargs):
            init(self, *args, **kwargs)
            if type(self).__init__ is __init__:  # not that of a base, with more to come
                self.to(backend)
        return __init__

    classes = [Layer]
    for cls in classes:
        classes += cls.__subclasses__()
        if "__init__" in vars(cls):
            monkeypatch.setattr(cls, "__init__", moving(cls.__init__))


@pytest.fixture(scope="session")
def shared_data():
    """`shared_data("mnist")`: that folder of real data beside the repository; the test is skipped where it is absent."""
    def find(*parts):
        path = SHARED_DATA.joinpath(*parts)
        if not path.exists():
            pytest.skip(f"no {'/'.join(parts)} beside the repository")
        return path
    return find


@pytest.fixture
def new_memory(monkeypatch):
    """No memory of earlier tests, and none but what arrays hold: tracemalloc sees it. Called, it is so anew."""
    import numpy

    from minicnn.backends.numpy import arrays, parallel

    def renew():
        monkeypatch.setattr(parallel._scratch, "buffers", {}, raising=False)

    monkeypatch.setattr(arrays, "_pool", SimpleNamespace(empty=numpy.empty))
    renew()
    return renew
