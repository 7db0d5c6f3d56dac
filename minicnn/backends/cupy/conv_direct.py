"""Convolution on the GPU straight from its definition, by the kernels of conv_direct.cu: one thread for each number."""

from minicnn.backends.cupy.arrays import empty
from minicnn.backends.cupy.kernels import BLOCK, geometry, launch, launch_blocks
from minicnn.backends.cupy.relu import rectify


def refusal(window):
    """Every window can be walked."""
    return ""


def workspace(shape, channels_out, window, itemsize, groups):
    """No buffers at all."""
    return 0


def forward(x, w, b, y, window, groups, rectified):
    """y (N, O, OH, OW) ← x (N, C, H, W) ⋆ w (O, C/groups, KH, KW) + b (O,); its positive part if `rectified`."""
    launch("conv_direct", "direct_forward", y.size, x, w, b, y, *_sizes(x, w, window, groups))
    if rectified:
        rectify(y)


def backward(dy, x, w, dx, window, groups):
    """dw (O, C/groups, KH, KW); fills dx (N, C, H, W) unless it is None."""
    sizes = _sizes(x, w, window, groups)
    if dx is not None:
        launch("conv_direct", "direct_dx", dx.size, dy, w, dx, *sizes)
    dw = empty(w.shape, w.dtype)
    launch_blocks("conv_direct", "direct_dw", (dw.size,), (BLOCK,), x, dy, dw, *sizes)
    return dw


def _sizes(x, w, window, groups):
    n, c, *size = x.shape
    return n, c, len(w), groups, *geometry(window, size)
