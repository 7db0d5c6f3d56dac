"""Losses."""

from minicnn import backends
from minicnn.errors import BackendError, DtypeError, ShapeError, StateError
from minicnn.layers.base import DTYPES


class SoftmaxCrossEntropy:
    r"""Mean over the batch of −log softmax(logits)[label].

    .. math::
        L = -\frac{1}{N} \sum_n \log p[n, label_n], \quad p = softmax(logits), \qquad
        \frac{\partial L}{\partial logits} = \frac{p - onehot(label)}{N}

    Softmax and logarithm are one step, log Σe^z − z[label], so that neither a large logit nor a tiny p overflows. The
    loss of a network that knows nothing is log K: 6.9 for 1,000 classes.

    Shapes
    ------
    logits (N, K), labels (N,) of any integer dtype

    Examples
    --------
    >>> import numpy as np
    >>> from minicnn import SoftmaxCrossEntropy
    >>> loss = SoftmaxCrossEntropy()
    >>> round(loss(np.zeros((2, 4), np.float32), np.array([0, 3])), 4)      # log 4
    1.3863
    >>> loss.backward()
    array([[-0.375,  0.125,  0.125,  0.125],
           [ 0.125,  0.125,  0.125, -0.375]], dtype=float32)
    """

    def __init__(self):
        self._kept = None

    def __call__(self, logits, labels):
        """The loss: a Python float on the CPU, a 0-d array that `float()` reads on the GPU.

        Raises
        ------
        ShapeError
            Wrong shapes, or a label outside 0 … K − 1.
        DtypeError
            Labels that are not integers.
        """
        backend = backends.name_of(logits)
        if backend is None:
            raise BackendError(f"SoftmaxCrossEntropy: got {type(logits).__name__} as logits, wanted an array")
        ops = backends.get(backend)
        with ops.memory_errors:
            labels = ops.asarray(self._check(logits, labels, backend))
            value, p = ops.softmax_cross_entropy(logits, labels)
        self._kept = backend, p, labels
        return value

    def backward(self):
        """dL/d(logits), as large as the logits."""
        if self._kept is None:
            raise StateError("SoftmaxCrossEntropy: backward needs a loss computed before it, and each serves one backward")
        (backend, p, labels), self._kept = self._kept, None
        return backends.get(backend).softmax_cross_entropy_backward(p, labels)

    @staticmethod
    def _check(logits, labels, backend):
        if logits.ndim != 2 or 0 in logits.shape:
            raise ShapeError(f"SoftmaxCrossEntropy: got logits of shape {tuple(logits.shape)}, wanted (N, K)")
        if logits.dtype.name not in DTYPES:
            raise DtypeError(f"SoftmaxCrossEntropy: the logits are {logits.dtype}, wanted {' or '.join(DTYPES)}")
        where = backends.name_of(labels)
        if where is None:
            raise BackendError(f"SoftmaxCrossEntropy: got {type(labels).__name__} as labels, wanted an array of integers")
        if labels.dtype.kind not in "iu":
            raise DtypeError(f"SoftmaxCrossEntropy: the labels are {labels.dtype}, wanted integers")
        if tuple(labels.shape) != (len(logits),):
            raise ShapeError(f"SoftmaxCrossEntropy: got labels of shape {tuple(labels.shape)} for logits of shape "
                             f"{tuple(logits.shape)}, wanted ({len(logits)},)")
        classes = logits.shape[1]
        if where != backend:
            labels = backends.get(where).to_numpy(labels)
        if int(labels.min()) < 0 or int(labels.max()) >= classes:
            raise ShapeError(f"SoftmaxCrossEntropy: got labels from {int(labels.min())} to {int(labels.max())} for "
                             f"{classes} classes, wanted 0 … {classes - 1}")
        return labels.astype("int64")

    def __repr__(self):
        return "SoftmaxCrossEntropy()"
