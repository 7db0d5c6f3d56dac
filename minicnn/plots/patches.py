"""The patches of images that excite a unit most."""

from dataclasses import dataclass

import numpy as np

from minicnn.errors import DataError, ShapeError
from minicnn.plots.passes import choose, outputs
from minicnn.plots.receptive import Box, receptive_box
from minicnn.plots.style import FAINT, WIDTH, finish, new_figure, shown


@dataclass(frozen=True)
class Peak:
    """Where a unit answers most in one image: the image's number, the answer, and the pixels that the unit sees."""

    image: int
    value: float
    box: Box


def peaks(net, images, layer, units, count=8, batch_size=64):
    """The images that excite each unit most, with the place in them; of every image the strongest place alone.

    A unit is a map of a convolution with all its places, or one output of a linear layer. Values of exactly 0 are no
    excitement (a rectifier that is off) and are left out, so that a dead unit has none.

    Parameters
    ----------
    net : Sequential
        Run in evaluation mode.
    images : NumPy array (N, C, H, W)
    layer : str
        Its name.
    units : sequence of int
        Maps, or outputs of a linear layer.
    count : int
        Images of each unit, or fewer if there are not so many.
    batch_size : int
        Images at a time.

    Returns
    -------
    list of lists of Peak
        One list a unit, the strongest first; of equal answers the first image and the first place in reading order.

    Raises
    ------
    ShapeError
        There is no such unit.
    DataError
        The layer answers with NaN.

    Examples
    --------
    >>> import numpy as np
    >>> from minicnn import Conv2d, Flatten, Linear, MaxPool2d, ReLU, Sequential, plots
    >>> net = Sequential(conv1=Conv2d(3, 8, 5, seed=0), relu1=ReLU(), pool1=MaxPool2d(2), flat=Flatten(),
    ...                  fc=Linear(8 * 12 * 12, 4, seed=1))
    >>> images = np.random.default_rng(0).standard_normal((6, 3, 28, 28), np.float32)
    >>> (found,) = plots.peaks(net, images, "conv1", units=[0], count=2)
    >>> len(found), found[0].value >= found[1].value
    (2, True)
    """
    units = list(units)
    values, places = [], []
    for i in range(0, len(images), batch_size):
        ((_, y),) = outputs(net, images[i:i + batch_size], layer)
        _check(layer, y, units)
        flat = y[:, units].reshape(len(y), len(units), -1)  # (n, units, places)
        values.append(flat.max(axis=2))
        places.append(flat.argmax(axis=2))
    return _strongest(net, images, layer, np.concatenate(values), np.concatenate(places), y.shape[2:], count)


def _check(layer, y, units):
    if y.ndim not in (2, 4) or not all(0 <= unit < y.shape[1] for unit in units):
        raise ShapeError(f"{layer} has {y.shape[1]} units, and not all of {units}")
    if np.isnan(y[:, units]).any():
        raise DataError(f"{layer} answers with NaN: its strongest answer cannot be told")


def _strongest(net, images, layer, values, places, size, count):
    found = []
    for answers, where in zip(values.T, places.T):
        order = [int(i) for i in np.argsort(-answers, kind="stable")[:count] if answers[i] != 0]
        units = [np.unravel_index(where[i], size) if size else None for i in order]
        found.append([Peak(i, float(answers[i]), receptive_box(net, images.shape[1:], layer, unit))
                      for i, unit in zip(order, units)])
    return found


def patches(net, images, layer, units=range(6), count=8, pictures=None, batch_size=64, *, path=None):
    """For each unit the patches of images that excite it most: what its receptive field holds there, one row a unit.

    Parameters
    ----------
    net, images, layer, units, count, batch_size
        As for `peaks`.
    pictures : sequence of images, optional
        What to cut the patches from in the place of `images`: as large, uint8 (H, W, 3), say.
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
    >>> figure = plots.patches(net, images, "conv1", units=[0, 1], count=3)
    >>> sum(len(axes.images) for axes in figure.axes)
    6
    """
    found = peaks(net, images, layer, units, count, batch_size)
    pictures = images if pictures is None else pictures
    size = shown(pictures[0]).shape[:2]
    if len(pictures) != len(images) or size != images.shape[2:]:
        raise ShapeError(f"patches: got {len(pictures)} pictures of {size}, wanted {len(images)} of {images.shape[2:]}")
    side = max((max(peak.box.size) for of_unit in found for peak in of_unit), default=1)
    count = min(count, len(images))
    cell = min((WIDTH - 0.7) / count, 1.25)
    figure = new_figure((max(cell * count + 0.7, 4.5), 0.4 + len(found) * (cell + 0.2)))
    for row, unit, of_unit in zip(figure.subplots(len(found), count, squeeze=False), units, found):
        for axes in row:
            axes.set_axis_off()
        for axes, peak in zip(row, of_unit):
            _show(axes, shown(pictures[peak.image]), peak, side)
        _name(row[0], f"unit {unit}", "" if of_unit else f"dead: 0 for all of the {len(images):,} images")
    figure.suptitle(f"the patches that excite {choose(net, layer)[0]} most, and how much", x=0.01, ha="left", fontsize=10)
    return finish(figure, path)


def _show(axes, picture, peak, side):
    """The patch, in a frame of `side` pixels, so that all are drawn to one scale."""
    height, width = peak.box.size
    axes.imshow(picture[peak.box.slices], interpolation="nearest")
    axes.set(xlim=((width - side - 1) / 2, (width + side - 1) / 2), ylim=((height + side - 1) / 2, (height - side - 1) / 2))
    axes.text((width - 1) / 2, -0.5 - side / 40, f"{peak.value:.3g}", ha="center", va="bottom", fontsize=7, color=FAINT)


def _name(axes, name, remark):
    """The name beside a row, and in the place of its patches a remark, which needs no room in the first column."""
    axes.text(-0.1, 0.5, name, ha="right", va="center", fontsize=9, transform=axes.transAxes)
    axes.text(0, 0.5, remark, va="center", fontsize=9, color=FAINT, transform=axes.transAxes, in_layout=False)
