"""Each operation of the CuPy backend beside its twin on NumPy: the same numbers in, the same numbers out.

Equal to the last bit, where each number is one operation or a choice; else close, because a GPU fuses products and sums.
"""

import importlib

import numpy as np
import pytest
from helpers import TOLERANCE, assert_close, fetch, integers, normal, send
from test_pool import CASES, CASES_OF_MAX, arguments

from minicnn import backends
from minicnn.windows import Window

pytestmark = pytest.mark.gpu_only
EDGES = [1, 255, 256, 257, 2047, 2049, 5000]  # of blocks of 256 threads, and of 2,048 numbers
dtypes = pytest.mark.parametrize("dtype", ["float32", "float64"])


def both(operation, *args):
    """(results on NumPy, results on the GPU), lists of NumPy arrays and numbers; of what works in place, its arguments."""
    found = []
    for backend, take in (("numpy", np.copy), ("cupy", send)):
        given = [take(arg) if isinstance(arg, np.ndarray) else arg for arg in args]
        results = getattr(backends.get(backend), operation)(*given)
        if results is None:
            results = tuple(array for array in given if hasattr(array, "dtype"))
        found.append([fetch(one) for one in listed(results)])
    return found


def listed(results):
    return results if isinstance(results, tuple) else (results,)


def check(operation, *args, tolerance=None):
    """Both give the same; `tolerance` None asks for equal bits."""
    for wanted, found in zip(*both(operation, *args), strict=True):
        assert found.dtype == wanted.dtype
        if tolerance is None:
            np.testing.assert_array_equal(found, wanted, operation)
        else:
            assert_close(found, wanted, tolerance, operation)


def launch(file, kernel, threads, *args):
    """A kernel by itself: the rungs of a ladder that no operation uses."""
    from minicnn.backends.cupy import kernels

    kernels.launch(file, kernel, threads, *args)


def device(shape, dtype):
    import cupy

    return cupy.empty(shape, dtype)


@dtypes
@pytest.mark.parametrize("n", EDGES)
@pytest.mark.parametrize("name, exact", [("relu", True), ("tanh", False), ("sigmoid", False)])
def test_element_wise(name, exact, n, dtype):
    x, dy = 3 * normal(n, dtype=dtype), normal(n, seed=1, dtype=dtype)
    x[: n // 9] = 0
    tolerance = None if exact else TOLERANCE[dtype]
    check(name, x, tolerance=tolerance)
    check(f"{name}_backward", dy, getattr(backends.get("numpy"), name)(x), tolerance=tolerance)


@dtypes
@pytest.mark.parametrize("n", EDGES)
@pytest.mark.parametrize("p, key", [(0.5, [0, 0]), (0.1, [2**64 - 1, 3]), (0.75, [12345678901234567, 2**40])])
def test_dropout_has_the_masks_of_the_cpu(p, key, n, dtype):
    x = normal(n, dtype=dtype)
    check("dropout", x, p, key)
    check("dropout_backward", x, backends.get("numpy").dropout(x, p, key)[1], p)


def test_dropout_of_nearly_everything_has_a_threshold_beyond_32_bits():
    (_, wanted), (_, keep) = both("dropout", normal(4096, dtype=np.float32), 1 - 1e-12, [1, 2])
    assert not keep.any() and not wanted.any()


def test_dropout_keeps_what_is_just_at_the_threshold():
    key, x = [3, 4], np.ones(41, np.float32)
    words = np.random.Philox(key=np.array(key, np.uint64)).random_raw(21).view(np.uint32)
    for place in (0, 7, 8, 40):
        check("dropout", x, int(words[place]) / 2**32, key)
        assert fetch(backends.get("cupy").dropout(send(x), int(words[place]) / 2**32, key)[1])[place]


@pytest.mark.parametrize("n", EDGES)
def test_rungs_of_dropout_are_the_same(n):
    x, key, p = normal(n, dtype=np.float32), [7, 8], 0.3
    y, keep = device(n, x.dtype), device(n, "bool")
    launch("dropout", "dropout_forward_naive", n, send(x), y, keep, n, *key, round(p * 2**32), 1 / (1 - p))
    for mine, wanted in zip((y, keep), backends.get("numpy").dropout(x, p, key)):
        np.testing.assert_array_equal(fetch(mine), wanted)


def awkward(shape, dtype):
    """Ties, many −∞, a few NaN, and a map of −∞."""
    x, dice = integers(*shape, low=-2, high=3, dtype=dtype), np.random.default_rng(3).random(shape)
    x[dice < 0.5], x[dice < 0.1] = -np.inf, np.nan
    x[:, 0] = -np.inf
    return x


@dtypes
@pytest.mark.parametrize("make", [normal, awkward])
@pytest.mark.parametrize("case", CASES_OF_MAX.values(), ids=CASES_OF_MAX.keys())
def test_max_pool(case, make, dtype):
    """The number of the tap too, and its dtype."""
    shape, settings = arguments(case)
    window, x = Window.make(*settings), make(*shape, dtype=dtype) if make is normal else make(shape, dtype)
    check("max_pool2d", x, window)
    y, argmax = backends.get("numpy").max_pool2d(x, window)
    check("max_pool2d_backward", normal(*y.shape, dtype=dtype), argmax, shape, window)
    np.testing.assert_array_equal(fetch(backends.get("cupy").max_pool2d(send(x), window, need_argmax=False)[0]), y)


@pytest.mark.parametrize("kernel, dtype", [((15, 17), "uint8"), ((16, 16), "uint16")], ids=str)
def test_max_pool_over_many_taps(kernel, dtype):
    x, window = normal(1, 2, kernel[0] + 1, kernel[1] + 2, dtype=np.float32), Window.make(kernel, 1, 0)
    y, argmax = backends.get("numpy").max_pool2d(x, window)
    assert argmax.dtype == dtype
    check("max_pool2d", x, window)
    check("max_pool2d_backward", normal(*y.shape, dtype=np.float32), argmax, x.shape, window)


def test_max_pool_over_more_taps_than_16_bits_count():
    x, window = normal(3, 1, 257, 256, dtype=np.float32), Window.make((257, 256), 1, 0)
    y, argmax = backends.get("cupy").max_pool2d(send(x), window)
    dx = fetch(backends.get("cupy").max_pool2d_backward(y, argmax, x.shape, window))
    assert argmax.dtype == np.uint32
    np.testing.assert_array_equal(fetch(argmax).ravel(), x.reshape(3, -1).argmax(axis=1))
    np.testing.assert_array_equal(dx, np.where(x == x.max(axis=(2, 3), keepdims=True), x, 0))


@dtypes
@pytest.mark.parametrize("count_include_pad", [True, False])
@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_average_pool(case, count_include_pad, dtype):
    shape, settings = arguments(case)
    window = Window.make(*settings)
    check("avg_pool2d", normal(*shape, dtype=dtype), window, count_include_pad)
    dy = normal(*shape[:2], *window.output_size(shape[2:]), dtype=dtype)
    check("avg_pool2d_backward", dy, shape, window, count_include_pad, tolerance=TOLERANCE[dtype])


LRN_SHAPES = [(2, 7, 3, 5), (1, 1, 1, 1), (3, 33, 2, 3), (2, 70, 5, 3), (1, 64, 3, 1)]  # walks of 32 maps, and their ends


@dtypes
@pytest.mark.parametrize("size", [1, 3, 5, 7, 9, 11])
@pytest.mark.parametrize("shape", LRN_SHAPES, ids=str)
def test_lrn(shape, size, dtype):
    x, dy = 2 * normal(*shape, dtype=dtype), normal(*shape, seed=1, dtype=dtype)
    for constants in ((1.0, 0.75, 2.0), (0.5, 0.6, 1.0)):
        check("lrn", x, size, *constants, tolerance=TOLERANCE[dtype])
        check("lrn_backward", dy, x, size, *constants, tolerance=TOLERANCE[dtype])


@pytest.mark.parametrize("size", [3, 5, 7, 9])
def test_rungs_of_lrn_are_the_same(size):
    shape, constants = (2, 70, 5, 3), (1.0, 0.75, 2.0)
    x, dy = normal(*shape), normal(*shape, seed=1)
    y, dx, sizes = device(shape, x.dtype), device(shape, x.dtype), (x.size, 70, 15, size)
    launch("lrn", "lrn_forward_naive", x.size, send(x), y, *sizes, *constants)
    launch("lrn", "lrn_backward_naive", x.size, send(dy), send(x), dx, *sizes, *constants, 1.5)
    cupy = backends.get("cupy")
    assert_close(cupy.lrn(send(x), size, *constants), fetch(y), 1e-14)
    assert_close(cupy.lrn_backward(send(dy), send(x), size, *constants), fetch(dx), 1e-14)


def test_lrn_forgets_a_large_number_that_has_left_the_window():
    """A running sum that subtracts would keep its rounding, and go on with NaN after an infinity."""
    for value in (1e18, np.inf):
        x = np.ones((1, 40, 1, 2), np.float32)
        x[0, 3, 0, 1] = value
        y = fetch(backends.get("cupy").lrn(send(x), 5, 1.0, 0.75, 1.0))
        np.testing.assert_array_equal(y[0, 6:38, 0, 1], y[0, 6:38, 0, 0])


# one part a channel, several, and the last of them short; one pixel; one image
BATCHNORM_SHAPES = [(5, 3), (300, 7), (9000, 3), (4, 3, 5, 2), (1, 3, 4, 5), (41, 2, 17, 13), (3, 2, 61, 95)]


@dtypes
@pytest.mark.parametrize("shape", BATCHNORM_SHAPES, ids=str)
def test_batch_norm(shape, dtype):
    """Sums of thousands of numbers: NumPy's own are off by as much."""
    tolerance = 10 * TOLERANCE[dtype]
    x, dy = 3 + 2 * normal(*shape, dtype=dtype), normal(*shape, seed=1, dtype=dtype)
    gamma, beta = (normal(shape[1], seed=seed, dtype=dtype) for seed in (2, 3))
    check("batchnorm", x, gamma, beta, 1e-5, tolerance=tolerance)
    _, hat, inverse, mean, variance = backends.get("numpy").batchnorm(x, gamma, beta, 1e-5)
    check("batchnorm_inference", x, gamma, beta, mean, variance, 1e-5, tolerance=tolerance)
    for constants in (True, False):
        check("batchnorm_backward", dy, hat, gamma, inverse, constants, tolerance=tolerance)


def test_parts_of_a_channel_grow_with_the_channel(monkeypatch):
    """So that one thread has never more than PARTS of them to add."""
    batchnorm = importlib.import_module("minicnn.backends.cupy.batchnorm")  # the package has a function of that name
    monkeypatch.setattr(batchnorm, "PART", 10)
    monkeypatch.setattr(batchnorm, "PARTS", 3)
    test_batch_norm((4, 3, 5, 2), "float64")
    test_batch_norm((7, 2, 1, 13), "float64")
    assert batchnorm._cut(np.empty((7, 2, 1, 13)))[2:] == (91, 31, 3)


@dtypes
@pytest.mark.parametrize("shape", [(5, 7), (1, 3), (131, 11), (3, 1), (300, 257), (2, 256), (4, 1000)], ids=str)
def test_softmax_cross_entropy(shape, dtype):
    z, labels = 5 * normal(*shape, dtype=dtype), integers(shape[0], low=0, high=shape[1], dtype=np.int64)
    (wanted, p), (loss, mine) = both("softmax_cross_entropy", z, labels)
    assert loss.shape == () and loss.dtype == np.float64
    assert float(loss) == pytest.approx(wanted, rel=TOLERANCE[dtype])
    assert_close(mine, p, TOLERANCE[dtype])
    check("softmax_cross_entropy_backward", p, labels)


def test_loss_stays_on_the_gpu():
    import cupy

    loss, _ = backends.get("cupy").softmax_cross_entropy(send(normal(3, 5)), send(np.array([0, 1, 2])))
    assert type(loss) is cupy.ndarray


def test_rungs_of_the_loss_are_the_same():
    z, labels = 5 * normal(300, 57), integers(300, low=0, high=57, dtype=np.int64)
    p, losses = device(z.shape, z.dtype), device(300, z.dtype)
    launch("losses", "softmax_cross_entropy_naive", 300, send(z), send(labels), p, losses, *z.shape)
    loss, mine = backends.get("cupy").softmax_cross_entropy(send(z), send(labels))
    assert_close(mine, fetch(p), 1e-14)
    assert float(loss) == pytest.approx(fetch(losses).mean(), rel=1e-13)


@dtypes
@pytest.mark.parametrize("n", EDGES)
def test_optimisers(n, dtype):
    w, g, v, m = (normal(n, seed=seed, dtype=dtype) for seed in range(4))
    for decay in (0.0, 0.01):
        check("sgd_update", w, g, v, 0.1, 0.9, decay, tolerance=TOLERANCE[dtype])
        for step in (1, 7):
            check("adam_update", w, g, m, np.abs(v), step, 0.1, (0.9, 0.999), 1e-8, decay, tolerance=TOLERANCE[dtype])


WINDOW = Window.make(3, 2, 1)
VIEWS = {  # operations that a layer calls with arrays of its caller, and what follows those
    "relu": (1,), "tanh": (1,), "sigmoid": (1,), "dropout": (1, 0.5, [1, 2]), "max_pool2d": (1, WINDOW),
    "avg_pool2d": (1, WINDOW, True), "lrn": (1, 5, 1.0, 0.75, 2.0), "lrn_backward": (2, 5, 1.0, 0.75, 2.0),
}


@pytest.mark.parametrize("name", VIEWS)
def test_arrays_that_are_views(name):
    """Kernels know nothing of strides."""
    count, *rest = VIEWS[name]
    views = [normal(5, 4, 7, 6, seed=seed, dtype=np.float32).transpose(1, 0, 3, 2)[:, ::2] for seed in range(count)]
    operation = getattr(backends.get("cupy"), name)
    wanted = operation(*(send(np.ascontiguousarray(view)) for view in views), *rest)
    found = operation(*(send(normal(5, 4, 7, 6, seed=seed, dtype=np.float32)).transpose(1, 0, 3, 2)[:, ::2]
                        for seed in range(count)), *rest)
    for mine, other in zip(listed(found), listed(wanted), strict=True):
        np.testing.assert_array_equal(fetch(mine), fetch(other))


REPEATED = {
    "batchnorm": lambda x, vector: (x, vector, vector, 1e-5),
    "batchnorm_backward": lambda x, vector: (x, x, vector, vector, False),
    "lrn_backward": lambda x, vector: (x, x, 5, 1.0, 0.75, 2.0),
    "avg_pool2d_backward": lambda x, vector: (x, (41, 3, 33, 25), Window.make(3, 2, 1), True),
    "softmax_cross_entropy": lambda x, vector: (x.reshape(41 * 3, -1), send(integers(123, low=0, high=221, dtype=np.int64))),
}


@pytest.mark.parametrize("name", REPEATED)
def test_the_same_bits_in_every_run(name):
    x, vector = send(normal(41, 3, 17, 13, dtype=np.float32)), send(normal(3, dtype=np.float32))
    operation, args = getattr(backends.get("cupy"), name), REPEATED[name](x, vector)
    first, second = ([fetch(one).tobytes() for one in listed(operation(*args))] for _ in range(2))
    assert first == second
