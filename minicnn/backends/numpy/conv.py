"""Convolution on the CPU: the choice of the algorithm, the groups, and the gradient of the bias.

Each algorithm is a module with the same names: `refusal(window)` says why it cannot do it, `forward` and `backward` work on
one group, `workspace` tells what that needs beside its arrays, on one thread. Which of them wins where, and with what
rounding, is measured by `benchmarks/convolutions.py` and drawn in `examples/pictures/convolutions.png`.
"""

import math

from minicnn.backends.numpy import conv_direct, conv_fft, conv_im2col, conv_winograd, parallel
from minicnn.backends.numpy.arrays import empty

ALGORITHMS = {"direct": conv_direct, "im2col": conv_im2col, "winograd": conv_winograd, "fft": conv_fft}


def conv2d(x, w, b, window, groups=1, algorithm="im2col", rectify=False):
    """y (N, O, OH, OW) = x (N, C, H, W) ⋆ w (O, C/groups, KH, KW) + b (O,); its positive part if `rectify`.

    Each algorithm rectifies what it has just written, while that is in the cache.
    """
    y = empty((len(x), len(w), *window.output_size(x.shape[2:])), x.dtype)
    for c, o in _group_slices(groups, x.shape[1], len(w), algorithm):
        ALGORITHMS[algorithm].forward(x[:, c], w[o], None if b is None else b[o], y[:, o], window, rectify)
    return y


def conv2d_backward(dy, x, w, window, groups=1, has_bias=True, need_dx=True, algorithm="im2col"):
    """dx (or None), dW, db (or None) of `conv2d`."""
    dx = empty(x.shape, x.dtype) if need_dx else None
    dw = empty(w.shape, w.dtype)
    for c, o in _group_slices(groups, x.shape[1], len(w), algorithm):
        dw[o] = ALGORITHMS[algorithm].backward(dy[:, o], x[:, c], w[o], dx[:, c] if need_dx else None, window)
    return dx, dw, _sum_over_pixels(dy) if has_bias else None


def _sum_over_pixels(dy):
    """db (O,) from dy (N, O, OH, OW)."""
    return parallel.run_and_add(lambda start, stop: dy[start:stop].sum(axis=(0, 2, 3)), len(dy), 1)


def conv2d_algorithms(window):
    """{name: why it cannot convolve with this window, or an empty string} of every algorithm."""
    return {name: module.refusal(window) for name, module in ALGORITHMS.items()}


def conv2d_fastest(shape, channels_out, window, groups=1):
    """The algorithm that is likely to be the fastest, forward and backward, for images of `shape` (N, C, H, W).

    Every number here is read off `benchmarks/convolutions.py --check`, which times all four on some 250 shapes (Zen 5, two
    cores).
    """
    if _at_once(groups, shape[1], channels_out, "direct"):
        return "direct"  # the others have no product over channels to lay out their arrays for
    if window.stride != (1, 1):
        return "im2col"  # it makes fewer columns, where the others do or lay out as much as without a stride
    n, c, o, taps = shape[0], shape[1] // groups, channels_out // groups, math.prod(window.kernel)
    pixels = math.prod(window.output_size(shape[2:]))
    if not conv_winograd.refusal(window):
        # transforms are paid a channel, those of the kernels once; what they save grows with the taps
        if taps >= 4 and taps * min(c, o) >= 500 and taps * n * pixels >= 3000:
            return "winograd"
    elif taps >= 25 and c >= 16 and n * pixels >= 3000 and n * pixels * c * o >= 3e6:
        return "fft"  # the same, but the kernels' spectra are paid once; colours alone have too few columns to save
    # direct has the shortest way to a small product (but for a handful of pixels, whose columns are made in one go), and on
    # large images does not wait for the memory of columns; but it passes over the outputs for each tap of each channel
    small, large = n * pixels * taps * c * o <= 6e7 and (n * pixels > 100 or taps < 9), pixels >= 3000
    if taps == 1 or ((small or large) and (taps <= 4 or o <= 4 * c)):
        return "direct"
    return "im2col"


def conv2d_workspace(shape, channels_out, window, itemsize, groups=1, algorithm="im2col"):
    """Bytes of the buffers in the backward pass (the larger one): what all threads share and what one holds at a time."""
    n, c, *size = shape
    if _at_once(groups, c, channels_out, algorithm):
        return conv_direct.workspace(shape, channels_out, window, itemsize, groups)
    return ALGORITHMS[algorithm].workspace((n, c // groups, *size), channels_out // groups, window, itemsize)


def _group_slices(groups, channels, channels_out, algorithm):
    """(input channels, output channels) of each group."""
    if _at_once(groups, channels, channels_out, algorithm):
        return [(slice(None), slice(None))]
    c, o = channels // groups, channels_out // groups
    return [(slice(g * c, (g + 1) * c), slice(g * o, (g + 1) * o)) for g in range(groups)]


def _at_once(groups, channels, channels_out, algorithm):
    """Depthwise convolution: "direct" takes all the groups together, each a channel that becomes a channel."""
    return algorithm == "direct" and groups == channels == channels_out
