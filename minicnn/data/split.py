"""A validation part drawn from every class."""

import zlib

import numpy as np

from minicnn.data.checks import check_whole
from minicnn.errors import DataError

FRACTION = 0.2  # of each class, rounded, at least one image


def split_indices(labels, seed=0, classes=None):
    """Divide 0..N-1 into training and validation indices, class by class.

    A class's share depends on the seed, the class's name and its size only, so that neither images added to another
    class nor another class beside it change the share.

    Parameters
    ----------
    labels : array of integers, shape (N,)
    seed : int
    classes : sequence of str, optional
        Their names; the labels themselves by default.

    Returns
    -------
    train, val : ndarray of int64, sorted

    Raises
    ------
    DataError
        There are no labels, or a class has a single image, which cannot be in both parts.

    Examples
    --------
    >>> train, val = split_indices([0] * 10 + [1] * 5)
    >>> len(train), len(val), set(train) & set(val)
    (12, 3, set())
    """
    labels = np.asarray(labels)
    check_whole("split_indices", seed=seed)
    if not labels.size:
        raise DataError("split_indices: there are no labels, and so nothing to split")
    train, val = [], []
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        name = str(label if classes is None else classes[label])
        if len(members) < 2:
            raise DataError(f"class {name} has one usable image; at least two are needed, one of them for validation")
        held = max(1, round(FRACTION * len(members)))
        key = zlib.crc32(name.encode("utf-8", "surrogatepass"))  # hash() differs from one process to the next
        order = np.random.default_rng([seed % 2**64, key]).permutation(members)
        val.append(order[:held])
        train.append(order[held:])
    return np.sort(np.concatenate(train)), np.sort(np.concatenate(val))
