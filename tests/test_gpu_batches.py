"""Batches made on the GPU from bytes: the same pixels as on the CPU, and memory that is not used again too early."""

import contextlib
import gc
import threading
import weakref

import numpy as np
import pytest
from helpers import fetch
from test_data_batches import DATA, FULL, SIDE, STATISTICS, batches, dataset

from minicnn.data import Augmentation, Batches, PixelStatistics
from minicnn.errors import DataError

pytestmark = pytest.mark.gpu_only

OPTIONS = {
    "plain": {}, "raw pixels": {"pixels": "raw"}, "ten views": {"views": "ten"}, "float64": {"dtype": "float64"},
    "ten views, raw, float64": {"views": "ten", "pixels": "raw", "dtype": "float64"},
    "whole images": {"crop": SIDE}, "one image a batch": {"batch_size": 1}, "one batch": {"batch_size": 50},
    "crop and mirror": {"augment": Augmentation(), "seed": 3},
    "mirror whole images": {"augment": Augmentation(), "crop": SIDE},
    "lighting": {"augment": Augmentation(mirror=False, lighting=0.4), "seed": -1},
    "all but noise, float64": {"augment": Augmentation(lighting=0.1), "dtype": "float64", "batch_size": 7},
}  # fmt: skip


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS.keys())
def test_pixels_are_those_of_the_cpu_to_the_last_bit(options):
    """No product and sum of these can be fused, and bytes are exact: not even the rounding differs."""
    import cupy

    for epoch, start in ((0, 0), (2, 1)):
        start = min(start, len(batches(**options)))
        cpu, gpu = (batches(**options, backend=place).epoch(epoch, start) for place in ("numpy", "cupy"))
        for there, here in zip(cpu, gpu, strict=True):
            assert isinstance(here.images, cupy.ndarray) and here.images.dtype == options.get("dtype", "float32")
            np.testing.assert_array_equal(fetch(here.images), there.images)
            np.testing.assert_array_equal(here.labels, there.labels)
            np.testing.assert_array_equal(here.indices, there.indices)


def test_noise_is_that_of_the_cpu():
    for there, here in zip(batches(augment=FULL).epoch(1), batches(augment=FULL, backend="cupy").epoch(1), strict=True):
        np.testing.assert_array_equal(fetch(here.images), there.images)


def test_batches_that_are_kept_keep_their_pixels():
    made = list(batches(augment=Augmentation(), backend="cupy").epoch(0))
    for there, here in zip(batches(augment=Augmentation()).epoch(0), made, strict=True):
        np.testing.assert_array_equal(fetch(here.images), there.images)


def data_threads():
    return [thread for thread in threading.enumerate() if thread.name.startswith("minicnn-data")]


def test_leaving_early_leaves_no_thread():
    with contextlib.closing(batches(backend="cupy", batch_size=1).epoch()) as epoch:
        next(epoch)
        assert data_threads()
    assert not data_threads()


class Broken:
    """Image 11 cannot be read."""

    classes, labels, names = DATA.classes, DATA.labels, DATA.names

    def __len__(self):
        return len(DATA)

    def image(self, i):
        if i == 11:
            raise DataError("image 11 is broken")
        return DATA.image(i)


@pytest.mark.parametrize("backend_", ["numpy", "cupy"])
def test_an_image_that_cannot_be_read_is_an_error_in_its_turn(backend_):
    """Two batches of five come first, although the third is made while they are used."""
    epoch, found = Batches(Broken(), 5, 8, STATISTICS, backend=backend_).epoch(), []
    with pytest.raises(DataError, match="image 11 is broken"):
        for batch in epoch:
            found.append(batch.indices.tolist())
    assert found == [[0, 1, 2, 3, 4], [5, 6, 7, 8, 9]]
    assert not data_threads()


# --- what only a real GPU could show: the order of copies and kernels, and the life of memory ---


class Log:
    """Streams and events that note what happens, and are never done before somebody waits for them."""

    def __init__(self, monkeypatch):
        import cupy

        from minicnn.backends.cupy import transfer

        log = self.entries = []

        class Event:
            def __init__(self, stream, number):
                self.stream, self.number, self.waited_for = stream, number, False

            def synchronize(self):
                self.waited_for = True
                log.append(("the host waits for", self.stream, self.number))

        class Stream:
            def __init__(self, name="copies"):
                self.name, self.recorded = name, 0

            def __enter__(self):
                return self

            def __exit__(self, *error):
                pass

            def record(self):
                self.recorded += 1
                log.append((self.name, "records", self.recorded))
                return Event(self.name, self.recorded)

            def wait_event(self, event):
                log.append((self.name, "waits for", event.stream, event.number))

            def synchronize(self):
                log.append(("the host waits for all", self.name))

        current = Stream("work")
        monkeypatch.setattr(transfer.cupy.cuda, "Stream", lambda non_blocking: Stream())
        monkeypatch.setattr(transfer.cupy.cuda, "get_current_stream", lambda: current)
        plain_set = cupy.ndarray.set
        monkeypatch.setattr(cupy.ndarray, "set", lambda self, array, stream: (log.append((stream.name, "copies")),
                                                                               plain_set(self, array))[1])


def test_the_next_batch_is_copied_before_the_work_on_this_one_and_kernels_wait_for_their_bytes(monkeypatch):
    log = Log(monkeypatch)
    with contextlib.closing(batches(backend="cupy").epoch()) as epoch:
        next(epoch)
        log.entries.append("step 1")
        next(epoch)
        log.entries.append("step 2")
    assert log.entries[:9] == [
        ("copies", "copies"), ("copies", "records", 1), ("copies", "copies"), ("copies", "records", 2),
        ("work", "waits for", "copies", 1), ("work", "records", 1), "step 1",
        ("copies", "copies"), ("copies", "records", 3)]  # fmt: skip
    assert log.entries[9:12] == [("work", "waits for", "copies", 2), ("work", "records", 2), "step 2"]
    assert log.entries[12:] == [("the host waits for all", "copies"), ("the host waits for", "work", 1),
                                ("the host waits for", "work", 2)]


def test_memory_is_held_until_the_work_on_it_is_done(monkeypatch):
    """On both sides: what nobody holds, the pools hand out again."""
    from minicnn.backends.cupy import transfer

    log, alive = Log(monkeypatch), {}
    received = transfer._received

    def noting(batch, pixels, arrival, finish, held):
        number = len(alive) + 1
        alive[number] = weakref.ref(batch), weakref.ref(pixels)
        return received(batch, pixels, arrival, finish, held)

    monkeypatch.setattr(transfer, "_received", noting)
    for _ in batches(backend="cupy").epoch():
        gc.collect()
        done = {entry[2] for entry in log.entries if entry[:2] == ("the host waits for", "work")}
        for number, references in alive.items():
            for reference in references:
                assert (reference() is None) == (number in done), (number, done)
    assert len(alive) == 5 and done


def test_the_host_copies_bytes_into_memory_that_cannot_move(monkeypatch):
    import cupy

    taken, alloc = [], cupy.cuda.alloc_pinned_memory
    monkeypatch.setattr(cupy.cuda, "alloc_pinned_memory", lambda size: taken.append(size) or alloc(size))
    data = dataset(9, side=20)
    list(Batches(data, 4, 16, PixelStatistics.fit(data), workers=1, backend="cupy").epoch())
    assert sorted(taken) == [1 * 20 * 20 * 3, 4 * 20 * 20 * 3, 4 * 20 * 20 * 3]
