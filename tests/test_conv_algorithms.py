"""What the algorithms of a convolution owe each other: the same results, known rounding, true figures of memory."""

import tracemalloc

import numpy as np
import pytest
from helpers import assert_close, fetch, fill, normal, send
from oracles import convolution, convolution_backward
from test_conv import CASES, build, each_algorithm

from minicnn import Conv2d, Sequential, get_num_threads, gradcheck, set_num_threads, trace
from minicnn.backends.numpy import arrays, conv, conv_direct, conv_fft, conv_im2col, conv_winograd, parallel
from minicnn.errors import ShapeError
from minicnn.windows import Window

ALL = ("direct", "im2col", "winograd", "fft")


@pytest.fixture
def threads():
    """`set_num_threads`, and as many as before in the end."""
    before = get_num_threads()
    yield set_num_threads
    set_num_threads(before)


# --- seams ---


@each_algorithm(CASES)
def test_the_smallest_pieces_change_nothing(case, algorithm, monkeypatch):
    """One image or one row of outputs a piece, for images that are small enough for an oracle."""
    for module, name in ((conv_direct, "PIECE_BYTES"), (conv_im2col, "COLUMN_BYTES"), (conv_winograd, "CHUNK_BYTES"),
                         (conv_fft, "CHUNK_BYTES"), (conv_fft, "FREQUENCIES")):  # fmt: skip
        monkeypatch.setattr(module, name, 1)
    layer, x, settings = build(case, algorithm=algorithm)
    weight, bias = fetch(layer.weight.data), fetch(layer.bias.data)
    y = layer(send(x))
    assert_close(y, convolution(x, weight, bias, *settings), 1e-11, "y")
    dy = normal(*y.shape, seed=1)
    dx = layer.backward(send(dy))
    wanted = convolution_backward(x, weight, dy, *settings)
    for name, mine, loops in zip(("dx", "dw", "db"), (dx, layer.weight.grad, layer.bias.grad), wanted, strict=True):
        assert_close(mine, loops, 1e-11, name)


@pytest.mark.parametrize("which", [0, 1, -1])
@pytest.mark.parametrize("stride, dilation, padding", [(1, 1, 0), ((2, 3), (3, 1), ((1, 2), (4, 0)))])
def test_tiles_of_every_size_give_the_same(which, stride, dilation, padding, monkeypatch):
    """A tile of one window, of a few, of the whole image."""
    sizes = conv_fft._tile_sizes
    monkeypatch.setattr(conv_fft, "_tile_sizes", lambda *axis: [list(sizes(*axis))[which]])
    monkeypatch.setattr(conv_fft, "_tiles", conv_fft._tiles.__wrapped__)
    x, w, b = normal(2, 3, 13, 17), normal(4, 3, 3, 2, seed=1), normal(4, seed=2)
    window = Window.make((3, 2), stride, padding, dilation)
    y = conv.conv2d(x, w, b, window, algorithm="fft")
    assert_close(y, convolution(x, w, b, stride, padding, dilation), 1e-12)
    dy = normal(*y.shape, seed=3)
    mine = conv.conv2d_backward(dy, x, w, window, algorithm="fft")
    for one, loops in zip(mine, convolution_backward(x, w, dy, stride, padding, dilation), strict=True):
        assert_close(one, loops, 1e-12)


def test_sizes_of_tiles_are_those_that_the_transform_likes():
    assert [n for n in range(1, 31) if conv_fft._is_good(n)] == [
        1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 14, 15, 16, 18, 20, 21, 24, 25, 27, 28, 30]  # fmt: skip
    for window in (Window.make(5, 1, 2), Window.make(11, 4, 0), Window.make(3, 2, 1, 3)):
        for size in (27, 56, 227):
            tiles = conv_fft._tiles(window, 8, size, size)
            assert all(map(conv_fft._is_good, tiles.kernel)) and tiles.kernel[0] < 2 * size


# --- arguments ---


def test_refusals_say_why_and_name_the_settings():
    with pytest.raises(ShapeError, match=r"'winograd' cannot do k=3, s=2, p=1: .*stride 1"):
        Conv2d(3, 4, 3, stride=2, padding=1, algorithm="winograd")
    with pytest.raises(ShapeError, match=r"'winograd' cannot do k=3×2, d=2: .*dilation 1"):
        Conv2d(3, 4, (3, 2), dilation=2, algorithm="winograd")
    with pytest.raises(ShapeError, match=r"'winograd' cannot do k=3×7: .*larger than 5"):
        Conv2d(3, 4, (3, 7), algorithm="winograd")


@pytest.mark.parametrize("name", ["cudnn", "Direct", "", None, 3])
def test_unknown_algorithms_are_refused_with_the_known_ones(name):
    with pytest.raises(ShapeError, match=r"'auto', 'direct', 'im2col', 'winograd', 'fft'"):
        Conv2d(3, 4, 3, algorithm=name)


@pytest.mark.parametrize("groups", [1, 2, 6])
@pytest.mark.parametrize("algorithm", ALL)
def test_any_strides_of_the_arrays_give_the_same(algorithm, groups):
    """x and dy as transposed, reversed and spaced views; what is not asked for is not computed."""
    x, dy = normal(3, 6, 9, 8), normal(3, 6, 9, 7, seed=1)
    layer = fill(Conv2d(6, 6, (3, 4), padding=1, groups=groups, algorithm=algorithm).astype("float64"))
    wanted_y, wanted_dx = layer(x), layer.backward(dy)
    wanted_dw = layer.weight.grad
    for view in (lambda a: np.asfortranarray(a), lambda a: a[:, ::-1, ::-1].copy()[:, ::-1, ::-1],
                 lambda a: a.repeat(2, axis=3)[..., ::2], lambda a: a.transpose(2, 3, 0, 1).copy().transpose(2, 3, 0, 1)):
        layer.weight.grad = None
        np.testing.assert_allclose(layer(view(x)), wanted_y, atol=1e-12)
        assert layer.backward(view(dy), need_dx=False) is None
        np.testing.assert_allclose(layer.weight.grad, wanted_dw, atol=1e-11)
        layer(view(x))
        np.testing.assert_allclose(layer.backward(view(dy)), wanted_dx, atol=1e-12)


@pytest.mark.parametrize("algorithm", ALL)
def test_gradcheck_of_an_odd_shape(algorithm):
    layer = fill(Conv2d(4, 6, (3, 2), padding=((0, 2), (1, 0)), groups=2, algorithm=algorithm))
    assert gradcheck(layer, normal(3, 4, 5, 7)).passed


@pytest.mark.parametrize("algorithm", ALL)
def test_an_image_without_numbers_stays_alone(algorithm):
    """NaN reaches the outputs whose windows see it, with Winograd and Fourier others of its tile, and no other image."""
    layer = Conv2d(2, 3, 3, padding=1, seed=0, algorithm=algorithm)
    x = normal(3, 2, 40, 40, dtype=np.float32)
    clean = fetch(layer(send(x)))
    x[1, 0, 20, 20] = np.nan
    y = fetch(layer(send(x)))
    assert np.isnan(y[1, :, 19:22, 19:22]).all()
    np.testing.assert_array_equal(y[[0, 2]], clean[[0, 2]])
    if algorithm in ("direct", "im2col"):
        assert np.isnan(y).sum() == 3 * 9


# --- rounding ---

# images, channels, side, channels out, kernel, padding: AlexNet's, a residual network's, few channels, large kernels
SHAPES = {
    "conv2": (2, 96, 27, 256, 5, 2), "conv3": (4, 256, 13, 384, 3, 1), "conv5": (4, 384, 13, 256, 3, 1),
    "residual": (2, 64, 56, 64, 3, 1), "few channels": (4, 4, 56, 8, 5, 2), "large kernel": (2, 32, 40, 24, 11, 5),
    "deep": (1, 512, 14, 512, 3, 1),
}  # fmt: skip
DOCUMENTED = {"direct": 5e-7, "im2col": 5e-7, "winograd": 9e-6, "fft": 5e-7}  # ‖e‖/‖exact‖ in float32


def relative_errors(shape, algorithm):
    """‖e‖/‖exact‖ of y, dx and dw in float32."""
    n, c, side, o, kernel, padding = shape
    window = Window.make(kernel, 1, padding)
    x, w = normal(n, c, side, side), normal(o, c, kernel, kernel, seed=1) * np.sqrt(2 / (c * kernel**2))
    dy = normal(n, o, *window.output_size((side, side)), seed=2)
    x, w, dy = (array.astype(np.float32) for array in (x, w, dy))

    def results(*arrays, algorithm):
        x, w, dy = arrays
        dx, dw, _ = conv.conv2d_backward(dy, x, w, window, algorithm=algorithm)
        return conv.conv2d(x, w, None, window, algorithm=algorithm), dx, dw

    exact = results(*(array.astype(np.float64) for array in (x, w, dy)), algorithm="im2col")
    return [np.linalg.norm(a - b) / np.linalg.norm(b) for a, b in zip(results(x, w, dy, algorithm=algorithm), exact)]


@pytest.mark.parametrize("algorithm", ALL)
@pytest.mark.parametrize("name", SHAPES)
def test_rounding_is_what_is_documented(name, algorithm):
    if algorithm == "winograd" and SHAPES[name][4] > 5:
        pytest.skip("refused")
    assert max(relative_errors(SHAPES[name], algorithm)) < DOCUMENTED[algorithm]


# --- the choice ---


@pytest.mark.parametrize("side", [14, 56])
@pytest.mark.parametrize("channels", [32, 128])
@pytest.mark.parametrize("kernel", [1, 2, 3, 4, 5, 7])
def test_auto_never_picks_what_rounds_above_one_in_a_hundred_thousand(kernel, channels, side):
    shape = 2, channels, side, channels, kernel, kernel // 2
    window = Window.make(kernel, 1, kernel // 2)
    for images in (1, 2, 128):
        chosen = conv.conv2d_fastest((images, *shape[1:3], side), channels, window)
        assert max(relative_errors(shape, chosen)) < 1e-5


# x shape, out channels, kernel, stride, groups: choices that a measurement leaves no doubt about, and by what factor
CLEAR = [
    ((128, 3, 227, 227), 96, 11, 4, 1, ("im2col",)),  # AlexNet's conv1: 1.8
    ((1, 3, 227, 227), 96, 11, 4, 1, ("im2col",)),  # 1.9
    ((128, 96, 27, 27), 256, 5, 1, 1, ("winograd",)),  # conv2: 1.8
    ((64, 256, 13, 13), 384, 3, 1, 1, ("winograd",)),  # conv3: 2
    ((1, 96, 27, 27), 256, 5, 1, 1, ("winograd",)),  # 1.8
    ((1, 384, 13, 13), 256, 3, 1, 1, ("direct", "im2col")),  # conv5 with one image: 1.5
    ((16, 256, 28, 28), 256, 3, 1, 1, ("winograd",)),  # 1.7
    ((16, 64, 56, 56), 64, 7, 1, 1, ("fft",)),  # 3
    ((16, 64, 28, 28), 64, 11, 1, 1, ("fft",)),  # 3
    ((1, 16, 28, 28), 16, 11, 1, 1, ("direct", "im2col")),  # 2
    ((32, 256, 28, 28), 64, 1, 1, 1, ("direct",)),  # 1.5
    ((16, 128, 28, 28), 128, 3, 1, 128, ("direct",)),  # depthwise: 18
    ((16, 64, 56, 56), 64, 3, 2, 64, ("direct",)),  # 15
    ((16, 64, 56, 56), 128, 3, 2, 1, ("direct", "im2col")),  # 3
    ((8, 3, 224, 224), 64, 7, 2, 1, ("direct", "im2col")),  # 3
]


@pytest.mark.parametrize("shape, out, kernel, stride, groups, wanted", CLEAR)
def test_auto_picks_the_fastest_where_the_difference_is_large(shape, out, kernel, stride, groups, wanted):
    window = Window.make(kernel, stride, 0 if stride == 4 else kernel // 2)
    assert conv.conv2d_fastest(shape, out, window, groups) in wanted


def test_the_choice_is_in_the_trace():
    net = Sequential(conv1=Conv2d(3, 8, 11, stride=4), conv2=Conv2d(8, 8, 3, algorithm="fft"), wide=Conv2d(8, 64, 1))
    t = trace(net, (2, 3, 99, 99))
    for row, layer in zip(t.rows, net.leaves(), strict=True):
        assert row.algorithm == layer.chosen_algorithm(row.input_shape)
        assert row.algorithm in ALL and row.algorithm in str(t) and row.algorithm in t._repr_html_()
    assert t.rows[1].algorithm == "fft"
    other = trace(Conv2d(8, 8, 3, algorithm="direct"), t.rows[1].input_shape)
    assert t.rows[1].workspace_bytes != other.rows[0].workspace_bytes


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_auto_is_never_refused(case):
    shape, out, kernel, stride, padding, dilation, groups, ceil_mode = case
    window = Window.make(kernel, stride, padding, dilation, ceil_mode)
    for images in (1, 128):
        for factor in (1, 16):
            chosen = conv.conv2d_fastest((images, factor * shape[1], *shape[2:]), factor * out, window, groups)
            assert conv.conv2d_algorithms(window)[chosen] == ""


# --- threads and memory ---


@pytest.mark.parametrize("groups", [1, 2, 4])
@pytest.mark.parametrize("algorithm", ALL)
def test_bits_do_not_depend_on_the_number_of_threads(algorithm, groups, threads):
    x, dy = normal(19, 4, 31, 29, dtype=np.float32), normal(19, 4, 31, 28, seed=1, dtype=np.float32)
    layer = Conv2d(4, 4, (3, 4), padding=1, groups=groups, seed=0, algorithm=algorithm)
    found = []
    for count in (1, 2, 3, 5):
        threads(count)
        layer.weight.grad = None
        found.append((fetch(layer(send(x))), fetch(layer.backward(send(dy))), fetch(layer.weight.grad)))
    for other in found[1:]:
        for one, many in zip(found[0], other, strict=True):
            np.testing.assert_array_equal(one, many)


# x shape, out channels, kernel, stride, padding
MEMORY = {
    "batch": ((16, 16, 60, 60), 8, 3, 1, 1), "batch above any chunk": ((150, 16, 60, 60), 8, 3, 1, 1),
    "batch just above a chunk": ((87, 16, 60, 60), 8, 3, 1, 1), "large image": ((2, 16, 200, 150), 8, 5, 1, 2),
    "wide image": ((2, 24, 10, 1200), 24, 5, 1, 2),
    "unequal": ((3, 5, 100, 90), 7, (3, 5), 1, 1), "stride": ((3, 8, 120, 90), 16, 3, 2, 0),
    "1x1": ((9, 32, 80, 80), 16, 1, 1, 0), "few channels": ((8, 3, 64, 60), 32, 5, 1, 2),
    "many weights": ((3, 240, 9, 7), 250, 5, 1, 2), "many weights, one image": ((1, 250, 9, 7), 240, 7, 1, 3),
}  # fmt: skip


@pytest.mark.parametrize("name", MEMORY)
@pytest.mark.parametrize("algorithm", ALL)
def test_workspace_is_what_the_larger_pass_takes(algorithm, name, threads, monkeypatch):
    shape, out, kernel, stride, padding = MEMORY[name]
    window = Window.make(kernel, stride, padding)
    if conv.conv2d_algorithms(window)[algorithm]:
        pytest.skip("refused")
    x, w = normal(*shape, dtype=np.float32), normal(out, shape[1], *window.kernel, dtype=np.float32)
    dy = normal(shape[0], out, *window.output_size(shape[2:]), dtype=np.float32)
    def taken(function, *arrays, **options):
        monkeypatch.setattr(parallel._scratch, "buffers", {}, raising=False)
        tracemalloc.start()
        try:
            results = function(*arrays, window, algorithm=algorithm, **options)
            return tracemalloc.get_traced_memory()[1] - sum(array.nbytes for array in results if array is not None)
        finally:
            tracemalloc.stop()

    def of_passes():
        return max(taken(lambda *given, **options: [conv.conv2d(*given, **options)], x, w, None),
                   taken(conv.conv2d_backward, dy, x, w, has_bias=False))

    threads(1)
    of_passes()  # what is kept for ever is not counted
    monkeypatch.setattr(arrays, "_pool", np)  # whose `empty` keeps nothing
    assert conv.conv2d_workspace(shape, out, window, 4, algorithm=algorithm) == pytest.approx(of_passes(), rel=0.2)
