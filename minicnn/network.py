"""A network as a chain of layers."""

import operator

import numpy as np

from minicnn import backends, weights
from minicnn.errors import ShapeError, StateError
from minicnn.initialisers import generator
from minicnn.layers.base import Layer
from minicnn.layers.conv import Conv2d
from minicnn.layers.relu import ReLU
from minicnn.out_of_memory import Advice


class Sequential(Layer):
    """Layers one behind the other: forward runs them in order, backward in reverse.

    Parameters
    ----------
    *layers : Layer
        Called "0", "1", … in the network.
    **named : Layer
        Called by their keywords. Either all by position or all by name.

    Examples
    --------
    >>> import numpy as np
    >>> from minicnn import Sequential, Conv2d, ReLU, Flatten, Linear
    >>> net = Sequential(conv1=Conv2d(1, 4, 3, seed=0), relu1=ReLU(), flat=Flatten(), fc=Linear(4 * 6 * 6, 10, seed=1))
    >>> net(np.zeros((2, 1, 8, 8), np.float32)).shape
    (2, 10)
    >>> net.conv1.weight.data.shape, net["fc"].bias.name
    ((4, 1, 3, 3), 'fc.bias')
    >>> net.output_shape((5, 1, 8, 8))
    (5, 10)
    """

    def __init__(self, *layers, **named):
        super().__init__()
        if layers and named:
            raise ShapeError("Sequential: got layers by position and by name, wanted one or the other")
        self.layers = {str(i): layer for i, layer in enumerate(layers)} | named
        for name, layer in self.layers.items():
            self._check_layer(name, layer)
        self._check_once()
        self._rename("")

    def _check_layer(self, name, layer):
        if not isinstance(layer, Layer):
            raise ShapeError(f"Sequential: {name} is {layer!r}, wanted a layer")
        if not name or "." in name or hasattr(type(self), name) or name in self.__dict__:
            raise ShapeError(f"Sequential: a layer cannot be called {name!r}: a dot separates the names in a state, and "
                             "networks have attributes of their own")

    def _check_once(self):
        """A layer keeps what one forward left it, so it can stand in one place alone."""
        seen = set()
        for layer in self.leaves():
            if id(layer) in seen:
                raise ShapeError(f"Sequential: {layer} stands in two places; make two layers")
            seen.add(id(layer))

    def leaves(self):
        """All layers in order, those of networks within the network too."""
        for layer in self:
            if isinstance(layer, Sequential):
                yield from layer.leaves()
            else:
                yield layer

    def chain(self):
        if type(self)._forward is not Sequential._forward:
            yield self
            return
        for layer in self:
            yield from layer.chain()

    def _rename(self, prefix):
        """Give every layer and parameter its full name, e.g. "block1.conv1.weight".

        A layer that has a name keeps it: `Sequential(*list(net)[:5])` takes layers over without renaming them in `net`.
        """
        for key, layer in self.layers.items():
            if isinstance(layer, Sequential):
                layer.name = prefix + key
                layer._rename(layer.name + ".")
            elif not layer.name or prefix:
                layer.name = prefix + key
                for own, parameter in layer._parameters.items():
                    parameter.name = f"{layer.name}.{own}"

    def __getattr__(self, name):
        if name in self.__dict__.get("layers", ()):
            return self.__dict__["layers"][name]
        return super().__getattr__(name)

    def __getitem__(self, key):
        """The layer of that name, or at that position."""
        names = list(self.layers)
        try:
            return self.layers[key if isinstance(key, str) else names[operator.index(key)]]
        except (KeyError, IndexError, TypeError):
            raise StateError(f"no layer {key!r} in the network: it has {', '.join(names)}") from None

    def __len__(self):
        return len(self.layers)

    def __iter__(self):
        return iter(self.layers.values())

    # --- the two passes -------------------------------------------------------------------------------------------

    def _forward(self, ops, x, training):
        with Advice(self, x.shape, ops.bytes_in_use() - x.nbytes) as advice:
            for layer, fused in self.passes():
                x = layer.forward(x, **fused)
        return x, advice

    def _backward(self, ops, dy, advice, need_dx):
        with advice:
            for i, layer in reversed(list(enumerate(self))):
                dy = layer.backward(dy, need_dx=need_dx or i > 0)
        return dy, {}

    def _infer(self, ops, x):
        with Advice(self, x.shape, ops.bytes_in_use(), training=False):
            for layer, fused in self.passes():
                x = layer.infer(x, **fused)
        return x

    def passes(self):
        """(layer, options of its forward pass) in order: a convolution does the work of the ReLU behind it as it goes.

        Examples
        --------
        >>> from minicnn import Conv2d, ReLU, Sequential
        >>> net = Sequential(conv1=Conv2d(3, 8, 5), relu1=ReLU(), conv2=Conv2d(8, 8, 3))
        >>> [(layer.name, options) for layer, options in net.passes()]
        [('conv1', {'rectify': True}), ('relu1', {'rectified': True}), ('conv2', {})]
        """
        kinds = [None, *map(type, self), None]
        for layer, before, after in zip(self, kinds, kinds[2:]):
            if type(layer) is Conv2d and after is ReLU:
                yield layer, {"rectify": True}
            elif type(layer) is ReLU and before is Conv2d:
                yield layer, {"rectified": True}
            else:
                yield layer, {}

    def predict(self, x, batch_size=128):
        """The network's output for x in evaluation mode, `batch_size` images at a time.

        Nothing is kept for a backward pass, a pending one is not disturbed, and modes stay as they are.
        """
        if not hasattr(batch_size, "__index__") or batch_size < 1:
            raise ShapeError(f"predict: batch_size is {batch_size!r}, wanted an int >= 1")
        self._check_input(x)
        ops = backends.get(self.backend)
        with Advice(self, x[:batch_size].shape, ops.bytes_in_use(), training=False):
            return ops.concatenate([self._infer(ops, x[i:i + batch_size]) for i in range(0, len(x), batch_size)])

    def output_shape(self, shape):
        for layer in self:
            shape = layer.output_shape(shape)
        return tuple(shape)

    # --- parameters, state and modes: the layers' own, together -----------------------------------------------------

    def parameters(self):
        return [parameter for layer in self for parameter in layer.parameters()]

    def initialize(self, initialiser="he", bias=0.0, seed=0):
        for i, layer in enumerate(self):
            layer.initialize(initialiser, bias, None if seed is None else [*np.atleast_1d(seed), i])
        return self

    def _arrays(self):
        return {f"{key}.{name}": array for key, layer in self.layers.items() for name, array in layer._arrays().items()}

    def _set_array(self, name, array):
        key, _, rest = name.partition(".")
        self.layers[key]._set_array(rest, array)

    def save(self, path):
        """Write the weights to a .npz file (with checksums) or, by suffix, a .safetensors file (for exchange)."""
        weights.save(path, self.state_dict())

    def load(self, path):
        """Read the weights of `save`; names and shapes must match both ways, or nothing changes. Returns the network."""
        self.load_state_dict(weights.load(path))
        return self

    def _random_layers(self):
        return [layer for layer in self.leaves() if hasattr(layer, "random_state")]

    def seed(self, seed):
        """Seed every random layer (dropout), each differently. Returns the network."""
        for i, layer in enumerate(self._random_layers()):
            layer.seed(generator([seed, i]).integers(2**63))
        return self

    def random_state(self):
        """{layer: [seed, training passes so far]} of every random layer: with the weights, all that a run needs."""
        return {layer.name: list(layer.random_state) for layer in self._random_layers()}

    def load_random_state(self, state):
        """Restore a `random_state`."""
        layers = {layer.name: layer for layer in self._random_layers()}
        if layers.keys() != state.keys():
            raise StateError(f"the random state is of layers {sorted(state)}, but the network has {sorted(layers)}")
        for name, layer in layers.items():
            layer.random_state = [int(word) for word in state[name]]

    def train(self):
        for layer in self:
            layer.train()
        return super().train()

    def eval(self):
        for layer in self:
            layer.eval()
        return super().eval()

    def astype(self, dtype):
        super().astype(dtype)
        for layer in self:
            layer.astype(dtype)
        return self

    def check_move(self, backend):
        for layer in self:
            layer.check_move(backend)

    def to(self, backend):
        before = self.backend
        super().to(backend)
        try:
            for layer in self:
                layer.to(backend)
        except MemoryError:
            self.to(before)  # those that have moved
            raise
        return self

    # --- how it shows ---------------------------------------------------------------------------------------------

    def macs(self, shape):
        total = 0
        for layer in self:
            total += layer.macs(shape)
            shape = layer.output_shape(shape)
        return total

    def __repr__(self):
        if not self.layers:
            return f"{type(self).__name__}()"
        name = f"{self.name}: " * bool(self.name)
        lines = (f"  {key} = {type(layer).__name__}({layer.settings()})" for key, layer in self.layers.items())
        return f"{name}{type(self).__name__}(\n" + ",\n".join(lines) + "\n)"
