"""Batch normalisation."""

import math
import numbers

from minicnn.errors import ShapeError
from minicnn.initialisers import draw
from minicnn.layers.base import Layer


class _BatchNorm(Layer):
    keeps = ""
    axes = ()  # how many axes an input may have, and how it is written

    def __init__(self, num_features, eps=1e-5, momentum=0.1):
        super().__init__()
        if not hasattr(num_features, "__index__") or isinstance(num_features, bool) or num_features < 1:
            raise ShapeError(f"{type(self).__name__}: num_features is {num_features!r}, wanted an int >= 1")
        if not (isinstance(eps, numbers.Real) and eps >= 0 and isinstance(momentum, numbers.Real) and 0 <= momentum <= 1):
            raise ShapeError(f"{type(self).__name__}: eps is {eps!r} and momentum {momentum!r}, wanted eps >= 0 and a "
                             "momentum from 0 to 1")
        self.num_features, self.eps, self.momentum = int(num_features), float(eps), float(momentum)
        shape = (self.num_features,)
        self._add_parameter("weight", draw(1.0, shape))
        self._add_parameter("bias", draw(0.0, shape))
        self._buffers = {"running_mean": draw(0.0, shape), "running_var": draw(1.0, shape)}

    def _forward(self, ops, x, training):
        if not training:
            y, normal, inverse = ops.batchnorm_inference(x, self.weight.data, self.bias.data, self.running_mean,
                                                         self.running_var, self.eps)
            return y, (normal, inverse, True)
        count = x.size // self.num_features
        if count == 1:
            raise ShapeError(f"{self}: got an input of shape {tuple(x.shape)}: training needs more than one value a "
                             "channel, because one value has no variance; use a larger batch or eval()")
        y, normal, inverse, mean, variance = ops.batchnorm(x, self.weight.data, self.bias.data, self.eps)
        self._track("running_mean", mean)
        self._track("running_var", variance * (count / (count - 1)))  # the unbiased estimate
        return y, (normal, inverse, False)

    def _track(self, name, value):
        self._buffers[name] = (1 - self.momentum) * self._buffers[name] + self.momentum * value

    def _backward(self, ops, dy, kept, need_dx):
        normal, inverse, constants = kept
        dx, dgamma, dbeta = ops.batchnorm_backward(dy, normal, self.weight.data, inverse, constants)
        return dx, {"weight": dgamma, "bias": dbeta}

    def output_shape(self, shape):
        if len(shape) != len(self.axes) or shape[1] != self.num_features:
            wanted = ", ".join(self.axes).replace("C", str(self.num_features))
            raise ShapeError(f"{self}: got an input of shape {tuple(shape)}, wanted ({wanted})")
        return tuple(shape)

    def cache_bytes(self, shape):
        return (math.prod(shape) + self.num_features) * self.dtype.itemsize

    def settings(self):
        return f"{self.num_features}"


class BatchNorm1d(_BatchNorm):
    """Batch normalisation of features: `BatchNorm2d` for x (N, C), with the means over the batch alone.

    Examples
    --------
    >>> import numpy as np
    >>> from minicnn import BatchNorm1d
    >>> BatchNorm1d(1, eps=0)(np.array([[1.0], [3.0]], np.float32)).ravel()
    array([-1.,  1.], dtype=float32)
    """

    axes = ("N", "C")


class BatchNorm2d(_BatchNorm):
    r"""Batch normalisation: each map is centred and scaled to unit variance, then by a learnt γ and β.

    .. math::
        y = \gamma \hat x + \beta, \qquad \hat x = (x - \mu) / \sqrt{\sigma^2 + eps}

    In training μ and σ² (biased) are the mean and variance over the batch and all pixels, and running averages follow
    them, running ← (1 − momentum)·running + momentum·new, the variance in its unbiased form. In evaluation the running
    values are used. Backward in training, with M values a channel:

    .. math::
        d\gamma = \sum dy\,\hat x, \quad d\beta = \sum dy, \quad
        dx = \frac{\gamma}{\sqrt{\sigma^2 + eps}} \left(dy - d\beta/M - \hat x\, d\gamma/M\right)

    In evaluation μ and σ² are constants, and dx = dy·γ/√(σ² + eps).

    *Why this cache*: x̂ gives both gradients; x is not needed.

    Parameters
    ----------
    num_features : int
        C.
    eps : float
    momentum : float
        Weight of the new value in the running averages.

    Shapes
    ------
    x (N, C, H, W) → y the same; weight (γ), bias (β), running_mean and running_var (C,)

    References
    ----------
    Ioffe, Szegedy 2015, "Batch normalization: accelerating deep network training by reducing internal covariate shift".

    Examples
    --------
    >>> import numpy as np
    >>> from minicnn import BatchNorm2d
    >>> y = BatchNorm2d(2)(np.random.default_rng(0).normal(5, 3, (4, 2, 8, 8)).astype(np.float32))
    >>> bool(abs(y.mean()) < 1e-6), round(float(y.std()), 3)
    (True, 1.0)
    """

    axes = ("N", "C", "H", "W")
