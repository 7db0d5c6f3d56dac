"""Convolution on the CPU by im2col + GEMM, in pieces whose columns stay in the cache.

With the weights as a matrix W (O, K), K = KH·KW·C, and the columns of some windows as X (P, K):

    forward     Y  = X·Wᵀ + b                 (P, O)
    backward    dW = Σ dYᵀ·X,   dX = dY·W     then col2im adds dX to the pixels

A piece is a few small images or a band of rows of one large image (at least one row), cut by shape alone so that its X and
Y take at most `COLUMN_BYTES` whatever the batch. Backward computes the columns anew: that costs far less than keeping them
(2.1 GiB for AlexNet at batch 128).

A single image has too few windows to repay that W and Y are turned: there forward is Y = W·X + b, (O, P), with the columns
as X (K, P), and W and Y as they lie in memory.

Chellapilla, Puri, Simard 2006, "High performance convolutional neural networks for document processing".
"""

import numpy as np
from numpy.lib.stride_tricks import as_strided

from minicnn.backends.numpy import parallel
from minicnn.backends.numpy.arrays import empty
from minicnn.backends.numpy.im2col import columns, interior, padded_shape, scatter

COLUMN_BYTES = 9 * 2**20  # conv2 of AlexNet, the largest for its maps, just fits as one piece
PIECES = 4  # a few images are cut into so many pieces, for several threads to work on: into bands …
PIXELS = 80  # … of at least so many pixels, which repay BLAS for repacking W


def refusal(window):
    """Every window can be laid out in columns."""
    return ""


def workspace(shape, channels_out, window, itemsize):
    """Bytes of the buffers in the backward pass (the larger one): W and sums of dW, and what one thread holds at a time."""
    n, c, *size = shape
    oh, ow = window.output_size(size)
    depth = window.kernel[0] * window.kernel[1] * c
    images, rows = _piece_size(n, oh, ow, depth + channels_out, itemsize)
    canvas = int(np.prod(padded_shape((images, c, *size), window)))
    return itemsize * (2 * images * rows * ow * depth + 2 * canvas + channels_out * (images * rows * ow + 4 * depth))


def _piece_size(images, oh, ow, depth, itemsize):
    """How many images, and how many output rows of each, make a piece: whole images, or a band of one.

    `depth` numbers, K + O, belong to each window.
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

    parallel.run(rows, parallel.ranges(o, parallel.piece_size(o, c * kh * kw)))
    return matrix.reshape(o, -1)


def forward(x, w, b, y, window):
    """y (N, O, OH, OW) ← x (N, C, H, W) ⋆ w (O, C, KH, KW) + b (O,) or None."""
    matrix = w.reshape(len(w), -1) if len(x) == 1 else _as_matrix(w)
    oh, ow = y.shape[2:]
    images, rows = _piece_size(len(x), oh, ow, sum(matrix.shape), x.itemsize)

    def band_of_one(start, stop, top, bottom):
        cols = _columns_of_one(x[0], window, top, bottom)                                       # (K, P)
        band = y[0, :, top:bottom].reshape(len(w), -1)                                          # (O, P)
        np.matmul(matrix, cols, out=band)
        if b is not None:
            band += b[:, None]

    def piece(start, stop, top, bottom):
        cols = _matrix_of_columns(x[start:stop], window, top, bottom)                           # (P, K)
        out = np.matmul(cols, matrix.T, out=parallel.scratch("conv y", (len(cols), len(w)), y.dtype))    # (P, O)
        pixels = y[start:stop, :, top:bottom].transpose(0, 2, 3, 1)
        np.add(out.reshape(pixels.shape), 0 if b is None else b, out=pixels)

    pieces = [(*n, *r) for n in parallel.ranges(len(x), images) for r in parallel.ranges(oh, rows)]
    parallel.run(band_of_one if len(x) == 1 else piece, pieces)


def _columns_of_one(x, window, top, bottom):
    """The columns (C·KH·KW, P) of output rows top … bottom of an image (C, H, W), in a buffer of this thread."""
    (sh, sw), (dh, dw) = window.stride, window.dilation
    _, _, width, c = padded_shape((1, *x.shape), window)
    first, left = top * sh - window.rows.before, window.columns.before  # row 0 of `padded` is row `first` of x
    height = (bottom - top - 1) * sh + window.rows.extent
    padded = parallel.scratch("im2col padded", (c, height, width), x.dtype)
    padded[...] = 0
    part = x[:, max(0, first):max(0, first + height)]
    padded[:, max(0, -first):max(0, -first) + part.shape[1], left:left + x.shape[2]] = part
    shape = c, *window.kernel, bottom - top, window.columns.output_size(x.shape[2])
    channel, row, column = padded.strides
    strides = channel, row * dh, column * dw, row * sh, column * sw
    cols = parallel.scratch("im2col columns", shape, x.dtype)
    np.copyto(cols, as_strided(padded, shape, strides, writeable=False))
    return cols.reshape(-1, shape[3] * shape[4])


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
    return cols.reshape(-1, np.prod(cols.shape[3:]))
