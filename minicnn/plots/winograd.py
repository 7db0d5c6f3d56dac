"""What Winograd's filtering does to one tile of an image."""

import numpy as np

from minicnn.errors import ShapeError
from minicnn.plots.style import FAINT, WIDTH, finish, largest_of, new_figure, paint, sheet, signed_colours, write_numbers

PAPER = 0.85  # the grey between the small maps of a transform


def winograd(tile, kernel, output_matrix, kernel_matrix, tile_matrix, *, path=None):
    """A tile of an image and a kernel on their way to y = Aᵀ·[(G·g·Gᵀ) ⊙ (Bᵀ·d·B)]·A, with all numbers.

    A transform is shown as sums: for each number of its result a small map of what it is the sum of, orange what is added,
    blue what is subtracted, pale a fraction. What is left of the convolution is ⊙, one product for each cell.

    Parameters
    ----------
    tile, kernel : NumPy arrays (n, n) and (r, r)
        d and g. With m outputs down and across n is m + r − 1.
    output_matrix, kernel_matrix, tile_matrix : NumPy arrays (m, n), (n, r), (n, n)
        Aᵀ, G and Bᵀ.
    path : str or Path, optional
        A PNG to write.

    Returns
    -------
    matplotlib Figure

    Raises
    ------
    ShapeError
        The shapes do not fit together.

    Examples
    --------
    >>> import numpy as np
    >>> from minicnn import plots
    >>> BT = np.array([[1, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, 1, 0, -1]])
    >>> G = np.array([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]])
    >>> AT = np.array([[1, 1, 1, 0], [0, 1, -1, -1]])
    >>> figure = plots.winograd(np.arange(16).reshape(4, 4), np.ones((3, 3)), AT, G, BT)
    >>> y = figure.axes[-1]
    >>> y.get_title(loc="left"), y.get_images()[0].get_array().tolist()
    ('y', [[45.0, 54.0], [81.0, 90.0]])
    """
    d, g, at, gm, bt = (np.asarray(a, np.float64) for a in (tile, kernel, output_matrix, kernel_matrix, tile_matrix))
    m, n, r = len(at), len(bt), g.shape[-1]
    if n != m + r - 1 or [a.shape for a in (d, g, at, gm, bt)] != [(n, n), (r, r), (m, n), (n, r), (n, n)]:
        raise ShapeError(f"winograd: got a tile of {d.shape}, a kernel of {g.shape}, and matrices of {at.shape}, {gm.shape} "
                         f"and {bt.shape}, wanted (n, n), (r, r), (m, n), (n, r), (n, n) with n = m + r − 1")
    v, u = bt @ d @ bt.T, gm @ g @ gm.T
    y = at @ (u * v) @ at.T
    figure = new_figure((WIDTH, 3.7))
    grid = figure.add_gridspec(2, 6)
    for row, cells in ((0, ((d, "tile d"), (bt, "Bᵀ·d·B as sums"), (v, "V"))),
                       (1, ((g, "kernel g"), (gm, "G·g·Gᵀ as sums"), (u, "U"))),
                       (slice(2), (None, None, None, (u * v, "M = U ⊙ V"), (at, "Aᵀ·M·A as sums"), (y, "y")))):
        for column, cell in enumerate(cells):
            if cell:
                draw = _sums if "sums" in cell[1] else _numbers
                draw(figure.add_subplot(grid[row, column]), *cell)
    figure.supxlabel(f"{n}·{n} = {n * n} products in the place of {m}·{m}·{r}·{r} = {m * m * r * r}; in the sums orange is "
                     "added, blue subtracted, pale a fraction", fontsize=8, color=FAINT)
    return finish(figure, path)


def _numbers(axes, values, title):
    values = np.round(values, 9) + 0.0  # no -0
    largest = 2 * float(largest_of(values)) or 1  # of colours that go on to black
    axes.imshow(values, cmap=signed_colours(), vmin=-largest, vmax=largest, interpolation="nearest")
    write_numbers(axes, values)
    _dress(axes, title)


def _sums(axes, matrix, title):
    """For each number of matrix·x·matrixᵀ, a map of the factors of the numbers of x."""
    factors = np.einsum("ai,bj->abij", matrix, matrix)
    maps = paint(factors.reshape(-1, *factors.shape[2:]), 2 * largest_of(factors))
    axes.imshow(sheet(maps, len(matrix), PAPER), interpolation="nearest")
    _dress(axes, title)


def _dress(axes, title):
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    axes.set_title(title, loc="left", fontsize=9)
