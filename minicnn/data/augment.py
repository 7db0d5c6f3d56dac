"""Random changes to training images, all drawn at the start of an epoch."""

from dataclasses import dataclass

import numpy as np

from minicnn.data.streams import stream
from minicnn.errors import DataError


@dataclass(frozen=True)
class Augmentation:
    """What is done to a training image besides the random crop.

    Parameters
    ----------
    mirror : bool
        Flip left to right every second time.
    lighting : float
        Standard deviation σ of the α in PCA lighting; the paper's is 0.1. To every pixel of an image is added
        [p1 p2 p3][α1 λ1, α2 λ2, α3 λ3]ᵀ, where p and λ are the eigenvectors and eigenvalues of the covariance of RGB
        values in [0, 1] and α ~ N(0, σ) is drawn anew for each image and epoch.
    noise : float
        Standard deviation of Gaussian noise on every value, in grey levels of 0 to 255.

    References
    ----------
    Krizhevsky et al., ImageNet Classification with Deep CNNs, NIPS 2012, section 4.1. The paper does not say in what
    unit the eigenvalues are. With pixels in [0, 1] the shift is a few grey levels; with 0 to 255 it would be hundreds.

    Examples
    --------
    >>> Augmentation(lighting=0.1)
    Augmentation(mirror=True, lighting=0.1, noise=0.0)
    """

    mirror: bool = True
    lighting: float = 0.0
    noise: float = 0.0

    def __post_init__(self):
        for name in ("lighting", "noise"):
            if not 0 <= getattr(self, name) < np.inf:
                raise DataError(f"Augmentation: {name} must be a number from 0 up, not {getattr(self, name)}")


@dataclass(frozen=True)
class Draws:
    """The random choices of one epoch, looked up by the image's index in the dataset.

    Shapes: order (N,), top and left (N,) from 0 to `room` inclusive, mirrored (N,) of bool, alpha (N, 3).
    """

    order: np.ndarray
    top: np.ndarray
    left: np.ndarray
    mirrored: np.ndarray
    alpha: np.ndarray


def draw_epoch(augmentation, count, room, seed, epoch):
    """Draw order, crops, mirrors and lighting of an epoch at once: a function of the arguments and of nothing else.

    Parameters
    ----------
    augmentation : Augmentation
    count : int
        Images in the dataset.
    room : int
        Image side minus crop side; a crop has room + 1 places along each axis.
    seed, epoch : int

    Returns
    -------
    Draws
    """
    rng = stream(seed, epoch)
    order = rng.permutation(count)
    top, left = rng.integers(0, room, (2, count), endpoint=True)
    mirrored = (rng.random(count) < 0.5) & augmentation.mirror
    alpha = rng.normal(0, 1, (count, 3)) * augmentation.lighting
    return Draws(order, top, left, mirrored, alpha)


def draw_noise(shape, seed, epoch, index):
    """Standard normal float32 for one image, from a stream of its own; the first one belongs to `draw_epoch`."""
    return stream(seed, epoch, index + 1).standard_normal(shape, np.float32)
