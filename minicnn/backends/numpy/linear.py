"""The fully connected layer on the CPU: three matrix products, cut along the weights."""

import numpy as np

from minicnn.backends.numpy import parallel
from minicnn.backends.numpy.arrays import empty

FEATURES = 512  # rows or columns of the weights in one piece: enough to fill a core, enough pieces to share out
# BLAS first copies the factors of a product, and writes zeros where the sums will be; but those of up to 10⁶ multiplications
# OpenBLAS takes as they lie. For few images the time is that of passing over the weights, so this halves it.
FEW = 32  # images
BLOCK = 32, 512  # rows and columns of weights that make such a product with them, …
TURNED = 128, 128  # … or of Wᵀ, whose rows are far apart in memory


def linear(x, w, b):
    """y = x·Wᵀ + b; x (N, I), w (O, I), b (O,) or None → y (N, O).

    As yᵀ = W·xᵀ: BLAS reads its left factor as it lies, and W, the larger one, is not repacked.
    """
    y = empty((len(x), len(w)), x.dtype)
    few = _are_few(x)
    columns = np.ascontiguousarray(x.T) if few else x.T

    def piece(start, stop):
        out = parallel.scratch("linear out", (stop - start, len(x)), x.dtype)                   # yᵀ (features, N)
        if few:
            _sum_of_blocks(w[start:stop], columns, BLOCK, out)
        else:
            np.matmul(w[start:stop], columns, out=out)
        np.add(out.T, 0 if b is None else b[start:stop], out=y[:, start:stop])

    parallel.run(piece, parallel.ranges(len(w), FEATURES))
    return y


def linear_backward(dy, x, w, has_bias=True, need_dx=True):
    """dx = dy·W (or None), dW = dyᵀ·x, db = Σₙ dy (or None)."""
    dx = empty(x.shape, x.dtype) if need_dx else None
    dw, few = empty(w.shape, w.dtype), _are_few(x)
    columns = np.ascontiguousarray(dy.T) if few else dy.T
    product = _block_by_block if few else np.multiply if len(x) == 1 else np.matmul  # matmul is slow for one image

    def rows_of_dw(start, stop):
        product(columns[start:stop], x, out=dw[start:stop])

    def columns_of_dx(start, stop):
        if few:
            out = parallel.scratch("linear out", (stop - start, len(x)), x.dtype)               # dxᵀ (features, N)
            _sum_of_blocks(w[:, start:stop].T, columns, TURNED, out)
            dx[:, start:stop] = out.T
        else:
            np.matmul(dy, w[:, start:stop], out=dx[:, start:stop])

    pieces = [(rows_of_dw, *r) for r in parallel.ranges(len(w), FEATURES)]
    if need_dx:
        pieces += [(columns_of_dx, *r) for r in parallel.ranges(x.shape[1], FEATURES)]
    parallel.run_calls(pieces)
    return dx, dw, dy.sum(axis=0) if has_bias else None


def _are_few(x):
    """From 2 to FEW images? One alone is a vector, for which BLAS copies nothing anyway."""
    return 1 < len(x) <= FEW


def _sum_of_blocks(a, b, block, out):
    """out (P, N) = a (P, I)·b (I, N), and what is left over at the ends of P and I by itself."""
    (height, width), n = block, b.shape[1]
    rows, columns = len(a) // height, len(b) // width
    p, i = rows * height, columns * width
    parts = parallel.scratch("linear parts", (rows, columns, height, n), b.dtype)
    blocks = a[:p, :i].reshape(rows, height, columns, width).transpose(0, 2, 1, 3)
    np.matmul(blocks, b[:i].reshape(columns, width, n), out=parts)
    np.sum(parts, axis=1, out=out[:p].reshape(rows, height, n))
    np.matmul(a[p:, :i], b[:i], out=out[p:])
    if i < len(b):
        out += a[:, i:] @ b[i:]


def _block_by_block(a, b, out):
    """out (P, I) = a (P, N)·b (N, I)."""
    (height, width), (n, columns) = BLOCK, b.shape
    rows = len(a) // height
    p = rows * height
    for start, stop in parallel.ranges(columns, width):
        blocks = out[:p, start:stop].reshape(rows, height, stop - start)
        np.matmul(a[:p].reshape(rows, height, n), b[:, start:stop], out=blocks)
        np.matmul(a[p:], b[:, start:stop], out=out[p:, start:stop])
