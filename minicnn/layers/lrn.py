"""Local response normalisation across maps."""

import math
import numbers

from minicnn import backends
from minicnn.errors import ShapeError
from minicnn.layers.base import Layer


class LRN(Layer):
    r"""Local response normalisation: each activation is damped by its neighbours in the maps beside it.

    .. math::
        y[n, c] = x[n, c] / s[n, c]^\beta, \qquad s[n, c] = k + a \sum_{|c' - c| \le size/2} x[n, c']^2

    at every pixel by itself; at the first and last maps the sum is shorter. a = alpha in the paper's form
    (`alpha_mode="sum"`) and alpha/size in that of the 2012 code, Caffe, ONNX and PyTorch (`alpha_mode="mean"`): with the
    same alpha the two differ by a factor of `size`, the commonest error when weights are carried over.

    Backward. x[c] acts on y[c] directly, and through s on every y[c'] in whose window c lies:

    .. math::
        dx[c] = dy[c] / s[c]^\beta - 2 a \beta x[c] \sum_{|c' - c| \le size/2} dy[c'] x[c'] / s[c']^{\beta + 1}

    With alpha = 1e-4 the second term is a few parts in ten thousand, so a gradient without it passes careless checks;
    test with alpha >= 1.

    *Why this cache*: x alone. s is as large as x and costs one cheap product to compute again.

    Parameters
    ----------
    size : int
        Maps in a window, odd (the paper's n = 5).
    alpha, beta, k : float
        1e-4, 0.75 and 2 in the paper, section 3.3; Caffe's networks use k = 1.
    alpha_mode : "sum" or "mean"

    Shapes
    ------
    x (N, C, H, W) → y the same

    References
    ----------
    Krizhevsky, Sutskever, Hinton 2012, "ImageNet classification with deep convolutional neural networks".

    Examples
    --------
    >>> import numpy as np
    >>> from minicnn import LRN
    >>> x = np.ones((1, 3, 1, 1), np.float32)
    >>> LRN(size=3, alpha=1.0, beta=1.0, k=1.0)(x).ravel()        # 1/(1 + 2), 1/(1 + 3), 1/(1 + 2)
    array([0.33333334, 0.25      , 0.33333334], dtype=float32)
    """

    def __init__(self, size=5, alpha=1e-4, beta=0.75, k=2.0, alpha_mode="sum"):
        super().__init__()
        if not hasattr(size, "__index__") or isinstance(size, bool) or size < 1 or size % 2 == 0:
            raise ShapeError(f"LRN: size is {size!r}, wanted an odd int >= 1: a window has a map in its middle")
        if alpha_mode not in ("sum", "mean"):
            raise ShapeError(f"LRN: alpha_mode is {alpha_mode!r}, wanted 'sum' or 'mean'")
        for name, value in (("alpha", alpha), ("beta", beta), ("k", k)):
            if not isinstance(value, numbers.Real) or not 0 <= value < math.inf:
                raise ShapeError(f"LRN: {name} is {value!r}, wanted a finite number >= 0")
        self.size, self.alpha, self.beta, self.k = int(size), float(alpha), float(beta), float(k)
        self.alpha_mode = alpha_mode

    def _constants(self):
        alpha = self.alpha / self.size if self.alpha_mode == "mean" else self.alpha
        return self.size, alpha, self.beta, self.k

    def _forward(self, ops, x, training):
        return ops.lrn(x, *self._constants()), x

    def _backward(self, ops, dy, x, need_dx):
        return ops.lrn_backward(dy, x, *self._constants()), {}

    def output_shape(self, shape):
        if len(shape) != 4:
            raise ShapeError(f"{self}: got an input of shape {tuple(shape)}, wanted (N, C, H, W)")
        return tuple(shape)

    def workspace_bytes(self, shape):
        return backends.get(self.backend).lrn_workspace(shape, self.size, self.dtype.itemsize)

    def settings(self):
        alpha = f"{self.alpha:g}/n" if self.alpha_mode == "mean" else f"{self.alpha:g}"
        return f"n={self.size}, α={alpha}, β={self.beta:g}, k={self.k:g}"
