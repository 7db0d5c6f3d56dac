"""Which thread of a CUDA kernel writes which element, and how often each is read, from what `cuda_on_cpu.record` saw."""

import math

import numpy as np

from minicnn.errors import DataError, ShapeError
from minicnn.plots.style import AMBER, FAINT, GREY, INK, SKY, WIDTH, counting_colours, finish, new_figure, write_numbers

COLOURS = (SKY, AMBER, "#7FCDB4", "#E3B5CF", "#F0E68C", "#B9B9E8")  # of blocks in turn, light enough for dark text
PALER = 0.5  # how far every second warp is on its way to white
WARP = 32
SIDE, HEIGHT = 0.33, 5.5  # inches: of an element and of a matrix, at most
ROOM, TITLE, BAR = 0.26, 3.8, 1.1  # inches that the number of a thread, a title, and a colour bar with its numbers take
READABLE = 16  # rows and columns up to which counts are written
NAMED = 12  # blocks up to which each has its name


def accesses_of(launch, array, write):
    """The reads, or the writes, of one array of a kernel, with numbers of blocks and threads, x running fastest.

    Returns
    -------
    accesses, blocks, threads : NumPy arrays of as many elements

    Raises
    ------
    DataError
        There are none; the message names the arrays of which there are some.
    """
    accesses = launch.accesses[launch.accesses["write"] == write]
    found = accesses[accesses["array"] == array]
    if not len(found):
        names = ", ".join(np.unique(accesses["array"])) or "nothing"
        raise DataError(f"{launch.kernel} does not {'write' if write else 'read'} {array}, but {names}")
    numbers = (found[field] @ [1, sizes[0], sizes[0] * sizes[1]] for field, sizes in
               (("block", launch.grid), ("thread", launch.block)))
    return found, *numbers


def _places(launch, array, shape, write):
    """`accesses_of`, with indices of elements of an array of that shape in the place of the accesses."""
    found, *numbers = accesses_of(launch, array, write)
    if found["index"].max() >= math.prod(shape):
        raise ShapeError(f"{launch.kernel}: {array} has more elements than the {math.prod(shape)} of shape {shape}")
    return found["index"], *numbers


def writers(launch, array, shape):
    """The block and the thread that wrote each element of an array last, as numbers with x running fastest.

    Parameters
    ----------
    launch : minicnn.cuda_on_cpu Launch
    array : str
        The kernel's own name for it.
    shape : tuple

    Returns
    -------
    blocks, threads : NumPy arrays of that shape, -1 where nothing was written

    Examples
    --------
    >>> import numpy as np
    >>> from minicnn import ReLU, cuda_on_cpu, plots
    >>> with cuda_on_cpu.pretend(), cuda_on_cpu.record() as launches:
    ...     import cupy
    ...     y = ReLU().to("cupy")(cupy.asarray(np.zeros((2, 3), np.float32)))
    >>> plots.writers(launches[0], "y", (2, 3))[1]
    array([[0, 1, 2],
           [3, 4, 5]])
    """
    index, blocks, threads = _places(launch, array, shape, write=True)
    by_block, by_thread = np.full(shape, -1), np.full(shape, -1)
    by_block.flat[index], by_thread.flat[index] = blocks, threads
    return by_block, by_thread


def read_counts(launch, array, shape):
    """How often each element of an array of that shape was read, by whichever thread; parameters as of `writers`.

    Examples
    --------
    >>> import numpy as np
    >>> from minicnn import Conv2d, cuda_on_cpu, plots
    >>> conv = Conv2d(1, 1, 2, algorithm="direct", seed=0)
    >>> with cuda_on_cpu.pretend(), cuda_on_cpu.record() as launches:
    ...     import cupy
    ...     y = conv.to("cupy")(cupy.asarray(np.zeros((1, 1, 3, 3), np.float32)))
    >>> plots.read_counts(launches[0], "x", (3, 3))
    array([[1, 2, 1],
           [2, 4, 2],
           [1, 2, 1]])
    """
    index, *_ = _places(launch, array, shape, write=False)
    return np.bincount(index, minlength=math.prod(shape)).reshape(shape)


def threads(cases, mark=None, *, path=None):
    """Which block and which thread of a kernel writes each element of a matrix.

    Each block has a colour, of which every second warp is paler, and its name, unless there are many; the colours recur.
    Where there is room, the number of the thread in its block is written into the element. What nobody writes is grey.

    Parameters
    ----------
    cases : dict
        {title: (launch, array, shape)}: a launch that `cuda_on_cpu.record` recorded, the kernel's own name of an array that
        it writes, and (rows, columns) as which it is to be shown.
    mark : (block, thread), optional
        Numbers of one thread, whose elements have dots.
    path : str or Path, optional
        A PNG to write.

    Returns
    -------
    matplotlib Figure

    Raises
    ------
    DataError, ShapeError
        The kernel does not write such an array, or it is larger.

    Examples
    --------
    >>> import numpy as np
    >>> from minicnn import ReLU, cuda_on_cpu, plots
    >>> with cuda_on_cpu.pretend(), cuda_on_cpu.record() as launches:
    ...     import cupy
    ...     y = ReLU().to("cupy")(cupy.asarray(np.zeros((2, 3), np.float32)))
    >>> figure = plots.threads({"y": (launches[0], "y", (2, 3))})
    >>> [text.get_text() for text in figure.axes[0].texts][:3]
    ['0', '1', '2']
    """
    figure, panels, side = _panels(cases, WIDTH)
    for axes, (title, (launch, array, shape)) in zip(panels, cases.items()):
        blocks, numbers = writers(launch, array, shape)
        axes.imshow(_colours(blocks, numbers), interpolation="nearest")
        if side >= ROOM:
            for place in np.argwhere(numbers >= 0):
                axes.text(*place[::-1], numbers[tuple(place)], ha="center", va="center", fontsize=6, color=INK)
        _name_blocks(axes, blocks)
        if mark is not None:
            rows, columns = np.nonzero((blocks == mark[0]) & (numbers == mark[1]))
            axes.scatter(columns, rows, s=9, color=INK, zorder=3)
        axes.set_title(f"{title}: {launch.kernel}, {_spelt(launch.grid)} blocks of {_spelt(launch.block)}", loc="left",
                       fontsize=9)
    return finish(figure, path)


def reads(cases, *, path=None):
    """How often a kernel reads each element of a matrix, all matrices on one scale.

    Parameters
    ----------
    cases : dict
        As for `threads`, of arrays that are read.
    path : str or Path, optional
        A PNG to write.

    Returns
    -------
    matplotlib Figure

    Examples
    --------
    >>> import numpy as np
    >>> from minicnn import ReLU, cuda_on_cpu, plots
    >>> with cuda_on_cpu.pretend(), cuda_on_cpu.record() as launches:
    ...     import cupy
    ...     y = ReLU().to("cupy")(cupy.asarray(np.zeros((2, 3), np.float32)))
    >>> figure = plots.reads({"x": (launches[0], "x", (2, 3))})
    >>> len(figure.axes[0].images) + len(figure.axes[0].collections) > 0
    True
    """
    figure, panels, _ = _panels(cases, WIDTH - BAR)
    counts = [read_counts(*case) for case in cases.values()]
    largest = max(count.max() for count in counts)
    for axes, title, (launch, array, shape), count in zip(panels, cases, cases.values(), counts):
        image = axes.imshow(count, cmap=counting_colours(), vmin=0, vmax=largest, interpolation="nearest")
        if max(shape) <= READABLE:
            write_numbers(axes, count)
        axes.set_title(f"{title}: {launch.kernel} reads {array} {count.sum():,} times", loc="left", fontsize=9)
    bar = figure.colorbar(image, ax=list(panels), fraction=0.03, pad=0.02, panchor=False, label="reads of an element")
    bar.outline.set_visible(False)
    return finish(figure, path)


def _panels(cases, width):
    """A figure with one frame for each case, beside each other; and the side of an element, at least."""
    shapes = [shape for *_, shape in cases.values()]
    if not shapes or any(len(shape) != 2 for shape in shapes):
        raise ShapeError(f"got {len(cases)} cases, of shapes {shapes}; wanted (rows, columns) of one at least")
    rows, columns = zip(*shapes)
    side = min(width / sum(columns), HEIGHT / max(rows), SIDE)
    widths = [max(side * count, TITLE) for count in columns]
    figure = new_figure((sum(widths) + WIDTH - width, side * max(rows) + 0.4))
    panels = figure.subplots(1, len(cases), width_ratios=widths, squeeze=False)[0]
    for axes in panels:
        axes.set(xticks=[], yticks=[], anchor="NW")
        axes.spines[:].set_color(FAINT)
    return figure, panels, side


def _colours(blocks, numbers):
    """Elements as colours, (rows, columns, 3)."""
    from matplotlib.colors import to_rgb

    colours = np.array([to_rgb(colour) for colour in COLOURS])[blocks % len(COLOURS)]
    colours[numbers // WARP % 2 == 1] += PALER * (1 - colours[numbers // WARP % 2 == 1])
    colours[blocks < 0] = to_rgb(GREY)
    return colours


def _name_blocks(axes, blocks):
    """The name of each block in the middle of its elements, if there are not too many."""
    found = np.unique(blocks[blocks >= 0])
    for block in found if len(found) <= NAMED else ():
        rows, columns = np.nonzero(blocks == block)
        axes.text(columns.mean(), rows.mean(), f"block {block}", ha="center", va="center", fontsize=8, color=INK,
                  fontweight="bold", bbox={"facecolor": "white", "edgecolor": FAINT, "alpha": 0.85, "pad": 1.5})


def _spelt(sizes):
    """(8, 1, 1) as 8, (8, 2, 1) as 8×2."""
    while len(sizes) > 1 and sizes[-1] == 1:
        sizes = sizes[:-1]
    return "×".join(map(str, sizes))
