"""What all tests share."""

import os
from pathlib import Path

import pytest

os.environ.pop("OPENBLAS_CORETYPE", None)  # whoever's environment it is: the commands under test say nothing of it

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


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
    """No memory of earlier tests, and none reserved ahead: tracemalloc sees what arrays take. Called, it is so anew."""
    from minicnn import buffers
    from minicnn.backends.numpy import arrays, parallel

    def renew():
        monkeypatch.setattr(arrays, "_pool", buffers.BufferPool())
        monkeypatch.setattr(parallel._scratch, "buffers", {}, raising=False)

    monkeypatch.setattr(buffers, "SLAB", 0)
    renew()
    return renew
