"""Convolution on the GPU by im2col + GEMM, in pieces whose columns fit a budget.

With the weights of a group as a matrix W (O, K), K = C·KH·KW, and the columns of some windows as X (K, P):

    forward     Y  = W·X + b                  (O, P)
    backward    dW = Σ dY·Xᵀ,   dX = Wᵀ·dY    in the memory of X, which is used up; then col2im gathers it into the pixels

A piece is as many images as `PIECE_BYTES` hold, or a band of rows of one large image, whatever the batch: AlexNet's columns
of 128 images would be 2.1 GiB. Each product is one GEMM of two-dimensional arrays, for which nothing is copied: a transposed
matrix is a flag for cuBLAS. In it the images of a piece lie behind each other, (O, N, OH, OW); adding the bias turns them,
and rectifies what a ReLU would read and write again.

Chellapilla, Puri, Simard 2006, "High performance convolutional neural networks for document processing".
"""

import math

import cupy

from minicnn.backends.cupy.arrays import empty, zeros
from minicnn.backends.cupy.im2col import gather, scatter
from minicnn.backends.cupy.kernels import launch

PIECE_BYTES = 128 * 2**20  # columns and product: some thousand windows a product, which keeps a large GPU busy


def refusal(window):
    """Every window can be laid out in columns."""
    return ""


def workspace(shape, channels_out, window, itemsize, groups):
    """Bytes of the buffers in the backward pass (the larger one): columns, product, and dW of a piece."""
    n, c, *size = shape
    oh, ow = window.output_size(size)
    taps = math.prod(window.kernel)
    images, rows = _piece_size(n, oh, ow, c * taps + channels_out, itemsize)
    return itemsize * (images * rows * ow * (c * taps + channels_out) + channels_out * c // groups * taps)


def _piece_size(images, oh, ow, depth, itemsize):
    """How many images, and how many output rows of each, make a piece; `depth` numbers, K + O, belong to each window."""
    rows = max(1, PIECE_BYTES // (ow * depth * itemsize))
    return (1, rows) if rows < oh else (min(images, rows // oh), oh)


class _Pieces:
    """The pieces of a convolution, and the buffers that they use one after the other."""

    def __init__(self, x, w, window, groups):
        self.window, self.groups, self.images = window, groups, len(x)
        self.rows, self.columns = window.output_size(x.shape[2:])
        self.taps, self.maps = x.shape[1] * math.prod(window.kernel), len(w)
        self.step, self.band = _piece_size(len(x), self.rows, self.columns, self.taps + self.maps, x.itemsize)
        windows = self.step * self.band * self.columns
        self._taps, self._maps = (empty((count * windows,), x.dtype) for count in (self.taps, self.maps))

    def __iter__(self):
        """(first image, last, first row, last) of each."""
        for start in range(0, self.images, self.step):
            for top in range(0, self.rows, self.band):
                yield start, min(start + self.step, self.images), top, min(top + self.band, self.rows)

    def buffers(self, start, stop, top, bottom):
        """Columns (C·KH·KW, P) and product (O, P) of a piece of P windows."""
        windows = (stop - start) * (bottom - top) * self.columns
        return (buffer[:count * windows].reshape(count, windows)
                for buffer, count in ((self._taps, self.taps), (self._maps, self.maps)))

    def turn(self, kernel, *arguments, piece):
        """Run a kernel that turns maps of a piece into maps of images, or back."""
        start, stop, top, bottom = piece
        threads = (stop - start) * self.maps * (bottom - top) * self.columns
        launch("conv_im2col", kernel, threads, *arguments, stop - start, self.maps, bottom - top, top, self.rows,
               self.columns)

    def of_groups(self, *arrays):
        """For each group, its share of the rows of each array."""
        for g in range(self.groups):
            yield tuple(array[g * len(array) // self.groups:(g + 1) * len(array) // self.groups] for array in arrays)


def forward(x, w, b, y, window, groups, rectified):
    """y (N, O, OH, OW) ← x (N, C, H, W) ⋆ w (O, C/groups, KH, KW) + b (O,); its positive part if `rectified`."""
    pieces, matrix = _Pieces(x, w, window, groups), w.reshape(len(w), -1)
    for piece in pieces:
        start, stop, *rows = piece
        cols, product = pieces.buffers(*piece)
        gather(x[start:stop], cols, window, *rows)
        for weights, columns, out in pieces.of_groups(matrix, cols, product):
            cupy.matmul(weights, columns, out=out)
        pieces.turn("by_image", product, b, y[start:stop], rectified, piece=piece)


def backward(dy, x, w, dx, window, groups):
    """dw (O, C/groups, KH, KW); fills dx (N, C, H, W) unless it is None."""
    pieces, matrix = _Pieces(x, w, window, groups), w.reshape(len(w), -1)
    dw, part = zeros(matrix.shape, w.dtype), empty(matrix.shape, w.dtype)
    for piece in pieces:
        start, stop, *rows = piece
        cols, gradient = pieces.buffers(*piece)
        pieces.turn("by_map", dy[start:stop], gradient, piece=piece)
        gather(x[start:stop], cols, window, *rows)
        for g, columns, out in pieces.of_groups(gradient, cols, part):
            cupy.matmul(g, columns.T, out=out)
        dw += part
        if dx is not None:
            for weights, g, columns in pieces.of_groups(matrix, gradient, cols):
                cupy.matmul(weights.T, g, out=columns)
            scatter(cols, dx[start:stop], window, *rows)
    return dw.reshape(w.shape)
