"""Memory that is used again is never memory that somebody still sees."""

import gc
import itertools
import threading

import numpy as np
import pytest

from minicnn import buffers
from minicnn.buffers import PAGE, SLAB, SMALL, BufferPool

SHAPE = (SMALL // 16, 3, 5)  # of float32: above the size from which memory is pooled


def address(array):
    return array.ctypes.data


def test_a_buffer_is_never_handed_out_twice_while_anything_sees_it():
    pool = BufferPool()
    first = pool.empty(SHAPE, np.float32)
    first[...] = 1
    views = [first[2:], first.reshape(-1)[3:7], first.view(np.uint8), np.asarray(first).T, memoryview(first)]
    copies = [np.array(view) for view in views]
    del first
    while views:
        taken = pool.empty(SHAPE, np.float32)
        assert not any(np.shares_memory(taken, np.asarray(view)) for view in views)
        taken[...] = 2
        assert all(np.array_equal(view, copy) for view, copy in zip(views, copies, strict=True))
        views.pop(), copies.pop()
        del taken


def test_a_buffer_comes_back_for_the_same_size_in_any_shape_and_dtype():
    pool = BufferPool()
    first = pool.empty(SHAPE, np.float32)
    was = address(first)
    del first
    second = pool.empty(SHAPE[::-1], np.int32)
    assert address(second) == was and second.shape == SHAPE[::-1] and second.dtype == np.int32
    assert second.flags.writeable and second.flags.c_contiguous


def test_small_arrays_are_left_to_numpy():
    assert BufferPool().empty((3, 4), np.float64).base is None


def pages(pool):
    """The bytes from the first page that was ever handed out to the last, without the gap at the end of the only slab."""
    return pool._slabs[0].nbytes - (pool._gaps[-1][2] - pool._gaps[-1][1])


def test_gaps_beside_each_other_become_one():
    pool = BufferPool()
    first, second, third, last = (pool.empty((count * SMALL,), np.uint8) for count in (1, 2, 3, 1))
    used, was = pages(pool), address(first)
    del third, first, second  # in an order in which a gap grows at its end, at its start, and on both sides
    whole = pool.empty((6 * SMALL,), np.uint8)
    assert address(whole) == was and pages(pool) == used == 7 * SMALL
    assert address(last) == was + 6 * SMALL


def test_the_first_gap_that_is_large_enough_is_taken():
    pool = BufferPool()
    arrays = [pool.empty((count * SMALL,), np.uint8) for count in (1, 1, 3, 1)]
    small, large = address(arrays[0]), address(arrays[2])
    del arrays[2], arrays[0]
    taken = [pool.empty((2 * SMALL,), np.uint8), pool.empty((SMALL,), np.uint8)]
    assert [address(array) for array in taken] == [large, small]


def test_an_array_larger_than_a_slab_gets_one_of_its_own():
    pool = BufferPool()
    small, large = pool.empty((SMALL,), np.uint8), pool.empty((SLAB + 1,), np.uint8)
    assert large.nbytes == SLAB + 1 and [slab.nbytes for slab in pool._slabs] == [SLAB, SLAB + PAGE]
    large[-1] = small[-1] = 1


def test_gaps_of_different_slabs_stay_apart(monkeypatch):
    """Where one ends at the offset at which the other starts."""
    monkeypatch.setattr(buffers, "SLAB", 3 * SMALL)
    for pair in itertools.permutations(range(6), 2):
        pool = BufferPool()
        arrays = [pool.empty((SMALL,), np.uint8) for _ in range(6)]  # in slabs 0, 0, 0, 1, 1, 1
        for number in pair:
            arrays[number] = None
        touching = abs(pair[0] - pair[1]) == 1 and sorted(pair) != [2, 3]
        whole = pool.empty((2 * SMALL,), np.uint8)
        assert len(pool._slabs) == (2 if touching else 3)
        assert not any(np.shares_memory(whole, array) for array in arrays if array is not None)


def test_an_array_gets_memory_of_its_own_where_no_slab_can_be_had(monkeypatch):
    monkeypatch.setattr(buffers, "SLAB", 2**62)
    pool = BufferPool()
    first, second = (pool.empty((SMALL + count,), np.uint8) for count in (0, 1))
    first[...], second[...] = 1, 2
    assert (first == 1).all() and [slab.nbytes for slab in pool._slabs] == [SMALL, SMALL + PAGE]
    with pytest.raises(MemoryError):
        pool.empty((2**50,), np.uint8)
    was = address(first)
    del first
    assert address(pool.empty((SMALL,), np.uint8)) == was


@pytest.mark.parametrize("slab", [SLAB, 12 * SMALL])
def test_arrays_never_overlap(slab, monkeypatch):
    monkeypatch.setattr(buffers, "SLAB", slab)
    pool, random, held = BufferPool(), np.random.default_rng(0), {}
    for number in range(400):
        array = pool.empty((int(random.integers(SMALL, 9 * SMALL)),), np.uint8)
        array[[0, -1]] = number % 251
        held[number] = array
        for key in random.choice(list(held), len(held) // 3, replace=False) if number % 7 == 0 else ():
            del held[key]
        assert all(array[0] == array[-1] == key % 251 for key, array in held.items())
    assert (len(pool._slabs) == 1) == (slab == SLAB)


def test_threads_never_share_a_buffer():
    pool, clashes = BufferPool(), []

    def work(number):
        for _ in range(200):
            array = pool.empty((SMALL,), np.uint8)
            array[:] = number
            if not (array == number).all():
                clashes.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    gc.collect()
    assert not clashes


def test_one_thread_at_a_time_cuts_memory():
    """What `test_threads_never_share_a_buffer` would meet once in a blue moon."""
    pool, made = BufferPool(), []
    other = threading.Thread(target=lambda: made.append(pool.empty((SMALL,), np.uint8)))
    with pool._lock:
        other.start()
        other.join(0.1)
        assert not made
    other.join()
    assert made
