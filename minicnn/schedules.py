"""Schedules: when the learning rate drops."""

from minicnn.errors import ShapeError


class StepSchedule:
    """Multiply the learning rate by `factor` after given epochs.

    Parameters
    ----------
    optimiser : SGD or Adam
    milestones : iterable of int
        Numbers of finished epochs after which the rate drops.
    factor : float

    Examples
    --------
    >>> from minicnn import SGD, Linear
    >>> from minicnn.schedules import StepSchedule
    >>> optimiser = SGD(Linear(1, 1).parameters(), lr=1.0)
    >>> schedule = StepSchedule(optimiser, milestones=[2], factor=0.5)
    >>> rates = []
    >>> for epoch in (1, 2, 3):
    ...     schedule.step(epoch)
    ...     rates.append(optimiser.lr)
    >>> rates
    [1.0, 0.5, 0.5]
    """

    def __init__(self, optimiser, milestones, factor=0.1):
        _check_factor(self, factor)
        self.optimiser, self.milestones, self.factor = optimiser, sorted(int(m) for m in milestones), float(factor)

    def step(self, epoch, error=None):
        """Call after each epoch with the number of finished epochs; the validation error does not matter here."""
        self.optimiser.lr *= self.factor ** self.milestones.count(epoch)

    def state_dict(self):
        return {"lr": self.optimiser.lr}

    def load_state_dict(self, state):
        self.optimiser.lr = state["lr"]

    def __repr__(self):
        return f"StepSchedule(milestones={self.milestones}, factor={self.factor:g})"


class PlateauSchedule:
    """Multiply the learning rate by `factor` when the validation error stops improving (paper, section 5: by hand).

    Parameters
    ----------
    optimiser : SGD or Adam
    factor : float
        The paper divides by 10,
    drops : int
        three times at most.
    patience : int
        How many epochs without a new best error are waited for.

    Examples
    --------
    >>> from minicnn import SGD, Linear
    >>> from minicnn.schedules import PlateauSchedule
    >>> optimiser = SGD(Linear(1, 1).parameters(), lr=1.0)
    >>> schedule = PlateauSchedule(optimiser, factor=0.5, patience=2)
    >>> for epoch, error in enumerate([0.9, 0.8, 0.8, 0.8], start=1):
    ...     schedule.step(epoch, error)
    >>> optimiser.lr
    0.5
    """

    def __init__(self, optimiser, factor=0.1, patience=5, drops=3):
        _check_factor(self, factor)
        for name, value in (("patience", patience), ("drops", drops)):
            if not hasattr(value, "__index__") or value < 1:
                raise ShapeError(f"PlateauSchedule: {name} is {value!r}, wanted an int >= 1")
        self.optimiser, self.factor, self.patience, self.drops = optimiser, float(factor), int(patience), int(drops)
        self.best, self.waited, self.dropped = float("inf"), 0, 0

    def step(self, epoch, error):
        """Call after each epoch with the number of finished epochs and the validation error."""
        if error < self.best:
            self.best, self.waited = float(error), 0
            return
        self.waited += 1
        if self.waited >= self.patience and self.dropped < self.drops:
            self.optimiser.lr *= self.factor
            self.waited, self.dropped = 0, self.dropped + 1

    def state_dict(self):
        return {"lr": self.optimiser.lr, "best": self.best, "waited": self.waited, "dropped": self.dropped}

    def load_state_dict(self, state):
        self.optimiser.lr = state["lr"]
        self.best, self.waited, self.dropped = state["best"], state["waited"], state["dropped"]

    def __repr__(self):
        return f"PlateauSchedule(factor={self.factor:g}, patience={self.patience}, drops={self.drops})"


def _check_factor(schedule, factor):
    if not isinstance(factor, (int, float)) or not 0 < factor < 1:
        raise ShapeError(f"{type(schedule).__name__}: factor is {factor!r}, wanted a number between 0 and 1")
