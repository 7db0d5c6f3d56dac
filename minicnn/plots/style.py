"""What all pictures share: paper and ink, and how an image, a sheet of tiles, a name or a number is shown."""

import math

import numpy as np

from minicnn.errors import DataError, ShapeError
from minicnn.files import atomic_write

BLUE, ORANGE, GREEN, PURPLE = "#0072B2", "#D55E00", "#009E73", "#CC79A7"  # Okabe and Ito 2008
SKY, AMBER, GREY = "#8CCBEE", "#F2B25C", "#D9D9D9"
INK, FAINT, GRID = "#222222", "#777777", "#EEEEEE"
FIRST, LAST = (ORANGE, "-"), (INK, "--")  # how the first of many windows and the last are outlined
WIDTH = 9.5  # inches, about what a notebook shows


def new_figure(size):
    """An empty `Picture` of (width, height) inches."""
    from minicnn.plots.figure import Picture  # here, so that matplotlib is imported only where something is drawn

    return Picture(figsize=size, dpi=110, layout="constrained", facecolor="white")


def finish(figure, path):
    """Write the figure as a PNG, all or nothing, if there is a path; return it."""
    if path is not None:
        atomic_write(path, figure.write)
    return figure


def signed_colours():
    """Blue for negative, white for zero, orange for positive, darker for more; NaN is black."""
    from matplotlib.colors import LinearSegmentedColormap

    colours = LinearSegmentedColormap.from_list("signed", ["#00283F", BLUE, "white", ORANGE, "#4F2300"])
    return colours.with_extremes(bad="black")


def paint(values, largest):
    """Numbers as colours: -largest ... largest in `signed_colours`, (...) to (..., 3)."""
    scaled = np.asarray(values, float) / np.maximum(largest, np.finfo(float).tiny)
    return np.asarray(signed_colours()(0.5 + 0.5 * np.clip(scaled, -1, 1)))[..., :3]


def largest_of(values, axis=None):
    """The largest finite magnitude, 0 if there is none; the axes are kept if some are named."""
    return np.where(np.isfinite(values), np.abs(values), 0).max(axis=axis, initial=0, keepdims=axis is not None)


def counting_colours():
    """White for nothing, blue for the most."""
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("counting", ["white", BLUE])


def shown(image):
    """An image as matplotlib draws it, (H, W, 3) between 0 and 1.

    Parameters
    ----------
    image : array
        uint8 (H, W), (H, W, 1) or (H, W, 3), as datasets give it; or floats (C, H, W), as networks take it, which are
        stretched from their smallest to their largest value. Of other than three channels the mean is shown, in grey.

    Raises
    ------
    ShapeError, DataError
        It is something else, or holds numbers that are not finite.
    """
    image = np.asarray(image)
    if image.dtype == np.uint8 and (image.ndim == 2 or (image.ndim == 3 and image.shape[2] in (1, 3))) and image.size:
        image = image.reshape(*image.shape[:2], -1) / 255
    elif image.dtype.kind == "f" and image.ndim == 3 and image.size:
        if not np.isfinite(image).all():
            raise DataError("an image to be shown holds numbers that are not finite")
        image = image.transpose(1, 2, 0) if len(image) == 3 else image.mean(axis=0)[..., None]
        image = (image - image.min()) / max(image.max() - image.min(), np.finfo(image.dtype).tiny)
    else:
        raise ShapeError(f"an image to be shown is {image.dtype} of shape {image.shape}, wanted uint8 (H, W) or (H, W, 3), "
                         "or floats (C, H, W)")
    return np.broadcast_to(image, (*image.shape[:2], 3))


def show_image(axes, image):
    """Draw an image into axes without ticks; pixel (row, column) has its centre at (column, row)."""
    axes.imshow(shown(image), interpolation="nearest")
    axes.set_axis_off()


def hatch(axes):
    """No frame, and hatched ground that shows where nothing is drawn: padding."""
    axes.patch.set(hatch="////", edgecolor=GREY, facecolor="white")
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)


def outline(axes, left, top, width, height, line, label=None):
    """A rectangle around pixels, in (colour, style), on a white rim so that it shows on any picture."""
    from matplotlib.patches import Rectangle

    for colour, style, thickness in (("white", "-", 4), (*line, 2)):
        axes.add_patch(Rectangle((left - 0.5, top - 0.5), width, height, fill=False, edgecolor=colour, linestyle=style,
                                 linewidth=thickness, label=label, clip_on=False))


def write_numbers(axes, values):
    """The finite numbers of a matrix into the cells of its image, white on dark."""
    image = axes.get_images()[0]
    for (row, column), value in np.ndenumerate(values):
        if np.isfinite(value):
            red, green, blue, _ = image.cmap(image.norm(value))
            dark = 0.299 * red + 0.587 * green + 0.114 * blue < 0.5  # luma, Rec. 601
            axes.text(column, row, f"{value:.3g}", ha="center", va="center", fontsize=6.5, color="white" if dark else INK)


def sheet(tiles, columns, paper):
    """Tiles (T, H, W, 3) in rows of `columns`, with one pixel of the grey `paper` (0 ... 1) around each."""
    count, height, width, _ = tiles.shape
    rows = -(-count // columns)
    page = np.full((rows * (height + 1) + 1, columns * (width + 1) + 1, 3), paper)
    for i, tile in enumerate(tiles):
        top, left = i // columns * (height + 1) + 1, i % columns * (width + 1) + 1
        page[top:top + height, left:left + width] = tile
    return page


def columns_for(count):
    """A number of columns that fills the last row if it can, on a sheet about one and a half times as wide as high."""
    wanted = math.sqrt(1.5 * count)
    fitting = [c for c in range(1, count + 1) if count % c == 0 and wanted / 1.5 <= c <= wanted * 1.5]
    return min(fitting, key=lambda c: abs(c - wanted), default=math.ceil(wanted))


def shorten(text, length):
    """
    >>> shorten("brambling, Fringilla montifringilla", 12)
    'brambling, …'
    """
    text = str(text)
    return text if len(text) <= length else text[:length - 1] + "…"


def amount(number):
    """A count in three digits.

    >>> amount(62_378_344), amount(34_944), amount(999), amount(0), amount(2.5e9)
    ('62.4 M', '34.9 k', '999', '0', '2.5 G')
    """
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if number >= 0.9995 * size:
            return f"{number / size:.3g} {unit}"
    return f"{number:.3g}"


def memory(size):
    """Bytes in three digits.

    >>> memory(62_378_344 * 4), memory(1536), memory(0)
    ('238 MiB', '1.5 KiB', '0 B')
    """
    for unit, scale in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if size >= 0.9995 * scale:
            return f"{size / scale:.3g} {unit}"
    return f"{size:.3g} B"


def spread(heights, gap):
    """The heights (0 ... 1), moved as little as keeps neighbours at least `gap` apart.

    >>> [round(height, 2) for height in spread([0.95, 0.5, 0.94], 0.1)]
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
