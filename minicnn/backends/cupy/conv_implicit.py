"""Convolution on the GPU as a matrix product whose columns are fetched tile by tile, by the kernels of conv_implicit.cu."""

import math

from minicnn.backends.cupy.arrays import empty
from minicnn.backends.cupy.kernels import BLOCK, geometry, launch_blocks
from minicnn.backends.cupy.relu import rectify
from minicnn.backends.cupy.sums import sum_over_rows

ROWS, COLUMNS, DEPTH = 64, 128, 16  # of a tile, as in the kernels
BLOCKS = 512  # the sum over the windows in dW is shared out among so many blocks, …
WINDOWS = 512  # … of at least so many windows


def refusal(window):
    """Every window can be walked."""
    return ""


def workspace(shape, channels_out, window, itemsize, groups):
    """Bytes of the buffers in the backward pass: the parts of dW."""
    n, c, *size = shape
    taps = c // groups * math.prod(window.kernel)
    parts, _ = _shares(n * math.prod(window.output_size(size)), channels_out // groups, taps, groups)
    return itemsize * parts * channels_out * taps


def _shares(windows, maps, taps, groups):
    """In how many parts the windows are shared out for dW (maps, taps) of each group, and how many windows are in each."""
    blocks = _tiles(maps, ROWS) * _tiles(taps, COLUMNS) * groups
    length = max(-(-windows * blocks // BLOCKS), WINDOWS)
    length = -(-length // DEPTH) * DEPTH
    return -(-windows // length), length


def _tiles(numbers, size):
    return -(-numbers // size)


def forward(x, w, b, y, window, groups, rectified):
    """y (N, O, OH, OW) ← x (N, C, H, W) ⋆ w (O, C/groups, KH, KW) + b (O,); its positive part if `rectified`."""
    n, o, oh, ow = y.shape
    grid = _tiles(n * oh * ow, COLUMNS), _tiles(o // groups, ROWS), groups
    launch_blocks("conv_implicit", "implicit_forward", grid, (BLOCK,), x, w, b, y, n, x.shape[1], o,
                  *geometry(window, x.shape[2:]))
    if rectified:
        rectify(y)


def backward(dy, x, w, dx, window, groups):
    """dw (O, C/groups, KH, KW); fills dx (N, C, H, W) unless it is None."""
    if dx is not None:
        _fill_dx(dy, w, dx, window, groups)
    n, c, *size = x.shape
    o, taps = len(w), w[0].size
    parts, length = _shares(n * dy[0, 0].size, o // groups, taps, groups)
    partial = empty((parts, o * taps), w.dtype)
    grid = _tiles(taps, COLUMNS), _tiles(o // groups, ROWS), groups * parts
    launch_blocks("conv_implicit", "implicit_dw", grid, (BLOCK,), x, dy, partial, n, c, o, groups, length,
                  *geometry(window, size))
    return sum_over_rows(partial).reshape(w.shape)


def _fill_dx(dy, w, dx, window, groups):
    """Each phase of the pixels, (row mod SH, column mod SW), by blocks of its own."""
    n, c, *size = dx.shape
    (sh, sw), (dh, dw) = window.stride, window.dilation
    steps = sh // math.gcd(sh, dh), sw // math.gcd(sw, dw)  # from one tap that sees a phase to the next
    grid = _tiles(n * -(-size[0] // sh) * -(-size[1] // sw), COLUMNS), _tiles(c // groups, ROWS), groups * sh * sw
    launch_blocks("conv_implicit", "implicit_dx", grid, (BLOCK,), dy, w, dx, n, c, len(w), groups, *steps,
                  *geometry(window, size))
