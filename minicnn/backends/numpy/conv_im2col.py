"""Convolution on the CPU by im2col + GEMM, in pieces whose columns stay in the cache.

With the weights as a matrix W (O, K), K = C·KH·KW, and the columns of some windows as X (K, P):

    forward     Y  = W·X + b                  (O, P)
    backward    dW = Σ dY·Xᵀ,   dX = Wᵀ·dY    then col2im adds dX to the pixels

A piece is a few small images or a band of rows of one large image (at least one row), cut by shape alone. Backward computes
the columns anew: that costs far less than keeping them (2.1 GiB for AlexNet at batch 128).

Forward has W and Y as they lie in memory. Backward has every matrix turned, channels last, as its columns are then copied,
and added back, in runs of KW·C numbers in place of OW: there are three copies and sums to save, in forward only one.

Chellapilla, Puri, Simard 2006, "High performance convolutional neural networks for document processing".
"""

import math

import numpy as np
from numpy.lib.stride_tricks import as_strided

from minicnn.backends.numpy import parallel
from minicnn.backends.numpy.arrays import empty
from minicnn.backends.numpy.im2col import columns, interior, padded_shape, scatter

COLUMN_BYTES = 4 * 2**20  # of the X and Y of a piece: what is between 3 and 9 MiB is equally fast
PIECES = 4  # a few images are cut into so many pieces, for several threads to work on: into bands …
PIXELS = 80  # … of at least so many pixels, which repay BLAS for repacking W
VECTOR = 16  # BLAS takes so many pixels at once, and a rest of them by a slower way: they are filled up


def refusal(window):
    """Every window can be laid out in columns."""
    return ""


def workspace(shape, channels_out, window, itemsize):
    """Bytes of the buffers in the backward pass (the larger one): W and sums of dW, and what one thread holds at a time."""
    n, c, *size = shape
    oh, ow = window.output_size(size)
    depth = window.kernel[0] * window.kernel[1] * c
    images, rows = _piece_size(n, oh, ow, depth + channels_out, itemsize)
    windows, canvas = images * rows * ow, math.prod(padded_shape((images, c, *size), window))
    sums = 2 if (images, rows) == (n, oh) else 3
    return itemsize * (2 * windows * depth + 2 * canvas + channels_out * (windows + (1 + sums) * depth))


def _piece_size(images, oh, ow, depth, itemsize):
    """How many images, and how many output rows of each, make a piece: whole images, or a band of one.

    `depth` numbers, K + O, belong to each window; together they take at most `COLUMN_BYTES`.
    """
    rows = max(1, min(COLUMN_BYTES // (ow * depth * itemsize), max(-(-images * oh // PIECES), -(-PIXELS // ow))))
    if rows < oh:
        return 1, -(-oh // -(-oh // rows))  # bands of nearly equal height
    return min(rows // oh, parallel.share(images, oh * ow * depth)), oh


def _as_matrix(w):
    """Weights (O, C, KH, KW) → W (O, KH·KW·C)."""
    o, c, kh, kw = w.shape
    matrix = empty((o, kh, kw, c), w.dtype)

    def rows(start, stop):
        matrix[start:stop] = w[start:stop].transpose(0, 2, 3, 1)

    parallel.run(rows, parallel.ranges(o, parallel.piece_size(o, c * kh * kw, parallel.PIECE)))
    return matrix.reshape(o, -1)


def forward(x, w, b, y, window, rectify):
    """y (N, O, OH, OW) ← x (N, C, H, W) ⋆ w (O, C, KH, KW) + b (O,) or None; its positive part if `rectify`."""
    matrix, (oh, ow) = w.reshape(len(w), -1), y.shape[2:]
    images, rows = _piece_size(len(x), oh, ow, sum(matrix.shape), x.itemsize)

    def piece(start, stop, top, bottom):
        cols = _columns_channels_first(x[start:stop], window, top, bottom)                      # (K, ≥ P)
        out = np.matmul(matrix, cols, out=parallel.scratch("conv y", (len(w), cols.shape[1]), y.dtype))  # (O, ≥ P)
        maps = y[start:stop, :, top:bottom].transpose(1, 0, 2, 3)
        np.add(out[:, :maps[0].size].reshape(maps.shape), 0 if b is None else b[:, None, None, None], out=maps)
        if rectify:
            np.maximum(maps, 0, out=maps)

    parallel.run(piece, [(*n, *r) for n in parallel.ranges(len(x), images) for r in parallel.ranges(oh, rows)])


def _columns_channels_first(x, window, top, bottom):
    """The columns (C·KH·KW, ≥ P) of output rows top … bottom of x (N, C, H, W) filled up with zeros, in a scratch buffer."""
    (sh, sw), (dh, dw) = window.stride, window.dilation
    padded = _band(x, window, top * sh, (bottom - top - 1) * sh + window.rows.extent)
    shape = x.shape[1], *window.kernel, len(x), bottom - top, window.columns.output_size(x.shape[3])
    image, channel, row, column = padded.strides
    strides = channel, row * dh, column * dw, image, row * sh, column * sw
    pixels = math.prod(shape[3:])
    cols = parallel.scratch("im2col columns", (math.prod(shape[:3]), -(-pixels // VECTOR) * VECTOR), x.dtype)
    cols[:, pixels:] = 0
    np.copyto(cols[:, :pixels].reshape(shape), as_strided(padded, shape, strides, writeable=False))
    return cols


def _band(x, window, top, height):
    """Rows top … top + height of the zero-padded canvas of x (N, C, H, W)."""
    _, _, width, c = padded_shape(x.shape, window)
    first, left = top - window.rows.before, window.columns.before  # row 0 of the band is row `first` of x
    part = x[:, :, max(0, first):max(0, first + height)]
    if part.shape[2:] == (height, width):
        return part
    padded = parallel.scratch("im2col padded", (len(x), c, height, width), x.dtype)
    padded[...] = 0
    above = max(0, -first)
    padded[:, :, above:above + part.shape[2], left:left + x.shape[3]] = part
    return padded


def backward(dy, x, w, dx, window):
    """dw (O, C, KH, KW); fills dx (N, C, H, W) unless it is None."""
    matrix = _as_matrix(w)
    images, rows = _piece_size(len(x), *dy.shape[2:], sum(matrix.shape), x.itemsize)

    def piece(start, stop):
        return _backward_images(dy[start:stop], x[start:stop], matrix, None if dx is None else dx[start:stop], window, rows)

    dw = parallel.run_and_add(piece, len(x), images)
    return dw.reshape(len(w), *window.kernel, -1).transpose(0, 3, 1, 2)


def _backward_images(dy, x, matrix, dx, window, rows):
    """dw (O, K) of these images, in bands of `rows` output rows; fills dx."""
    dw = None
    if dx is not None:
        canvas = parallel.scratch("conv canvas", padded_shape(x.shape, window), x.dtype)
        canvas[...] = 0
    for top, bottom in parallel.ranges(dy.shape[2], rows):
        cols = _matrix_of_columns(x, window, top, bottom)                                       # (P, K)
        g = parallel.scratch("conv dy", (len(matrix), len(cols)), dy.dtype)                     # dYᵀ (O, P)
        g.reshape(len(matrix), len(x), bottom - top, -1)[...] = dy[:, :, top:bottom].transpose(1, 0, 2, 3)
        product = np.matmul(g, cols, out=parallel.scratch("conv dw", matrix.shape, dy.dtype))
        dw = product if rows >= dy.shape[2] else parallel.add(dw, product)
        if dx is not None:
            dcols = np.matmul(g.T, matrix, out=parallel.scratch("conv dcolumns", cols.shape, dy.dtype))
            shape = (len(x), bottom - top, dy.shape[3], *window.kernel, x.shape[1])
            scatter(dcols.reshape(shape), canvas[:, top * window.rows.stride:], window)
    if dx is not None:
        dx[...] = interior(canvas, x.shape[2:], window).transpose(0, 3, 1, 2)
    return dw


def _matrix_of_columns(x, window, top, bottom):
    cols = columns(x, window, top, bottom)
    return cols.reshape(-1, math.prod(cols.shape[3:]))
