"""What dropout makes of one image: as many networks as masks, and the one that predicts."""

import copy

import numpy as np

from minicnn import backends
from minicnn.errors import ShapeError
from minicnn.layers.dropout import Dropout
from minicnn.plots.style import BLUE, FAINT, GREY, GRID, ORANGE, WIDTH, finish, new_figure

PUSH = 0.32  # how far apart the points of a row lie, of the distance of two rows


def dropout_draws(net, image, count=200):
    """The outputs of a network for one image under `count` masks of its dropouts, (count, K); all else is as in prediction.

    The network stays as it is; the masks are those that its next training pass of so many images would have.

    Parameters
    ----------
    net : Sequential
        Its output is logits (N, K), and it has a `Dropout` that drops something.
    image : NumPy array (C, H, W)
    count : int

    Raises
    ------
    ShapeError
        The network has no such dropout, or other outputs.

    Examples
    --------
    >>> import numpy as np
    >>> from minicnn import Dropout, Linear, Sequential, plots
    >>> net = Sequential(drop=Dropout(0.5, seed=0), fc=Linear(6, 4, seed=1))
    >>> plots.dropout_draws(net, np.ones(6, np.float32), count=3).shape
    (3, 4)
    """
    ops, dropouts = backends.get(net.backend), [leaf for leaf in net.leaves() if isinstance(leaf, Dropout) and leaf.p]
    if not dropouts or count < 1:
        raise ShapeError(f"dropout: got {count!r} masks and {len(dropouts)} layers that drop, wanted one of each at least")
    x, one = ops.asarray(image[None]), True
    for leaf in copy.deepcopy(net).chain():
        drops = isinstance(leaf, Dropout)
        if drops and one:  # what comes before is the same under all masks
            x, one = ops.asarray(np.repeat(ops.to_numpy(x), count, axis=0)), False
        x = leaf.train().forward(x) if drops else leaf.infer(x)
    if x.ndim != 2:
        raise ShapeError(f"dropout: the network's output has shape {x.shape}, wanted (N, K)")
    return ops.to_numpy(x)


def dropout(net, image, names=None, count=200, *, path=None):
    """The outputs of a network for one image under many masks, beside the output that it predicts with.

    A point is an output under one mask. Their mean and the network that lets everything pass agree where only linear
    layers follow the dropout; with ReLUs behind it they agree nearly.

    Parameters
    ----------
    net, image, count
        As of `dropout_draws`.
    names : sequence of str, optional
        Of the outputs; "output 0" and so on, if not given.
    path : str or Path, optional
        A PNG to write.

    Returns
    -------
    matplotlib Figure

    Examples
    --------
    >>> import numpy as np
    >>> from minicnn import Dropout, Linear, Sequential, plots
    >>> net = Sequential(drop=Dropout(0.5, seed=0), fc=Linear(6, 2, seed=1))
    >>> figure = plots.dropout(net, np.ones(6, np.float32), ["cat", "dog"])
    >>> [label.get_text() for label in figure.axes[0].get_yticklabels()]
    ['cat', 'dog']
    """
    drawn, predicted = dropout_draws(net, image, count), net.predict(np.asarray(image)[None])[0]
    names = [f"output {k}" for k in range(len(predicted))] if names is None else list(names)
    if len(names) != len(predicted):
        raise ShapeError(f"dropout: got {len(names)} names for {len(predicted)} outputs")
    places, away = np.arange(len(names)), np.linspace(-PUSH, PUSH, count)
    figure = new_figure((WIDTH, 1.1 + 0.3 * len(names)))
    axes = figure.add_subplot()
    axes.plot(drawn.T, places[:, None] + away, "o", color=BLUE, alpha=0.35, markersize=3, markeredgewidth=0)
    axes.plot([], [], "o", color=BLUE, markersize=4, label=f"under each of {count} masks")
    axes.plot(drawn.mean(axis=0), places, "D", color=ORANGE, markersize=6, label="their mean")
    axes.plot(predicted, places, "|", color="black", markersize=16, markeredgewidth=2, label="in prediction: all pass")
    axes.set_yticks(places, names, fontsize=8)
    axes.set(ylim=(len(names) - 0.4, -0.6), xlabel="output")
    axes.set_axisbelow(True)
    axes.grid(axis="x", color=GRID)
    axes.tick_params(axis="y", length=0)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(GREY)
    figure.legend(loc="outside upper left", frameon=False, fontsize=8, ncols=3, labelcolor=FAINT)
    return finish(figure, path)
