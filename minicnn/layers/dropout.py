"""Dropout."""

import math
import numbers
import secrets

from minicnn.errors import ShapeError
from minicnn.layers.base import Layer


class Dropout(Layer):
    """In training, y = x·keep/(1 − p) with each `keep` 1 with probability 1 − p, else 0; in evaluation y = x.

    Scaling in training ("inverted" dropout) keeps the expectation, so evaluation needs no factor; the paper scales by
    1/2 at test time instead, which is the same. Backward: dx = dy·keep/(1 − p), with the mask of the forward.

    The mask is a function of the seed and of how many training passes the layer has made (`calls`), drawn from a
    counter-based generator: the same on every backend and for any number of threads, and two ints restore it.

    *Why this cache*: the mask, one byte an element.

    Parameters
    ----------
    p : float
        Probability that an element is dropped, 0 <= p < 1.
    seed : int or None
        None draws one; see also `Sequential.seed`.

    Shapes
    ------
    x of any shape → y the same

    References
    ----------
    Hinton et al. 2012, "Improving neural networks by preventing co-adaptation of feature detectors".

    Examples
    --------
    >>> import numpy as np
    >>> from minicnn import Dropout
    >>> y = Dropout(0.5, seed=0)(np.ones((1, 1000), np.float32))
    >>> np.unique(y)
    array([0., 2.], dtype=float32)
    """

    keeps = ""

    def __init__(self, p=0.5, seed=None):
        super().__init__()
        if not isinstance(p, numbers.Real) or isinstance(p, bool) or not 0 <= p < 1:
            raise ShapeError(f"Dropout: p is {p!r}, wanted a number in [0, 1)")
        self.p = float(p)
        self.seed(secrets.randbits(63) if seed is None else seed)

    def seed(self, seed):
        """Begin anew with the masks of `seed`."""
        self.random_state = [int(seed) % 2**64, 0]  # seed, training passes so far

    def _forward(self, ops, x, training):
        if not training or self.p == 0:
            return ops.copy(x), None
        y, keep = ops.dropout(x, self.p, self.random_state)
        self.random_state[1] += 1
        return y, keep

    def _infer(self, ops, x):
        return x

    def _backward(self, ops, dy, keep, need_dx):
        return ops.copy(dy) if keep is None else ops.dropout_backward(dy, keep, self.p), {}

    def cache_bytes(self, shape):
        return math.prod(shape) if self.p else 0

    def settings(self):
        return f"p={self.p:g}"
