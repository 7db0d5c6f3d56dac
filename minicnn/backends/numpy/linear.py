"""The fully connected layer on the CPU: three matrix products, cut along the weights."""

import numpy as np

from minicnn.backends.numpy import parallel
from minicnn.backends.numpy.arrays import empty

FEATURES = 512  # rows or columns of the weights in one piece: enough to fill a core, enough pieces to share out
FEW = 32  # images: dW is then written in blocks so small that BLAS takes their factors as they lie, …
BLOCK = 16, 1024  # … which it does up to 10⁶ multiplications; larger ones it copies, and writes zeros before the sums


def linear(x, w, b):
    """y = x·Wᵀ + b; x (N, I), w (O, I), b (O,) or None → y (N, O).

    As yᵀ = W·xᵀ: BLAS reads its left factor as it lies, and W, the larger one, is not repacked. With few images, when the
    time is that of reading W, this halves it.
    """
    y = empty((len(x), len(w)), x.dtype)

    def piece(start, stop):
        out = parallel.scratch("linear y", (stop - start, len(x)), x.dtype)                     # yᵀ (features, N)
        np.matmul(w[start:stop], x.T, out=out)
        np.add(out.T, 0 if b is None else b[start:stop], out=y[:, start:stop])

    parallel.run(piece, parallel.ranges(len(w), FEATURES))
    return y


def linear_backward(dy, x, w, has_bias=True, need_dx=True):
    """dx = dy·W (or None), dW = dyᵀ·x, db = Σₙ dy (or None)."""
    dx = empty(x.shape, x.dtype) if need_dx else None
    dw = empty(w.shape, w.dtype)

    def rows_of_dw(start, stop):
        product = _product_in_blocks if len(x) <= FEW else np.matmul
        product(dy[:, start:stop].T, x, out=dw[start:stop])

    def columns_of_dx(start, stop):
        np.matmul(dy, w[:, start:stop], out=dx[:, start:stop])

    pieces = [(rows_of_dw, *r) for r in parallel.ranges(len(w), FEATURES)]
    if need_dx:
        pieces += [(columns_of_dx, *r) for r in parallel.ranges(x.shape[1], FEATURES)]
    parallel.run(lambda function, start, stop: function(start, stop), pieces)
    return dx, dw, dy.sum(axis=0) if has_bias else None


def _product_in_blocks(a, b, out):
    """out (P, Q) = a (P, N)·b (N, Q), for a small N."""
    a = np.ascontiguousarray(a)
    rows, columns = BLOCK
    whole = len(a) // rows * rows
    for start, stop in parallel.ranges(b.shape[1], columns):
        blocks = out[:whole, start:stop].reshape(-1, rows, stop - start)
        np.matmul(a[:whole].reshape(-1, rows, len(b)), b[:, start:stop], out=blocks)
        np.matmul(a[whole:], b[:, start:stop], out=out[whole:, start:stop])
