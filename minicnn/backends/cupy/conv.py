"""Convolution on the GPU: the choice of the algorithm, and the gradient of the bias.

Each algorithm is a module with the same names: `refusal(window)` says why it cannot do it, `forward` and `backward` take
arrays as a whole and all groups at once, `workspace` tells what that needs beside its arrays. They are a ladder: `direct` is
the definition, `im2col` hands its products to cuBLAS, `implicit` does the same without laying columns out.
"""

import math

import cupy

from minicnn.backends.cupy import conv_direct, conv_im2col, conv_implicit
from minicnn.backends.cupy.arrays import empty, zeros
from minicnn.backends.cupy.sums import sum_over_pixels

ALGORITHMS = {"direct": conv_direct, "im2col": conv_im2col, "implicit": conv_implicit}


def conv2d(x, w, b, window, groups=1, algorithm="im2col", rectify=False):
    """y (N, O, OH, OW) = x (N, C, H, W) ⋆ w (O, C/groups, KH, KW) + b (O,); its positive part if `rectify`."""
    y = empty((len(x), len(w), *window.output_size(x.shape[2:])), x.dtype)
    x, w = cupy.ascontiguousarray(x), cupy.ascontiguousarray(w)
    b = zeros((len(w),), w.dtype) if b is None else cupy.ascontiguousarray(b)
    ALGORITHMS[algorithm].forward(x, w, b, y, window, groups, rectify)
    return y


def conv2d_backward(dy, x, w, window, groups=1, has_bias=True, need_dx=True, algorithm="im2col"):
    """dx (or None), dW, db (or None) of `conv2d`."""
    dx = empty(x.shape, x.dtype) if need_dx else None
    dy, x, w = (cupy.ascontiguousarray(array) for array in (dy, x, w))
    dw = ALGORITHMS[algorithm].backward(dy, x, w, dx, window, groups)
    return dx, dw, sum_over_pixels(dy) if has_bias else None


def conv2d_algorithms(window):
    """{name: why it cannot convolve with this window, or an empty string} of every algorithm."""
    return {name: module.refusal(window) for name, module in ALGORITHMS.items()}


def conv2d_fastest(shape, channels_out, window, groups=1):
    """The algorithm that is likely to be the fastest for images of `shape` (N, C, H, W): a rule of thumb, not a measurement.

    With few maps or taps a tile of a matrix product is mostly empty: `direct`. cuBLAS is the fastest product there is, but
    its columns pass through memory twice; each of their numbers is then used in O/groups products, and with some sixty of
    them that pays. With fewer, `implicit` fetches the pixels where they are.
    """
    maps, taps = channels_out // groups, shape[1] // groups * math.prod(window.kernel)
    if maps < 8 or taps < 8:
        return "direct"
    return "im2col" if maps >= 64 else "implicit"


def conv2d_workspace(shape, channels_out, window, itemsize, groups=1, algorithm="im2col"):
    """Bytes of the buffers in the backward pass (the larger one)."""
    return ALGORITHMS[algorithm].workspace(shape, channels_out, window, itemsize, groups)
