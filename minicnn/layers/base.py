"""What every layer is: a forward and a backward pass, parameters, a mode, a dtype and a backend."""

import numpy as np

from minicnn import backends
from minicnn.errors import BackendError, DtypeError, ShapeError, StateError
from minicnn.initialisers import draw, generator
from minicnn.parameter import Parameter

DTYPES = ("float32", "float64")


class Layer:
    """Base of all layers.

    A layer is written as two functions: `_forward(ops, x, training)` returns y and whatever backward needs (`kept`), and
    `_backward(ops, dy, kept, need_dx)` returns dx and a dict of parameter gradients. `ops` is the backend module of the
    array at hand. All checks, modes and bookkeeping are here.

    Attributes
    ----------
    training : bool
        True for a new layer; see `train` and `eval`.
    dtype : numpy.dtype
        float32 for a new layer; see `astype`.
    backend : str
        "numpy" for a new layer; see `to`.
    name : str
        The name in the network, empty for a layer alone.
    keeps : str
        Which of its arrays backward needs: "x", "y", or neither, "". `trace` counts their memory.

    Examples
    --------
    >>> import numpy as np
    >>> from minicnn import Layer
    >>> class Square(Layer):                   # y = x², dx = 2·x·dy
    ...     def _forward(self, ops, x, training):
    ...         return x * x, x
    ...     def _backward(self, ops, dy, x, need_dx):
    ...         return 2 * x * dy, {}
    >>> square = Square()
    >>> square(np.array([[3.0, -1.0]], np.float32))
    array([[9., 1.]], dtype=float32)
    >>> square.backward(np.ones((1, 2), np.float32))
    array([[ 6., -2.]], dtype=float32)
    """

    keeps = "x"

    def __init__(self):
        self.name = ""
        self.training = True
        self.dtype = np.dtype("float32")
        self.backend = "numpy"
        self._parameters = {}  # {"weight": Parameter, …}
        self._buffers = {}  # arrays that are saved but not trained: batch norm's running statistics
        self._kept = None

    # --- the two passes -------------------------------------------------------------------------------------------

    def forward(self, x, **fused):
        """The output of the layer; keeps what `backward` will need.

        `fused` goes to `_forward`, from networks alone: how a convolution and the ReLU behind it share a pass.
        """
        self._kept = None  # of an earlier forward: if this one fails, no backward can follow
        self._check_input(x)
        ops = backends.get(self.backend)
        with ops.memory_errors:  # those of the layer's own arithmetic
            y, kept = self._forward(ops, x, self.training, **fused)
        self._kept = kept, tuple(y.shape)
        return y

    __call__ = forward

    def backward(self, dy, need_dx=True):
        """Add dL/d(parameter) to each `parameter.grad` and return dL/dx, given dy = dL/dy.

        Parameters
        ----------
        dy : array
            As large as the output of the last `forward`. Neither dy nor x is changed.
        need_dx : bool
            False spares the gradient of the input, which nobody reads at the first layer of a network; returns None.

        Raises
        ------
        StateError
            There was no forward since the last backward.
        """
        if self._kept is None:
            raise StateError(f"{self}: backward needs a forward before it, and each forward serves one backward")
        kept, shape = self._kept
        if self._check_array(dy, "gradient") != shape:
            raise ShapeError(f"{self}: got a gradient of shape {tuple(dy.shape)}, wanted that of the output, {shape}")
        self._kept = None
        ops = backends.get(self.backend)
        with ops.memory_errors:
            dx, gradients = self._backward(ops, dy, kept, need_dx)
            for name, gradient in gradients.items():
                self._parameters[name].accumulate(gradient)
        return dx if need_dx else None

    def leaves(self):
        """The layers in it: a layer itself, or those of a network in order."""
        yield self

    def chain(self):
        """The layers that compute one behind the other: `leaves`, but a network with a forward of its own is one of them."""
        yield self

    def infer(self, x, **fused):
        """The output in evaluation mode, with nothing kept and nothing changed; what `Sequential.predict` runs."""
        self._check_input(x)
        ops = backends.get(self.backend)
        with ops.memory_errors:
            return self._infer(ops, x, **fused)

    def _infer(self, ops, x, **fused):
        return self._forward(ops, x, False, **fused)[0]

    def output_shape(self, shape):
        """The shape that `forward` gives for an input of `shape`, without computing anything."""
        return tuple(shape)

    # --- checks ---------------------------------------------------------------------------------------------------

    def _check_input(self, x):
        shape = self._check_array(x, "input")
        if not shape or 0 in shape:
            raise ShapeError(f"{self}: got an input of shape {shape}, wanted (N, …) with something in it")
        self.output_shape(shape)

    def _check_array(self, array, role):
        """The shape of `array`, if it is one of this layer's backend and dtype."""
        found = backends.name_of(array)
        if found is None:
            raise BackendError(f"{self}: got {type(array).__name__} as {role}, wanted an array of {self.backend}")
        if found != self.backend:
            raise BackendError(f"{self}: the {role} is an array of {found}, but the layer is on {self.backend}; "
                               f"move the layer with .to({found!r}), or the array")
        if not array.dtype.isnative:
            raise DtypeError(f"{self}: the {role} has swapped bytes; convert it with .astype({self.dtype.name!r})")
        if array.dtype != self.dtype:
            raise DtypeError(f"{self}: the {role} is {array.dtype}, but the layer is {self.dtype}; convert the {role} "
                             f"with .astype({self.dtype.name!r})" + self._dtype_remedy(array.dtype.name))
        return tuple(array.shape)

    @staticmethod
    def _dtype_remedy(dtype):
        return f", or the layer with .astype({dtype!r})" if dtype in DTYPES else ""

    # --- parameters and state -------------------------------------------------------------------------------------

    def _add_parameter(self, name, data):
        self._parameters[name] = Parameter(data, name)

    def __getattr__(self, name):
        for store in ("_parameters", "_buffers"):
            if name in self.__dict__.get(store, ()):
                return self.__dict__[store][name]
        raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")

    def parameters(self):
        """The trainable `Parameter` objects, in order."""
        return list(self._parameters.values())

    def zero_grad(self):
        """Set every `parameter.grad` to None."""
        for parameter in self.parameters():
            parameter.zero_grad()

    def initialize(self, initialiser="he", bias=0.0, seed=0):
        """Draw the weights anew and set the bias. Returns the layer.

        Parameters
        ----------
        initialiser : "he", "xavier" or an initialiser
            Such as `minicnn.initialisers.Normal(0.01)`. Layers without fan-in (batch norm) start at γ = 1, β = 0.
        bias : float or initialiser
        seed : int or sequence of ints
        """
        ops, random = backends.get(self.backend), generator(seed)
        for name, parameter in self._parameters.items():
            if name == "bias":
                rule = bias if self.weight.data.ndim > 1 else 0.0
            else:
                rule = initialiser if parameter.data.ndim > 1 else 1.0
            parameter.data = ops.asarray(draw(rule, parameter.data.shape, random).astype(self.dtype))
        return self

    def _arrays(self):
        """{"weight": array, …}: all that is saved, in the layer's own arrays."""
        return {name: p.data for name, p in self._parameters.items()} | self._buffers

    def _set_array(self, name, array):
        if name in self._parameters:
            self._parameters[name].data = array
        else:
            self._buffers[name] = array

    def state_dict(self):
        """{"weight": array, …}: copies, always NumPy arrays, whichever backend the layer is on."""
        ops = backends.get(self.backend)
        return {name: ops.to_numpy(array) for name, array in self._arrays().items()}

    def load_state_dict(self, state):
        """Take over all the arrays of a `state_dict`; names and shapes must match both ways, or nothing changes."""
        own = self._arrays()
        missing, unexpected = sorted(own.keys() - state.keys()), sorted(state.keys() - own.keys())
        if missing or unexpected:
            raise StateError(f"{self}: the weights do not fit this network: missing {missing or 'none'}, "
                             f"unexpected {unexpected or 'none'}")
        for name, array in own.items():
            given = np.asarray(state[name])
            if given.shape != tuple(array.shape) or given.dtype.kind != "f":
                raise ShapeError(f"{self}: {name} is {given.dtype} of shape {given.shape} in the given weights, "
                                 f"wanted floating point of shape {tuple(array.shape)}")
            if given.dtype.itemsize > self.dtype.itemsize and np.abs(given).max(initial=0) > np.finfo(self.dtype).max:
                raise DtypeError(f"{self}: {name} holds numbers too large for {self.dtype}")
        ops = backends.get(self.backend)
        for name in own:
            self._set_array(name, ops.asarray(np.array(state[name], dtype=self.dtype)))

    # --- modes ----------------------------------------------------------------------------------------------------

    def train(self):
        """Training mode: dropout drops, batch norm uses the batch's statistics. Returns the layer."""
        self.training = True
        return self

    def eval(self):
        """Evaluation mode. Returns the layer."""
        self.training = False
        return self

    def astype(self, dtype):
        """Convert parameters, gradients and running statistics in place to float32 or float64. Returns the layer."""
        try:
            name = repr(dtype) if dtype is None else np.dtype(dtype).name
        except TypeError:
            name = repr(dtype)
        if name not in DTYPES:
            raise DtypeError(f"{self}: got dtype {name}, wanted {' or '.join(DTYPES)}")
        ops = backends.get(self.backend)
        self._convert(lambda array: ops.astype(array, name))
        self.dtype = np.dtype(name)
        return self

    def to(self, backend):
        """Move parameters, gradients and running statistics in place to "numpy" or "cupy". Returns the layer."""
        source, target = backends.get(self.backend), backends.get(backend)
        self.check_move(backend)
        if backend != self.backend:
            self._convert(lambda array: target.asarray(source.to_numpy(array)))
            self.backend = backend
        return self

    def check_move(self, backend):
        """Raise BackendError if the layer has settings that `backend` cannot do; asked before anything moves."""

    def _convert(self, convert):
        """Convert all arrays, or, where the memory for that is missing, none."""
        converted = [(p, convert(p.data), None if p.grad is None else convert(p.grad)) for p in self._parameters.values()]
        self._buffers = {name: convert(array) for name, array in self._buffers.items()}
        self._kept = None  # what a forward kept has the old dtype and place
        for parameter, data, grad in converted:
            parameter.data, parameter.grad = data, grad

    # --- how it shows ---------------------------------------------------------------------------------------------

    def settings(self):
        """The settings in short, for `repr` and tables, e.g. '96 maps, k=11, s=4'."""
        return ""

    def formula(self, shape):
        """How the size of the output follows from an input of `shape`, with the numbers filled in, where it does."""
        return ""

    def macs(self, shape):
        """Multiply-adds of one forward pass for an input of `shape`; convolution and linear layers alone have any."""
        return 0

    def workspace_bytes(self, shape):
        """Bytes of temporary buffers that one thread needs for an input of `shape`."""
        return 0

    def cache_bytes(self, shape):
        """Bytes that forward makes for backward beside x or y, for an input of `shape`."""
        return 0

    def __repr__(self):
        text = f"{type(self).__name__}({self.settings()})"
        return f"{self.name}: {text}" if self.name else text
