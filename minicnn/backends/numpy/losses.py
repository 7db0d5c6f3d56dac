"""The softmax cross-entropy on the CPU."""

import numpy as np


@np.errstate(all="ignore")  # a loss that is not finite says enough
def softmax_cross_entropy(logits, labels):
    """Mean over the batch of −log p[label], as a Python float, and the probabilities p (N, K)."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    p = np.exp(shifted)
    total = p.sum(axis=1, keepdims=True)
    picked = np.take_along_axis(shifted, labels[:, None], axis=1)
    loss = np.mean(np.log(total) - picked, dtype=np.float64)  # log Σe^z − z[label]: no logarithm of a tiny p
    p /= total
    return float(loss), p


def softmax_cross_entropy_backward(p, labels):
    """d(mean loss)/d(logits) = (p − one_hot(label)) / N."""
    dlogits = p.copy()
    dlogits[np.arange(len(labels)), labels] -= 1
    dlogits /= len(labels)
    return dlogits
