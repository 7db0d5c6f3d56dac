"""The softmax cross-entropy on the GPU."""

import cupy

from minicnn.backends.cupy.arrays import empty
from minicnn.backends.cupy.kernels import launch, launch_blocks

THREADS = 256  # that share a row


def softmax_cross_entropy(logits, labels):
    """Mean over the batch of −log p[label], and the probabilities p (N, K).

    The mean is an array without axes, which `float()` reads: a step that does not look at it need not wait for the GPU.
    """
    logits = cupy.ascontiguousarray(logits)
    rows, classes = logits.shape
    p, losses, mean = empty(logits.shape, logits.dtype), empty(rows, logits.dtype), empty((), "float64")
    launch_blocks("losses", "softmax_cross_entropy", (rows,), (THREADS,), logits, labels, p, losses, classes)
    launch_blocks("losses", "mean_of_losses", (1,), (THREADS,), losses, mean, rows)
    return mean, p


def softmax_cross_entropy_backward(p, labels):
    """d(mean loss)/d(logits) = (p − one_hot(label)) / N."""
    dlogits = empty(p.shape, p.dtype)
    launch("losses", "softmax_cross_entropy_backward", p.size, p, labels, dlogits, p.size, p.shape[1], len(p))
    return dlogits
