"""How work is cut does not depend on the number of threads: a seed gives the same bits with one and with many."""

import subprocess
import sys
import textwrap
import threading
import time

import numpy as np
import pytest
from helpers import fetch, normal, send

from minicnn import (
    LRN,
    SGD,
    Adam,
    AvgPool2d,
    BatchNorm1d,
    BatchNorm2d,
    Conv2d,
    Dropout,
    Flatten,
    Linear,
    MaxPool2d,
    MinicnnError,
    ReLU,
    Sequential,
    Sigmoid,
    SoftmaxCrossEntropy,
    Tanh,
    get_num_threads,
    set_num_threads,
)
from minicnn.backends.numpy import parallel


@pytest.fixture(autouse=True)
def threads_as_before():
    before = get_num_threads()
    yield
    set_num_threads(before)


def network():
    return Sequential(
        conv1=Conv2d(3, 8, (5, 3), stride=2, seed=1), bn1=BatchNorm2d(8), relu1=ReLU(),
        norm1=LRN(5, 0.1), pool1=MaxPool2d(3, 2),
        conv2=Conv2d(8, 12, 3, padding=1, groups=2, seed=2), tanh=Tanh(), average=AvgPool2d(2, 1, padding=1),
        flatten=Flatten(), drop=Dropout(0.5, seed=3), fc1=Linear(12 * 10 * 9, 130, seed=4), bn2=BatchNorm1d(130),
        sigmoid=Sigmoid(), fc2=Linear(130, 10, seed=5),
    )  # fmt: skip


def train(threads, kind=SGD, images=19, steps=3):
    """Every output, gradient and weight of some steps of training."""
    set_num_threads(threads)
    net, loss, found = network(), SoftmaxCrossEntropy(), {}
    options = {"momentum": 0.9} if kind is SGD else {}
    optimiser = kind(net.parameters(), lr=0.05, weight_decay=5e-4, **options)
    for step in range(steps):
        x = send(normal(images, 3, 41, 37, seed=step, dtype=np.float32))
        y = net(x)
        found[f"{step} y"], found[f"{step} loss"] = fetch(y), np.float64(loss(y, np.arange(images) % 10))
        optimiser.zero_grad()
        found[f"{step} dx"] = fetch(net.backward(loss.backward()))
        found |= {f"{step} d{p.name}": fetch(p.grad).copy() for p in net.parameters()}
        optimiser.step()
        found |= {f"{step} {key}": array for key, array in net.state_dict().items()}
        found[f"{step} predicted"] = fetch(net.predict(x, batch_size=5))
    return found


@pytest.fixture(scope="module")
def with_one_thread():
    return train(1)


@pytest.mark.parametrize("threads", [2, 3, 5])
def test_bits_do_not_depend_on_the_number_of_threads(threads, with_one_thread):
    found = train(threads)
    assert found.keys() == with_one_thread.keys()
    for key, array in found.items():
        assert np.asarray(array).dtype == with_one_thread[key].dtype
        np.testing.assert_array_equal(array, with_one_thread[key], key)


def test_bits_of_adam_do_not_depend_on_the_number_of_threads():
    one, many = train(1, Adam, steps=2), train(3, Adam, steps=2)
    for key, array in one.items():
        np.testing.assert_array_equal(array, many[key], key)


def test_bits_are_the_same_every_time():
    """A race would show as a difference now and then."""
    first = train(5, steps=1)
    for _ in range(4):
        for key, array in train(5, steps=1).items():
            np.testing.assert_array_equal(array, first[key], key)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("images", [1, 2])
def test_one_image_with_many_threads(images, threads):
    set_num_threads(threads)
    layer = Conv2d(2, 3, 3, seed=0)
    x = normal(images, 2, 40, 30, dtype=np.float32)
    y = fetch(layer(send(x)))
    set_num_threads(1)
    np.testing.assert_array_equal(y, fetch(layer(send(x))))


def test_set_is_what_get_says():
    for threads in (1, 4, np.int64(2)):
        set_num_threads(threads)
        assert get_num_threads() == threads


@pytest.mark.parametrize("wrong", [0, -1, 1.5, "2", None, True])
def test_numbers_without_sense_are_refused(wrong):
    before = get_num_threads()
    with pytest.raises(MinicnnError):
        set_num_threads(wrong)
    assert get_num_threads() == before


def test_blas_has_as_many_threads_after_as_before():
    """Inside, BLAS is held to one thread; the caller's own products are not."""
    threadpoolctl = pytest.importorskip("threadpoolctl")

    def blas_threads():
        return [pool["num_threads"] for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "blas"]

    with threadpoolctl.threadpool_limits(2, "blas"):
        before = blas_threads()
        train(2, images=3, steps=1)
        assert blas_threads() == before
        with pytest.raises(MinicnnError):
            Conv2d(3, 2, 9)(np.zeros((1, 3, 4, 4), np.float32))
        assert blas_threads() == before


def test_networks_in_several_threads_of_the_caller():
    """Each thread has its own network; they share the library's pool and buffers."""
    set_num_threads(2)
    wanted, found = train(2, images=5, steps=2), [None] * 4

    def work(place):
        net, loss = network(), SoftmaxCrossEntropy()
        optimiser = SGD(net.parameters(), lr=0.05, weight_decay=5e-4, momentum=0.9)
        for step in range(2):
            x = normal(5, 3, 41, 37, seed=step, dtype=np.float32)
            loss(net(send(x)), np.arange(5) % 10)
            optimiser.zero_grad()
            net.backward(loss.backward())
            optimiser.step()
        found[place] = net.state_dict()

    workers = [threading.Thread(target=work, args=(place,)) for place in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    for state in found:
        for key, array in state.items():
            np.testing.assert_array_equal(array, wanted[f"1 {key}"], key)


def in_a_process(code):
    return subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=60)


def test_forked_child_works():
    """Threads do not survive a fork: the child must not wait for those of its parent."""
    done = in_a_process("""
        import multiprocessing, warnings
        import numpy as np
        from minicnn import Conv2d, set_num_threads
        warnings.simplefilter("ignore")
        set_num_threads(2)
        layer, x = Conv2d(2, 3, 3, seed=0), np.ones((9, 2, 30, 30), np.float32)
        total = float(layer(x).sum())
        def child(queue):
            queue.put(float(layer(x).sum()))
        context = multiprocessing.get_context("fork")
        queue = context.Queue()
        process = context.Process(target=child, args=(queue,))
        process.start()
        print(queue.get(timeout=30) == total)
        process.join()
    """)
    assert done.stdout == "True\n", done.stderr[-2000:]


def test_fork_amid_the_work_of_other_threads():
    """The child has none of them: it finds the locks free, and BLAS with as many threads as before."""
    done = in_a_process("""
        import os, signal, threading, time, warnings
        from threadpoolctl import threadpool_info, threadpool_limits
        from minicnn import blas
        from minicnn.backends.numpy import arrays, parallel
        warnings.simplefilter("ignore")
        inside, done = threading.Barrier(3), threading.Event()

        def computing():
            parallel.run(lambda: (inside.wait(), done.wait()), [()])

        def locking(lock):
            with lock:
                inside.wait()
                time.sleep(0.2)

        def blas_threads():
            return [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]

        for lock in (arrays._pool._lock, blas.single_threaded._lock):
            with threadpool_limits(2, "blas"):
                before = blas_threads()
                computer = threading.Thread(target=computing)
                computer.start()
                while blas.single_threaded._inside == 0:
                    time.sleep(0.001)
                locker = threading.Thread(target=locking, args=(lock,))
                locker.start()
                inside.wait()
                child = os.fork()
                if not child:
                    signal.alarm(10)
                    arrays.empty((1000, 1000), "float32")
                    parallel.run(abs, [(1,)])
                    os._exit(blas_threads() != before)
                print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
                done.set()
                computer.join(), locker.join()
                done.clear()
    """)
    assert done.stdout == "0\n0\n", done.stderr[-2000:]


def test_interpreter_ends_at_once_after_work_in_threads():
    done = in_a_process("""
        import numpy as np
        from minicnn import Conv2d, set_num_threads
        set_num_threads(4)
        Conv2d(2, 3, 3)(np.ones((9, 2, 30, 30), np.float32))
        print("done")
    """)
    assert done.returncode == 0 and done.stdout == "done\n" and not done.stderr


def test_no_piece_is_at_work_any_more_when_an_error_reaches_the_caller():
    """Also where several pieces fail, and the first of them long before the last is done."""
    set_num_threads(3)
    begun, ended = threading.Barrier(3), []

    def piece(number):
        begun.wait()
        time.sleep(0.1 * number)
        ended.append(number)
        raise ValueError(number)

    for _ in range(3):  # the calling thread takes now one, now another
        with pytest.raises(ValueError):
            parallel.run(piece, [(0,), (1,), (2,)])
        assert ended == [0, 1, 2]
        ended.clear()


def test_an_error_in_a_helper_alone_reaches_the_caller():
    set_num_threads(2)
    caller, begun = threading.get_ident(), threading.Barrier(2)

    def piece():
        begun.wait(timeout=30)
        if threading.get_ident() != caller:
            raise ValueError("a helper's")

    with pytest.raises(ValueError, match="a helper's"):
        parallel.run(piece, [()] * 2)


@pytest.mark.parametrize("images", [2, 40])
def test_bits_of_a_fully_connected_layer_do_not_depend_on_the_number_of_threads(images):
    """Larger than the blocks and pieces of its weights."""
    x, dy, found = normal(images, 1300, dtype=np.float32), normal(images, 700, seed=1, dtype=np.float32), []
    for threads in (1, 2, 3, 5):
        set_num_threads(threads)
        layer = Linear(1300, 700, seed=0)
        found.append((fetch(layer(send(x))), fetch(layer.backward(send(dy))), fetch(layer.weight.grad)))
    for other in found[1:]:
        for one, many in zip(found[0], other, strict=True):
            np.testing.assert_array_equal(one, many)


def test_an_operation_inside_a_piece_runs_where_it_is():
    """A thread that waited for others of its own pool could wait for ever."""
    done = in_a_process("""
        import threading, time
        from minicnn.backends.numpy import parallel
        parallel.set_num_threads(3)

        def threads(number):
            return {threading.get_ident(), *parallel.run(lambda: time.sleep(0.01) or threading.get_ident(), [()] * 3)}

        print([len(found) for found in parallel.run(threads, [(number,) for number in range(6)])])
    """)
    assert done.stdout == "[1, 1, 1, 1, 1, 1]\n", done.stderr[-2000:]


@pytest.mark.parametrize("threads", [1, 2])
def test_nothing_to_do_is_done(threads):
    set_num_threads(threads)
    assert parallel.run(abs, []) == []


def test_shares_are_added_in_order_whichever_is_done_first():
    set_num_threads(4)
    values = normal(40, dtype=np.float32) * 10 ** normal(40, seed=1, dtype=np.float32)  # whose sum depends on the order

    def piece(start, stop):
        time.sleep(0.02 if start % 9 == 0 else 0)  # every third share begins so
        return values[start:stop].copy()

    wanted, share = np.float32(0), parallel.share(len(values))
    for first in range(0, len(values), share):
        part = np.float32(0)
        for value in values[first : first + share]:
            part += value
        wanted += part
    assert [float(parallel.run_and_add(piece, len(values), 1)[0]) for _ in range(3)] == [float(wanted)] * 3


def test_error_inside_the_pool_reaches_the_caller_and_the_pool_goes_on():
    set_num_threads(3)
    layer = Conv2d(2, 3, 3, seed=0)
    x = np.ones((9, 2, 12, 11), np.float32)
    wanted = fetch(layer(send(x)))
    weight = layer.weight.data
    layer.weight.data = None
    with pytest.raises(Exception):  # noqa: B017
        layer(send(x))
    layer.weight.data = weight
    np.testing.assert_array_equal(fetch(layer(send(x))), wanted)
