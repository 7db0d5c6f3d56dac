"""The trace of a network: shapes, parameters, work and memory of every layer, before anything runs."""

import html
from dataclasses import dataclass

import numpy as np

from minicnn.errors import ShapeError
from minicnn.layers.base import Layer
from minicnn.layers.flatten import Flatten

COLUMNS = ("name", "type", "settings", "input", "output", "parameters", "MACs", "activation", "workspace", "field", "stride",
           "algorithm")


@dataclass(frozen=True)
class Row:
    """One layer of a trace."""

    name: str
    type: str
    settings: str
    input_shape: tuple
    output_shape: tuple
    parameters: int
    macs: int
    activation_bytes: int
    workspace_bytes: int
    receptive_field: int | tuple  # (rows, columns) where they differ
    stride: int | tuple
    algorithm: str  # of a convolution, else empty

    def cells(self):
        """The row as text, in the order of `COLUMNS`."""
        return (self.name, self.type, self.settings, _shape(self.input_shape), _shape(self.output_shape),
                f"{self.parameters:,}", f"{self.macs:,}", _bytes(self.activation_bytes), _bytes(self.workspace_bytes),
                *("×".join(map(str, v)) if isinstance(v, tuple) else str(v) for v in (self.receptive_field, self.stride)),
                self.algorithm)


@dataclass(frozen=True)
class Trace:
    """The rows of a network, and their totals; prints as a table, in a notebook as HTML."""

    rows: tuple

    @property
    def parameters(self):
        return sum(row.parameters for row in self.rows)

    @property
    def macs(self):
        return sum(row.macs for row in self.rows)

    @property
    def activation_bytes(self):
        return sum(row.activation_bytes for row in self.rows)

    def totals(self):
        """The totals as one sentence, numbers in full."""
        batch = self.rows[0].input_shape[0] if self.rows else 0
        return (f"{self.parameters:,} parameters, {self.macs:,} multiply-adds and {_bytes(self.activation_bytes)} of "
                f"activations for a batch of {batch}")

    def __str__(self):
        table = [COLUMNS, *(row.cells() for row in self.rows)]
        widths = [max(len(cells[i]) for cells in table) for i in range(len(COLUMNS))]
        lines = ["  ".join(_align(cell, width, i) for i, (cell, width) in enumerate(zip(cells, widths))).rstrip()
                 for cells in table]
        rule = "─" * max(len(line) for line in lines)
        return "\n".join([lines[0], rule, *lines[1:], rule, self.totals()])

    __repr__ = __str__

    def _repr_html_(self):
        def cells(tag, values):
            return "<tr>" + "".join(f"<{tag}>{html.escape(value)}</{tag}>" for value in values) + "</tr>"
        body = "".join(cells("td", row.cells()) for row in self.rows)
        table = f"<table><thead>{cells('th', COLUMNS)}</thead><tbody>{body}</tbody></table>"
        return f"{table}<p>{html.escape(self.totals())}</p>"


def trace(net, input_shape):
    """Follow an input of `input_shape` through the network, layer by layer, without computing anything.

    A MAC is one multiply-add of a convolution or a linear layer; bias is not counted. Activation bytes are those of the
    output, workspace bytes what one thread needs beside it. The receptive field is the side, in input pixels, of what one
    unit sees: r ← r + (k − 1)·j with j ← j·s the distance between neighbouring units (Araujo, Norris, Sim 2019,
    "Computing receptive fields of convolutional neural networks"); a fully connected layer sees what all units below see.

    Parameters
    ----------
    net : Layer
    input_shape : (N, C, H, W)

    Returns
    -------
    Trace
        `rows`, each with name, type, settings, input_shape, output_shape, parameters, macs, activation_bytes,
        workspace_bytes, receptive_field, stride, algorithm; totals `parameters`, `macs`, `activation_bytes`.

    Raises
    ------
    ShapeError
        A layer does not fit the one before it.

    Examples
    --------
    >>> from minicnn import Conv2d, MaxPool2d, Sequential, trace
    >>> t = trace(Sequential(conv1=Conv2d(3, 96, 11, stride=4), pool1=MaxPool2d(3, 2)), (1, 3, 227, 227))
    >>> t.rows[1].output_shape, t.rows[1].receptive_field, t.rows[1].stride
    ((1, 96, 27, 27), 19, 8)
    >>> t.parameters, t.macs
    (34944, 105415200)
    """
    rows, shape, field, stride = [], tuple(int(n) for n in input_shape), (1, 1), (1, 1)
    if not shape or min(shape) < 1:
        raise ShapeError(f"trace: got an input of shape {shape}, wanted sizes of at least 1")
    for layer in net.leaves():
        output = layer.output_shape(shape)
        field, stride = _see(layer, shape, field, stride)
        rows.append(Row(
            layer.name, type(layer).__name__, layer.settings(), shape, output,
            parameters=sum(p.data.size for p in layer.parameters()), macs=layer.macs(shape),
            activation_bytes=int(np.prod(output)) * layer.dtype.itemsize, workspace_bytes=layer.workspace_bytes(shape),
            receptive_field=_side(field), stride=_side(stride),
            algorithm=layer.chosen_algorithm(shape) if hasattr(layer, "chosen_algorithm") else ""))
        shape = output
    return Trace(tuple(rows))


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


def _align(cell, width, column):
    return cell.rjust(width) if 5 <= column < 11 else cell.ljust(width)


def _shape(shape):
    return " × ".join(str(n) for n in shape)


def _bytes(count):
    """1,536 → '1.5 KiB'."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024 or unit == "GiB":
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
