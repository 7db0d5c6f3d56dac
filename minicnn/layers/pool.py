"""Max and average pooling."""

import math

from minicnn import backends
from minicnn.errors import ShapeError
from minicnn.layers.base import Layer
from minicnn.windows import Window


class _Pool2d(Layer):
    """What both poolings share: a window that slides over each map alone."""

    keeps = ""

    def __init__(self, kernel_size, stride, padding, dilation, ceil_mode):
        super().__init__()
        stride = kernel_size if stride is None else stride
        self.window = Window.make(kernel_size, stride, padding, dilation, ceil_mode)
        for axis in (self.window.rows, self.window.columns):
            if max(axis.before, axis.after) > axis.kernel:
                raise ShapeError(f"{self}: a padding of {max(axis.before, axis.after)} is larger than the kernel")

    def output_shape(self, shape):
        if len(shape) != 4:
            raise ShapeError(f"{self}: got an input of shape {tuple(shape)}, wanted (N, C, H, W)")
        try:
            size = self.window.output_size(shape[2:])
        except ShapeError as error:
            raise ShapeError(f"{self}: an input of shape {tuple(shape)} is too small: {error}") from None
        for axis, pixels in zip((self.window.rows, self.window.columns), shape[2:]):
            if axis.sees_only_padding(pixels):
                raise ShapeError(f"{self}: for an input of shape {tuple(shape)}, a window sees only padding")
        return (*shape[:2], *size)

    def formula(self, shape):
        return self.window.formula(shape[2:])

    def workspace_bytes(self, shape):
        self.output_shape(shape)
        return backends.get(self.backend).pool2d_workspace(shape, self.window, self.dtype.itemsize)

    def settings(self):
        return self.window.settings()


class MaxPool2d(_Pool2d):
    r"""The largest number in each window: y[n, c, p, q] = max over i, j of x[n, c, p·SH + i·DH − PH, q·SW + j·DW − PW].

    Outside the image x is −∞, so padding never wins. Backward gives dy to the pixel that was the maximum (the first in
    reading order if several were) and adds where windows overlap. A NaN in a window is its maximum.

    *Why this cache*: the number of the winning tap, one byte an output; x itself is not kept.

    Parameters
    ----------
    kernel_size, stride, dilation : int or (h, w)
        `stride` is the kernel size by default; AlexNet overlaps with kernel 3 and stride 2 (paper, section 3.4).
    padding : int, (h, w) or ((top, bottom), (left, right))
        At most the kernel; a window that would see only padding is refused.
    ceil_mode : bool
        Round the output size up; the last window must still begin on the input or the padding before it.

    Shapes
    ------
    x (N, C, H, W) → y (N, C, OH, OW)

    Examples
    --------
    >>> import numpy as np
    >>> from minicnn import MaxPool2d
    >>> MaxPool2d(3, 2)(np.arange(25, dtype=np.float32).reshape(1, 1, 5, 5))[0, 0]
    array([[12., 14.],
           [22., 24.]], dtype=float32)
    """

    def __init__(self, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False):
        super().__init__(kernel_size, stride, padding, dilation, ceil_mode)

    def _forward(self, ops, x, training):
        y, argmax = ops.max_pool2d(x, self.window)
        return y, (argmax, tuple(x.shape))

    def _infer(self, ops, x):
        return ops.max_pool2d(x, self.window, need_argmax=False)[0]

    def _backward(self, ops, dy, kept, need_dx):
        return ops.max_pool2d_backward(dy, *kept, self.window), {}

    def cache_bytes(self, shape):
        return math.prod(self.output_shape(shape)) * (1 if math.prod(self.window.kernel) < 256 else 2)


class AvgPool2d(_Pool2d):
    r"""The mean of each window: y[n, c, p, q] = Σ x[n, c, p·SH + i − PH, q·SW + j − PW] / (pixels that count).

    Padding counts as zeros if `count_include_pad`; what overhangs in ceil mode never counts. Backward gives every pixel
    of a window dy / (pixels that count).

    Parameters
    ----------
    kernel_size, stride, padding, ceil_mode
        As in `MaxPool2d`.
    count_include_pad : bool

    Shapes
    ------
    x (N, C, H, W) → y (N, C, OH, OW)

    Examples
    --------
    >>> import numpy as np
    >>> from minicnn import AvgPool2d
    >>> AvgPool2d(2)(np.arange(16, dtype=np.float32).reshape(1, 1, 4, 4))[0, 0]
    array([[ 2.5,  4.5],
           [10.5, 12.5]], dtype=float32)
    """

    def __init__(self, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True):
        super().__init__(kernel_size, stride, padding, 1, ceil_mode)
        self.count_include_pad = bool(count_include_pad)

    def _forward(self, ops, x, training):
        return ops.avg_pool2d(x, self.window, self.count_include_pad), tuple(x.shape)

    def _backward(self, ops, dy, shape, need_dx):
        return ops.avg_pool2d_backward(dy, shape, self.window, self.count_include_pad), {}
