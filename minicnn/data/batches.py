"""From a dataset to what a network eats: batches of cropped, centred, scaled NCHW pixels, made ahead of the step."""

from dataclasses import dataclass
from numbers import Integral

import numpy as np

from minicnn import backends
from minicnn.buffers import BufferPool
from minicnn.data.augment import draw_epoch, draw_noise
from minicnn.data.checks import check_whole
from minicnn.data.prefetch import ordered_map
from minicnn.errors import DataError, DtypeError, ShapeError

AHEAD = 2  # batches ready or in hand beyond the one that the step works on


@dataclass(frozen=True)
class Batch:
    """What a step takes: the images, their labels, and their places in the dataset.

    Shapes
    ------
    images (n, 3, crop, crop), with ten views (10·n, 3, crop, crop), image by image; labels, indices (n,)

    Examples
    --------
    >>> from minicnn.data import Batches, PixelStatistics, Shapes
    >>> data = Shapes(12, size=32)
    >>> batch = next(Batches(data, 4, crop=28, statistics=PixelStatistics.fit(data)).epoch())
    >>> batch.images.shape, batch.labels, batch.indices
    ((4, 3, 28, 28), array([0, 1, 2, 3]), array([0, 1, 2, 3]))
    """

    images: np.ndarray  # or on the GPU
    labels: np.ndarray
    indices: np.ndarray


@dataclass(frozen=True)
class _Raw:
    """A batch on its way to the GPU. Shapes: pixels (n, S, S, 3) of uint8, places and shifts (N, 3), N = n or 10·n."""

    pixels: np.ndarray
    places: np.ndarray
    shifts: np.ndarray
    labels: np.ndarray
    indices: np.ndarray


class Batches:
    """A dataset cut into batches, in which every image comes once an epoch; the last batch may be smaller.

    value = (pixel − mean) / std, with the mean image cropped and mirrored like the pixels. With an augmentation the
    order is shuffled and the crop is random; without one the order is the dataset's and the crop central. Order, crops,
    mirrors, lighting and noise are functions of (seed, epoch, index of the image): the number of threads, the size of
    the batches and where an epoch is resumed do not change what an image looks like.

    Parameters
    ----------
    dataset : ImageFolder, ArrayImages, Shapes or alike
    batch_size : int
    crop : int
        Side of the crops, up to the side of the images.
    statistics : PixelStatistics
    pixels : "unit" or "raw"
        Divide by the standard deviation, or leave the 0-255 scale as the 2012 paper does.
    augment : Augmentation or None
    views : "centre" or "ten"
        Ten: four corners and centre, then the same mirrored. Without augmentation only.
    seed : int
    workers : int
        Threads that decode and assemble.
    dtype : float32 or float64
    backend : "numpy" or "cupy"
        Where the images are made. For a GPU the threads only read them: bytes are copied while the GPU works on the batch
        before, and cropped, mirrored, centred, lit and scaled there. Noise is drawn on the CPU, and then all is made there.

    Examples
    --------
    >>> from minicnn.data import Augmentation, Batches, PixelStatistics, Shapes
    >>> data = Shapes(20, size=32)
    >>> batches = Batches(data, 8, crop=28, statistics=PixelStatistics.fit(data), augment=Augmentation())
    >>> [batch.images.shape for batch in batches.epoch(0)]
    [(8, 3, 28, 28), (8, 3, 28, 28), (4, 3, 28, 28)]
    """

    def __init__(self, dataset, batch_size, crop, statistics, pixels="unit", augment=None, views="centre", seed=0,
                 workers=2, dtype=np.float32, backend="numpy"):
        side = len(statistics.mean)
        if not len(dataset):
            raise DataError("Batches: the dataset has no images")
        if dataset.image(0).shape != statistics.mean.shape:
            raise ShapeError(f"Batches: images are {dataset.image(0).shape}, the mean image {statistics.mean.shape}")
        if not isinstance(crop, Integral) or not 1 <= crop <= side:
            raise ShapeError(f"Batches: crop must be a whole number from 1 to {side}, the side of the images, not {crop!r}")
        check_whole("Batches", 1, batch_size=batch_size, workers=workers)
        check_whole("Batches", seed=seed)
        if pixels not in ("unit", "raw") or views not in ("centre", "ten"):
            raise DataError(f'Batches: pixels are "unit" or "raw", views "centre" or "ten"; not {pixels!r}, {views!r}')
        if augment is not None and views == "ten":
            raise DataError("Batches: ten views are for evaluation; leave augment out")
        self.dataset, self.batch_size, self.crop, self.statistics = dataset, batch_size, crop, statistics
        self.augment, self.views, self.seed, self.workers = augment, views, seed, workers
        self.dtype = _float_dtype(dtype)
        self._mean = np.ascontiguousarray(statistics.mean.transpose(2, 0, 1), self.dtype)  # (3, S, S)
        scale = 1 / statistics.std if pixels == "unit" else np.ones(3)
        self._scale = scale.reshape(3, 1, 1).astype(self.dtype)
        self._room = side - crop
        self._pool = BufferPool()
        self._ops = backends.get(backend)
        self._on_gpu = backend != "numpy" and not (augment and augment.noise)

    def __len__(self):
        return -(-len(self.dataset) // self.batch_size)

    @property
    def shape(self):
        """That of the images of a whole batch, (N, 3, crop, crop), all views counted."""
        views = 10 if self.views == "ten" else 1
        return min(self.batch_size, len(self.dataset)) * views, 3, self.crop, self.crop

    def epoch(self, epoch=0, start=0):
        """A generator of the epoch's batches from number `start` on, while threads make the next ones.

        Closing the generator ends its threads; use `contextlib.closing` where a loop may be left early.

        Raises
        ------
        DataError
            At once: `start` is not from 0 to the number of batches. In its turn: an image could not be read; the
            message names it.
        """
        check_whole("Batches.epoch", 0, epoch=epoch, start=start)
        if start > len(self):
            raise DataError(f"Batches.epoch: start must be from 0 to {len(self)}, the number of batches, not {start}")
        draws = None
        order = np.arange(len(self.dataset))
        if self.augment is not None:
            draws = draw_epoch(self.augment, len(self.dataset), self._room, self.seed, epoch)
            order = draws.order
        cuts = [order[i : i + self.batch_size] for i in range(start * self.batch_size, len(order), self.batch_size)]
        make = self._gather if self._on_gpu else self._assemble
        made = ordered_map(lambda rows: make(rows, draws, epoch), cuts, self.workers, max(AHEAD, self.workers))
        return self._finished_on_gpu(made) if self._on_gpu else made

    def _choices(self, indices, draws):
        """Of each crop: its first row and column and whether it is mirrored, and what lighting adds; (N, 3) each."""
        if draws is None:
            views = _ten_views(self._room) if self.views == "ten" else [(self._room // 2, self._room // 2, False)]
            places = np.tile(np.array(views, np.int32), (len(indices), 1))
            return places, np.zeros(places.shape, self.dtype)
        places = np.stack([draws.top[indices], draws.left[indices], draws.mirrored[indices]], axis=1).astype(np.int32)
        return places, np.array([self.statistics.lighting(draws.alpha[i]) for i in indices], self.dtype)

    # --- on the CPU -----------------------------------------------------------------------------------------------

    def _assemble(self, indices, draws, epoch):
        places, shifts = self._choices(indices, draws)
        out = self._pool.empty((len(places), 3, self.crop, self.crop), self.dtype)
        views = len(places) // len(indices)
        for n, i in enumerate(indices):
            image = self.dataset.image(i)
            for v in range(n * views, (n + 1) * views):
                self._centred(out[v], image, *places[v])
                if draws is not None:
                    self._augment(out[v], shifts[v], epoch, i)
                out[v] *= self._scale
        return Batch(out, self.dataset.labels[indices], indices)

    def _augment(self, out, shift, epoch, i):
        if self.augment.lighting:
            out += shift.reshape(3, 1, 1)
        if self.augment.noise:
            out += draw_noise(out.shape, self.seed, epoch, i) * self.dtype.type(self.augment.noise)

    def _centred(self, out, image, top, left, mirrored):
        """out (3, crop, crop) = cropped pixels − cropped mean, both mirrored or neither."""
        rows, columns = slice(top, top + self.crop), slice(left, left + self.crop)
        pixels, mean = image[rows, columns], self._mean[:, rows, columns]
        if mirrored:
            pixels, mean = pixels[:, ::-1], mean[:, :, ::-1]
        out[...] = pixels.transpose(2, 0, 1)
        out -= mean

    # --- on the GPU -----------------------------------------------------------------------------------------------

    def _gather(self, indices, draws, epoch):
        pixels = self._ops.pinned((len(indices), *self.statistics.mean.shape), np.uint8)
        for n, i in enumerate(indices):
            pixels[n] = self.dataset.image(i)
        return _Raw(pixels, *self._choices(indices, draws), self.dataset.labels[indices], indices)

    def _finished_on_gpu(self, batches):
        mean, scale = self._ops.asarray(self._mean), self._ops.asarray(self._scale.ravel())

        def finish(pixels, raw):
            images = self._ops.crops(pixels, mean, raw.places, raw.shifts, scale, self.crop)
            return Batch(images, raw.labels, raw.indices)

        return self._ops.sent_ahead(batches, finish)


def _float_dtype(dtype):
    try:
        name = repr(dtype) if dtype is None else np.dtype(dtype).name
    except TypeError:
        name = repr(dtype)
    if name not in ("float32", "float64"):
        raise DtypeError(f"Batches: got dtype {name}, wanted float32 or float64")
    return np.dtype(name)


def _ten_views(room):
    """(top, left, mirrored) of four corners and centre, upright first (NIPS 2012, section 4.1)."""
    places = [(0, 0), (0, room), (room, 0), (room, room), (room // 2, room // 2)]
    return [(top, left, mirrored) for mirrored in (False, True) for top, left in places]
