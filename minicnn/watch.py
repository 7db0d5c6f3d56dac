"""What really flows through a network: activations and gradients of one batch, layer by layer."""

import copy
import math
from dataclasses import dataclass, replace

import numpy as np

from minicnn import backends
from minicnn.errors import ShapeError
from minicnn.layers.base import Layer
from minicnn.losses import SoftmaxCrossEntropy
from minicnn.startup import find
from minicnn.tables import Column, Table, number, share

BLOCK = 2**18  # numbers that are converted to float64 at a time


@dataclass(frozen=True)
class Row:
    """What a layer gave for a batch, and what came back to it; None where there is nothing to measure."""

    name: str
    type: str
    mean: float
    std: float
    zeros: float  # share of the numbers that are 0
    norm: float
    varies: float | None  # share of the norm that differs from image to image
    dead: float | None  # share of the maps or features that are 0 at every pixel of every image
    gradient_mean: float | None = None  # of the loss, with respect to the output
    gradient_std: float | None = None
    gradient_zeros: float | None = None
    gradient_norm: float | None = None
    weight_norm: float | None = None  # of the weights, without the biases
    weight_gradient_norm: float | None = None
    ratio: float | None = None  # weight_gradient_norm / weight_norm


@dataclass(frozen=True, repr=False)
class Watch(Table):
    """The rows of a batch, and what they say of a network that is about to be trained.

    Attributes
    ----------
    rows : tuple of Row
        The first is the input; the others also by name, `w["conv1"]`.
    loss : float or None
        None where a gradient was given in the place of labels.
    classes : int or None
        K, of logits (N, K).
    dependence : float or None
        How much the logits depend on the image: their spread over the images ÷ their spread over the classes.
    findings : tuple of Finding
        What speaks against learning; none if nothing does.
    """

    rows: tuple
    about: str
    loss: float | None
    classes: int | None
    dependence: float | None
    findings: tuple = ()

    columns = (
        Column("name", "name"), Column("type", "type"), Column("mean", "mean", number, right=True),
        Column("std", "std", number, right=True), Column("zeros", "zeros", share, right=True),
        Column("norm", "norm", number, right=True), Column("varies", "varies", number, right=True),
        Column("dead", "dead", share, right=True), Column("gradient_mean", "dy mean", number, right=True, opens=True),
        Column("gradient_std", "dy std", number, right=True), Column("gradient_zeros", "dy zeros", share, right=True),
        Column("gradient_norm", "dy norm", number, right=True), Column("weight_norm", "w norm", number, right=True),
        Column("weight_gradient_norm", "dw norm", number, right=True), Column("ratio", "dw/w", number, right=True),
    )  # fmt: skip

    @property
    def excess(self):
        """Loss above log K, that of a network that knows nothing."""
        return None if self.loss is None else self.loss - math.log(self.classes)

    def heading(self):
        return self.about

    def notes(self):
        lines = []
        if self.loss is not None:
            lines.append(f"loss {self.loss:.3g}; a network that knows nothing has log {self.classes} = "
                         f"{math.log(self.classes):.3g}")
        if self.dependence is not None:
            lines.append(f"the logits differ {self.dependence:.2g} times as much from image to image as from class to class")
        return *lines, *(map(str, self.findings) if self.findings else ["nothing was found that speaks against learning"])

    def to_dict(self):
        """Rows, loss and findings as lists, dicts, texts and numbers alone, so that JSON takes it."""
        return {**super().to_dict(), "loss": self.loss, "classes": self.classes, "dependence": self.dependence,
                "findings": [str(finding) for finding in self.findings]}


def watch(net, x, labels=None, dy=None):
    r"""Run a batch forward and backward, and measure every output, gradient and parameter on the way.

    The network is left as it is, to the last bit: parameters, gradients, running statistics, modes, random state, and
    what an earlier forward keeps for its backward. Dropout lets everything pass meanwhile, so that what differs from
    image to image comes from the images; batch normalisation works in the mode that it is in.

    An output a (N, …) *varies* by √(Σ‖aₙ − ā‖² / Σ‖aₙ‖²), ā its mean over the batch: 1 if nothing is common to all
    images, 0 if the layer gives the same for each of them. A map is *dead* if it is 0 for all of them.

    Before the first step of a training `findings` says whether the network is likely to learn; `minicnn.startup` has the
    rules, and the measurements that they stand on.

    Parameters
    ----------
    net : Layer
    x : array (N, …)
        A batch as training sees it. Two images at least show what differs between them; 8 to 32 are enough.
    labels : array of int (N,), optional
        For the softmax cross-entropy of logits (N, K). By default image n counts as class n mod K: before training, when
        no class is known from another, the scale of the gradients is the same.
    dy : array, optional
        The gradient of another loss with respect to the output, in the place of labels.

    Returns
    -------
    Watch
        `rows`, the first for the input, each with name, type, mean, std, zeros, norm, varies, dead, gradient_mean,
        gradient_std, gradient_zeros, gradient_norm, weight_norm, weight_gradient_norm, ratio; `loss`, `dependence`,
        `findings`; prints as a table, in a notebook as HTML; `to_markdown()`, `to_csv()`, `to_dict()`.

    Raises
    ------
    ShapeError
        The output is no logits (N, K), and there is no `dy`.

    Examples
    --------
    >>> import numpy as np
    >>> from minicnn import Conv2d, Flatten, Linear, ReLU, Sequential, watch
    >>> net = Sequential(conv=Conv2d(3, 8, 5, seed=0), relu=ReLU(), flat=Flatten(), fc=Linear(8 * 8 * 8, 4, seed=1))
    >>> x = np.random.default_rng(0).standard_normal((8, 3, 12, 12), np.float32)
    >>> w = watch(net, x)
    >>> w["relu"].zeros > 0.4, w["relu"].dead, w.findings
    (True, 0.0, ())
    >>> net.fc.bias.data[2] = 100
    >>> print(watch(net, x).findings[0].kind)
    exploding
    """
    if not isinstance(net, Layer):
        raise ShapeError(f"watch: got {net!r}, wanted a network or a layer")
    twin = _twin(net)
    watched = _measure(twin, x, labels, dy)
    return replace(watched, findings=find(watched, twin, lambda factor: _measure(twin, x * factor, labels, dy)))


def _twin(net):
    """A copy that shares the parameters' numbers and nothing that a forward or backward pass changes, with dropout off."""
    ops = backends.get(net.backend)
    shared = {id(array): array for p in net.parameters() for array in (p.data, p.grad) if array is not None}
    for layer in (net, *net.leaves()):
        shared[id(layer._kept)] = layer._kept  # of a forward that waits for its backward: not touched, and may be large
        shared |= {id(array): ops.copy(array) for array in layer._buffers.values()}
    twin = copy.deepcopy(net, shared)
    for layer in twin.leaves():
        if hasattr(layer, "random_state"):
            layer.eval()
    return twin


def _measure(net, x, labels, dy):
    """A `Watch` without findings; changes `net`."""
    ops, layers = backends.get(net.backend), list(net.chain())
    net.zero_grad()  # of the batch before, or those that a twin shares with its network
    with np.errstate(all="ignore"):  # what is not finite is a finding
        y, measured = x, []
        for layer in layers:
            before, y = y, layer.forward(y)
            measured.append(_describe(before, ops))
        measured.append(_describe(y, ops))
        loss, dy = _loss_and_gradient(y, labels) if dy is None else (None, dy)
        rows = []
        for i, (layer, found) in reversed(list(enumerate(zip(layers, measured[1:])))):
            gradient = _describe(dy, ops)[:4]
            dy = layer.backward(dy, need_dx=i > 0)
            rows.append(Row(layer.name, type(layer).__name__, *found, *gradient, *_weigh(layer, ops)))
        rows.append(Row("input", "", *measured[0]))
        dependence = _dependence(ops.to_numpy(y))
    about = (f"batch of {len(x):,}, {net.dtype.name}, on {net.backend}, dropout off; outputs and their gradients dy, "
             "weights w and their gradients dw")
    return Watch(tuple(reversed(rows)), about, loss, y.shape[1] if loss is not None else None, dependence)


def _loss_and_gradient(logits, labels):
    if labels is None:
        if logits.ndim != 2:
            raise ShapeError(f"watch: the output has the shape {tuple(logits.shape)}, wanted logits (N, K); for another "
                             "loss give dy, its gradient")
        labels = np.arange(len(logits)) % logits.shape[1]
    loss = SoftmaxCrossEntropy()
    value = float(loss(logits, labels))
    return value, loss.backward()


def _describe(array, ops):
    """(mean, std, zeros, norm, varies, dead) of an array (N, …), fetched an image at a time.

    With d the difference to the first image, Σ‖aₙ − ā‖² = Σ‖dₙ‖² − ‖Σdₙ‖²/N: where images hardly differ, little cancels.
    """
    total = zeros = squares = differences = 0.0
    first, alive = ops.to_numpy(array[0]).astype(np.float64), False
    difference = np.zeros_like(first)
    for image in array:
        image = ops.to_numpy(image).astype(np.float64)
        nonzero = image != 0
        total, squares, zeros = total + float(image.sum()), squares + _square(image), zeros + int(nonzero.sum())
        alive = alive | nonzero
        image -= first
        difference += image
        differences += _square(image)
    size, count = len(array) * first.size, len(array)
    mean = total / size
    found = mean, math.sqrt(max(squares / size - mean**2, 0.0)), 1 - zeros / size, math.sqrt(squares)
    if count < 2:
        return *found, None, None
    spread = max(differences - _square(difference) / count, 0.0)
    dead = 1 - float(alive.reshape(len(alive) if alive.ndim else 1, -1).any(axis=1).mean())
    return *found, math.sqrt(spread / squares) if squares else 0.0, dead


def _weigh(layer, ops):
    """(norm of the weights, norm of their gradients, the second ÷ the first), or nothing.

    A bias is none of them: its gradient does not tell whether the input has any effect.
    """
    axes = max((p.data.ndim for p in layer.parameters()), default=0)
    weights = [p for p in layer.parameters() if p.data.ndim == axes]
    if not weights:
        return ()
    norm, gradient = (math.sqrt(sum(_squares(array, ops) for array in arrays if array is not None))
                      for arrays in ([p.data for p in weights], [p.grad for p in weights]))
    return norm, gradient, gradient / norm if norm else math.inf


def _squares(array, ops):
    """The sum of the squares, fetched a block at a time."""
    flat = array.reshape(-1)
    return sum(_square(ops.to_numpy(flat[i:i + BLOCK]).astype(np.float64)) for i in range(0, len(flat), BLOCK))


def _square(array):
    """The sum of the squares; not by BLAS, whose threads cost more than they gain here."""
    flat = array.reshape(-1)
    return float(np.einsum("i,i->", flat, flat))


def _dependence(logits):
    """Spread of logits (N, K) over images ÷ over classes, each a mean of standard deviations; None for anything else."""
    if logits.ndim != 2 or min(logits.shape) < 2:
        return None
    images, classes = logits.std(axis=0, dtype=np.float64).mean(), logits.std(axis=1, dtype=np.float64).mean()
    return float(images / classes) if classes else None
