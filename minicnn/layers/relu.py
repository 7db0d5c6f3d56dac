"""The rectified linear unit."""

from minicnn.layers.base import Layer


class ReLU(Layer):
    """y = max(x, 0); dx = dy where x > 0, else 0 (the derivative at 0 is taken as 0).

    *Why this cache*: y, which the next layer holds anyway, tells where x was positive.

    Shapes
    ------
    x of any shape → y the same

    References
    ----------
    Nair, Hinton 2010; in AlexNet, section 3.1 of the paper.

    Examples
    --------
    >>> import numpy as np
    >>> from minicnn import ReLU
    >>> ReLU()(np.array([[-1.0, 0.0, 2.0]], np.float32))
    array([[0., 0., 2.]], dtype=float32)
    """

    keeps = "y"

    def _forward(self, ops, x, training, rectified=False):
        y = x if rectified else ops.relu(x)
        return y, y

    def _backward(self, ops, dy, y, need_dx):
        return ops.relu_backward(dy, y), {}
