"""Images beside each other."""

from minicnn.errors import ShapeError
from minicnn.plots.style import WIDTH, finish, new_figure, shorten, show_image, shown


def images(images, titles=None, columns=6, *, path=None):
    """Images in rows, each with a title above it.

    Parameters
    ----------
    images : sequence of images
        Each as `plots.shown` takes it: uint8 (H, W, 3) or (H, W), or floats (C, H, W).
    titles : sequence of str, optional
        As many.
    columns : int
        Images in a row.
    path : str or Path, optional
        A PNG to write.

    Returns
    -------
    matplotlib Figure

    Examples
    --------
    >>> from minicnn import plots
    >>> from minicnn.data import Shapes
    >>> shapes = Shapes(3, size=32)
    >>> figure = plots.images([shapes.image(i) for i in range(3)], shapes.classes[:3], columns=3)
    >>> [axes.get_title(loc="left") or axes.get_title() for axes in figure.axes]
    ['disc', 'ring', 'square']
    """
    titles = [""] * len(images) if titles is None else titles
    if not len(images) or len(titles) != len(images) or columns < 1:
        raise ShapeError(f"images: got {len(images)} images, {len(titles)} titles and {columns} columns, wanted as many "
                         "titles as images, and one of each at least")
    height, width = shown(images[0]).shape[:2]
    rows, columns = -(-len(images) // columns), min(columns, len(images))
    side = min(WIDTH / columns, 4.5)
    figure = new_figure((side * columns, (side * height / width + 0.25 * any(titles)) * rows))
    cells = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in cells:
        axes.set_axis_off()
    for axes, image, title in zip(cells, images, titles):
        show_image(axes, image)
        axes.set_title(shorten(title, int(12 * side)), loc="left", fontsize=9, parse_math=False)
    return finish(figure, path)
