"""The memory that one warp of a CUDA kernel reads at once, from what `cuda_on_cpu.record` saw."""

import numpy as np

from minicnn.errors import DataError
from minicnn.plots.style import AMBER, FAINT, GRID, INK, WIDTH, finish, new_figure
from minicnn.plots.threads import WARP, accesses_of

LINE = 128  # bytes of a line of the cache


def warp_addresses(launch, array, block=0, warp=0, write=False):
    """What the threads of a warp read of an array at once: where each of them begins.

    Parameters
    ----------
    launch : minicnn.cuda_on_cpu Launch
    array : str
        The kernel's own name for it.
    block, warp : int
        Their numbers, x running fastest.
    write : bool
        What they write instead.

    Returns
    -------
    lanes, addresses, bytes : NumPy arrays, one element for each thread that takes part
        Of the first instruction that does so, the first time that it is executed. Thread t of a block is lane t mod 32.

    Examples
    --------
    >>> import numpy as np
    >>> from minicnn import ReLU, cuda_on_cpu, plots
    >>> with cuda_on_cpu.pretend(), cuda_on_cpu.record() as launches:
    ...     import cupy
    ...     y = ReLU().to("cupy")(cupy.asarray(np.zeros(5, np.float32)))
    >>> lanes, addresses, bytes = plots.warp_addresses(launches[0], "x")
    >>> lanes, addresses - addresses[0]
    (array([0, 1, 2, 3, 4]), array([ 0,  4,  8, 12, 16]))
    """
    found, blocks, threads = accesses_of(launch, array, write)
    own = (blocks == block) & (threads // WARP == warp)
    if not own.any():
        raise DataError(f"{launch.kernel}: warp {warp} of block {block} does not {'write' if write else 'read'} {array}")
    found, threads = found[own], threads[own]
    same = found["instruction"] == found["instruction"][0]
    lanes, first = np.unique(threads[same] % WARP, return_index=True)
    return lanes, found["address"][same][first], found["bytes"][same][first]


def warps(cases, block=0, warp=0, write=False, *, path=None):
    """The lines of memory that a warp reads at once; the number of each thread stands where it reads.

    A row is a line of 128 bytes, which comes from memory as a whole. The fewer rows, the better.

    Parameters
    ----------
    cases : dict
        {title: (launch, array)}: a launch that `cuda_on_cpu.record` recorded, and the kernel's own name of an array.
    block, warp, write
        As for `warp_addresses`.
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
    >>> figure = plots.warps({"x": (launches[0], "x")})
    >>> len(figure.axes)
    1
    """
    found = {title: warp_addresses(*case, block, warp, write) for title, case in cases.items()}
    rows = {title: _lines(addresses, sizes) for title, (_, addresses, sizes) in found.items()}
    most = max(map(len, rows.values()))
    figure = new_figure((WIDTH, 0.5 + 0.16 * most))
    for axes, (title, lines) in zip(figure.subplots(1, len(cases), squeeze=False)[0], rows.items()):
        lanes, addresses, sizes = found[title]
        _draw(axes, lines, lanes, addresses, int(sizes[0]), most)
        used = len(np.unique(addresses)) * int(sizes[0]) / (LINE * len(lines))
        axes.set_title(f"{title}: {len(lines)} line{'s' * (len(lines) > 1)} of 128 bytes, {used:.0%} used", loc="left",
                       fontsize=9)
    return finish(figure, path)


def _lines(addresses, sizes):
    """The numbers of the lines that are touched."""
    return np.unique(np.concatenate([addresses // LINE, (addresses + sizes - 1) // LINE]))


def _draw(axes, lines, lanes, addresses, size, most):
    """Each line as a row of elements of so many bytes, in a frame for `most` lines."""
    from matplotlib.patches import Rectangle

    for row in range(len(lines)):
        for cell in range(LINE // size):
            axes.add_patch(Rectangle((cell, row), 1, 0.82, facecolor="white", edgecolor=GRID, linewidth=0.5))
    for lane, address in zip(lanes, addresses):
        column, row = address % LINE / size, int(np.searchsorted(lines, address // LINE))
        axes.add_patch(Rectangle((column, row), 1, 0.82, facecolor=AMBER, edgecolor=FAINT, linewidth=0.5))
        axes.text(column + 0.5, row + 0.41, lane, ha="center", va="center", fontsize=5, color=INK)
    axes.set(xlim=(0, LINE // size), ylim=(most, 0))
    axes.set_axis_off()
