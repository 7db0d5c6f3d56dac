"""Work ahead of the consumer: in order, bounded, and without a thread left behind."""

import threading
import time

import pytest

from minicnn.data.prefetch import available_cores, ordered_map


def data_threads():
    return [thread for thread in threading.enumerate() if thread.name.startswith("minicnn-data")]


@pytest.mark.parametrize("workers", [1, 3])
def test_results_come_in_order_though_later_ones_are_ready_first(workers):
    def slow_at_first(k):
        time.sleep(0.05 if k % 4 == 0 else 0)
        return k

    assert list(ordered_map(slow_at_first, range(20), workers, ahead=5)) == list(range(20))
    assert not data_threads()


def test_threads_work_while_the_consumer_is_busy():
    begun = []
    results = ordered_map(begun.append, range(50), workers=2, ahead=3)
    next(results)
    time.sleep(0.2)
    assert len(begun) == 4, "one taken, three ahead"
    next(results)
    time.sleep(0.2)
    assert len(begun) == 5
    results.close()


def test_two_at_a_time():
    barrier = threading.Barrier(2, timeout=10)
    assert len(list(ordered_map(lambda _: barrier.wait(), range(6), workers=2, ahead=2))) == 6


@pytest.mark.parametrize("end", ["close", "break", "interrupt", "consumer error"])
def test_leaving_early_leaves_no_thread(end):
    results = ordered_map(lambda k: time.sleep(0.01), range(1000), workers=3, ahead=4)
    next(results)
    assert data_threads()
    start = time.perf_counter()
    if end == "close":
        results.close()
    elif end == "interrupt":
        with pytest.raises(KeyboardInterrupt):
            results.throw(KeyboardInterrupt)
    elif end == "consumer error":
        with pytest.raises(ZeroDivisionError):
            for _ in results:
                1 / 0  # noqa: B018
        del results
    else:
        for _ in results:
            break
        del results
    assert not data_threads()
    assert time.perf_counter() - start < 1


def test_an_exception_comes_at_its_place():
    def fail_at_three(k):
        if k == 3:
            raise ValueError("third")
        return k

    results, got = ordered_map(fail_at_three, range(10), workers=2, ahead=4), []
    with pytest.raises(ValueError, match="third"):
        for k in results:
            got.append(k)
    assert got == [0, 1, 2] and not data_threads()


def test_nothing_to_do():
    assert list(ordered_map(str, [], 2)) == []
    assert available_cores() >= 1
