"""The gradient check: backward against central differences of forward."""

import copy
from dataclasses import dataclass

import numpy as np

from minicnn.errors import BackendError

STEP = 1e-5
KINK = 1e-7  # how far the differences over one and over half a step may disagree, relative to the gradient
NOISE = 1e-9  # rounding in a difference, relative to the terms of L: about 2⁻⁵² / STEP, with a margin


@dataclass(frozen=True)
class Row:
    """What was found for the input or one parameter."""

    name: str
    shape: tuple
    checked: int
    kinks: int
    error: float
    tolerance: float

    @property
    def passed(self):
        """Is the error within the tolerance, on at least half of the coordinates tried?"""
        return self.error <= self.tolerance and self.checked >= self.kinks


@dataclass(frozen=True)
class Report:
    """The result of `gradcheck`: `rows`, `passed`, and a table when printed."""

    layer: str
    rows: tuple

    @property
    def passed(self):
        return all(row.passed for row in self.rows)

    def __str__(self):
        head = f"gradient check of {self.layer}"
        titles = f"{'array':<20}{'shape':<20}{'checked':>8}{'at kinks':>10}{'largest error':>16}"
        lines = [f"{row.name:<20}{row.shape!s:<20}{row.checked:>8}{row.kinks:>10}{row.error:>16.1e}"
                 f"  {'ok' if row.passed else 'WRONG'}" for row in self.rows]
        return "\n".join([head, titles, *lines])

    __repr__ = __str__


def gradcheck(layer, x, tolerance=1e-6, samples=500, seed=0):
    r"""Compare a layer's backward with central differences of its forward, in float64.

    With random weights r, L = Σ r·y is a scalar function of the input and of every parameter. Backward of dy = r gives its
    gradient; so does (L(v + h) − L(v − h))/2h for each coordinate v, with h = 1e-5. Their relative error is

    .. math:: |a - n| / \max(|a|, |n|, 10^{-2} \max |n|, 10^{-3} \sum |r y|)

    the last terms because a gradient near zero among large ones, or of a large L, cannot be measured better. A coordinate
    whose step crosses a kink (a ReLU at 0, two equal numbers under a max-pool) has no derivative there; it is left out and
    counted. Kinks are found by comparing differences over h and h/2.

    Parameters
    ----------
    layer : Layer
        A layer or a network, in the mode to be checked. It is copied; dropout keeps one mask throughout.
    x : NumPy array
        An input of any floating dtype.
    tolerance : float
    samples : int
        An array with more coordinates is checked at so many of them, chosen at random.
    seed : int

    Returns
    -------
    Report
        `report.passed`, `report.rows`; the table, which is printed as well.

    Examples
    --------
    >>> import numpy as np
    >>> from minicnn import LRN, gradcheck
    >>> x = np.random.default_rng(0).normal(size=(2, 5, 2, 3))
    >>> report = gradcheck(LRN(size=3, alpha=1.0), x)  # doctest: +ELLIPSIS
    gradient check of LRN(n=3, α=1, β=0.75, k=2)
    array               shape                checked  at kinks   largest error
    input               (2, 5, 2, 3)              60         0         ...  ok
    >>> report.passed
    True
    """
    if not isinstance(x, np.ndarray) or x.dtype.kind != "f":
        found = getattr(x, "dtype", type(x).__name__)
        raise BackendError(f"gradcheck: got {found} as input, wanted a NumPy array of floats")
    random = np.random.default_rng([seed, 1729])  # not the stream that the caller's x may come from
    check = _Check(layer, x, random)
    arrays = [("input", check.x, check.dx)]
    arrays += [(p.name, p.data, np.zeros_like(p.data) if p.grad is None else p.grad) for p in check.layer.parameters()]
    rows = (_check_array(check, name, array, gradient, tolerance, _choose(array.size, samples, random))
            for name, array, gradient in arrays)
    report = Report(repr(layer), tuple(rows))
    print(report)
    return report


class _Check:
    """A float64 copy of the layer, and the scalar L that is differentiated."""

    def __init__(self, layer, x, random):
        self.layer = copy.deepcopy(layer).astype("float64")
        self.layer.zero_grad()
        self.x = x.astype(np.float64)
        self.layers = list(self.layer.leaves())
        self.random_states = [list(getattr(leaf, "random_state", ())) for leaf in self.layers]
        y = self.layer.forward(self.x)
        self.r = random.normal(size=y.shape)
        self.magnitude = float(np.abs(self.r * y).sum())  # of the terms of L
        self.dx = self.layer.backward(self.r.copy())

    def loss(self):
        for leaf, state in zip(self.layers, self.random_states):
            if state:
                leaf.random_state = list(state)  # the same dropout mask each time
        return float(np.sum(self.layer.forward(self.x) * self.r))


def _choose(size, samples, random):
    return np.arange(size) if size <= samples else np.sort(random.choice(size, samples, replace=False))


def _check_array(check, name, array, gradient, tolerance, chosen):
    centre = check.loss()
    flat = array.reshape(-1)  # a view: changing it changes the layer
    measured = np.array([_differences(check, flat, i, centre) for i in chosen])
    numeric, kink = measured[:, 0], measured[:, 1]
    analytic = gradient.reshape(-1)[chosen]
    largest = np.abs(numeric).max(initial=0)
    smooth = kink <= max(KINK * largest, NOISE * check.magnitude)
    floor = max(1e-2 * largest, 1e-3 * check.magnitude, np.finfo(float).tiny)
    scale = np.maximum(np.maximum(np.abs(analytic), np.abs(numeric)), floor)
    errors = (np.abs(analytic - numeric) / scale)[smooth]
    return Row(name, array.shape, int(smooth.sum()), int((~smooth).sum()), float(errors.max(initial=0)), tolerance)


def _differences(check, flat, i, centre):
    """(central difference over h, how much a kink disturbs it).

    A smooth function has the same central difference over h and h/2, and half the second difference over half the step;
    a kink within the step breaks the one or the other.
    """
    value, found = flat[i], []
    for step in (STEP, STEP / 2):
        flat[i] = value + step
        above = check.loss()
        flat[i] = value - step
        below = check.loss()
        flat[i] = value
        found.append(((above - below) / (2 * step), (above - 2 * centre + below) / step))
    (slope, bend), (half_slope, half_bend) = found
    return slope, max(abs(slope - half_slope), abs(bend - 2 * half_bend))
