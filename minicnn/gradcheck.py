"""The gradient check: backward against central differences of forward."""

import copy
from dataclasses import dataclass

import numpy as np

from minicnn import backends
from minicnn.errors import BackendError

STEP = 1e-5  # of a coordinate of size 1 or less; larger ones take proportionally larger steps
KINK = 1e-7  # how far the differences over one and over half a step may disagree, relative to the gradient
NOISE = 1e-9  # rounding in a difference, relative to the terms of L that change: about 2⁻⁵² / STEP, with a margin


@dataclass(frozen=True, eq=False)
class Row:
    """What was found for the input or one parameter.

    Shapes: analytic, numeric, errors (checked,): the gradient of backward, that of the differences, and their relative
    error, at the coordinates that were checked.
    """

    name: str
    shape: tuple
    kinks: int
    tolerance: float
    analytic: np.ndarray
    numeric: np.ndarray
    errors: np.ndarray

    @property
    def checked(self):
        return len(self.errors)

    @property
    def error(self):
        """The largest."""
        return float(self.errors.max(initial=0))

    @property
    def verdict(self):
        """"ok", "WRONG", or "not measurable" where most coordinates lie at kinks."""
        if self.error > self.tolerance:
            return "WRONG"
        return "ok" if self.checked >= self.kinks else "not measurable"


@dataclass(frozen=True)
class Report:
    """The result of `gradcheck`: `rows`, `faults` (sentences), `passed`, and a table when printed."""

    layer: str
    rows: tuple
    faults: tuple

    @property
    def passed(self):
        return not self.faults and all(row.verdict == "ok" for row in self.rows)

    def __str__(self):
        head = f"gradient check of {self.layer}"
        titles = f"{'array':<20}{'shape':<20}{'checked':>8}{'at kinks':>10}{'largest error':>16}"
        lines = [f"{row.name:<20}{row.shape!s:<20}{row.checked:>8}{row.kinks:>10}{row.error:>16.1e}  {row.verdict}"
                 for row in self.rows]
        return "\n".join([head, titles, *lines, *(f"WRONG: {fault}" for fault in self.faults)])

    __repr__ = __str__


def gradcheck(layer, x, tolerance=1e-6, samples=500, seed=0):
    r"""Compare a layer's backward with central differences of its forward, in float64.

    With random weights r, L = Σ r·y is a scalar function of the input and of every parameter. Backward of dy = r gives its
    gradient a; so does n = Σ r·(y(v + h) − y(v − h))/2h for each coordinate v, with h = 1e-5·max(1, |v|). Their relative
    error is

    .. math:: |a - n| / \max(|a|, |n|, 10^{-2} \max_{array} |n|, 10^{-4} \max_{all} |a|, 10^{-3} \sum_{changed} |r y|)

    the last terms because a gradient near zero among large ones, or of large outputs, cannot be measured better. A
    coordinate whose step crosses a kink (a ReLU at 0, two equal numbers under a max-pool) has no derivative there; it is
    left out and counted. Kinks are found by comparing differences over h and h/2.

    Also checked is what a layer owes its caller: gradients of the right shapes and dtypes, added to those that are there,
    and x and dy left as they were.

    Parameters
    ----------
    layer : Layer
        A layer or a network, on either backend, in the mode to be checked. It is copied; dropout keeps one mask throughout.
    x : NumPy array
        An input of any floating dtype.
    tolerance : float
    samples : int
        An array with more coordinates is checked at so many of them, chosen at random.
    seed : int

    Returns
    -------
    Report
        `report.passed`; `report.rows`, one for the input and each parameter, with all the numbers that were compared, which
        `plots.gradcheck` draws; the table, which is printed as well.

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
    faults = check.faults()
    rows = [] if faults else [_check_array(check, name, array, gradient, tolerance, _choose(array.size, samples, random))
                              for name, array, gradient in check.arrays()]
    report = Report(repr(layer), tuple(rows), tuple(faults))
    print(report)
    return report


class _Check:
    """A float64 copy of the layer with its gradients, and its output as a function of what is perturbed.

    The layer is on its own backend. What is perturbed lies in NumPy arrays, and is sent there for each forward.
    """

    def __init__(self, layer, x, random):
        self.layer, self.ops = copy.deepcopy(layer).astype("float64"), backends.get(layer.backend)
        self.layer.zero_grad()
        self.values = [np.ascontiguousarray(self.ops.to_numpy(p.data)) for p in self.layer.parameters()]
        self.x = np.array(x, np.float64, order="C")
        self.given = self.x.copy()
        self.random_states = [list(getattr(leaf, "random_state", ())) for leaf in self.layer.leaves()]
        self.r = random.normal(size=self.output().shape)
        self.dy = self.ops.asarray(self.r.copy())
        self.dx = self.ops.to_numpy(self.layer.backward(self.dy))

    def output(self):
        for leaf, state in zip(self.layer.leaves(), self.random_states):
            if state:
                leaf.random_state = list(state)  # the same dropout mask each time
        for parameter, value in zip(self.layer.parameters(), self.values):
            parameter.data = self.ops.asarray(value)
        self.sent = self.ops.asarray(self.x)
        return self.ops.to_numpy(self.layer.forward(self.sent))  # a copy: Flatten returns a view of x

    def arrays(self):
        """(name, array, gradient) of the input and every parameter."""
        yield "input", self.x, self.dx
        for parameter, value in zip(self.layer.parameters(), self.values):
            yield parameter.name, value, self.gradients[parameter.name]

    def faults(self):
        """What the layer owes its caller and did not do, as sentences."""
        self.gradients = {p.name: np.zeros_like(value) if p.grad is None else self.ops.to_numpy(p.grad)
                          for p, value in zip(self.layer.parameters(), self.values)}
        found = [f"the gradient of {name} is {gradient.dtype} of shape {gradient.shape}, wanted float64 of {array.shape}"
                 for name, array, gradient in self.arrays()
                 if gradient.shape != array.shape or gradient.dtype != np.float64]
        if not np.array_equal(self.ops.to_numpy(self.sent), self.given, equal_nan=True):
            found.append("forward or backward changed x")
        if not np.array_equal(self.ops.to_numpy(self.dy), self.r):
            found.append("backward changed dy")
        if not found:
            self.output()
            self.layer.backward(self.dy)
            found += [f"a second backward did not add to the gradient of {p.name}" for p in self.layer.parameters()
                      if p.grad is not None and not np.allclose(self.ops.to_numpy(p.grad), 2 * self.gradients[p.name])]
        return found


def _choose(size, samples, random):
    return np.arange(size) if size <= samples else np.sort(random.choice(size, samples, replace=False))


def _check_array(check, name, array, gradient, tolerance, chosen):
    centre = check.output()
    flat = array.reshape(-1)  # a view: changing it changes the layer
    numeric, kink, magnitude = np.array([_differences(check, flat, i, centre) for i in chosen]).T
    analytic = gradient.reshape(-1)[chosen]
    largest = np.abs(numeric).max(initial=0)
    smooth = kink <= np.maximum(KINK * largest, NOISE * magnitude)
    everywhere = max(np.abs(found).max(initial=0) for _, _, found in check.arrays())
    floor = np.maximum(max(1e-2 * largest, 1e-4 * everywhere, np.finfo(float).tiny), 1e-3 * magnitude)
    with np.errstate(invalid="ignore"):  # an infinite gradient gives NaN, and NaN counts as infinitely wrong
        errors = np.abs(analytic - numeric) / np.maximum(np.maximum(np.abs(analytic), np.abs(numeric)), floor)
    errors = np.nan_to_num(errors, nan=np.inf)
    return Row(name, array.shape, int((~smooth).sum()), tolerance, analytic[smooth], numeric[smooth], errors[smooth])


def _differences(check, flat, i, centre):
    """(central difference over h, how much a kink disturbs it, size of the terms of L that change).

    A smooth function has the same central difference over h and h/2, and half the second difference over half the step;
    a kink within the step breaks the one or the other. Outputs are subtracted before they are added up, so that those
    which do not change cancel exactly.
    """
    value, found = flat[i], []
    step = STEP * max(1.0, abs(value))
    for h in (step, step / 2):
        flat[i] = value + h
        above = check.output()
        flat[i] = value - h
        below = check.output()
        flat[i] = value
        found.append((np.sum(check.r * (above - below)) / (2 * h), np.sum(check.r * (above - 2 * centre + below)) / h))
        magnitude = np.abs(check.r * centre)[above != below].sum()
    (slope, bend), (half_slope, half_bend) = found
    return slope, max(abs(slope - half_slope), abs(bend - 2 * half_bend)), magnitude
