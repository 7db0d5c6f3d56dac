"""Memory that is used again is never memory that somebody still sees."""

import gc
import threading

import numpy as np

from minicnn.buffers import SMALL, BufferPool

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


def test_memory_in_use_and_waiting_never_exceeds_what_was_once_in_use():
    pool = BufferPool()
    large, middle = pool.empty((4 * SMALL,), np.uint8), pool.empty((2 * SMALL,), np.uint8)
    del large, middle
    kept = pool.empty((5 * SMALL,), np.uint8)  # nothing waiting is large enough
    assert pool._used + pool._kept <= pool._most == 6 * SMALL
    assert kept.nbytes == pool._used and sum(len(memories) for memories in pool._waiting.values()) == 0


def test_memory_somewhat_larger_is_taken_and_the_smallest_that_will_do():
    pool = BufferPool()
    waiting = [pool.empty((int(count * SMALL),), np.uint8) for count in (2.5, 3, 9)]
    was = [address(array) for array in waiting]
    del waiting
    taken = [pool.empty((2 * SMALL,), np.uint8) for _ in range(3)]
    assert [address(array) for array in taken[:2]] == was[:2] and address(taken[2]) not in was
    assert all(array.nbytes == 2 * SMALL for array in taken)
    assert pool._used == (2.5 + 3 + 2) * SMALL and pool._used + pool._kept <= pool._most == 14.5 * SMALL


def test_the_smallest_memory_that_makes_room_is_released():
    pool = BufferPool()
    waiting = [pool.empty((count * SMALL,), np.uint8) for count in (2, 5, 20)]
    del waiting
    kept = pool.empty((4 * SMALL + 1,), np.uint8), pool.empty((3 * SMALL,), np.uint8)  # the first fits into 5
    assert sorted(size for size, memories in pool._waiting.items() if memories) == [2 * SMALL] and len(kept) == 2


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
