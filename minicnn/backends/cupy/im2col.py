"""im2col and col2im on the GPU.

Columns are kept tap by tap, (C, KH, KW, N, R, OW): neighbouring threads write neighbouring windows, and all the columns of
several images are one matrix for one product.
"""

import cupy

from minicnn.backends.cupy.arrays import empty
from minicnn.backends.cupy.kernels import geometry, launch
from minicnn.windows import Window


def im2col(x, kernel_size, stride=1, padding=0, dilation=1, ceil_mode=False):
    """cols[n, c, i, j, p, q] = x_padded[n, c, p·SH + i·DH, q·SW + j·DW]: (N, C, KH, KW, OH, OW) from x (N, C, H, W)."""
    window = Window.make(kernel_size, stride, padding, dilation, ceil_mode)
    oh, ow = window.output_size(x.shape[2:])
    cols = empty((x.shape[1], *window.kernel, len(x), oh, ow), x.dtype)
    gather(cupy.ascontiguousarray(x), cols, window, 0, oh)
    return cols.transpose(3, 0, 1, 2, 4, 5)


def col2im(cols, size, stride=1, padding=0, dilation=1, ceil_mode=False):
    """The adjoint of `im2col`: add every column (N, C, KH, KW, OH, OW) back to the pixels of (N, C, H, W)."""
    window = Window.make(cols.shape[2:4], stride, padding, dilation, ceil_mode)
    x = empty((*cols.shape[:2], *size), cols.dtype)
    scatter(cupy.ascontiguousarray(cols.transpose(1, 2, 3, 0, 4, 5)), x, window, 0, cols.shape[4])
    return x


def gather(x, cols, window, top, bottom):
    """cols (C, KH, KW, N, bottom − top, OW) ← the windows of x (N, C, H, W) in output rows top … bottom."""
    n, c, *size = x.shape
    windows = n * (bottom - top) * window.output_size(size)[1]
    launch("im2col", "im2col", c * windows, x, cols, n, c, bottom - top, top, *geometry(window, size))


def scatter(cols, x, window, top, bottom):
    """x (N, C, H, W) ← the sums of its columns in output rows top … bottom; added to x unless top is 0."""
    n, c, *size = x.shape
    launch("im2col", "col2im", x.size, cols, x, n, c, bottom - top, top, *geometry(window, size))
