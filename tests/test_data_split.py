"""The validation part: a share of each class that depends on the seed, the class's name and its size."""

import numpy as np
import pytest

from minicnn.data import split_indices
from minicnn.errors import DataError


@pytest.mark.parametrize("seed", [0, -1, 2**70])
def test_split_of_a_class_ignores_the_others(seed):
    labels = np.array([0] * 20 + [1] * 30)
    more = np.concatenate([labels, [1] * 15])
    assert set(split_indices(labels, seed)[1][:4]) == set(split_indices(more, seed)[1][:4])
    train, val = split_indices(more, seed)
    assert sorted([*train, *val]) == list(range(65))


@pytest.mark.parametrize("seed", [0, -1, 2**70])
def test_split_of_a_class_goes_by_its_name(seed):
    """A class `aaa` that comes to be gives every other class another number."""
    labels = np.array([0] * 40 + [1] * 30)
    before = split_indices(labels, seed, ["ant", "bee"])[1]
    after = split_indices(np.concatenate([[0] * 15, labels + 1]), seed, ["aaa", "ant", "bee"])[1]
    assert (after[after >= 15] - 15).tolist() == before.tolist()
    ant, bee = (set(split_indices([0] * 40, seed, [name])[1]) for name in ("ant", "bee"))
    assert ant != bee, "two classes are not split alike"


def test_nothing_cannot_be_split():
    with pytest.raises(DataError, match="no labels"):
        split_indices([])


def test_a_class_of_two_gives_one_to_each_part():
    train, val = split_indices([0, 0, 1, 1])
    assert len(train) == len(val) == 2
