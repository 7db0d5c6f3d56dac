"""Optimiser updates on the GPU, in place, one kernel each."""

import cupy

from minicnn.backends.cupy.kernels import launch


def sgd_update(w, gradient, velocity, lr, momentum, decay):
    """v ← momentum·v − decay·w − lr·g;  w ← w + v  (`decay` already holds the learning rate)."""
    launch("optim", "sgd_update", w.size, w, cupy.ascontiguousarray(gradient), velocity, w.size, lr, momentum, decay)


def adam_update(w, gradient, m, v, step, lr, betas, eps, decay):
    """Adam with bias correction; `step` counts from 1 and `decay`·w is added to the gradient (L2).

    m ← β₁m + (1 − β₁)g;  v ← β₂v + (1 − β₂)g²;  w ← w − lr·(m/(1 − β₁ᵗ)) / (√(v/(1 − β₂ᵗ)) + ε)
    """
    first, second = betas
    rate, correction = lr / (1 - first**step), 1 / (1 - second**step)
    launch("optim", "adam_update", w.size, w, cupy.ascontiguousarray(gradient), m, v, w.size, rate, correction, first,
           1 - first, second, 1 - second, eps, decay)
