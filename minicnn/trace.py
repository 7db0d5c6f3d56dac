"""The trace of a network: shapes, parameters, work and memory of every layer, before anything runs."""

import math
from dataclasses import asdict, dataclass

from minicnn import memory
from minicnn.errors import ShapeError
from minicnn.layers.base import Layer
from minicnn.layers.flatten import Flatten
from minicnn.optim import SGD
from minicnn.tables import Column, Table, count, product, size


@dataclass(frozen=True)
class Row:
    """One layer of a trace; shapes have the batch in front, everything else is for the whole batch."""

    name: str
    type: str
    settings: str
    input_shape: tuple
    output_shape: tuple  # empty where the layer does not fit
    formula: str = ""
    parameters: int = 0
    macs: int = 0
    activation_bytes: int = 0
    kept_bytes: int = 0
    workspace_bytes: int = 0
    receptive_field: int | tuple = ()  # (rows, columns) where they differ
    stride: int | tuple = ()
    algorithm: str = ""  # of a convolution


def _image(shape):
    """The shape without the batch."""
    return product(tuple(shape[1:])) if shape else "does not fit"


@dataclass(frozen=True, repr=False)
class Trace(Table):
    """The rows of a network, and their totals; prints as a table, in a notebook as HTML.

    Attributes
    ----------
    rows : tuple of Row
        Also by name: `t["conv1"]`.
    dtype, backend : str
    optimiser : str
        Whose state is counted,
    slots : int
        and how many arrays it keeps for each parameter.
    """

    rows: tuple
    dtype: str
    backend: str
    optimiser: str
    slots: int

    columns = (
        Column("name", "name"), Column("type", "type"), Column("settings", "settings"),
        Column("input_shape", "input", _image), Column("output_shape", "output", _image), Column("formula", "output size"),
        Column("parameters", "parameters", count, right=True, opens=True), Column("macs", "MACs", count, right=True),
        Column("activation_bytes", "activation", size, right=True), Column("kept_bytes", "kept", size, right=True),
        Column("workspace_bytes", "workspace", size, right=True),
        Column("receptive_field", "field", product, right=True), Column("stride", "stride", product, right=True),
        Column("algorithm", "algorithm"),
    )  # fmt: skip

    @property
    def parameters(self):
        return sum(row.parameters for row in self.rows)

    @property
    def macs(self):
        return sum(row.macs for row in self.rows)

    @property
    def training_macs(self):
        """Of a step: forward, and as much again for each gradient; nobody reads that of the input of the first layer."""
        return 3 * self.macs - self.rows[0].macs if self.rows else 0

    @property
    def activation_bytes(self):
        return sum(row.activation_bytes for row in self.rows)

    @property
    def training(self):
        """`Memory` of a training step."""
        return memory.of_training(self.rows, self._itemsize, self.slots)

    @property
    def inference(self):
        """`Memory` of `predict` with this batch."""
        return memory.of_inference(self.rows, self._itemsize)

    @property
    def _itemsize(self):
        return int(self.dtype.removeprefix("float")) // 8

    def heading(self):
        if not self.rows:
            return "no layers"
        return (f"batch of {self.rows[0].input_shape[0]:,}, {self.dtype}, on {self.backend}: shapes are one image's, work "
                "and memory the batch's")

    def notes(self):
        if not self.rows or not self.rows[-1].output_shape:
            return ()
        return (self.totals(), *self._shares(), f"to train with {self.optimiser}: {self.training}",
                f"to predict: {self.inference}")

    def totals(self):
        """Parameters and work as one sentence, numbers in full."""
        return (f"{self.parameters:,} parameters; {self.macs:,} multiply-adds (MACs, of 2 FLOP each) forward, "
                f"{self.training_macs:,} in a training step")

    def _shares(self):
        """A sentence on where parameters and work are, if they are in layers of more than one type."""
        types = dict.fromkeys(row.type for row in self.rows if row.macs)
        if len(types) < 2:
            return []
        parts = [(name, sum(row.parameters for row in self.rows if row.type == name) / self.parameters,
                  sum(row.macs for row in self.rows if row.type == name) / self.macs) for name in types]
        return [", ".join(f"{name} has {parameters:.1%} of the parameters and {macs:.1%} of the MACs"
                          for name, parameters, macs in parts)]

    def to_dict(self):
        """Rows and totals as lists, dicts, texts and numbers alone, so that JSON takes it."""
        totals = {"parameters": self.parameters, "macs": self.macs, "training_macs": self.training_macs,
                  "activation_bytes": self.activation_bytes}
        bytes_ = {name: {**asdict(part), "total": part.total}
                  for name, part in (("training", self.training), ("inference", self.inference))}
        settings = {"dtype": self.dtype, "backend": self.backend, "optimiser": self.optimiser}
        return {**super().to_dict(), **totals, **bytes_, **settings}


def trace(net, input_shape, optimiser=SGD):
    """Follow an input of `input_shape` through the network, layer by layer, without computing anything.

    A MAC is one multiply-add of a convolution or a linear layer; bias is not counted. Activation bytes are those of the
    output. Kept bytes are what training holds from forward to backward because of the layer, and nothing before it holds
    already: ReLU keeps its output, which the convolution after it needs as its input. Workspace bytes are what one thread
    needs beside it. The receptive field is the side, in input pixels, of what one unit sees: r ← r + (k − 1)·j with
    j ← j·s the distance between neighbouring units (Araujo, Norris, Sim 2019, "Computing receptive fields of
    convolutional neural networks"); a fully connected layer sees what all units below see.

    Parameters
    ----------
    net : Layer
    input_shape : (N, C, H, W)
        N is the batch: work and memory are those of all its images.
    optimiser : SGD, Adam, or one of their objects
        Whose state counts as memory of training.

    Returns
    -------
    Trace
        `rows`, each with name, type, settings, input_shape, output_shape, formula, parameters, macs, activation_bytes,
        kept_bytes, workspace_bytes, receptive_field, stride, algorithm; totals `parameters`, `macs`, `training_macs`,
        `activation_bytes`; `training` and `inference`, the memory of a step; `to_markdown()`, `to_csv()`, `to_dict()`.

    Raises
    ------
    ShapeError
        A layer does not fit the one before it. The message has the table down to that layer, and says why; `trace` of the
        error is that table.

    Examples
    --------
    >>> from minicnn import Conv2d, MaxPool2d, Sequential, trace
    >>> t = trace(Sequential(conv1=Conv2d(3, 96, 11, stride=4), pool1=MaxPool2d(3, 2)), (1, 3, 227, 227))
    >>> t["pool1"].output_shape, t["pool1"].receptive_field, t["pool1"].stride
    ((1, 96, 27, 27), 19, 8)
    >>> t["conv1"].formula
    '(227 − 11)/4 + 1 = 55'
    >>> t.parameters, t.macs
    (34944, 105415200)
    """
    shape, field, stride, kept = _checked(net, input_shape), (1, 1), (1, 1), False
    rows, about = [], (net.dtype.name, net.backend, _name(optimiser), len(optimiser.slots))
    for layer in net.leaves():
        settings = layer.name, type(layer).__name__, layer.settings(), shape
        try:
            output = tuple(layer.output_shape(shape))
        except ShapeError as error:
            raise _misfit(Trace((*rows, Row(*settings, ())), *about), error) from None
        field, stride = _see(layer, shape, field, stride)
        new, kept = memory.keep(layer, shape, output, kept)
        rows.append(Row(
            *settings, output, layer.formula(shape), sum(p.data.size for p in layer.parameters()), layer.macs(shape),
            math.prod(output) * layer.dtype.itemsize, new, layer.workspace_bytes(shape), _side(field), _side(stride),
            layer.chosen_algorithm(shape) if hasattr(layer, "chosen_algorithm") else ""))
        shape = output
    return Trace(tuple(rows), *about)


def _checked(net, input_shape):
    if not isinstance(net, Layer):
        raise ShapeError(f"trace: got {net!r}, wanted a network or a layer")
    sizes = tuple(input_shape) if isinstance(input_shape, (tuple, list)) else ()
    if not sizes or not all(hasattr(n, "__index__") and not isinstance(n, bool) and n >= 1 for n in sizes):
        raise ShapeError(f"trace: got an input of shape {input_shape!r}, wanted whole numbers of at least 1, (N, C, H, W)")
    return tuple(int(n) for n in sizes)


def _name(optimiser):
    return optimiser.__name__ if isinstance(optimiser, type) else type(optimiser).__name__


def _misfit(trace, error):
    """The error, with the table down to the layer that does not fit, and where the size of its input comes from."""
    *before, last = trace.rows
    made = next((row for row in reversed(before) if row.formula or row.input_shape != row.output_shape), None)
    whence = f"; {made.name} before it gives {made.formula}" if made and made.formula else ""
    raised = ShapeError(f"the network does not fit at {last.name or last.type}\n\n{trace}\n{error}{whence}")
    raised.trace = trace
    return raised


def _see(layer: Layer, shape, field, stride):
    """Receptive field and stride after `layer`, for rows and columns."""
    if isinstance(layer, Flatten) and len(shape) == 4:
        return tuple(f + (size - 1) * s for f, size, s in zip(field, shape[2:], stride)), stride
    if not hasattr(layer, "window"):
        return field, stride
    axes = layer.window.rows, layer.window.columns
    return (tuple(f + (axis.extent - 1) * s for f, axis, s in zip(field, axes, stride)),
            tuple(s * axis.stride for s, axis in zip(stride, axes)))


def _side(pair):
    """One number where rows and columns agree."""
    return pair[0] if pair[0] == pair[1] else pair
