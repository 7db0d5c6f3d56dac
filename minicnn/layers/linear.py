"""The fully connected layer."""

from minicnn.errors import ShapeError
from minicnn.initialisers import HeNormal, draw
from minicnn.layers.base import Layer


class Linear(Layer):
    """y = x·Wᵀ + b; dx = dy·W, dW = dyᵀ·x, db = Σₙ dy[n].

    *Why this cache*: dW needs x, which the caller holds anyway.

    Parameters
    ----------
    in_features, out_features : int
        I and O.
    bias : bool
    seed : int or None
        Of the He-normal weights (He et al. 2015); biases start at zero.

    Shapes
    ------
    x (N, I) → y (N, O); weight (O, I), bias (O,). Images need a `Flatten` before.

    Examples
    --------
    >>> import numpy as np
    >>> from minicnn import Linear
    >>> Linear(9216, 4096, seed=0)(np.zeros((2, 9216), np.float32)).shape
    (2, 4096)
    """

    def __init__(self, in_features, out_features, bias=True, seed=None):
        super().__init__()
        for name, value in (("in_features", in_features), ("out_features", out_features)):
            if not hasattr(value, "__index__") or isinstance(value, bool) or value < 1:
                raise ShapeError(f"Linear: {name} is {value!r}, wanted an int >= 1")
        self.in_features, self.out_features, self.has_bias = int(in_features), int(out_features), bool(bias)
        self._add_parameter("weight", draw(HeNormal(), (self.out_features, self.in_features), seed))
        if self.has_bias:
            self._add_parameter("bias", draw(0.0, (self.out_features,)))

    def _forward(self, ops, x, training):
        return ops.linear(x, self.weight.data, self.bias.data if self.has_bias else None), x

    def _backward(self, ops, dy, x, need_dx):
        dx, dw, db = ops.linear_backward(dy, x, self.weight.data, self.has_bias, need_dx)
        return dx, {"weight": dw, "bias": db} if self.has_bias else {"weight": dw}

    def output_shape(self, shape):
        if len(shape) > 2:
            raise ShapeError(f"{self}: got an input of shape {tuple(shape)}, wanted (N, {self.in_features}); "
                             "put a Flatten() before it")
        if len(shape) != 2 or shape[1] != self.in_features:
            raise ShapeError(f"{self}: got an input of shape {tuple(shape)}, wanted (N, {self.in_features})")
        return shape[0], self.out_features

    def macs(self, shape):
        return shape[0] * self.in_features * self.out_features

    def settings(self):
        return f"{self.in_features}→{self.out_features}" + ", no bias" * (not self.has_bias)
