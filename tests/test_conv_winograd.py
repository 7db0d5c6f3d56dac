"""Winograd convolution where it is cut: chunks of images, bands of tiles, sums of sums, and what all threads share."""

import numpy as np
import pytest
from helpers import assert_close, normal
from oracles import convolution, convolution_backward

from minicnn import get_num_threads, set_num_threads
from minicnn.backends.numpy import conv, conv_winograd
from minicnn.windows import Window

PADDING = ((1, 2), (3, 0))
# what replaces names in conv_winograd
CUTS = {
    "chunks of some images": {"_images_a_chunk": lambda *shape: 3},
    "bands of one row": {"LEAST_TILES": 1, "MOST_TILES": 1},
    "bands of some rows": {"LEAST_TILES": 9, "MOST_TILES": 9},
    "some images a piece": {"LEAST_TILES": 50, "MOST_TILES": 50},
    "sums of some tiles": {"SUM": 5},
    "all of it": {"_images_a_chunk": lambda *shape: 2, "LEAST_TILES": 9, "MOST_TILES": 9, "SUM": 7, "PLACES": 1},
}


@pytest.fixture
def threads():
    """`set_num_threads`, and as many as before in the end."""
    before = get_num_threads()
    yield set_num_threads
    set_num_threads(before)


def cut(monkeypatch, **names):
    for name, value in names.items():
        monkeypatch.setattr(conv_winograd, name, value)


def passes(x, w, b, dy, window, **options):
    """y, dx and dw."""
    dx, dw, _ = conv.conv2d_backward(dy, x, w, window, has_bias=False, algorithm="winograd", **options)
    return conv.conv2d(x, w, b, window, algorithm="winograd"), dx, dw


@pytest.mark.parametrize("size", [(17, 11), (1, 23), (26, 1)], ids=str)
@pytest.mark.parametrize("kernel", [(3, 3), (5, 4), (2, 5), (4, 1), (1, 2)], ids=str)
@pytest.mark.parametrize("name", CUTS)
def test_no_seam_shows(name, kernel, size, monkeypatch):
    cut(monkeypatch, **CUTS[name])
    padding = ((4, 5), (3, 4)) if 1 in size else PADDING
    window = Window.make(kernel, 1, padding)
    x, w, b = normal(7, 2, *size), normal(3, 2, *kernel, seed=1), normal(3, seed=2)
    dy = normal(7, 3, *window.output_size(size), seed=3)
    y, dx, dw = passes(x, w, b, dy, window)
    assert_close(y, convolution(x, w, b, 1, padding), 1e-11, "y")
    for name, mine, loops in zip(("dx", "dw"), (dx, dw), convolution_backward(x, w, dy, 1, padding)):
        assert_close(mine, loops, 1e-11, name)
    np.testing.assert_array_equal(passes(x, w, b, dy, window, need_dx=False)[2], dw)


def test_the_weights_gradient_is_new_at_every_call():
    """It is a sum over chunks that begins at zero, in memory that had other numbers before."""
    window, x, w, dy = Window.make(3, 1, 1), normal(2, 40, 9, 8), normal(48, 40, 3, 3, seed=1), normal(2, 48, 9, 8, seed=2)
    first = passes(x, w, None, dy, window)[2].copy()
    for _ in range(3):
        np.testing.assert_array_equal(passes(x, w, None, dy, window)[2], first)


def test_bits_of_chunks_and_sums_do_not_depend_on_the_number_of_threads(threads, monkeypatch):
    """Four images a chunk, some sums of tiles in each."""
    cut(monkeypatch, CHUNK_BYTES=400_000, SUM=100)
    window, x = Window.make((3, 4), 1, 1), normal(19, 4, 31, 29, dtype=np.float32)
    w, dy = normal(4, 4, 3, 4, seed=1, dtype=np.float32), normal(19, 4, 31, 28, seed=2, dtype=np.float32)
    found = []
    for count in (1, 2, 3, 5):
        threads(count)
        found.append(passes(x, w, None, dy, window))
    for other in found[1:]:
        for one, many in zip(found[0], other, strict=True):
            np.testing.assert_array_equal(one, many)


# two bands of tiles an image; all images in one piece
@pytest.mark.parametrize("side, where", [(40, 20), (40, 0), (40, 39), (12, 5), (12, 11)])
def test_images_without_numbers_stay_in_their_tiles(side, where):
    """NaN in x or dy reaches no other image, and in its own no pixel further than a tile; dx does not depend on x."""
    window, x, w = Window.make(3, 1, 1), normal(3, 2, side, side), normal(3, 2, 3, 3, seed=1)
    dy = normal(3, 3, side, side, seed=2)
    y, dx, _ = passes(x, w, None, dy, window)

    def spoilt(array):
        array = array.copy()
        array[1, 0, where, where] = np.nan
        return array

    def assert_near(found, clean):
        near = slice(max(0, where - 5), where + 6)
        assert np.isnan(found[1, :, where, where]).all()
        found[1, :, near, near] = clean[1, :, near, near]
        np.testing.assert_array_equal(found, clean)

    y_of_x, dx_of_x, dw_of_x = passes(spoilt(x), w, None, dy, window)
    assert_near(y_of_x, y)
    np.testing.assert_array_equal(dx_of_x, dx)
    assert np.isnan(dw_of_x[:, 0]).all() and np.isfinite(dw_of_x[:, 1]).all()
    assert_near(passes(x, w, None, spoilt(dy), window)[1], dx)


@pytest.mark.parametrize("images, rows, columns", [(1, 9, 9), (1, 1, 500), (1, 60, 50), (3, 10, 10), (64, 3, 3), (7, 45, 1)])
def test_pieces_hold_every_tile_once_and_neither_few_nor_many(images, rows, columns):
    pieces = conv_winograd._pieces(images, rows, columns)
    tiles = np.arange(images * rows * columns).reshape(images, rows * columns)
    found = [tiles[piece.images, piece.rows.start * columns:piece.rows.stop * columns].ravel() for piece in pieces]
    for piece, held in zip(pieces, found, strict=True):
        np.testing.assert_array_equal(held, tiles.ravel()[piece.tiles])
    np.testing.assert_array_equal(np.concatenate(found), tiles.ravel())
    total, most = tiles.size, max(map(len, found))
    assert most <= max(2 * conv_winograd.MOST_TILES, 4 * columns)  # a few rows of a wide image are more
    assert len(pieces) >= 2 or (rows == 1 and images == 1)
    assert len(pieces) <= max(1, total // 20)


def test_memory_does_not_grow_with_the_batch():
    """V and M of this batch would be 780 MB."""
    window, shapes = Window.make(3, 1, 1), [(images, 16, 60, 60) for images in (160, 1000)]
    few, many = (conv.conv2d_workspace(shape, 8, window, 4, algorithm="winograd") for shape in shapes)
    assert many < 1.1 * few < 80e6
