"""A validation part drawn from every class."""

import numpy as np

from minicnn.errors import DataError

FRACTION = 0.2  # of each class, rounded, at least one image


def split_indices(labels, seed=0, classes=None):
    """Divide 0..N-1 into training and validation indices, class by class.

    A class's share depends on the seed, the class and its size only, so that images added to one class leave the
    split of the others alone.

    Parameters
    ----------
    labels : array of integers, shape (N,)
    seed : int
    classes : sequence of str, optional
        Names for the error message.

    Returns
    -------
    train, val : ndarray of int64, sorted

    Raises
    ------
    DataError
        A class has a single image, which cannot be in both parts.

    Examples
    --------
    >>> train, val = split_indices([0] * 10 + [1] * 5)
    >>> len(train), len(val), set(train) & set(val)
    (12, 3, set())
    """
    labels = np.asarray(labels)
    train, val = [], []
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        if len(members) < 2:
            name = classes[label] if classes is not None else label
            raise DataError(f"class {name} has one usable image; at least two are needed, one of them for validation")
        held = max(1, round(FRACTION * len(members)))
        order = np.random.default_rng([seed % 2**64, int(label)]).permutation(members)
        val.append(order[:held])
        train.append(order[held:])
    return np.sort(np.concatenate(train)), np.sort(np.concatenate(val))
