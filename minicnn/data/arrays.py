"""A dataset whose small images lie in memory and grow to full size on demand."""

import numpy as np
from PIL import Image

from minicnn.data.cache import PixelCache
from minicnn.data.decode import prepare


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

    Examples
    --------
    >>> data = ArrayImages(np.zeros((4, 28, 28), np.uint8), [0, 1, 0, 1], ["0", "1"], size=64)
    >>> len(data), data.image(3).shape
    (4, (64, 64, 3))
    """

    def __init__(self, pixels, labels, classes, size=256, cache=None):
        self.pixels, self.size, self.classes = pixels, size, tuple(classes)
        self.labels = np.asarray(labels, np.int64)
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
