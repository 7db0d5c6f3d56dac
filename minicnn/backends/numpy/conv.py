"""Convolution on the CPU: im2col + GEMM, in pieces whose columns stay in the cache.

With the weights as a matrix W (O, K), K = KH·KW·C, and the columns of some windows as X (P, K):

    forward     Y  = W·Xᵀ + b                 (O, P)
    backward    dW = Σ dY·X,   dX = dYᵀ·W     then col2im adds dX to the pixels

A piece is a few small images or a band of rows of one large image (at least one row), cut by shape alone so that its X and
Y take at most `COLUMN_BYTES` whatever the batch. Backward computes the columns anew: that costs far less than keeping them
(2.1 GiB for AlexNet at batch 128).
"""

import numpy as np

from minicnn.backends.numpy import parallel
from minicnn.backends.numpy.arrays import empty
from minicnn.backends.numpy.im2col import gather, interior, pad_channels_last, padded_shape, scatter

COLUMN_BYTES = 9 * 2**20  # conv2 of AlexNet, the largest for its maps, just fits as one piece
SHARES = 16  # a batch is cut into at least so many pieces; backward adds dW within a share, then over them, in order


def conv2d(x, w, b, window, groups=1):
    """y (N, O, OH, OW) = x (N, C, H, W) ⋆ w (O, C/groups, KH, KW) + b (O,)."""
    y = empty((len(x), len(w), *window.output_size(x.shape[2:])), x.dtype)
    for c, o in _group_slices(groups, x, w):
        _forward(x[:, c], w[o], None if b is None else b[o], y[:, o], window)
    return y


def conv2d_backward(dy, x, w, window, groups=1, has_bias=True, need_dx=True):
    """dx (or None), dW, db (or None) of `conv2d`."""
    dx = empty(x.shape, x.dtype) if need_dx else None
    dw, db = empty(w.shape, w.dtype), empty((len(w),), w.dtype)
    for c, o in _group_slices(groups, x, w):
        dw[o], db[o] = _backward(dy[:, o], x[:, c], w[o], dx[:, c] if need_dx else None, window)
    return dx, dw, db if has_bias else None


def conv2d_workspace(shape, channels_out, window, itemsize, groups=1):
    """Bytes of the buffers that one thread holds at a time in the backward pass (the larger one)."""
    n, c, *size = shape
    oh, ow = window.output_size(size)
    depth = window.kernel[0] * window.kernel[1] * c // groups
    images, rows = _piece_size(n, oh, ow, (depth + channels_out // groups) * itemsize)
    canvas = np.prod(padded_shape((images, c // groups, *size), window))
    return int((2 * images * rows * ow * depth + 2 * canvas + channels_out // groups * (images * rows * ow + depth))
               * itemsize)


def _group_slices(groups, x, w):
    """(input channels, output channels) of each group."""
    c, o = x.shape[1] // groups, len(w) // groups
    return [(slice(g * c, (g + 1) * c), slice(g * o, (g + 1) * o)) for g in range(groups)]


def _piece_size(images, oh, ow, bytes_a_window):
    """How many images, and how many output rows of each, make a piece: whole images, or a band of one."""
    rows = max(1, COLUMN_BYTES // (ow * bytes_a_window))
    if rows < oh:
        return 1, -(-oh // -(-oh // rows))  # bands of nearly equal height
    return min(rows // oh, -(-images // SHARES)), oh


def _as_matrix(w):
    """Weights (O, C, KH, KW) → W (O, KH·KW·C)."""
    return np.ascontiguousarray(w.transpose(0, 2, 3, 1)).reshape(len(w), -1)


def _forward(x, w, b, y, window):
    matrix = _as_matrix(w)
    oh, ow = y.shape[2:]
    images, rows = _piece_size(len(x), oh, ow, sum(matrix.shape) * x.itemsize)

    def piece(start, stop, top, bottom):
        cols = _columns(x[start:stop], top, bottom, ow, window)                                 # (P, K)
        out = parallel.scratch("conv y", (len(w), len(cols)), y.dtype)                          # (O, P)
        np.matmul(matrix, cols.T, out=out)
        out = out.reshape(len(w), stop - start, bottom - top, ow).transpose(1, 0, 2, 3)
        target = y[start:stop, :, top:bottom]
        if b is None:
            target[...] = out
        else:
            np.add(out, b[:, None, None], out=target)

    parallel.run(piece, [(*n, *r) for n in parallel.ranges(len(x), images) for r in parallel.ranges(oh, rows)])


def _columns(x, top, bottom, ow, window):
    """The columns (P, K) of output rows top…bottom of the images x, in a buffer of this thread."""
    rows, first = window.rows, top * window.rows.stride
    height = (bottom - top - 1) * rows.stride + rows.extent
    _, _, width, channels = padded_shape(x.shape, window)
    padded = parallel.scratch("conv padded", (len(x), height, width, channels), x.dtype)
    pad_channels_last(x, padded, window, first)
    cols = parallel.scratch("conv columns", (len(x), bottom - top, ow, *window.kernel, channels), x.dtype)
    gather(padded, cols, window)
    return cols.reshape(-1, window.kernel[0] * window.kernel[1] * channels)


def _backward(dy, x, w, dx, window):
    """dW (O, C, KH, KW) and db (O,) of one group; fills dx."""
    matrix = _as_matrix(w)
    images, rows = _piece_size(len(x), *dy.shape[2:], sum(matrix.shape) * x.itemsize)
    share = -(-len(x) // SHARES)
    share = -(-share // images) * images  # a share is a whole number of pieces

    def backward(start, stop):
        dw = db = None
        for n in parallel.ranges(stop - start, images):
            part = slice(start + n[0], start + n[1])
            dw, db = _backward_images(dy[part], x[part], matrix, None if dx is None else dx[part], window, rows, dw, db)
        return dw, db

    partial = parallel.run(backward, parallel.ranges(len(x), share))
    dw, db = (_sum_in_order(parts) for parts in zip(*partial))
    return dw.reshape(len(w), *window.kernel, -1).transpose(0, 3, 1, 2), db


def _backward_images(dy, x, matrix, dx, window, rows, dw, db):
    """Add the gradients of these images to dw (O, K) and db (O,), in bands of `rows` output rows; fill dx."""
    oh, ow = dy.shape[2:]
    if dx is not None:
        canvas = parallel.scratch("conv canvas", padded_shape(x.shape, window), x.dtype)
        canvas[...] = 0
    for top, bottom in parallel.ranges(oh, rows):
        cols = _columns(x, top, bottom, ow, window)                                             # (P, K)
        g = parallel.scratch("conv dy", (len(matrix), len(cols)), dy.dtype)                     # (O, P)
        g.reshape(len(matrix), len(x), bottom - top, ow)[...] = dy[:, :, top:bottom].transpose(1, 0, 2, 3)
        product = parallel.scratch("conv dw", matrix.shape, dy.dtype)
        dw = _add(dw, np.matmul(g, cols, out=product))
        db = _add(db, g.sum(axis=1))
        if dx is not None:
            dcols = np.matmul(g.T, matrix, out=parallel.scratch("conv dcolumns", cols.shape, dy.dtype))
            shape = (len(x), bottom - top, ow, *window.kernel, x.shape[1])
            scatter(dcols.reshape(shape), canvas[:, top * window.rows.stride:], window)
    if dx is not None:
        dx[...] = interior(canvas, x.shape[2:], window).transpose(0, 3, 1, 2)
    return dw, db


def _add(total, term):
    if total is None:
        total = empty(term.shape, term.dtype)
        total[...] = term
        return total
    total += term
    return total


def _sum_in_order(parts):
    total = parts[0]
    for part in parts[1:]:
        total += part
    return total
