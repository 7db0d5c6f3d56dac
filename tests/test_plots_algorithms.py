"""Pictures of Winograd's filtering, of a convolution by Fourier transform, of dropout and of two towers."""

import numpy as np
import pytest
from helpers import normal

from minicnn import BatchNorm1d, Conv2d, Dropout, Flatten, Linear, MaxPool2d, ReLU, Sequential, plots
from minicnn.backends.numpy.conv_winograd import matrices
from minicnn.errors import ShapeError
from minicnn.plots.style import paint


def correlate(image, kernel):
    """y (OH, OW) of an image (H, W) and a kernel (KH, KW), by loops."""
    oh, ow = (size - taps + 1 for size, taps in zip(image.shape, kernel.shape))
    y = np.zeros((oh, ow))
    for p in range(oh):
        for q in range(ow):
            for i in range(kernel.shape[0]):
                for j in range(kernel.shape[1]):
                    y[p, q] += kernel[i, j] * image[p + i, q + j]
    return y


def drawn(figure, title):
    """The numbers of the picture with this title."""
    return next(axes.get_images()[0].get_array() for axes in figure.axes if axes.get_title(loc="left") == title)


@pytest.mark.parametrize("m, r", [(2, 3), (4, 3), (3, 5), (2, 2)])
def test_winograd_arrives_at_the_convolution(m, r):
    tile, kernel = normal(m + r - 1, m + r - 1), normal(r, r, seed=1)
    figure = plots.winograd(tile, kernel, *matrices(m, r))
    assert np.allclose(drawn(figure, "y"), correlate(tile, kernel))
    assert np.allclose(drawn(figure, "M = U ⊙ V"), drawn(figure, "U") * drawn(figure, "V"), atol=1e-6)
    assert figure.get_supxlabel().startswith(f"{m + r - 1}·{m + r - 1} = {(m + r - 1)**2} products in the place of "
                                             f"{m}·{m}·{r}·{r} = {(m * r)**2}")


@pytest.mark.parametrize("title, source, result", [
    ("Bᵀ·d·B as sums", "tile d", "V"), ("G·g·Gᵀ as sums", "kernel g", "U"), ("Aᵀ·M·A as sums", "M = U ⊙ V", "y")])
def test_the_sums_of_winograd_are_those_that_are_computed(title, source, result):
    """Of one number at a time: a map is coloured where that number takes part, and as it does."""
    n, r, arguments = 4, 3, (normal(4, 4), normal(3, 3, seed=1))
    at, g, bt = matrices(2, 3)
    page = drawn(plots.winograd(*arguments, at, g, bt), title)
    matrix = {"V": bt, "U": g, "y": at}[result]
    side = {"V": n, "U": r, "y": n}[result]
    largest = np.abs(matrix).max() ** 2
    for i in range(side):
        for j in range(side):
            one = np.zeros((side, side))
            one[i, j] = 1
            share = matrix @ one @ matrix.T
            for (a, b), factor in np.ndenumerate(share):
                assert np.allclose(page[1 + a * (side + 1) + i, 1 + b * (side + 1) + j], paint(factor, 2 * largest))


def test_winograd_refuses_what_does_not_fit():
    at, g, bt = matrices(2, 3)
    for wrong in ((normal(5, 5), normal(3, 3), at, g, bt), (normal(4, 4), normal(2, 2), at, g, bt),
                  (normal(4, 4), normal(3, 3), at, bt, g), (normal(4, 4), normal(3, 3), bt, g, bt)):
        with pytest.raises(ShapeError, match="winograd: got a tile of"):
            plots.winograd(*wrong)


@pytest.mark.parametrize("padding", [0, 2, 3])
def test_fourier_draws_the_convolution_inside_the_solid_line(padding):
    image, kernel = normal(9, 12), normal(5, 3, seed=1)
    figure = plots.fourier(image, kernel, padding)
    wanted = correlate(np.pad(image, padding), kernel)
    y = figure.axes[2].get_images()[0].get_array()
    assert np.allclose(y[:wanted.shape[0], :wanted.shape[1]], wanted)
    assert not np.isclose(y[wanted.shape[0]:], 0).all()
    inside = figure.axes[2].patches[1].get_bbox().extents
    assert np.allclose(inside, (-0.5, -0.5, wanted.shape[1] - 0.5, wanted.shape[0] - 0.5))
    right, whole = "{} × {}".format(*wanted.shape), f"{9 + 2 * padding} × {12 + 2 * padding}"
    assert figure.axes[2].get_xlabel() == f"{right} of {whole} are the convolution"


def test_fourier_reads_round_the_ring():
    """What the dashed window reads on either side is what its output adds up."""
    image, kernel = normal(8, 10), normal(3, 5, seed=1)
    figure = plots.fourier(image, kernel)
    right, left = (patch.get_bbox() for patch in figure.axes[0].patches[3:6:2])
    (column, row), (end, _) = (right.min + 0.5).astype(int), (right.max + 0.5).astype(int)
    assert column < 10 < end and np.allclose(left.extents, np.subtract(right.extents, (10, 0, 10, 0)))
    output = figure.axes[2].patches[3].get_bbox()
    assert np.allclose(output.extents, (column - 0.5, row - 0.5, column + 0.5, row + 0.5))
    ring = np.concatenate([image, image], axis=1)[row:row + 3, column:column + 5]
    assert np.isclose(figure.axes[2].get_images()[0].get_array()[row, column], np.sum(ring * kernel))


def test_fourier_draws_three_spectra():
    """Of a wave all strength is in two places, three from the middle; a kernel of one tap passes every wave alike."""
    wave = np.broadcast_to(np.cos(2 * np.pi * 3 * np.arange(16) / 16), (16, 16))
    below = [axes.get_images()[0].get_array() for axes in plots.fourier(wave, np.ones((1, 1))).axes[3:6]]
    strong = np.full((16, 16), -3.0)
    strong[8, [5, 11]] = 0
    assert np.array_equal(below[0], strong) and not below[1].any() and np.array_equal(below[2], strong)


@pytest.mark.parametrize("image, kernel, padding", [((3, 4, 4), (2, 2), 0), ((4, 4), (5, 5), 0), ((4, 4), (3,), 0),
                                                    ((4, 4), (3, 3), -1), ((4, 4), (0, 3), 0)])
def test_fourier_refuses_what_does_not_fit(image, kernel, padding):
    with pytest.raises(ShapeError, match="fourier: got an image of shape"):
        plots.fourier(np.ones(image), np.ones(kernel), padding)


# --- dropout ---------------------------------------------------------------------------------------------------------


def make_net(p=0.5, behind=()):
    return Sequential(conv=Conv2d(2, 3, 3, seed=0), relu=ReLU(), flatten=Flatten(), norm=BatchNorm1d(3 * 5 * 3),
                      drop=Dropout(p, seed=3), fc=Linear(3 * 5 * 3, 4, seed=1), **dict(behind))


def test_draws_of_dropout_are_those_of_the_masks():
    net, image = make_net().astype("float64"), normal(2, 7, 5)
    state = list(net.drop.random_state)
    found = plots.dropout_draws(net, image, 50)
    hidden = net.norm.infer(net.conv.infer(image[None]).clip(0).reshape(1, -1))[0]
    mask = Dropout(0.5, seed=3).astype("float64")(np.ones((50, 45)))
    assert set(np.unique(mask)) == {0, 2}
    wanted = np.array([net.fc.weight.data @ (hidden * row) + net.fc.bias.data for row in mask])
    assert np.allclose(found, wanted) and net.drop.random_state == state
    assert np.array_equal(plots.dropout_draws(net, image, 50), found)


def test_dropout_draws_points_means_and_the_prediction():
    net, image = make_net(), normal(2, 7, 5, dtype=np.float32)
    figure = plots.dropout(net, image, ["a", "b", "c", "d"], 20)
    *points, _, mean, prediction = figure.axes[0].lines
    found = plots.dropout_draws(net, image, 20)
    assert np.array_equal(np.stack([line.get_xdata() for line in points]), found)
    assert all(np.array_equal(np.round(line.get_ydata()), range(4)) for line in points)
    assert np.array_equal(mean.get_xdata(), found.mean(axis=0))
    assert np.array_equal(prediction.get_xdata(), net.predict(image[None])[0])
    assert plots.dropout(net, image, count=2).axes[0].get_yticklabels()[3].get_text() == "output 3"


def test_dropout_refuses_what_it_cannot_draw():
    image = normal(2, 7, 5, dtype=np.float32)
    with pytest.raises(ShapeError, match="200 masks and 0 layers that drop"):
        plots.dropout(make_net(p=0), image)
    with pytest.raises(ShapeError, match="0 masks and 1 layers"):
        plots.dropout_draws(make_net(), image, 0)
    with pytest.raises(ShapeError, match="3 names for 4 outputs"):
        plots.dropout(make_net(), image, ["a", "b", "c"])
    with pytest.raises(ShapeError, match=r"output has shape \(7, 2, 7, 5\)"):
        plots.dropout_draws(Sequential(drop=Dropout(0.5)), image, 7)


# --- two towers ------------------------------------------------------------------------------------------------------


def make_towers(fourth=8):
    return Sequential(conv1=Conv2d(3, 4, 3), pool1=MaxPool2d(2), conv2=Conv2d(4, 6, 2, groups=2), relu=ReLU(),
                      conv3=Conv2d(6, 10, 1), flatten=Flatten(), fc=Linear(10 * 3 * 2, fourth))


def test_half_of_what_a_layer_reads_crosses_if_it_has_one_group():
    sent = plots.crossings(make_towers(), (5, 3, 10, 8))
    assert sent == {"conv1": 0, "conv2": 0, "conv3": 3 * 3 * 2 * 4, "fc": 5 * 3 * 2 * 4}
    assert plots.crossings(make_towers().astype("float64"), (5, 3, 10, 8)) == {name: 2 * size for name, size in sent.items()}


def test_towers_are_drawn_with_their_crossings():
    axes = plots.towers(make_towers(), (5, 3, 10, 8)).axes[0]
    texts = [text.get_text() for text in axes.texts]
    assert texts.count("conv2") == 2 and texts.count("3 × 3 × 2") == 2 and texts.count("3 × 10 × 8") == 1
    assert [text for text in texts if "each way" in text] == ["72 B\neach way", "120 B\neach way"]
    crossing = [tuple(line.get_ydata()) for line in axes.lines if line.get_ydata()[0] + line.get_ydata()[1] == 2]
    assert crossing == [(2, 0), (0, 2)] * 2
    assert axes.get_title(loc="left").startswith("forward, each tower sends the other 192 B")


@pytest.mark.parametrize("net", [make_towers(fourth=7), Sequential(conv=Conv2d(3, 6, 1, groups=3))])
def test_what_cannot_be_halved(net):
    with pytest.raises(ShapeError, match="wanted even numbers, and one group or two"):
        plots.towers(net, (1, 3, 10, 8))
