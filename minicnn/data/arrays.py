"""A dataset whose small images lie in memory and grow to full size on demand."""

import numpy as np
from PIL import Image

from minicnn.data.cache import PixelCache
from minicnn.data.decode import prepare
from minicnn.errors import DataError


class ArrayImages:
    """Images held as they came (28×28 grey, 32×32 colour), each prepared to `size` when it is asked for.

    Parameters
    ----------
    pixels : ndarray of uint8, shape (N, h, w) or (N, h, w, 3)
    labels : ndarray of integers, shape (N,)
    classes : sequence of str
    size : int
    cache : PixelCache or None
        Where prepared images are kept; a new one by default.

    Raises
    ------
    DataError
        Pixels of another type or shape, labels that are no integers, another number of labels than of images, or a
        label without a class.

    Examples
    --------
    >>> data = ArrayImages(np.zeros((4, 28, 28), np.uint8), [0, 1, 0, 1], ["0", "1"], size=64)
    >>> len(data), data.image(3).shape
    (4, (64, 64, 3))
    """

    def __init__(self, pixels, labels, classes, size=256, cache=None):
        self.pixels, self.size, self.classes = pixels, size, tuple(classes)
        self.labels = _checked_labels(pixels, np.asarray(labels), self.classes)
        self.names = [str(i) for i in range(len(pixels))]
        self.skipped = []
        self._cache = PixelCache() if cache is None else cache
        self._token = object()  # tells these images from another dataset's in a shared cache

    def __len__(self):
        return len(self.labels)

    def __repr__(self):
        return f"ArrayImages({len(self):,} images, {len(self.classes)} classes, size {self.size})"

    def image(self, i):
        """Image i, uint8 (size, size, 3)."""
        return self._cache.get((self._token, i), lambda: prepare(Image.fromarray(self.pixels[i]), self.size))


def _checked_labels(pixels, labels, classes):
    """The labels as int64, if they go with the pixels and the classes."""
    if pixels.dtype != np.uint8 or pixels.ndim not in (3, 4) or pixels.shape[3:] not in ((), (3,)):
        raise DataError(f"ArrayImages: pixels are {pixels.dtype} {pixels.shape}; wanted uint8 (N, h, w) or (N, h, w, 3)")
    if labels.shape != (len(pixels),):
        raise DataError(f"ArrayImages: {len(pixels):,} images and labels of shape {labels.shape}; wanted ({len(pixels)},)")
    if not labels.size:
        return labels.astype(np.int64)
    if labels.dtype.kind not in "iu":
        raise DataError(f"ArrayImages: the labels are {labels.dtype}, wanted integers")
    if labels.min() < 0 or labels.max() >= len(classes):
        raise DataError(f"ArrayImages: labels from {labels.min()} to {labels.max()}, but {len(classes)} classes")
    return labels.astype(np.int64)
