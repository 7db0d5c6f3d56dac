"""Pictures of what single layers do, pixel by pixel: windows, max-pooling, LRN, occlusion."""

import numpy as np
import pytest
from helpers import integers, normal

from minicnn import LRN, AvgPool2d, Conv2d, Flatten, Linear, MaxPool2d, ReLU, Sequential, col2im, im2col, plots
from minicnn.errors import ShapeError
from minicnn.plots.style import shown

LAYERS = [Conv2d(1, 1, (3, 2), stride=(2, 1)), Conv2d(1, 1, 3, stride=4, ceil_mode=True), MaxPool2d(3, 2, padding=1),
          AvgPool2d((2, 5), (3, 2), ceil_mode=True), Conv2d(1, 1, 2, stride=2, padding=((1, 3), (2, 0)), dilation=(3, 2))]


@pytest.mark.parametrize("layer", LAYERS, ids=repr)
def test_counts_by_loops(layer):
    counts, wanted = plots.window_counts(layer.window, (11, 8)), np.zeros((11, 8), int)
    oh, ow = layer.output_shape((1, 1, 11, 8))[2:]
    rows, columns = layer.window.rows, layer.window.columns
    for p in range(oh):
        for q in range(ow):
            for i in range(rows.kernel):
                for j in range(columns.kernel):
                    r = p * rows.stride + i * rows.dilation - rows.before
                    c = q * columns.stride + j * columns.dilation - columns.before
                    if 0 <= r < 11 and 0 <= c < 8:
                        wanted[r, c] += 1
    assert np.array_equal(counts, wanted)


def test_counts_are_what_col2im_makes_of_ones():
    settings = {"stride": (2, 1), "padding": 1, "dilation": (1, 2), "ceil_mode": True}
    cols = np.ones_like(im2col(np.zeros((1, 1, 7, 9)), 3, **settings))
    assert np.array_equal(plots.window_counts(Conv2d(1, 1, 3, **settings).window, (7, 9)),
                          col2im(cols, (7, 9), **settings)[0, 0])


def sentences(layer, height, width):
    figure = plots.windows(layer, np.zeros((height, width), np.uint8))
    return [line.partition(": ")[2] for line in figure.axes[0].get_title(loc="left").splitlines()], figure


def test_the_two_ways_from_224_pixels():
    """The 2012 code's 55 hangs over by 3, rounding down leaves a pixel over: FACTS of the peers."""
    (up, _), _ = sentences(Conv2d(3, 96, 11, stride=4, ceil_mode=True), 224, 227)
    (down, exact), _ = sentences(Conv2d(3, 96, 11, stride=4), 224, 227)
    assert up == "224 → 55, kernel 11, stride 4; the last window hangs over by 3"
    assert down == "224 → 54, kernel 11, stride 4; 1 of 224 read by no window"
    assert exact == "227 → 55, kernel 11, stride 4"


def test_gaps_of_a_dilation_are_found():
    (rows, columns), figure = sentences(Conv2d(1, 1, 2, stride=4, padding=(1, 0), dilation=2), 6, 9)
    assert rows == "6 → 2, kernel 2, stride 4, dilation 2, padding 1 and 1; 3 of 6 read by no window"
    assert columns.endswith("; 5 of 9 read by no window")
    assert "0 to 1 windows" in figure.axes[1].get_title(loc="left")


def test_windows_are_outlined_where_they_lie():
    layer = Conv2d(1, 1, 3, stride=2, padding=1, ceil_mode=True)
    figure = plots.windows(layer, np.zeros((6, 8), np.uint8))
    outlines = [tuple(patch.get_bbox().extents) for patch in figure.axes[0].patches[1::2]]
    assert outlines == [(x - 0.5, y - 0.5, x + 2.5, y + 2.5) for y, x in ((-1, -1), (-1, 1), (1, -1), (1, 1), (5, 7))]
    assert figure.axes[0].get_xlim() == (-1.5, 9.5) and figure.axes[0].get_ylim() == (7.5, -1.5)
    assert np.array_equal(figure.axes[1].get_images()[0].get_array(), plots.window_counts(layer.window, (6, 8)))


def test_a_layer_without_windows():
    with pytest.raises(ShapeError, match="has no window"):
        plots.windows(ReLU(), np.zeros((6, 8), np.uint8))


# --- max-pooling -----------------------------------------------------------------------------------------------------


def test_winners_and_ties_by_loops():
    layer, values = MaxPool2d(3, 2, padding=1), integers(7, 9, seed=3).astype(np.float64)
    wins, ties = np.zeros((7, 9), int), set()
    for p in range(4):
        for q in range(5):
            places = [(r, c) for r in range(2 * p - 1, 2 * p + 2) for c in range(2 * q - 1, 2 * q + 2)
                      if 0 <= r < 7 and 0 <= c < 9]
            largest = [place for place in places if values[place] == max(values[place] for place in places)]
            wins[largest[0]] += 1
            ties |= set(largest) if len(largest) > 1 else set()
    assert ties and plots.tied_windows(layer, values) == ties
    figure = plots.pooling(layer, values)
    squares = {tuple(np.round(path.vertices[:4].mean(axis=0)).astype(int)[::-1].tolist())
               for path in figure.axes[0].collections[0].get_paths()}
    assert squares == {tuple(map(int, place)) for place in np.argwhere(wins)}
    offsets = figure.axes[0].collections[1].get_offsets()
    assert {tuple(np.round(offset + 0.3).astype(int)[::-1].tolist()) for offset in offsets} == ties
    several = {tuple(np.round(np.subtract(text.get_position(), (0.36, 0.34))).astype(int)[::-1].tolist()): text.get_text()
               for text in figure.axes[0].texts if "×" in text.get_text()}
    assert several == {tuple(map(int, place)): f"×{wins[tuple(place)]}" for place in np.argwhere(wins > 1)}


def test_the_pooled_map_is_drawn_beside():
    layer, values = MaxPool2d(2, 2), normal(5, 6)
    figure = plots.pooling(layer, values)
    assert np.array_equal(figure.axes[1].get_images()[0].get_array(), values[:4].reshape(2, 2, 3, 2).max(axis=(1, 3)))
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["before: 5 × 6", "after: 2 × 3"]


def test_pooling_without_ties_has_no_dots():
    assert len(plots.pooling(MaxPool2d(2), np.arange(16.0).reshape(4, 4)).axes[0].collections) == 1


def test_large_maps_have_no_numbers():
    assert not plots.pooling(MaxPool2d(2), normal(30, 30)).axes[0].texts


@pytest.mark.parametrize("layer, shape", [(AvgPool2d(2), (4, 4)), (MaxPool2d(2), (1, 4, 4))])
def test_pooling_of_something_else(layer, shape):
    with pytest.raises(ShapeError, match="wanted a MaxPool2d and"):
        plots.pooling(layer, np.zeros(shape))


# --- LRN -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["sum", "mean"])
def test_divisors_are_what_the_layer_divides_by(mode):
    layer, values = LRN(3, alpha=2.0, beta=0.6, k=1.5, alpha_mode=mode), normal(7)
    y = layer.astype("float64").infer(values[None, :, None, None]).ravel()
    assert np.allclose(plots.divisors(layer, values), values / y, rtol=1e-12)


def test_lrn_bars_are_the_numbers_before_and_after():
    layer, values = LRN(5, alpha=1.0), normal(9)
    figure = plots.lrn(layer, values)
    heights = [bar.get_height() for bar in figure.axes[0].patches]
    assert np.array_equal(heights[:9], values)
    assert np.allclose(heights[9:], values / plots.divisors(layer, values), rtol=1e-12)
    assert np.array_equal(figure.axes[1].lines[0].get_ydata(), plots.divisors(layer, values))


def test_lrn_of_something_else():
    with pytest.raises(ShapeError, match="wanted an LRN and"):
        plots.lrn(LRN(), normal(2, 3))
    with pytest.raises(ShapeError, match="wanted an LRN and"):
        plots.lrn(ReLU(), normal(3))


# --- occlusion -------------------------------------------------------------------------------------------------------


def make_net():
    return Sequential(conv=Conv2d(3, 4, 3, seed=0), relu=ReLU(), flatten=Flatten(), fc=Linear(4 * 9 * 6, 3, seed=1))


@pytest.mark.parametrize("side, stride, batch_size", [(4, 3, 5), (5, 2, 64), (1, 1, 64), (30, 8, 1)])
def test_occlusion_by_loops(side, stride, batch_size):
    net, image = make_net(), normal(3, 11, 8, dtype=np.float32)
    found = plots.occlusion_map(net, image, 2, side, stride, batch_size)
    for i, row in enumerate(range(stride // 2, 11, stride)):
        for j, column in enumerate(range(stride // 2, 8, stride)):
            covered = image.copy()
            for r in range(row - side // 2, row - side // 2 + side):
                for c in range(column - side // 2, column - side // 2 + side):
                    if 0 <= r < 11 and 0 <= c < 8:
                        covered[:, r, c] = image.mean(axis=(1, 2))
            logits = net.infer(covered[None])[0].astype(np.float64)
            assert np.isclose(found[i, j], np.exp(logits[2]) / np.exp(logits).sum(), rtol=1e-5), (i, j)
    assert found.shape == (i + 1, j + 1)


def test_occlusion_draws_the_probabilities_over_the_image():
    net, image = make_net(), normal(3, 11, 8, dtype=np.float32)
    figure = plots.occlusion(net, image, 1, 4, 3, "cat")
    heat = figure.axes[1].get_images()[0]
    assert np.array_equal(heat.get_array(), plots.occlusion_map(net, image, 1, 4, 3))
    assert heat.get_extent() == [-0.5, 8.5, 11.5, -0.5]
    assert np.array_equal(figure.axes[0].get_images()[0].get_array(), shown(image))
    assert figure.axes[0].get_title(loc="left").startswith("cat: ") and figure.axes[1].get_xlim() == (-0.5, 7.5)


@pytest.mark.parametrize("label, side, stride", [(3, 4, 4), (-1, 4, 4), (0, 0, 4), (0, 4, 0), (0, 4, 9)])
def test_what_cannot_be_covered(label, side, stride):
    with pytest.raises(ShapeError, match="occlusion"):
        plots.occlusion_map(make_net(), normal(3, 11, 8, dtype=np.float32), label, side, stride)
