"""A trainable array and its gradient."""


class Parameter:
    """A trainable array, the gradient that backward adds to, and how the optimiser treats it.

    Attributes
    ----------
    data : array
        The values; float32 or float64, on the layer's backend.
    grad : array or None
        dL/d(data), the same shape. None until the first backward and after `zero_grad()`.
    lr_mult, decay_mult : float
        Factors on the learning rate and on the weight decay (1 until a recipe sets them).
    name : str
        "weight" in a layer alone, "conv1.weight" inside a network.

    Examples
    --------
    >>> from minicnn import Linear, Sequential
    >>> net = Sequential(fc=Linear(4, 2, seed=0))
    >>> net.parameters()
    [Parameter(fc.weight, shape=(2, 4), dtype=float32), Parameter(fc.bias, shape=(2,), dtype=float32)]
    >>> net.fc.bias.lr_mult, net.fc.bias.grad is None
    (1.0, True)
    """

    def __init__(self, data, name="parameter"):
        self.data = data
        self.grad = None
        self.lr_mult = 1.0
        self.decay_mult = 1.0
        self.name = name

    def accumulate(self, gradient):
        """Add `gradient` to `.grad`; the first one is taken over as it is."""
        if self.grad is None:
            self.grad = gradient
        else:
            self.grad += gradient

    def zero_grad(self):
        self.grad = None

    def __repr__(self):
        return f"Parameter({self.name}, shape={tuple(self.data.shape)}, dtype={self.data.dtype})"
