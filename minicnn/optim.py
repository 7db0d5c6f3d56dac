"""Optimisers: how a gradient becomes a step."""

import math
import numbers

import numpy as np

from minicnn import backends
from minicnn.errors import ShapeError, StateError


class _Optimiser:
    """What all optimisers share: the parameters, and arrays of state ("slots") beside each."""

    slots = ()  # names of the arrays that the optimiser keeps for each parameter

    def __init__(self, parameters, lr, weight_decay):
        self.parameters = list(parameters)
        if not self.parameters or len({id(p) for p in self.parameters}) < len(self.parameters):
            raise ShapeError(f"{type(self).__name__}: got {len(self.parameters)} parameters, wanted some, each once")
        _check_number(self, "lr", lr)
        _check_number(self, "weight_decay", weight_decay)
        self.lr, self.weight_decay = lr, weight_decay
        self._state = [{} for _ in self.parameters]

    def zero_grad(self):
        """Set every `parameter.grad` to None."""
        for parameter in self.parameters:
            parameter.zero_grad()

    def step(self):
        """Update every parameter that has a gradient; all of them, or none if there is no memory for the state."""
        due = [(parameter, state) for parameter, state in zip(self.parameters, self._state) if parameter.grad is not None]
        for (parameter, state), ops in zip(due, [self._follow(*pair) for pair in due]):
            self._update(ops, parameter, *(state[slot] for slot in self.slots))

    def bytes_to_make(self):
        """Bytes of the state that is not beside its parameters yet; the next step brings it there."""
        return sum(p.data.nbytes for p, state in zip(self.parameters, self._state) for slot in self.slots
                   if backends.name_of(state.get(slot)) != backends.name_of(p.data))

    def _follow(self, parameter, state):
        """Make the state where it is missing, and bring it to the backend and dtype of its parameter."""
        backend = backends.name_of(parameter.data)
        ops = backends.get(backend)
        data = parameter.data = ops.asarray(parameter.data)  # contiguous, so that it can be updated in place
        for slot in self.slots:
            array = state.get(slot)
            if array is None:
                state[slot] = ops.zeros(data.shape, data.dtype)
            elif backends.name_of(array) != backend or array.dtype != data.dtype:
                values = backends.get(backends.name_of(array)).to_numpy(array)
                state[slot] = ops.asarray(values, data.dtype)
        return ops

    def _keys(self):
        """A name for each parameter: its own, or its number where names repeat (layers outside a network)."""
        names = [parameter.name for parameter in self.parameters]
        return names if len(set(names)) == len(names) else [f"{i}.{name}" for i, name in enumerate(names)]

    def state_dict(self):
        """{"velocity.conv1.weight": array, …}: copies, always NumPy arrays."""
        found = {}
        for key, parameter, state in zip(self._keys(), self.parameters, self._state):
            ops = self._follow(parameter, state)
            found |= {f"{slot}.{key}": ops.to_numpy(state[slot]) for slot in self.slots}
        return found

    def load_state_dict(self, given):
        """Take over a `state_dict`; names and shapes must match both ways, or nothing changes."""
        wanted = {f"{slot}.{key}": p for key, p in zip(self._keys(), self.parameters) for slot in self.slots}
        if wanted.keys() != given.keys():
            raise StateError(f"{type(self).__name__}: the state does not fit these parameters: missing "
                             f"{sorted(wanted.keys() - given.keys()) or 'none'}, "
                             f"unexpected {sorted(given.keys() - wanted.keys()) or 'none'}")
        for name, parameter in wanted.items():
            array = np.asarray(given[name])
            if array.shape != tuple(parameter.data.shape) or array.dtype.kind != "f":
                raise ShapeError(f"{type(self).__name__}: {name} is {array.dtype} of shape {array.shape} in the given "
                                 f"state, wanted floating point of shape {tuple(parameter.data.shape)}")
        for key, parameter, state in zip(self._keys(), self.parameters, self._state):
            for slot in self.slots:
                state[slot] = np.array(given[f"{slot}.{key}"], dtype=parameter.data.dtype.name, order="C")


def _check_number(optimiser, name, value, below=math.inf):
    if not isinstance(value, numbers.Real) or isinstance(value, bool) or not 0 <= value < below:
        limit = "" if below == math.inf else f" and < {below}"
        raise ShapeError(f"{type(optimiser).__name__}: {name} is {value!r}, wanted a finite number >= 0{limit}")


class SGD(_Optimiser):
    r"""Gradient descent with momentum and weight decay, in AlexNet's form (paper, section 5).

    .. math::
        v \leftarrow momentum \cdot v - weight\_decay \cdot lr \cdot w - lr \cdot g, \qquad w \leftarrow w + v

    with lr multiplied by the parameter's `lr_mult` and weight_decay by its `decay_mult`. The velocity is in units of the
    weights and keeps its scale when `lr` changes; PyTorch's is in units of the gradient, and its steps shrink at once.

    Parameters
    ----------
    parameters : iterable of Parameter
    lr : float
        Can be set at any time, as `optimiser.lr`.
    momentum, weight_decay : float

    Examples
    --------
    >>> import numpy as np
    >>> from minicnn import SGD, Linear
    >>> layer = Linear(1, 1, bias=False)
    >>> layer.weight.data[...], layer.weight.grad = 1, np.ones((1, 1), np.float32)
    >>> optimiser = SGD(layer.parameters(), lr=0.5, momentum=0.9)
    >>> optimiser.step(); layer.weight.data.item()          # v = −0.5
    0.5
    >>> optimiser.step(); round(layer.weight.data.item(), 6)          # v = 0.9·(−0.5) − 0.5
    -0.45
    """

    slots = ("velocity",)

    def __init__(self, parameters, lr, momentum=0.0, weight_decay=0.0):
        super().__init__(parameters, lr, weight_decay)
        _check_number(self, "momentum", momentum, below=1)
        self.momentum = momentum

    def _update(self, ops, p, velocity):
        lr = float(self.lr * p.lr_mult)  # a NumPy scalar would compute in its own dtype
        ops.sgd_update(p.data, p.grad, velocity, lr, float(self.momentum), lr * float(self.weight_decay * p.decay_mult))

    def __repr__(self):
        return f"SGD(lr={self.lr:g}, momentum={self.momentum:g}, weight_decay={self.weight_decay:g})"


class Adam(_Optimiser):
    r"""Steps scaled by running moments of the gradient (Kingma and Ba 2015, algorithm 1), with L2 decay.

    .. math::
        g \leftarrow g + weight\_decay \cdot w, \quad m \leftarrow \beta_1 m + (1 - \beta_1) g, \quad
        v \leftarrow \beta_2 v + (1 - \beta_2) g^2, \quad
        w \leftarrow w - lr \frac{m / (1 - \beta_1^t)}{\sqrt{v / (1 - \beta_2^t)} + eps}

    with t counting the steps, lr multiplied by the parameter's `lr_mult` and weight_decay by its `decay_mult`.

    Parameters
    ----------
    parameters : iterable of Parameter
    lr : float
        Can be set at any time, as `optimiser.lr`.
    betas : (float, float)
    eps, weight_decay : float

    Examples
    --------
    >>> import numpy as np
    >>> from minicnn import Adam, Linear
    >>> layer = Linear(1, 1, bias=False)
    >>> layer.weight.data[...], layer.weight.grad = 1, np.full((1, 1), 7, np.float32)
    >>> Adam(layer.parameters(), lr=0.25).step()
    >>> layer.weight.data.item()          # the first step is lr, whatever the gradient
    0.75
    """

    slots = ("m", "v")

    def __init__(self, parameters, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0):
        super().__init__(parameters, lr, weight_decay)
        if not isinstance(betas, (tuple, list)) or len(betas) != 2:
            raise ShapeError(f"Adam: betas is {betas!r}, wanted a pair of numbers")
        for beta in betas:
            _check_number(self, "betas", beta, below=1)
        _check_number(self, "eps", eps)
        self.betas, self.eps = tuple(float(beta) for beta in betas), float(eps)
        self.steps = 0

    def step(self):
        """Update every parameter that has a gradient."""
        super().step()
        self.steps += 1

    def _update(self, ops, p, m, v):
        lr, decay = float(self.lr * p.lr_mult), float(self.weight_decay * p.decay_mult)
        ops.adam_update(p.data, p.grad, m, v, self.steps + 1, lr, self.betas, self.eps, decay)

    def state_dict(self):
        """{"m.conv1.weight": array, "v.conv1.weight": array, …, "step": array}: copies, always NumPy arrays."""
        return super().state_dict() | {"step": np.array(self.steps)}

    def load_state_dict(self, given):
        """Take over a `state_dict`; names and shapes must match both ways, or nothing changes."""
        step = np.asarray(given.get("step", math.nan))
        if step.shape != () or step.dtype.kind not in "iu" or step < 0:
            raise StateError(f"Adam: the state does not fit: its step count is {given.get('step')!r}")
        super().load_state_dict({name: array for name, array in given.items() if name != "step"})
        self.steps = int(step)

    def __repr__(self):
        return f"Adam(lr={self.lr:g}, betas={self.betas}, eps={self.eps:g}, weight_decay={self.weight_decay:g})"
