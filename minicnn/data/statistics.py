"""Mean image, spread and colour axes of a training set."""

from dataclasses import dataclass

import numpy as np

from minicnn.data.prefetch import ordered_map
from minicnn.errors import DataError, StateError

_CHUNK = 64  # images a task; 64·255 fits 16 bits


@dataclass(frozen=True)
class PixelStatistics:
    """What is subtracted from pixels, what divides them, and along which axes their colours vary.

    mean[h, w, c] = (1/N) Σ_n x[n, h, w, c]
    std[c]² = (1/NHW) Σ_n,h,w (x[n, h, w, c] − mean[h, w, c])², so that (x − mean)/std has variance one
    eigenvalues, eigenvectors: of the covariance of the RGB values x/255 of all pixels of all images

    Sums are exact integers, so that the result is the same to the last bit however the work is cut.

    Parameters
    ----------
    mean : ndarray of float32, shape (S, S, 3)
        In grey levels, 0 to 255.
    std : ndarray of float32, shape (3,)
        In grey levels; 1 for a channel that never changes.
    eigenvalues : ndarray of float32, shape (3,)
        Largest first, for pixels in [0, 1].
    eigenvectors : ndarray of float32, shape (3, 3)
        In columns, as in the formula of PCA lighting; the largest component of each is positive.

    Examples
    --------
    >>> from minicnn.data import PixelStatistics, Shapes
    >>> statistics = PixelStatistics.fit(Shapes(24, size=32))
    >>> statistics.mean.shape, statistics.std.shape, bool(statistics.eigenvalues[0] > statistics.eigenvalues[2])
    ((32, 32, 3), (3,), True)
    """

    mean: np.ndarray
    std: np.ndarray
    eigenvalues: np.ndarray
    eigenvectors: np.ndarray

    @classmethod
    def fit(cls, dataset, workers=2):
        """Compute the statistics of a dataset in one pass over its images.

        Parameters
        ----------
        dataset : with len() and image(i), uint8 (S, S, 3)
        workers : int
            Threads.
        """
        count = len(dataset)
        if not count:
            raise DataError("PixelStatistics.fit: the dataset has no images")
        chunks = [range(i, min(i + _CHUNK, count)) for i in range(0, count, _CHUNK)]
        total, products = 0, 0
        for chunk_total, chunk_products in ordered_map(lambda rows: _sums(dataset, rows), chunks, workers, workers):
            total, products = total + chunk_total.astype(np.int64), products + chunk_products
        return cls._from_sums(total, products, count)

    @classmethod
    def _from_sums(cls, total, products, count):
        """From Σ x (S, S, 3) and Σ x xᵀ over all pixels (3, 3)."""
        mean = total / count
        values = count * total.shape[0] * total.shape[1]
        variance = np.diag(products) / values - (mean**2).mean((0, 1))
        std = np.sqrt(np.maximum(variance, 0))
        colour = total.sum((0, 1)) / values
        eigenvalues, eigenvectors = np.linalg.eigh((products / values - np.outer(colour, colour)) / 255**2)
        eigenvalues, eigenvectors = np.maximum(eigenvalues[::-1], 0), eigenvectors[:, ::-1]
        eigenvectors = eigenvectors * np.sign(eigenvectors[np.abs(eigenvectors).argmax(0), range(3)])
        parts = mean, np.where(std > 1e-3, std, 1), eigenvalues, eigenvectors
        return cls(*(np.ascontiguousarray(part, np.float32) for part in parts))

    def lighting(self, alpha):
        """The shift [p1 p2 p3][α1 λ1, α2 λ2, α3 λ3]ᵀ in grey levels: alpha (..., 3) to (..., 3)."""
        return 255 * (alpha * self.eigenvalues) @ self.eigenvectors.T

    def state_dict(self):
        """The four arrays by name."""
        return {name: getattr(self, name) for name in _SHAPES}

    @classmethod
    def from_state_dict(cls, state):
        """The inverse of `state_dict`; refuses missing, further and misshapen arrays."""
        if set(state) != set(_SHAPES):
            raise StateError(f"PixelStatistics: given {sorted(state)}, wanted {sorted(_SHAPES)}")
        arrays = {name: np.asarray(state[name], np.float32) for name in _SHAPES}
        side = len(np.atleast_1d(arrays["mean"]))
        for name, array in arrays.items():
            wanted = tuple(side if length == "S" else length for length in _SHAPES[name])
            if array.shape != wanted:
                raise StateError(f"PixelStatistics: {name} has shape {array.shape}, wanted {wanted}")
        return cls(**arrays)


_SHAPES = {"mean": ("S", "S", 3), "std": (3,), "eigenvalues": (3,), "eigenvectors": (3, 3)}


def _sums(dataset, rows):
    """Σ x, uint16 (S, S, 3), and Σ x xᵀ, float64 (3, 3): whole numbers below 2⁵³, so exact in any order."""
    total, products = None, 0
    for row in rows:
        image = dataset.image(row)
        if total is None:
            total = np.zeros(image.shape, np.uint16)
        total += image
        pixels = image.reshape(-1, 3).astype(np.float64)
        products = products + pixels.T @ pixels
    return total, products
