"""Loss and accuracy of a training run."""

import itertools

from minicnn.errors import DataError
from minicnn.plots.style import BLUE, FAINT, GRID, ORANGE, finish, new_figure, spread


def training_curves(history, *, path=None):
    """Loss and accuracy over the epochs, with the drops of the learning rate and the best epoch marked.

    Parameters
    ----------
    history : list of dict
        `Trainer.history`, or the rows of a metrics.csv as numbers.
    path : str or Path, optional
        A PNG to write.

    Returns
    -------
    matplotlib Figure

    Examples
    --------
    >>> from minicnn import plots
    >>> row = {"train_loss": 2.4, "val_loss": 2.5, "train_top1": 0.1, "val_top1": 0.1, "val_top5": 0.5, "lr": 0.01}
    >>> figure = plots.training_curves([{"epoch": 1, **row}, {"epoch": 2, **row, "train_loss": 1.1, "val_top1": 0.6}])
    >>> [axes.get_title(loc="left") for axes in figure.axes]
    ['loss (nats an image)', 'accuracy, %']
    """
    if not history:
        raise DataError("training_curves: the history is empty: no epoch is finished")
    figure = new_figure((10, 4))
    epochs = [row["epoch"] for row in history]
    loss, accuracy = figure.subplots(1, 2)
    _lines(loss, epochs, "loss (nats an image)", None, [
        ("training", BLUE, "-", [row["train_loss"] for row in history]),
        ("validation", ORANGE, "-", [row["val_loss"] for row in history])])
    _lines(accuracy, epochs, "accuracy, %", 100, [
        ("training\ntop-1", BLUE, "-", [100 * row["train_top1"] for row in history]),
        ("validation\ntop-1", ORANGE, "-", [100 * row["val_top1"] for row in history]),
        ("validation\ntop-5", ORANGE, ":", [100 * row["val_top5"] for row in history])])
    _mark_best(accuracy, max(history, key=lambda row: row["val_top1"]))
    _mark_drops((loss, accuracy), history)
    return finish(figure, path)


def _lines(axes, epochs, title, top, curves):
    """Curves from 0 to `top` (None: the largest value) with their names at their right ends, in the place of a legend."""
    top = 1.03 * (top or max(max(values) for *_, values in curves))
    heights = spread([values[-1] / top for *_, values in curves], gap=0.11)
    for (name, colour, style, values), height in zip(curves, heights):
        axes.plot(epochs, values, style, color=colour, linewidth=2, marker="o" if len(epochs) == 1 else None)
        axes.annotate(name, (1.02, height), xycoords="axes fraction", color=colour, fontsize=9, va="center")
    axes.set(xlim=(epochs[0] - 0.5, epochs[-1] + 0.5), ylim=(0, top), xlabel="epoch")
    axes.set_title(title, loc="left")
    axes.grid(axis="y", color=GRID)
    axes.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
    axes.spines[["top", "right"]].set_visible(False)


def _mark_best(axes, best):
    """The best epoch, with its score above the panel, where no curve can come."""
    axes.plot(best["epoch"], 100 * best["val_top1"], "o", color=ORANGE, markersize=7)
    axes.set_title(f"● best {best['val_top1']:.1%}, epoch {best['epoch']}", loc="right", color=ORANGE, fontsize=9)


def _mark_drops(panels, history):
    """A vertical line where the learning rate changed."""
    for before, after in itertools.pairwise(history):
        if after["lr"] != before["lr"]:
            for axes in panels:
                axes.axvline(before["epoch"] + 0.5, color=FAINT, linewidth=0.8, linestyle="--")
            panels[0].annotate(f" lr {after['lr']:.2g}", (before["epoch"] + 0.5, 0.98), color=FAINT, fontsize=8, va="top",
                               xycoords=("data", "axes fraction"))
