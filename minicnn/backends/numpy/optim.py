"""Optimiser updates on the CPU, in place and in cache-sized blocks: each array passes through memory once."""

import numpy as np

from minicnn.backends.numpy import parallel


def sgd_update(w, gradient, velocity, lr, momentum, decay):
    """v ← momentum·v − decay·w − lr·g;  w ← w + v  (`decay` already holds the learning rate)."""
    def block(w, g, v):
        t = parallel.scratch("sgd", w.shape, w.dtype)
        v *= momentum
        v -= np.multiply(g, lr, out=t)
        if decay:
            v -= np.multiply(w, decay, out=t)
        w += v

    parallel.elementwise(block, w, np.ascontiguousarray(gradient), velocity)


def adam_update(w, gradient, m, v, step, lr, betas, eps, decay):
    """Adam with bias correction; `step` counts from 1 and `decay`·w is added to the gradient (L2).

    m ← β₁m + (1 − β₁)g;  v ← β₂v + (1 − β₂)g²;  w ← w − lr·(m/(1 − β₁ᵗ)) / (√(v/(1 − β₂ᵗ)) + ε)
    """
    first, second = betas
    rate = lr / (1 - first**step)
    correction = 1 / (1 - second**step)

    def block(w, g, m, v):
        t, d = (parallel.scratch(name, w.shape, w.dtype) for name in ("adam t", "adam d"))
        np.multiply(w, decay, out=d)
        d += g
        m *= first
        m += np.multiply(d, 1 - first, out=t)
        d *= d
        v *= second
        v += np.multiply(d, 1 - second, out=t)
        np.sqrt(np.multiply(v, correction, out=t), out=t)
        t += eps
        np.divide(m, t, out=t)
        t *= rate
        w -= t

    parallel.elementwise(block, w, np.ascontiguousarray(gradient), m, v)
