"""Pictures of a training run. Colours are Okabe and Ito's, which colour-blind readers can tell apart, and no picture
relies on colour alone. matplotlib is imported where something is drawn, and its global state is left alone."""

import itertools
import math
import warnings

import numpy as np

from minicnn.files import atomic_write

BLUE, ORANGE, SKY, AMBER, GREY = "#0072B2", "#D55E00", "#8CCBEE", "#F2B25C", "#D9D9D9"
INK, FAINT = "#222222", "#777777"


def training_curves(history, path):
    """Loss and accuracy over the epochs, with the drops of the learning rate and the best epoch marked.

    Parameters
    ----------
    history : list of dict
        `Trainer.history`, or the rows of a metrics.csv as numbers.
    path : str or Path
        The PNG to write.
    """
    figure = _new_figure((10, 4))
    epochs = [row["epoch"] for row in history]
    loss, accuracy = figure.subplots(1, 2)
    _lines(loss, epochs, "loss", None, [("training", BLUE, "-", [row["train_loss"] for row in history]),
                                        ("validation", ORANGE, "-", [row["val_loss"] for row in history])])
    _lines(accuracy, epochs, "accuracy, %", 100, [
        ("training\ntop-1", BLUE, "-", [100 * row["train_top1"] for row in history]),
        ("validation\ntop-1", ORANGE, "-", [100 * row["val_top1"] for row in history]),
        ("validation\ntop-5", ORANGE, ":", [100 * row["val_top5"] for row in history])])
    _mark_best(accuracy, max(history, key=lambda row: row["val_top1"]))
    _mark_drops((loss, accuracy), history)
    _save(figure, path)


def filters(weights, path, start=None):
    """The filters of a first convolution as colour tiles, each scaled to its own largest weight; grey is zero.

    After a short training the random start still covers what was learned, so the difference is drawn beside it.

    Shapes
    ------
    weights : (F, 3, KH, KW); with any other number of channels, their mean is drawn in grey
    start : as `weights`, what they were before training; optional
    """
    count, channels, height, width = weights.shape
    sheets = {f"{count} filters of {height}×{width} pixels, {channels} channels": weights}
    if start is not None:
        sheets["what training has added to them"] = weights - start
    columns = _columns(count)
    rows = -(-count // columns)
    figure = _new_figure((7 * len(sheets), 7 * rows * (height + 1) / (columns * (width + 1)) + 0.4))
    for axes, (title, values) in zip(figure.subplots(1, len(sheets), squeeze=False)[0], sheets.items()):
        axes.imshow(_tiles(values, rows, columns), interpolation="nearest")
        axes.set_axis_off()
        axes.set_title(title, loc="left")
    _save(figure, path)


def predictions(images, labels, probabilities, classes, path):
    """Images with their three likeliest classes; right and wrong differ in symbol, words and colour.

    Shapes
    ------
    images : (N, H, W, 3) uint8
    labels : (N,) integers
    probabilities : (N, classes)
    """
    columns = max(2, math.ceil(math.sqrt(1.8 * len(images))))
    rows = -(-len(images) // columns)
    figure = _new_figure((2.0 * columns, 2.75 * rows))
    cells = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in cells:
        axes.set_axis_off()
    for axes, *one in zip(cells, images, labels, probabilities):
        _prediction(axes, *one, classes)
    _save(figure, path)


def _prediction(axes, image, label, probabilities, classes):
    best = np.argsort(-probabilities, kind="stable")[:3]
    right = best[0] == label
    axes.imshow(image, extent=(0, 1, 0, 1))
    axes.set_title(f"✓ {classes[label]}" if right else f"✗ is {classes[label]}", loc="left", fontsize=10,
                   color=BLUE if right else ORANGE, fontweight="bold", parse_math=False)
    for line, k in enumerate(best):
        bottom = -0.13 * (line + 1)
        colour = SKY if k == label else AMBER if line == 0 else GREY
        axes.barh(bottom, probabilities[k], height=0.1, align="edge", color=colour)
        axes.text(0.02, bottom + 0.05, classes[k], va="center", fontsize=8, color=INK, parse_math=False)
        axes.text(0.99, bottom + 0.05, f"{probabilities[k]:.0%}", va="center", ha="right", fontsize=8, color=INK)
    axes.set(xlim=(-0.01, 1.01), ylim=(-0.42, 1.01), aspect="equal")


def _new_figure(size):
    from matplotlib.figure import Figure  # not pyplot, which would keep the figure and choose a window system

    return Figure(figsize=size, dpi=110, layout="constrained", facecolor="white")


def _save(figure, path):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # a name in a script that the font lacks is drawn as boxes
        atomic_write(path, lambda file: figure.savefig(file, format="png"))


def _tiles(weights, rows, columns):
    """(F, C, KH, KW) -> one picture (rows * (KH + 1) + 1, columns * (KW + 1) + 1, 3) with white lines between tiles."""
    _, channels, height, width = weights.shape
    if channels != 3:
        weights = weights.mean(axis=1, keepdims=True).repeat(3, axis=1)
    largest = np.abs(weights).max(axis=(1, 2, 3), keepdims=True)
    tiles = (0.5 + 0.5 * weights / np.maximum(largest, 1e-12)).transpose(0, 2, 3, 1)  # (F, KH, KW, 3), 0 ... 1
    sheet = np.ones((rows * (height + 1) + 1, columns * (width + 1) + 1, 3))
    for i, tile in enumerate(tiles):
        top, left = i // columns * (height + 1) + 1, i % columns * (width + 1) + 1
        sheet[top:top + height, left:left + width] = tile
    return sheet


def _columns(count):
    """A number of columns that fills the last row if it can, on a sheet about one and a half times as wide as high."""
    wanted = math.sqrt(1.5 * count)
    fitting = [c for c in range(1, count + 1) if count % c == 0 and wanted / 1.5 <= c <= wanted * 1.5]
    return min(fitting, key=lambda c: abs(c - wanted), default=math.ceil(wanted))


def _lines(axes, epochs, title, top, curves):
    """Curves from 0 to `top` (None: the largest value) with their names at their right ends, in the place of a legend."""
    top = 1.03 * (top or max(max(values) for *_, values in curves))
    heights = _apart([values[-1] / top for *_, values in curves], gap=0.11)
    for (name, colour, style, values), height in zip(curves, heights):
        axes.plot(epochs, values, style, color=colour, linewidth=2, marker="o" if len(epochs) == 1 else None)
        axes.annotate(name, (1.02, height), xycoords="axes fraction", color=colour, fontsize=9, va="center")
    axes.set(xlim=(epochs[0] - 0.5, epochs[-1] + 0.5), ylim=(0, top), xlabel="epoch")
    axes.set_title(title, loc="left")
    axes.grid(axis="y", color="#EEEEEE")
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.spines[["top", "right"]].set_visible(False)


def _apart(heights, gap):
    """The heights (0 ... 1), moved as little as keeps neighbours at least `gap` apart.

    >>> [round(height, 2) for height in _apart([0.95, 0.5, 0.94], 0.1)]
    [1.0, 0.5, 0.9]
    """
    order = np.argsort(heights, kind="stable")
    placed = np.array(heights, dtype=float)[order]
    for i in range(1, len(placed)):
        placed[i] = max(placed[i], placed[i - 1] + gap)
    placed[-1] = min(placed[-1], 1.0)
    for i in range(len(placed) - 2, -1, -1):
        placed[i] = min(placed[i], placed[i + 1] - gap)
    result = np.empty_like(placed)
    result[order] = placed
    return result.tolist()


def _mark_best(axes, best):
    """The best epoch, with its score on the side where there is room."""
    side = "left" if best["epoch"] < np.mean(axes.get_xlim()) else "right"
    axes.plot(best["epoch"], 100 * best["val_top1"], "o", color=ORANGE, markersize=7)
    axes.annotate(f"best {best['val_top1']:.1%}", (best["epoch"], 100 * best["val_top1"]), (0, -16), ha=side,
                  textcoords="offset points", color=ORANGE, fontsize=9,
                  bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 0.5})


def _mark_drops(panels, history):
    """A vertical line where the learning rate changed."""
    for before, after in itertools.pairwise(history):
        if after["lr"] != before["lr"]:
            for axes in panels:
                axes.axvline(before["epoch"] + 0.5, color=FAINT, linewidth=0.8, linestyle="--")
            panels[0].annotate(f" lr {after['lr']:.2g}", (before["epoch"] + 0.5, 0.98), color=FAINT, fontsize=8, va="top",
                               xycoords=("data", "axes fraction"))
