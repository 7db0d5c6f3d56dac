"""im2col and col2im on the CPU.

Columns are kept channels-last, (N, OH, OW, KH, KW, C): a row of a window is then KW·C neighbouring numbers in memory, and
im2col becomes a few long copies instead of many short ones (3 to 4 times faster at AlexNet's conv2 than channels-first).
"""

import numpy as np
from numpy.lib.stride_tricks import as_strided

from minicnn.backends.numpy import parallel
from minicnn.windows import Window


def im2col(x, kernel_size, stride=1, padding=0, dilation=1, ceil_mode=False):
    """Lay every window of every image out as a column: cols[n, c, i, j, p, q] = x_padded[n, c, p·SH + i·DH, q·SW + j·DW].

    Six axes, so that the matrix of a convolution needs no transposition:
    ``weights.reshape(O, C*KH*KW) @ cols.reshape(N, C*KH*KW, OH*OW)`` is the convolution (Chellapilla et al. 2006).

    Parameters
    ----------
    x : array (N, C, H, W)
    kernel_size, stride, padding, dilation, ceil_mode
        As in `Conv2d`.

    Returns
    -------
    array (N, C, KH, KW, OH, OW)

    Examples
    --------
    >>> import numpy as np
    >>> from minicnn import im2col
    >>> x = np.arange(9.0).reshape(1, 1, 3, 3)
    >>> im2col(x, 2).reshape(4, 4)        # one column for each of the 2 × 2 windows
    array([[0., 1., 3., 4.],
           [1., 2., 4., 5.],
           [3., 4., 6., 7.],
           [4., 5., 7., 8.]])
    """
    window = Window.make(kernel_size, stride, padding, dilation, ceil_mode)
    oh, ow = window.output_size(x.shape[2:])
    cols = np.empty((len(x), oh, ow, *window.kernel, x.shape[1]), x.dtype)
    padded = np.empty(padded_shape(x.shape, window), x.dtype)
    pad_channels_last(x, padded, window)
    gather(padded, cols, window)
    return cols.transpose(0, 5, 3, 4, 1, 2)


def col2im(cols, size, stride=1, padding=0, dilation=1, ceil_mode=False):
    """The adjoint of `im2col`: add every column back to the pixels that it was read from.

    A pixel that k windows read receives k numbers: ⟨im2col(x), cols⟩ = ⟨x, col2im(cols)⟩.

    Parameters
    ----------
    cols : array (N, C, KH, KW, OH, OW)
    size : (H, W)
        Size of the images.
    stride, padding, dilation, ceil_mode
        As given to `im2col`.

    Returns
    -------
    array (N, C, H, W)

    Examples
    --------
    >>> import numpy as np
    >>> from minicnn import im2col, col2im
    >>> col2im(im2col(np.ones((1, 1, 3, 3)), 2), (3, 3))[0, 0]       # how many windows see each pixel
    array([[1., 2., 1.],
           [2., 4., 2.],
           [1., 2., 1.]])
    """
    window = Window.make(cols.shape[2:4], stride, padding, dilation, ceil_mode)
    shape = (*cols.shape[:2], *size)
    padded = np.zeros(padded_shape(shape, window), cols.dtype)
    scatter(cols.transpose(0, 4, 5, 2, 3, 1), padded, window)
    return np.ascontiguousarray(interior(padded, size, window).transpose(0, 3, 1, 2))


def padded_shape(shape, window):
    """(N, HP, WP, C): the canvas of (N, C, H, W) images that every window fits into, its overhang included."""
    n, c, *size = shape
    axes = window.rows, window.columns
    return n, *(max(s + a.before, (a.output_size(s) - 1) * a.stride + a.extent) for a, s in zip(axes, size)), c


def pad_channels_last(x, padded, window, first=0):
    """Fill padded (N, height, WP, C) with rows first … first + height of the zero-padded canvas of x (N, C, H, W)."""
    h, w = x.shape[2:]
    top, left = first - window.rows.before, window.columns.before  # row 0 of `padded` is row `top` of x
    height = padded.shape[1]
    above = min(max(0, -top), height)  # rows of padding over the image, …
    below = max(above, min(height, h - top))  # … and the first row under it
    padded[:, :above] = 0
    padded[:, below:] = 0
    padded[:, above:below, :left] = 0
    padded[:, above:below, left + w:] = 0
    _turn(x[:, :, top + above:top + below], padded[:, above:below, left:left + w])


def _turn(x, out):
    """out (N, H, W, C) ← x (N, C, H, W). NumPy's innermost loop goes over the channels, too short a loop if they are few."""
    if x.shape[1] >= 32:
        out[...] = x.transpose(0, 2, 3, 1)
        return
    for c in range(x.shape[1]):
        out[..., c] = x[:, c]


def interior(padded, size, window):
    """The view of `padded` (N, HP, WP, C) that is the image itself."""
    top, left = window.rows.before, window.columns.before
    return padded[:, top:top + size[0], left:left + size[1]]


def columns(x, window, top, bottom):
    """The columns (N, bottom − top, OW, KH, KW, C) of output rows top … bottom, in a buffer of this thread."""
    rows, first = window.rows, top * window.rows.stride
    height = (bottom - top - 1) * rows.stride + rows.extent
    _, _, width, channels = padded_shape(x.shape, window)
    padded = parallel.scratch("im2col padded", (len(x), height, width, channels), x.dtype)
    pad_channels_last(x, padded, window, first)
    ow = window.columns.output_size(x.shape[3])
    cols = parallel.scratch("im2col columns", (len(x), bottom - top, ow, *window.kernel, channels), x.dtype)
    gather(padded, cols, window)
    return cols


def gather(padded, cols, window):
    """cols (N, OH, OW, KH, KW, C) ← the windows of padded (N, HP, WP, C), from its first row on."""
    (sh, sw), (dh, dw) = window.stride, window.dilation
    image, row, column, channel = padded.strides
    strides = (image, row * sh, column * sw, row * dh, column * dw, channel)
    np.copyto(cols, as_strided(padded, cols.shape, strides, writeable=False))


def scatter(cols, padded, window):
    """padded (N, HP, WP, C) += the columns (N, OH, OW, KH, KW, C), tap by tap: no tap meets a pixel twice."""
    _, oh, ow, kh, kw, _ = cols.shape
    (sh, sw), (dh, dw) = window.stride, window.dilation
    for i in range(kh):
        rows = slice(i * dh, i * dh + (oh - 1) * sh + 1, sh)
        for j in range(kw):
            padded[:, rows, j * dw:j * dw + (ow - 1) * sw + 1:sw] += cols[:, :, :, i, j]


