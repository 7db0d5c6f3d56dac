"""Conv2d on the GPU, by each of its algorithms: against float64 loops, at the seams of pieces and tiles; and the choice."""

import math

import numpy as np
import pytest
from helpers import TOLERANCE, assert_close, check_layer, fetch, fill, integers, normal, send
from oracles import convolution, convolution_backward
from test_conv import CASES, build, product_a_tap, product_a_tap_backward
from test_network import both_ways, rectified
from test_network import images as network_images

from minicnn import Conv2d, ReLU, Sequential, backends, gradcheck, trace
from minicnn.errors import BackendError, ShapeError
from minicnn.windows import Window

pytestmark = pytest.mark.gpu_only

ALL = ("direct", "im2col", "implicit")
each_algorithm = pytest.mark.parametrize("algorithm", ALL)
each_case = pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())


def by(algorithm, layer):
    layer.algorithm = algorithm
    return layer


def loops(settings):
    """forward and backward for `check_layer`, by the loops of the oracle; a layer without bias has none."""
    def forward(x, p):
        return convolution(x, p["weight"], p.get("bias"), *settings)

    def backward(x, dy, p):
        dx, dw, db = convolution_backward(x, p["weight"], dy, *settings)
        return dx, {"weight": dw, "bias": db} if "bias" in p else {"weight": dw}

    return forward, backward


# --- against loops ---


@each_case
@pytest.mark.parametrize("algorithm", ("auto", *ALL))
def test_conv_equals_loops(case, algorithm):
    layer, x, settings = build(case)
    check_layer(by(algorithm, layer), x, *loops(settings))


@each_algorithm
@pytest.mark.parametrize("name", ["plain", "groups, dilation, four paddings", "ceil mode, everything"])
def test_without_bias_equals_loops(name, algorithm):
    layer, x, settings = build(CASES[name], bias=False)
    check_layer(by(algorithm, layer), x, *loops(settings))


# x shape, out channels, kernel, stride, padding, dilation: more maps, taps and windows than a tile has, by one and by many
TILES = {
    "one more than a tile of maps, taps and windows": ((3, 9, 8, 7), 65, (3, 5), (1, 1), ((1, 1), (2, 1)), (1, 1)),
    "one less": ((1, 8, 18, 9), 63, (2, 8), (1, 1), ((0, 0), (0, 6)), (1, 1)),
    "several tiles, two phases by three, dilation": ((5, 66, 13, 11), 131, (3, 2), (2, 3), ((2, 1), (0, 2)), (3, 2)),
    "a stride with phases that no tap sees": ((2, 5, 23, 22), 9, (2, 3), (4, 6), ((1, 0), (0, 3)), (2, 4)),
    "bands of one image": ((1, 5, 40, 31), 3, (7, 7), (1, 1), ((3, 3), (3, 3)), (1, 1)),
    "bands of images, stride and dilation": ((2, 5, 49, 43), 4, (5, 4), (2, 1), ((1, 4), (3, 0)), (3, 2)),
    "many images": ((131, 3, 9, 8), 5, (3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1)),
}


@pytest.mark.parametrize("algorithm", ["im2col", "implicit"])
@pytest.mark.parametrize("name", TILES)
def test_tiles_and_pieces_equal_one_product_a_tap(name, algorithm, monkeypatch):
    from minicnn.backends.cupy import conv_im2col

    monkeypatch.setattr(conv_im2col, "PIECE_BYTES", 100_000)
    shape, out, kernel, *settings = TILES[name]
    check_layer(
        by(algorithm, fill(Conv2d(shape[1], out, kernel, *settings).astype("float64"))),
        normal(*shape),
        lambda x, p: product_a_tap(x, p["weight"], p["bias"], *settings),
        lambda x, dy, p: product_a_tap_backward(x, p["weight"], dy, *settings),
        {"float64": 1e-11, "float32": 2e-5},
    )


@pytest.mark.parametrize("algorithm", ["im2col", "implicit"])
@each_case
def test_the_smallest_pieces_change_nothing(case, algorithm, monkeypatch):
    """One row of outputs a piece, sixteen windows a part of dW."""
    from minicnn.backends.cupy import conv_im2col, conv_implicit

    monkeypatch.setattr(conv_im2col, "PIECE_BYTES", 1)
    monkeypatch.setattr(conv_implicit, "WINDOWS", 1)
    layer, x, settings = build(case)
    check_layer(by(algorithm, layer), x, *loops(settings))


@each_algorithm
def test_gradcheck(algorithm):
    layer, x, _ = build(CASES["groups, dilation, four paddings"])
    assert gradcheck(by(algorithm, layer), x).passed


def results(layer, x, dy):
    """The bytes of y, dx, dw and db."""
    layer.zero_grad()
    arrays = [layer(send(x)), layer.backward(send(dy)), *(p.grad for p in layer.parameters())]
    return [fetch(array).tobytes() for array in arrays]


@each_algorithm
def test_two_runs_give_the_same_bits(algorithm):
    layer = by(algorithm, Conv2d(3, 4, 3, padding=1, seed=0))
    x, dy = normal(9, 3, 15, 16, dtype=np.float32), normal(9, 4, 15, 16, seed=1, dtype=np.float32)
    assert results(layer, x, dy) == results(layer, x, dy)


def test_whole_numbers_are_exact_however_the_work_is_cut(monkeypatch):
    """Then no order of adding up rounds, and every algorithm and budget gives the same bits."""
    from minicnn.backends.cupy import conv_im2col, conv_implicit

    layer = Conv2d(4, 6, (3, 2), (2, 1), ((0, 2), (1, 1)), groups=2)
    for p in layer.parameters():
        p.data[...] = send(integers(*p.data.shape, seed=len(p.name), dtype=np.float32))
    x, found = integers(7, 4, 13, 12, dtype=np.float32), set()
    dy = integers(*layer.output_shape(x.shape), seed=1, dtype=np.float32)
    for algorithm in ALL:
        for budget in (1, 5_000, 50_000, 10**9):
            monkeypatch.setattr(conv_im2col, "PIECE_BYTES", budget)
            monkeypatch.setattr(conv_implicit, "WINDOWS", min(budget, 512))
            found.add(tuple(results(by(algorithm, layer), x, dy)))
    assert len(found) == 1


@each_algorithm
def test_any_strides_of_the_arrays_give_the_same(algorithm):
    """x and dy as transposed and spaced views; what is not asked for is not computed."""
    x, dy = normal(3, 6, 9, 8), normal(3, 6, 9, 7, seed=1)
    layer = by(algorithm, fill(Conv2d(6, 6, (3, 4), padding=1, groups=2).astype("float64")))
    wanted_y, wanted_dx = fetch(layer(send(x))), fetch(layer.backward(send(dy)))
    wanted_dw = fetch(layer.weight.grad)
    for view in (lambda a: send(a.repeat(2, axis=3))[..., ::2],
                 lambda a: send(a.transpose(2, 3, 0, 1).copy()).transpose(2, 3, 0, 1)):
        layer.zero_grad()
        np.testing.assert_array_equal(fetch(layer(view(x))), wanted_y)
        assert layer.backward(view(dy), need_dx=False) is None
        np.testing.assert_array_equal(fetch(layer.weight.grad), wanted_dw)
        layer(view(x))
        np.testing.assert_array_equal(fetch(layer.backward(view(dy))), wanted_dx)


@each_algorithm
def test_an_image_without_numbers_stays_alone(algorithm):
    layer = by(algorithm, Conv2d(2, 3, 3, padding=1, seed=0))
    x = normal(3, 2, 40, 40, dtype=np.float32)
    clean = fetch(layer(send(x)))
    x[1, 0, 20, 20] = np.nan
    y = fetch(layer(send(x)))
    assert np.isnan(y[1, :, 19:22, 19:22]).all() and np.isnan(y).sum() == 3 * 9
    np.testing.assert_array_equal(y[[0, 2]], clean[[0, 2]])


@pytest.mark.parametrize("shape", [(5, 3, 4, 7), (1, 1, 1, 1), (140, 9, 1, 3), (2, 257, 2, 2), (3, 4, 40, 30)], ids=str)
def test_bias_gradient_is_the_sum_over_images_and_pixels(shape):
    from minicnn.backends.cupy.sums import sum_over_pixels

    for dtype in ("float32", "float64"):
        dy = normal(*shape, dtype=dtype)
        assert_close(sum_over_pixels(send(dy)), dy.astype(np.float64).sum((0, 2, 3)), TOLERANCE[dtype])


@each_algorithm
def test_a_network_rectifies_as_it_convolves_and_nothing_changes(algorithm, monkeypatch):
    from minicnn.backends.cupy import conv_im2col

    def make():
        net = rectified("auto")
        for layer in (net.conv, net.conv2, net.inner.conv):
            by(algorithm, layer)
        return net

    monkeypatch.setattr(conv_im2col, "PIECE_BYTES", 2000)
    as_one, one_by_one = both_ways(make, network_images())
    assert (as_one[0] == 0).any() and (as_one[0] >= 0).all()
    for one, other in zip(as_one, one_by_one, strict=True):
        np.testing.assert_array_equal(one, other)


# --- memory ---


def test_columns_of_alexnet_at_batch_128_stay_within_the_budget():
    """Whatever the batch, all columns of conv2 at once would be 854 MiB; and of a photograph, of which bands are cut."""
    from minicnn.backends.cupy.conv_im2col import PIECE_BYTES

    for batch in (1, 16, 128, 1024):
        for shape, out, kernel, *settings in (((3, 227, 227), 96, 11, 4, 0), ((96, 27, 27), 256, 5, 1, 2),
                                              ((64, 3000, 3000), 64, 3, 1, 1)):
            conv = by("im2col", Conv2d(shape[0], out, kernel, *settings))
            weights = out * shape[0] * kernel**2 * 4
            assert conv.workspace_bytes((batch, *shape)) <= PIECE_BYTES + weights


# --- the choice ---


def test_the_gpu_has_algorithms_of_its_own_and_names_them():
    assert list(backends.get("cupy").conv2d_algorithms(Window.make(3, 1, 1))) == list(ALL)
    for name in ("winograd", "fft", "cudnn", None):
        with pytest.raises(ShapeError, match="'auto', 'direct', 'im2col', 'implicit'"):
            by(name, Conv2d(3, 4, 3))


def test_auto_is_direct_for_few_maps_and_a_product_for_many():
    def chosen(channels, out, groups=1):
        return Conv2d(channels, out, 3, groups=groups).chosen_algorithm((8, channels, 28, 28))

    assert chosen(64, 64, groups=64) == "direct" and chosen(16, 4) == "direct"
    assert chosen(3, 32) == "implicit" and chosen(64, 64, groups=2) == "implicit"
    assert chosen(64, 128) == "im2col" and chosen(3, 96) == "im2col"
    t = trace(Sequential(Conv2d(3, 96, 11, stride=4), ReLU(), by("implicit", Conv2d(96, 8, 3))), (128, 3, 227, 227))
    assert [row.algorithm for row in t.rows] == ["im2col", "", "implicit"]
    assert math.prod(t.rows[0].output_shape) == 128 * 96 * 55 * 55


@pytest.mark.parametrize("name", ["winograd", "fft"])
def test_a_network_with_an_algorithm_that_the_gpu_lacks_does_not_move_at_all(name):
    net = Sequential(first=Conv2d(2, 3, 3), inner=Sequential(second=Conv2d(3, 4, 3))).to("numpy")
    net.inner.second.algorithm = name
    with pytest.raises(BackendError, match=rf"inner\.second: .*'{name}'.*cupy.*'auto', 'direct', 'im2col', 'implicit'"):
        net.to("cupy")
    assert {layer.backend for layer in (net, net.inner, *net.leaves())} == {"numpy"}
    net.inner.second.algorithm = "auto"
    assert net.to("cupy").first.backend == "cupy"


def test_a_layer_that_convolves_implicitly_goes_back_only_after_it_is_told_otherwise():
    layer = by("implicit", Conv2d(2, 3, 3))
    with pytest.raises(BackendError, match=r"'implicit'.*numpy.*'winograd', 'fft'"):
        layer.to("numpy")
    assert layer.backend == "cupy" and "implicit" in repr(layer)
    by("direct", layer).to("numpy")
    assert layer.backend == "numpy" and layer.algorithm == "direct"
