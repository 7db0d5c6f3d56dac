"""Two-dimensional convolution."""

from minicnn import backends
from minicnn.errors import BackendError, ShapeError
from minicnn.initialisers import HeNormal, draw
from minicnn.layers.base import Layer
from minicnn.windows import Window


class Conv2d(Layer):
    r"""Convolution (as everywhere in the field, a cross-correlation: the kernel is not mirrored).

    .. math::
        y[n, o, p, q] = b[o] + \sum_{c, i, j} w[o, c, i, j] \; x[n, c, p·SH + i·DH - PH, q·SW + j·DW - PW]

    with x = 0 outside the image. Backward, all three by the chain rule:

    .. math::
        db[o] = \sum_{n, p, q} dy[n, o, p, q], \quad
        dw[o, c, i, j] = \sum_{n, p, q} dy[n, o, p, q] \; x[n, c, p·SH + i·DH - PH, q·SW + j·DW - PW]

    and dx[n, c, h, w] is the sum of dy·w over all windows and taps that read that pixel.

    *Why this cache*: both gradients need x, which the caller holds anyway; the im2col columns, KH·KW times as large, are
    computed again.

    Parameters
    ----------
    in_channels, out_channels : int
        C and O.
    kernel_size, stride, dilation : int or (h, w)
    padding : int, (h, w) or ((top, bottom), (left, right))
        Zeros around the image.
    groups : int
        Channels and kernels fall into so many groups that do not see each other; AlexNet's two towers are groups=2.
    bias : bool
    ceil_mode : bool
        Round the output size up: the last window overhangs into zeros. So the 2012 code gets 55 from 224, see
        `computeOutputSize` in its layer.py: 1 + ⌈(2·pad + img − filter)/stride⌉.
    seed : int or None
        Of the He-normal weights (He et al. 2015); biases start at zero.
    algorithm : str
        How it is computed; the result is the same but for rounding: "direct", "im2col", "winograd" or "fft" on the CPU,
        "direct", "im2col" or "implicit" on the GPU. "auto" takes the one that is likely to be fastest for shapes like these
        (on the CPU it was measured), and never one that rounds worse than 1e-5 in float32. `trace` shows it. It can be set
        at any time, as `layer.algorithm`; `to` refuses to move a layer to a backend that lacks the one asked for.

    Shapes
    ------
    x (N, C, H, W) → y (N, O, OH, OW), OH = ⌊(H + top + bottom − DH·(KH − 1) − 1)/SH⌋ + 1;
    weight (O, C/groups, KH, KW), bias (O,).

    The mathematics of the algorithms stands in `backends/numpy/conv_direct.py`, `conv_im2col.py`, `conv_winograd.py` and
    `conv_fft.py`, those of the GPU in `kernels/conv_direct.cu` and `conv_implicit.cu`.

    Examples
    --------
    >>> import numpy as np
    >>> from minicnn import Conv2d
    >>> conv1 = Conv2d(3, 96, 11, stride=4, seed=0)
    >>> conv1(np.zeros((1, 3, 227, 227), np.float32)).shape
    (1, 96, 55, 55)
    """

    def __init__(self, in_channels, out_channels, kernel_size, stride=1, padding=0, dilation=1, groups=1, bias=True,
                 ceil_mode=False, seed=None, algorithm="auto"):
        super().__init__()
        for name, value in (("in_channels", in_channels), ("out_channels", out_channels), ("groups", groups)):
            if not hasattr(value, "__index__") or isinstance(value, bool) or value < 1:
                raise ShapeError(f"Conv2d: {name} is {value!r}, wanted an int >= 1")
        if in_channels % groups or out_channels % groups:
            raise ShapeError(f"Conv2d: groups={groups} does not divide {in_channels} channels into {out_channels}")
        self.in_channels, self.out_channels, self.groups = int(in_channels), int(out_channels), int(groups)
        self.window = Window.make(kernel_size, stride, padding, dilation, ceil_mode)
        self.has_bias = bool(bias)
        self.algorithm = algorithm
        shape = self.out_channels, self.in_channels // self.groups, *self.window.kernel
        self._add_parameter("weight", draw(HeNormal(), shape, seed))
        if self.has_bias:
            self._add_parameter("bias", draw(0.0, shape[:1]))

    @property
    def algorithm(self):
        return self._algorithm

    @algorithm.setter
    def algorithm(self, name):
        refusals = self._refusals(self.backend)
        if not isinstance(name, str) or name not in refusals:
            raise ShapeError(f"Conv2d: algorithm is {name!r}, wanted one of {', '.join(map(repr, refusals))}")
        if refusals[name]:
            raise ShapeError(f"Conv2d: algorithm {name!r} cannot do {self.window.settings()}: {refusals[name]}")
        self._algorithm = name

    def _refusals(self, backend):
        """{algorithm: why `backend` cannot do this convolution by it, or an empty string}."""
        return {"auto": "", **backends.get(backend).conv2d_algorithms(self.window)}

    def check_move(self, backend):
        refusals = self._refusals(backend)
        if refusals.get(self.algorithm, "missing"):
            able = [name for name, refusal in refusals.items() if not refusal]
            raise BackendError(f"{self}: algorithm {self.algorithm!r} is not one of {backend}'s for this layer, which are "
                               f"{', '.join(map(repr, able))}: set its `.algorithm` to 'auto' before it moves")

    def chosen_algorithm(self, shape):
        """The algorithm for an input of `shape`: the one asked for, or what "auto" stands for."""
        if self.algorithm != "auto":
            return self.algorithm
        return backends.get(self.backend).conv2d_fastest(shape, self.out_channels, self.window, self.groups)

    def _forward(self, ops, x, training, rectify=False):
        bias = self.bias.data if self.has_bias else None
        algorithm = self.chosen_algorithm(x.shape)
        return ops.conv2d(x, self.weight.data, bias, self.window, self.groups, algorithm, rectify), x

    def _backward(self, ops, dy, x, need_dx):
        dx, dw, db = ops.conv2d_backward(dy, x, self.weight.data, self.window, self.groups, self.has_bias, need_dx,
                                         self.chosen_algorithm(x.shape))
        return dx, {"weight": dw, "bias": db} if self.has_bias else {"weight": dw}

    def output_shape(self, shape):
        if len(shape) != 4 or shape[1] != self.in_channels:
            raise ShapeError(f"{self}: got an input of shape {tuple(shape)}, wanted (N, {self.in_channels}, H, W)")
        try:
            return shape[0], self.out_channels, *self.window.output_size(shape[2:])
        except ShapeError as error:
            raise ShapeError(f"{self}: an input of shape {tuple(shape)} is too small: {error}") from None

    def formula(self, shape):
        return self.window.formula(shape[2:])

    def macs(self, shape):
        n, o, oh, ow = self.output_shape(shape)
        kh, kw = self.window.kernel
        return n * o * oh * ow * kh * kw * self.in_channels // self.groups

    def workspace_bytes(self, shape):
        ops = backends.get(self.backend)
        return ops.conv2d_workspace(shape, self.out_channels, self.window, self.dtype.itemsize, self.groups,
                                    self.chosen_algorithm(shape))

    def settings(self):
        extra = f", groups={self.groups}" * (self.groups > 1) + ", no bias" * (not self.has_bias)
        extra += f", {self.algorithm}" * (self.algorithm != "auto")
        return f"{self.in_channels}→{self.out_channels}, {self.window.settings()}{extra}"
