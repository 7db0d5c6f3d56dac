"""How large activations and gradients are, layer by layer."""

import numpy as np

from minicnn.plots.passes import gradients
from minicnn.plots.style import BLUE, FAINT, GRID, ORANGE, WIDTH, finish, new_figure

BINS = 4  # of a histogram, per factor of ten
TAIL = 0.1  # per cent of the numbers of a layer that may be too small for the axis


def distributions(net, images, labels, layers=None, *, path=None):
    """Histograms of every layer's output and of the gradient of the loss by it, in the mode in which the network is.

    The axis is the logarithm of the magnitude, for what matters is by what factor numbers grow or shrink from layer to
    layer: activations that drift to the left vanish, gradients that drift to the left while going up the picture stop
    training the lower layers. Negative numbers are hatched. Zeros, NaN and infinities have no place on the axis; they are
    counted beside it.

    Parameters
    ----------
    net : Sequential
        Its output is logits (N, classes). It stays as it is: the passes run on a copy.
    images : NumPy array (N, C, H, W)
    labels : integers (N,)
    layers : sequence of names, optional
        All layers, if not given.
    path : str or Path, optional
        A PNG to write.

    Returns
    -------
    matplotlib Figure

    Examples
    --------
    >>> import numpy as np
    >>> from minicnn import Conv2d, Flatten, Linear, MaxPool2d, ReLU, Sequential, plots
    >>> net = Sequential(conv1=Conv2d(3, 8, 5, seed=0), relu1=ReLU(), pool1=MaxPool2d(2), flat=Flatten(),
    ...                  fc=Linear(8 * 12 * 12, 4, seed=1))
    >>> images = np.random.default_rng(0).standard_normal((6, 3, 28, 28), np.float32)
    >>> plots.distributions(net, images, np.arange(6) % 4).axes[0].get_yticklabels()[0].get_text()
    'conv1'
    """
    rows = gradients(net, images, labels, layers)
    figure = new_figure((WIDTH, 0.9 + 0.38 * len(rows)))
    panels = figure.subplots(1, 2, sharey=True)
    names = [leaf.name for leaf, *_ in rows]
    _ridges(panels[0], [y for _, y, _ in rows], "size of the outputs, |y|", BLUE)
    _ridges(panels[1], [dy for *_, dy in rows], "size of the gradients, |dL/dy|", ORANGE)
    panels[0].set_yticks(range(len(rows)), names, fontsize=8)
    panels[0].set_ylim(len(rows) - 0.9, -1.0)
    return finish(figure, path)


def _ridges(axes, arrays, title, colour):
    """One histogram a row, each as high as the others. The smallest numbers (0.1 %, or more) have no place on the axis."""
    logs = [np.log10(np.abs(values[_placed(values)])) for values in arrays]
    high = np.ceil(max((log.max() for log in logs if log.size), default=0))
    low = np.floor(max(min((np.percentile(log, TAIL) for log in logs if log.size), default=-1), high - 12))
    edges = np.linspace(low, high, int(high - low) * BINS + 1)
    for place, (values, log) in enumerate(zip(arrays, logs)):
        negative = values[_placed(values)] < 0
        parts = np.array([np.histogram(log[flags], edges)[0] for flags in (negative, ~negative)])
        bottom, top = place - np.array([parts[0], parts.sum(axis=0)]) * 0.85 / max(parts.sum(axis=0).max(), 1)
        axes.stairs(bottom, 10.0**edges, baseline=place, fill=True, facecolor="white", edgecolor=colour, hatch="/////", lw=0)
        axes.stairs(top, 10.0**edges, baseline=bottom, fill=True, color=colour)
        axes.axhline(place, color=FAINT, linewidth=0.5)
        axes.text(1.01, place - 0.3, _remark(values), transform=axes.get_yaxis_transform(), fontsize=7, va="center")
    axes.set(xscale="log", xlim=(10.0**low, 10.0**high))
    axes.set_title(f"{title}; hatched: negative", loc="left", fontsize=9)
    axes.tick_params(axis="y", length=0)
    axes.tick_params(axis="x", labelsize=8)
    axes.minorticks_off()
    axes.set_axisbelow(True)
    axes.grid(axis="x", color=GRID)
    axes.spines[["top", "right", "left", "bottom"]].set_visible(False)


def _placed(values):
    """Which numbers have a logarithm."""
    return np.isfinite(values) & (values != 0)


def _remark(values):
    """'std 0.52\n48% zeros', and what is wrong."""
    finite = values[np.isfinite(values)]
    spread = f"std {finite.std(dtype=np.float64):.2g}" if finite.size else "nothing finite"
    lost = values.size - finite.size
    return "\n".join([spread, f"{np.mean(values == 0):.0%} zeros"] + [f"{lost:,} NaN or ∞"] * (lost > 0))
