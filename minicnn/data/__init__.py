"""Datasets, decoding, augmentation, and batching ahead of the step."""

from minicnn.data.arrays import ArrayImages
from minicnn.data.augment import Augmentation
from minicnn.data.batches import Batch, Batches
from minicnn.data.cache import PixelCache
from minicnn.data.cifar10 import open_cifar10
from minicnn.data.decode import prepare, read_image
from minicnn.data.folder import ImageFolder, open_folder
from minicnn.data.idx import open_idx
from minicnn.data.linear import linear_baseline
from minicnn.data.open import open_dataset
from minicnn.data.shapes import Shapes
from minicnn.data.split import split_indices
from minicnn.data.statistics import PixelStatistics

__all__ = [
    "ArrayImages", "Augmentation", "Batch", "Batches", "ImageFolder", "PixelCache", "PixelStatistics", "Shapes",
    "linear_baseline", "open_cifar10", "open_dataset", "open_folder", "open_idx", "prepare", "read_image",
    "split_indices",
]
