"""The score of a linear classifier on raw pixels: what a data set gives away without any shape being seen."""

import numpy as np
from PIL import Image

from minicnn.data.prefetch import ordered_map

_SIDE = 57  # pixels are averaged in blocks until about this side is left
_LIMIT = 4000  # images used of either set: the Gram matrix is that large, squared
_RIDGES = (1e-3, 1e-2, 1e-1, 1.0)  # λ, in units of the mean of the Gram matrix's diagonal


def linear_baseline(train, val, workers=2):
    """Top-1 accuracy on `val` of ridge regression from pixels to one-hot labels, fitted to `train`.

    W = Xᵀ (X Xᵀ + λI)⁻¹ Y, scores = X' W, with X the centred pixels averaged down to about 57×57×3. Of four λ the one
    that does best on `val` counts, which favours this baseline.

    Parameters
    ----------
    train, val : datasets
        With labels, len() and image(i). At most 4,000 images of each are used, evenly spaced.

    Returns
    -------
    float in [0, 1]

    Shapes
    ------
    X (N, D), X' (M, D), Y (N, K)

    References
    ----------
    Hoerl and Kennard, Ridge Regression, Technometrics 12, 1970; the dual form is the matrix inversion lemma.

    Examples
    --------
    >>> from minicnn.data import Shapes, linear_baseline
    >>> linear_baseline(Shapes(120, size=32), Shapes(60, size=32, seed=1)) < 0.3        # shapes are not in single pixels
    True
    """
    x, labels = _pixels(train, workers)
    x_val, labels_val = _pixels(val, workers)
    centre = x.mean(0)
    x, x_val = x - centre, x_val - centre
    gram = x @ x.T
    to_val = x_val @ x.T
    y = np.eye(len(train.classes), dtype=np.float32)[labels]
    y -= y.mean(0)
    scale = max(np.trace(gram) / len(gram), 1e-12)
    return max(_score(gram, ridge * scale, y, to_val, labels_val) for ridge in _RIDGES)


def _score(gram, ridge, y, to_val, labels):
    dual = np.linalg.solve(gram + ridge * np.eye(len(gram), dtype=gram.dtype), y)
    return float(((to_val @ dual).argmax(1) == labels).mean())


def _pixels(dataset, workers):
    """Averaged pixels, float32 (N, D) in [0, 1], and labels."""
    rows = np.unique(np.linspace(0, len(dataset) - 1, min(len(dataset), _LIMIT)).astype(int))

    def shrink(row):
        image = dataset.image(row)
        block = max(1, round(len(image) / _SIDE))
        return np.asarray(Image.fromarray(image).reduce(block)).ravel()

    pixels = np.stack(list(ordered_map(shrink, rows, workers, 4 * workers)))
    return pixels.astype(np.float32) / 255, dataset.labels[rows]
