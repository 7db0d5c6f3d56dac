"""Batches against a loop: pixels, order, views; and that nothing but seed, epoch and index decides them."""

import contextlib
import itertools
import threading
import time

import numpy as np
import pytest

from minicnn.data import ArrayImages, Augmentation, Batches, PixelStatistics
from minicnn.data.augment import draw_epoch, draw_noise
from minicnn.errors import DataError, DtypeError, ShapeError

SIDE, COUNT = 11, 23


def dataset(count=COUNT, side=SIDE):
    pixels = np.random.default_rng(5).integers(0, 256, (count, side, side, 3), np.uint8)
    return ArrayImages(pixels, np.arange(count) % 3, ["a", "b", "c"], size=side)


DATA = dataset()
STATISTICS = PixelStatistics.fit(DATA)
FULL = Augmentation(mirror=True, lighting=0.1, noise=3.0)


def batches(data=DATA, batch_size=5, crop=8, **options):
    return Batches(data, batch_size, crop, STATISTICS, **options)


def view(i, top, left, mirrored, crop, unit, shift=(0, 0, 0), noise=None):
    """One crop, value by value, in float64: (3, crop, crop)."""
    out = np.empty((3, crop, crop))
    for c, y, x in itertools.product(range(3), range(crop), range(crop)):
        column = left + (crop - 1 - x if mirrored else x)
        value = float(DATA.pixels[i, top + y, column, c]) - float(STATISTICS.mean[top + y, column, c]) + shift[c]
        value += noise[c, y, x] if noise is not None else 0
        out[c, y, x] = value / float(STATISTICS.std[c]) if unit else value
    return out


def joined(iterator):
    parts = [(batch.images, batch.labels, batch.indices) for batch in iterator]
    return [np.concatenate(column) for column in zip(*parts, strict=True)]


@pytest.mark.parametrize("pixels", ["unit", "raw"])
@pytest.mark.parametrize("crop", [8, 7, 11])
def test_evaluation_sees_the_centre_in_the_datasets_order(pixels, crop):
    images, labels, indices = joined(batches(crop=crop, pixels=pixels).epoch())
    assert indices.tolist() == list(range(COUNT))
    np.testing.assert_array_equal(labels, DATA.labels)
    room = (SIDE - crop) // 2
    expected = [view(i, room, room, False, crop, pixels == "unit") for i in range(COUNT)]
    np.testing.assert_allclose(images, expected, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("pixels", ["unit", "raw"])
@pytest.mark.parametrize("crop", [8, 11])
def test_training_sees_what_was_drawn(pixels, crop):
    images, labels, indices = joined(batches(crop=crop, pixels=pixels, augment=FULL, seed=9).epoch(4))
    draws = draw_epoch(FULL, COUNT, SIDE - crop, 9, 4)
    np.testing.assert_array_equal(indices, draws.order)
    np.testing.assert_array_equal(labels, DATA.labels[draws.order])
    for image, i in zip(images, indices, strict=True):
        scaled = draws.alpha[i] * STATISTICS.eigenvalues.astype(float)
        shift = [255 * sum(float(STATISTICS.eigenvectors[c, k]) * scaled[k] for k in range(3)) for c in range(3)]
        noise = 3.0 * draw_noise((3, crop, crop), 9, 4, int(i))
        expected = view(i, draws.top[i], draws.left[i], draws.mirrored[i], crop, pixels == "unit", shift, noise)
        np.testing.assert_allclose(image, expected, rtol=1e-5, atol=1e-4)


def test_ten_views_image_by_image():
    images, labels, indices = joined(batches(views="ten").epoch())
    assert images.shape == (10 * COUNT, 3, 8, 8) and len(labels) == len(indices) == COUNT
    for i in (0, 7, COUNT - 1):
        places = [(0, 0), (0, 3), (3, 0), (3, 3), (1, 1)]
        expected = [view(i, top, left, m, 8, True) for m in (False, True) for top, left in places]
        np.testing.assert_allclose(images[10 * i : 10 * i + 10], expected, rtol=1e-5, atol=1e-4)


def test_unit_pixels_have_variance_one():
    images = joined(batches(crop=SIDE).epoch())[0]
    np.testing.assert_allclose((images.astype(float) ** 2).mean((0, 2, 3)), 1, rtol=1e-5)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_format(dtype):
    for batch in batches(augment=FULL, dtype=dtype).epoch():
        assert batch.images.dtype == dtype and batch.images.flags.c_contiguous and batch.images.flags.writeable
        assert batch.labels.dtype == batch.indices.dtype == np.int64
        assert len(batch.images) == len(batch.labels) == len(batch.indices)


@pytest.mark.parametrize("batch_size,sizes", [(5, [5] * 4 + [3]), (23, [23]), (100, [23]), (1, [1] * 23)])
def test_every_image_once_and_the_last_batch_is_kept(batch_size, sizes):
    made = batches(batch_size=batch_size, augment=FULL)
    got = list(made.epoch(1))
    assert [len(batch.labels) for batch in got] == sizes and len(made) == len(sizes)
    assert sorted(np.concatenate([batch.indices for batch in got])) == list(range(COUNT))


@pytest.mark.parametrize("change", [{"workers": 1}, {"workers": 5}, {"batch_size": 4}, {"batch_size": 23}])
def test_threads_and_batch_size_change_no_bit(change):
    reference = joined(batches(augment=FULL, seed=2).epoch(3))
    for a, b in zip(reference, joined(batches(augment=FULL, seed=2, **change).epoch(3)), strict=True):
        assert a.tobytes() == b.tobytes()


@pytest.mark.parametrize("start", range(6))
def test_an_epoch_can_be_resumed_at_any_batch(start):
    whole, rest = list(batches(augment=FULL).epoch(7)), list(batches(augment=FULL).epoch(7, start))
    assert len(rest) == 5 - start
    for a, b in zip(whole[start:], rest, strict=True):
        assert a.images.tobytes() == b.images.tobytes() and a.indices.tolist() == b.indices.tolist()


def test_epochs_and_seeds_differ():
    orders = {tuple(joined(batches(augment=FULL, seed=seed).epoch(epoch))[2]) for seed in (0, 1) for epoch in (0, 1, 2)}
    assert len(orders) == 6


class SlowAtFirst:
    """A dataset whose first image is slow, and which may fail at one image."""

    def __init__(self, broken=None):
        self.labels, self.broken, self.asked = DATA.labels, broken, []

    def __len__(self):
        return COUNT

    def image(self, i):
        self.asked.append(i)
        if i == 0:
            time.sleep(0.15)
        if i == self.broken:
            raise DataError(f"photo_{i}.jpg: image file is truncated")
        return DATA.image(i)


def data_threads():
    return [thread for thread in threading.enumerate() if thread.name.startswith("minicnn-data")]


def test_order_survives_a_slow_first_image():
    images, _, indices = joined(batches(SlowAtFirst(), workers=4).epoch())
    assert indices.tolist() == list(range(COUNT))
    np.testing.assert_array_equal(images, joined(batches().epoch())[0])


def test_a_broken_image_surfaces_at_its_batch_with_its_name():
    got = []
    with pytest.raises(DataError, match=r"photo_12\.jpg: image file is truncated"):
        for batch in batches(SlowAtFirst(broken=12)).epoch():
            got.append(batch)
    assert len(got) == 2 and not data_threads()


def test_leaving_early_leaves_no_thread_and_decodes_no_further():
    data = SlowAtFirst()
    made = batches(data, batch_size=1)
    with contextlib.closing(made.epoch()) as epoch:
        for _ in epoch:
            break
        assert data_threads()
    asked = len(data.asked)
    assert not data_threads() and asked <= 5
    time.sleep(0.1)
    assert len(data.asked) == asked


def test_batches_that_are_kept_keep_their_pixels():
    kept, copies = [], []
    for batch in itertools.chain(batches(augment=FULL).epoch(0), batches(augment=FULL).epoch(1)):
        kept.append(batch.images[1:])
        copies.append(batch.images[1:].copy())
        del batch
    for a, b in zip(kept, copies, strict=True):
        np.testing.assert_array_equal(a, b)


def test_memory_of_dropped_batches_is_used_again():
    data = dataset(24, side=80)
    made = Batches(data, 2, 76, PixelStatistics.fit(data), workers=1)  # 139 kB: small ones are left to NumPy
    addresses = []
    for epoch in range(4):
        for batch in made.epoch(epoch):
            addresses.append(batch.images.ctypes.data)
    assert len(addresses) == 48 and len(set(addresses)) <= 6


@pytest.mark.parametrize("wrong,error,words", [
    ({"crop": 12}, ShapeError, "crop must be a whole number from 1 to 11"),
    ({"crop": 0}, ShapeError, "crop must be"),
    ({"crop": 1.5}, ShapeError, "crop must be a whole number from 1 to 11, .* not 1.5"),
    ({"batch_size": 0}, DataError, "batch_size must be a whole number, at least 1, not 0"),
    ({"batch_size": 2.5}, DataError, "batch_size must be a whole number, at least 1, not 2.5"),
    ({"workers": 0}, DataError, "workers must be a whole number, at least 1, not 0"),
    ({"seed": 0.5}, DataError, "seed must be a whole number, not 0.5"),
    ({"dtype": "int32"}, DtypeError, "got dtype int32, wanted float32 or float64"),
    ({"dtype": "float33"}, DtypeError, "got dtype 'float33', wanted"),
    ({"dtype": None}, DtypeError, "got dtype None, wanted"),
    ({"pixels": "255"}, DataError, "'255'"),
    ({"views": "five"}, DataError, "'five'"),
    ({"views": "ten", "augment": FULL}, DataError, "for evaluation"),
    ({"data": dataset(3, 12)}, ShapeError, r"images are \(12, 12, 3\), the mean image \(11, 11, 3\)"),
    ({"data": dataset(0)}, DataError, "no images"),
])
def test_senseless_settings_are_refused(wrong, error, words):
    with pytest.raises(error, match=words):
        batches(**wrong)


@pytest.mark.parametrize("wrong,words", [
    ({"start": -1}, "start must be a whole number, at least 0, not -1"),
    ({"start": 6}, "start must be from 0 to 5, the number of batches, not 6"),
    ({"start": 1.0}, "start must be a whole number"),
    ({"epoch": 0.5}, "epoch must be a whole number"),
])
def test_an_epoch_that_there_is_not_is_refused_at_once(wrong, words):
    with pytest.raises(DataError, match=words):
        batches(augment=FULL).epoch(**wrong)
