"""What all tests share."""

from pathlib import Path

import pytest

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
