"""Which classes are taken for which."""

import numpy as np

from minicnn.errors import ShapeError
from minicnn.plots.style import AMBER, INK, counting_colours, finish, new_figure, shorten

NUMBERED, NAMED = 20, 40  # so many classes have their counts written, so many their names
PAIRS = 12  # of the commonest confusions that are listed


def confusion_counts(labels, predicted, classes):
    """counts[t, p]: how many images of class t were taken for class p.

    Parameters
    ----------
    labels, predicted : integers (N,)
    classes : int

    Returns
    -------
    NumPy array (classes, classes)

    Examples
    --------
    >>> from minicnn.plots import confusion_counts
    >>> confusion_counts([0, 0, 1], [0, 1, 1], 2)
    array([[1, 1],
           [0, 1]])
    """
    labels, predicted = np.asarray(labels), np.asarray(predicted)
    if labels.shape != predicted.shape or labels.ndim != 1:
        raise ShapeError(f"confusion: got labels {labels.shape} and predictions {predicted.shape}, wanted (N,) both")
    for name, values in (("label", labels), ("prediction", predicted)):
        if labels.size and (values.dtype.kind not in "iu" or values.min() < 0 or values.max() >= classes):
            raise ShapeError(f"confusion: a {name} is not an integer from 0 to {classes - 1}")
    counts = np.zeros((classes, classes), np.int64)
    np.add.at(counts, (labels, predicted), 1)
    return counts


def confusion(labels, predicted, classes, *, path=None):
    """The confusion matrix, and beside it the commonest confusions.

    Rows are the true classes, each coloured as shares of its own images, so that rare classes are seen too.

    Parameters
    ----------
    labels, predicted : integers (N,)
    classes : sequence of str
    path : str or Path, optional
        A PNG to write.

    Returns
    -------
    matplotlib Figure

    Examples
    --------
    >>> from minicnn import plots
    >>> figure = plots.confusion([0, 0, 1, 1], [0, 1, 1, 1], ["cat", "dog"])
    >>> [text.get_text() for text in figure.axes[1].texts]
    ['1 of 2:  cat → dog']
    """
    counts = confusion_counts(labels, predicted, len(classes))
    side = min(max(2.5, 0.42 * len(classes)), 5.2)
    figure = new_figure((side + 5.0, side + 1.2))
    matrix, pairs = figure.subplots(1, 2, width_ratios=(side, 3))
    _matrix(matrix, counts, classes)
    _pairs(pairs, counts, classes)
    figure.suptitle(f"{counts.trace():,} of {counts.sum():,} images right ({counts.trace() / max(counts.sum(), 1):.1%})",
                    x=0.01, ha="left", fontsize=11)
    return finish(figure, path)


def _matrix(axes, counts, classes):
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    image = axes.imshow(shares, cmap=counting_colours(), vmin=0, vmax=1, interpolation="nearest")
    if len(classes) <= NUMBERED:
        for t, p in np.argwhere(counts):
            colour = "white" if shares[t, p] > 0.5 else INK
            axes.text(p, t, str(counts[t, p]), ha="center", va="center", fontsize=7, color=colour)
    if len(classes) <= NAMED:
        size = min(9, 300 / len(classes))
        names = [shorten(name, 20) for name in classes]
        axes.set_xticks(range(len(names)), names, rotation=90, fontsize=size, parse_math=False)
        axes.set_yticks(range(len(names)), names, fontsize=size, parse_math=False)
    axes.tick_params(length=0)
    number = ", by the number of the class" * (len(classes) > NAMED)
    axes.set(xlabel="taken for" + number, ylabel="is" + number)
    axes.figure.colorbar(image, ax=axes, fraction=0.03, pad=0.02, format=lambda share, _: f"{share:.0%}",
                         label="share of a row").outline.set_visible(False)


def _pairs(axes, counts, classes):
    """The commonest confusions as bars."""
    wrong = counts * (1 - np.eye(len(counts), dtype=int))
    order = [divmod(int(i), len(counts)) for i in np.argsort(-wrong, axis=None, kind="stable")[:PAIRS]]
    order = [(t, p) for t, p in order if wrong[t, p]]
    axes.set_title("commonest confusions" if order else "no confusions", loc="left", fontsize=9)
    axes.set(xticks=[], yticks=[], ylim=(PAIRS - 0.4, -0.6))
    axes.spines[:].set_visible(False)
    for place, (t, p) in enumerate(order):
        axes.barh(place, wrong[t, p], height=0.8, color=AMBER)
        axes.text(0.02, place, f"{wrong[t, p]} of {counts[t].sum()}:  {shorten(classes[t], 16)} → {shorten(classes[p], 16)}",
                  va="center", fontsize=8, transform=axes.get_yaxis_transform(), parse_math=False, in_layout=False)
    axes.set_xlim(0, max((wrong[t, p] for t, p in order), default=1))
