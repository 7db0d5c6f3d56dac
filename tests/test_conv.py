"""Conv2d by each of its algorithms against float64 loops, known values, and the geometry of its windows."""

import copy
import pickle
import tracemalloc

import numpy as np
import pytest
from helpers import TOLERANCE, assert_close, check_layer, fetch, fill, normal, run, send
from oracles import convolution, convolution_backward, output_size

from minicnn import Conv2d, MinicnnError, gradcheck
from minicnn.errors import ShapeError

pytestmark = pytest.mark.every_backend

# x shape, out channels, kernel, stride, padding, dilation, groups, ceil mode
CASES = {
    "plain": ((2, 3, 7, 9), 5, (3, 2), 1, 0, 1, 1, False),
    "stride": ((3, 2, 11, 8), 4, (2, 3), (3, 2), 0, 1, 1, False),
    "padding": ((2, 3, 5, 8), 4, (3, 5), 1, (2, 1), 1, 1, False),
    "one-sided padding": ((2, 3, 5, 7), 4, (3, 2), (2, 1), ((2, 0), (0, 1)), 1, 1, False),
    "four different paddings": ((1, 2, 6, 5), 3, (4, 3), (1, 2), ((0, 1), (3, 2)), 1, 1, False),
    "dilation": ((2, 3, 11, 10), 4, (3, 2), 1, 0, (2, 3), 1, False),
    "dilation, stride, padding": ((2, 2, 9, 13), 3, (2, 3), (2, 3), (1, 2), (3, 2), 1, False),
    "groups": ((2, 6, 7, 5), 4, (2, 3), (1, 2), (1, 0), 1, 2, False),
    "depthwise": ((2, 5, 6, 7), 10, (3, 2), 1, (0, 1), 1, 5, False),
    "groups, dilation, four paddings": ((2, 6, 8, 9), 9, (2, 3), (3, 2), ((1, 2), (0, 3)), (2, 1), 3, False),
    "ceil mode": ((2, 3, 8, 9), 4, 3, (2, 4), 0, 1, 1, True),
    "ceil mode, last window would begin beyond the input": ((2, 3, 5, 4), 4, (1, 2), (3, 3), (0, 1), 1, 1, True),
    "ceil mode, everything": ((2, 4, 9, 7), 6, (2, 3), (3, 4), ((1, 0), (2, 1)), (3, 1), 2, True),
    "one image": ((1, 3, 5, 8), 2, (2, 3), (1, 2), (1, 0), 1, 1, False),
    "one channel": ((3, 1, 5, 7), 2, (3, 2), 1, (0, 1), 1, 1, False),
    "one of everything": ((1, 1, 1, 1), 1, 1, 1, 0, 1, 1, False),
    "1x1 kernel": ((3, 4, 5, 2), 7, 1, 1, 0, 1, 1, False),
    "1x1 kernel with stride": ((3, 4, 5, 7), 2, 1, (3, 2), 0, 1, 1, False),
    "kernel as large as the image": ((3, 2, 4, 5), 3, (4, 5), 1, 0, 1, 1, False),
    "kernel larger than the image": ((2, 2, 2, 3), 3, (4, 5), 1, (1, 2), 1, 1, False),
    "stride larger than the kernel": ((2, 2, 9, 8), 3, (2, 1), (4, 3), 0, 1, 1, False),
    "batch above any chunk": ((37, 2, 3, 4), 3, (2, 3), 1, (1, 0), 1, 1, False),
    "batch above any chunk, groups": ((41, 4, 3, 2), 2, 2, 1, (0, 1), 1, 2, False),
}


# every case of a convolution, for each algorithm that can do it
ALGORITHMS = ("auto", "direct", "im2col", "winograd", "fft")
# Winograd's transforms lose a digit: see the docstring of backends/numpy/conv_winograd.py
ROUNDING = {"float64": 1e-11, "float32": 2e-5}


def build(case, **more):
    shape, out, kernel, stride, padding, dilation, groups, ceil_mode = case
    layer = Conv2d(shape[1], out, kernel, stride, padding, dilation, groups, ceil_mode=ceil_mode, **more)
    return fill(layer.astype("float64")), normal(*shape), (stride, padding, dilation, groups, ceil_mode)


def winograd_can(case):
    _, _, kernel, stride, _, dilation, *_ = case
    return {1} == {stride, dilation} and max(np.atleast_1d(kernel)) <= 5


def each_algorithm(cases):
    """Parametrize "case, algorithm" with all pairs that are not refused, on NumPy; test_gpu_conv.py has the GPU's."""
    pairs = {f"{algorithm}, {name}": (case, algorithm) for algorithm in ALGORITHMS for name, case in cases.items()
             if algorithm != "winograd" or winograd_can(case)}  # fmt: skip
    parametrize = pytest.mark.parametrize("case, algorithm", pairs.values(), ids=pairs.keys())
    return lambda test: pytest.mark.numpy_only(parametrize(test))


@each_algorithm(CASES)
def test_conv_equals_loops(case, algorithm):
    layer, x, settings_ = build(case, algorithm=algorithm)

    def backward(x, dy, p):
        dx, dw, db = convolution_backward(x, p["weight"], dy, *settings_)
        return dx, {"weight": dw, "bias": db}

    tolerance = ROUNDING if algorithm == "winograd" else TOLERANCE
    check_layer(layer, x, lambda x, p: convolution(x, p["weight"], p["bias"], *settings_), backward, tolerance)


def some(*names):
    return {name: CASES[name] for name in names}


@each_algorithm(some("plain", "padding", "groups, dilation, four paddings", "ceil mode, everything", "depthwise"))
def test_without_bias_equals_loops(case, algorithm):
    layer, x, settings_ = build(case, bias=False, algorithm=algorithm)

    def backward(x, dy, p):
        dx, dw, _ = convolution_backward(x, p["weight"], dy, *settings_)
        return dx, {"weight": dw}

    tolerance = ROUNDING if algorithm == "winograd" else TOLERANCE
    check_layer(layer, x, lambda x, p: convolution(x, p["weight"], None, *settings_), backward, tolerance)


@each_algorithm(some("padding", "four different paddings", "ceil mode, everything"))
def test_gradcheck(case, algorithm):
    layer, x, _ = build(case, algorithm=algorithm)
    assert gradcheck(layer, x).passed


def padded(x, padding):
    return np.pad(x, ((0, 0), (0, 0), *padding))


def tap_views(x, w, y, stride, dilation):
    """(u, v, what tap (u, v) of every window sees of the padded x): for images too large for loops."""
    for u in range(w.shape[2]):
        for v in range(w.shape[3]):
            rows = slice(u * dilation[0], u * dilation[0] + (y.shape[2] - 1) * stride[0] + 1, stride[0])
            columns = slice(v * dilation[1], v * dilation[1] + (y.shape[3] - 1) * stride[1] + 1, stride[1])
            yield u, v, x[:, :, rows, columns]


def product_a_tap(x, w, b, stride, padding, dilation):
    """A convolution as one product a tap of the kernel."""
    y = np.zeros((len(x), len(w), *output_size(x.shape[2:], w.shape[2:], stride, padding, dilation))) + b[:, None, None]
    for u, v, seen in tap_views(padded(x, padding), w, y, stride, dilation):
        y += np.einsum("oc,nchw->nohw", w[:, :, u, v], seen, optimize=True)
    return y


def product_a_tap_backward(x, w, dy, stride, padding, dilation):
    wide, dw = padded(x, padding), np.zeros(w.shape)
    dwide = np.zeros(wide.shape)
    for u, v, seen in tap_views(wide, w, dy, stride, dilation):
        dw[:, :, u, v] = np.einsum("nohw,nchw->oc", dy, seen, optimize=True)
    for u, v, target in tap_views(dwide, w, dy, stride, dilation):
        target += np.einsum("oc,nohw->nchw", w[:, :, u, v], dy, optimize=True)
    (top, _), (left, _) = padding
    dx = dwide[:, :, top : top + x.shape[2], left : left + x.shape[3]]
    return dx, {"weight": dw, "bias": dy.sum((0, 2, 3))}


# x shape, out channels, kernel, stride, padding, dilation; the column buffer of a piece is some megabytes
LARGE = {
    "one large image": ((1, 5, 150, 131), 3, (7, 7), (1, 1), ((3, 3), (3, 3)), (1, 1)),
    "large images, stride and dilation": ((2, 5, 209, 223), 4, (9, 7), (2, 1), ((1, 4), (3, 0)), (3, 2)),
    "several images a piece, several pieces a share": ((35, 16, 37, 29), 7, (5, 5), (1, 1), ((2, 2), (2, 2)), (1, 1)),
    "large batch": ((131, 3, 9, 8), 5, (3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1)),
}


LARGE_ALGORITHMS = [(name, algorithm) for name in LARGE for algorithm in ALGORITHMS[1:]
                    if algorithm != "winograd" or name in ("several images a piece, several pieces a share", "large batch")]


@pytest.mark.numpy_only
@pytest.mark.parametrize("name, algorithm", LARGE_ALGORITHMS)
def test_work_cut_into_pieces_equals_one_product_a_tap(name, algorithm):
    """Buffers are bounded, so a large image or batch is cut; no seam may show."""
    shape, out, kernel, *settings_ = LARGE[name]
    check_layer(
        fill(Conv2d(shape[1], out, kernel, *settings_, algorithm=algorithm).astype("float64")),
        normal(*shape),
        lambda x, p: product_a_tap(x, p["weight"], p["bias"], *settings_),
        lambda x, dy, p: product_a_tap_backward(x, p["weight"], dy, *settings_),
        {"float64": 1e-11, "float32": 5e-5 if algorithm == "winograd" else 2e-5},
    )


@pytest.mark.numpy_only
def test_one_product_a_tap_equals_loops():
    """The oracle of large images is checked by the oracle of small ones."""
    x, w, b = normal(2, 2, 9, 11), normal(3, 2, 3, 2, seed=1), normal(3, seed=2)
    settings_ = ((2, 3), ((1, 0), (2, 3)), (2, 1))
    y = convolution(x, w, b, *settings_)
    assert_close(product_a_tap(x, w, b, *settings_), y, 1e-13)
    dy = normal(*y.shape, seed=3)
    dx, gradients = product_a_tap_backward(x, w, dy, *settings_)
    mine = dx, gradients["weight"], gradients["bias"]
    for one, loops in zip(mine, convolution_backward(x, w, dy, *settings_), strict=True):
        assert_close(one, loops, 1e-13)


@pytest.mark.numpy_only
@pytest.mark.usefixtures("new_memory")
@pytest.mark.parametrize("algorithm", ["auto", "direct", "im2col", "fft"])
def test_buffers_are_bounded_and_not_kept(algorithm):
    """All columns of this batch would be 254 MB."""
    layer, x = Conv2d(8, 4, 11, padding=5, algorithm=algorithm), normal(16, 8, 64, 64, dtype=np.float32)
    tracemalloc.start()
    try:
        y = layer(send(x))
        kept, peak_forward = tracemalloc.get_traced_memory()
        layer.backward(y)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_forward < 48e6 and peak < 48e6
    assert kept < 32e6


def test_weight_gradient_is_the_sum_over_the_batch_not_the_mean():
    layer, x, _ = build(CASES["plain"])
    dy = normal(*layer.output_shape(x.shape), seed=3)
    _, _, once = run(layer, x, dy)
    _, _, thrice = run(layer, np.concatenate([x] * 3), np.concatenate([dy] * 3))
    for name in once:
        assert_close(thrice[name], 3 * once[name], 1e-12, name)


def test_output_size_counts_the_padding():
    layer = Conv2d(1, 1, 3, padding=1)
    assert layer.output_shape((1, 1, 5, 4)) == (1, 1, 5, 4)
    assert layer(send(np.ones((1, 1, 5, 4), np.float32))).shape == (1, 1, 5, 4)


def test_paddings_are_top_bottom_left_right():
    layer = Conv2d(1, 1, 1, padding=((1, 2), (3, 4)), bias=False)
    layer.weight.data[...] = send(np.ones((1, 1, 1, 1), np.float32))
    x = np.full((1, 1, 1, 1), 5, np.float32)
    y = fetch(layer(send(x)))
    assert y.shape == (1, 1, 4, 8)
    assert np.argwhere(y[0, 0] == 5).tolist() == [[1, 3]]


def test_224_gives_55_as_if_three_zeros_lay_below_and_to_the_right():
    """AlexNet's 2012 code: 1 + ceil((224 - 11) / 4) = 55, the last filter overhanging into zeros."""
    ceil = Conv2d(3, 2, 11, stride=4, ceil_mode=True, seed=1)
    padded = Conv2d(3, 2, 11, stride=4, padding=((0, 3), (0, 3)), seed=1)
    x, dy = normal(1, 3, 224, 224, dtype=np.float32), normal(1, 2, 55, 55, dtype=np.float32, seed=1)
    assert ceil.output_shape(x.shape) == (1, 2, 55, 55)
    assert Conv2d(3, 2, 11, stride=4).output_shape(x.shape) == (1, 2, 54, 54)
    (y, dx, gradients), (wanted_y, wanted_dx, wanted) = run(ceil, x, dy), run(padded, x, dy)
    assert_close(y, wanted_y, 1e-6)
    assert_close(dx, wanted_dx, 1e-6)
    assert_close(gradients["weight"], wanted["weight"], 1e-5)


# --- geometry and refusals ---


def test_wrong_number_of_channels_is_refused_with_both_numbers():
    with pytest.raises(ShapeError, match=r"(?s)(?=.*3)(?=.*5)"):
        Conv2d(3, 4, 2)(send(np.zeros((2, 5, 6, 7), np.float32)))


@pytest.mark.parametrize("shape", [(3, 6, 7), (2, 3, 6), (1, 2, 3, 6, 7), (3,)])
def test_wrong_rank_is_refused(shape):
    with pytest.raises(ShapeError):
        Conv2d(3, 4, 2)(send(np.zeros(shape, np.float32)))


def test_kernel_that_does_not_fit_is_refused():
    with pytest.raises(ShapeError):
        Conv2d(3, 4, (5, 2))(send(np.zeros((2, 3, 4, 7), np.float32)))
    with pytest.raises(ShapeError):
        Conv2d(3, 4, 2, dilation=(1, 7)).output_shape((2, 3, 4, 7))


@pytest.mark.parametrize(
    "options",
    [
        {"groups": 2},
        {"groups": 5},
        {"groups": 0},
        {"stride": 0},
        {"stride": (1, -1)},
        {"dilation": 0},
        {"padding": -1},
        {"padding": ((0, 1), (-1, 0))},
        {"padding": (1, 2, 3)},
        {"kernel_size": 0},
        {"kernel_size": (3, 3, 3)},
        {"stride": (1, 2, 3)},
        {"out_channels": 0},
    ],
    ids=str,
)
def test_settings_without_sense_are_refused(options):
    with pytest.raises(MinicnnError):
        Conv2d(**{"in_channels": 3, "out_channels": 10, "kernel_size": 3, **options})


@pytest.mark.numpy_only
def test_an_algorithm_that_was_asked_for_is_part_of_the_layer():
    """`repr` says it, copies and conversions keep it, and weights do not know of it."""
    asked, auto = Conv2d(3, 4, 3, seed=0, algorithm="fft"), Conv2d(3, 4, 3, seed=0)
    assert repr(asked) == "Conv2d(3→4, k=3, fft)" and repr(auto) == "Conv2d(3→4, k=3)"
    for layer in (copy.deepcopy(asked), pickle.loads(pickle.dumps(asked)), asked.astype("float64").to("numpy").eval()):
        assert layer.chosen_algorithm((1, 3, 9, 9)) == "fft"
    assert asked.state_dict().keys() == auto.state_dict().keys()
    auto.load_state_dict(asked.state_dict())
    with pytest.raises(ShapeError, match="'auto', 'direct'"):
        Conv2d(3, 4, 3, algorithm=["fft"])


def test_arguments_by_position_are_those_of_the_contract():
    """The seed comes after `ceil_mode`, and what was added since comes after the seed."""
    one, other = Conv2d(2, 4, 3, 1, 0, 1, 1, True, False, 5), Conv2d(2, 4, 3, seed=5)
    np.testing.assert_array_equal(fetch(one.weight.data), fetch(other.weight.data))


def test_dy_of_another_shape_is_refused():
    layer = Conv2d(3, 4, 2)
    layer(send(np.zeros((2, 3, 6, 7), np.float32)))
    with pytest.raises(ShapeError):
        layer.backward(send(np.zeros((2, 4, 6, 7), np.float32)))
