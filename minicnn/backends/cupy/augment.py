"""Crops of images, made on the GPU from bytes."""

import cupy

from minicnn.backends.cupy.arrays import asarray, empty
from minicnn.backends.cupy.kernels import launch


def crops(images, mean, places, shifts, scale, side):
    """(pixel − mean + shift) · scale of a crop of each image, or of several: (N, 3, side, side).

    Parameters
    ----------
    images : CuPy array of uint8 (B, S, S, 3)
        With N/B crops of each.
    mean, scale : CuPy arrays (3, S, S), (3,)
    places : NumPy array of int32 (N, 3)
        First row and column of each crop, and whether it is mirrored.
    shifts : NumPy array (N, 3)
        Of the colours of each crop.
    side : int
    """
    out = empty((len(places), 3, side, side), mean.dtype)
    launch("augment", "crop", out.size, cupy.ascontiguousarray(images), mean, asarray(places), asarray(shifts), scale, out,
           len(places), len(places) // len(images), images.shape[1], side)
    return out
