"""What a network says of images, as in figure 4 of the paper."""

import math

import numpy as np

from minicnn.errors import ShapeError
from minicnn.plots.style import AMBER, BLUE, GREY, INK, ORANGE, SKY, finish, new_figure, shorten, shown

BAR = 0.13  # height of a bar and its gap, in sides of an image


def predictions(images, labels, probabilities, classes, top=5, *, path=None):
    """Images with their likeliest classes; right and wrong differ in symbol, words and colour.

    Parameters
    ----------
    images : sequence of images
        Each as `plots.shown` takes it: uint8 (H, W, 3) or (H, W), or floats (C, H, W).
    labels : integers (N,)
    probabilities : NumPy array (N, classes)
    classes : sequence of str
    top : int
        So many classes of each image, or all there are.
    path : str or Path, optional
        A PNG to write.

    Returns
    -------
    matplotlib Figure

    Examples
    --------
    >>> import numpy as np
    >>> from minicnn import plots
    >>> from minicnn.data import Shapes
    >>> shapes = Shapes(2, size=32)
    >>> figure = plots.predictions([shapes.image(0), shapes.image(1)], [0, 1], np.eye(2), ["disc", "ring"], top=2)
    >>> [axes.get_title(loc="left") for axes in figure.axes[:2]]
    ['✓ disc', '✓ ring']
    """
    count, probabilities = len(images), np.asarray(probabilities)
    if not count or len(labels) != count or probabilities.shape != (count, len(classes)):
        raise ShapeError(f"predictions: got {count} images, {len(labels)} labels, probabilities of shape "
                         f"{probabilities.shape} and {len(classes)} classes")
    top = min(top, len(classes))
    columns = max(2, math.ceil(math.sqrt(1.8 * count)))
    rows = -(-count // columns)
    figure = new_figure((2.0 * columns, (2.0 * (1 + BAR * top) + 0.25) * rows))
    cells = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in cells:
        axes.set_axis_off()
    for axes, *one in zip(cells, images, labels, probabilities):
        _prediction(axes, *one, classes, top)
    return finish(figure, path)


def _prediction(axes, image, label, probabilities, classes, top):
    best = np.argsort(-probabilities, kind="stable")[:top]
    right = best[0] == label
    name = shorten(classes[label], 18)
    picture = shown(image)
    wide, tall = np.array(picture.shape[1::-1]) / max(picture.shape[:2])  # 1 for the longer side
    axes.imshow(picture, extent=(0.5 - wide / 2, 0.5 + wide / 2, 0, tall))
    axes.set_title(f"✓ {name}" if right else f"✗ is {name}", loc="left", fontsize=10,
                   color=BLUE if right else ORANGE, fontweight="bold", parse_math=False)
    for line, k in enumerate(best):
        bottom = -BAR * (line + 1)
        colour = SKY if k == label else AMBER if line == 0 else GREY
        axes.barh(bottom, probabilities[k], height=0.1, align="edge", color=colour)
        axes.text(0.02, bottom + 0.05, shorten(classes[k], 24), va="center", fontsize=8, color=INK, parse_math=False)
        axes.text(0.99, bottom + 0.05, f"{probabilities[k]:.0%}", va="center", ha="right", fontsize=8, color=INK)
    axes.set(xlim=(-0.01, 1.01), ylim=(-BAR * top - 0.03, tall + 0.01), aspect="equal", anchor="N")
