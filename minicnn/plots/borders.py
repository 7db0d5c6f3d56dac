"""Where the windows of a layer lie on a row of pixels, and what they read beyond its ends."""

from minicnn.plots.style import AMBER, BLUE, FAINT, INK, ORANGE, SKY, WIDTH, finish, new_figure

ENDS = 21  # pixels that are drawn at either end


def borders(cases, *, path=None):
    """The first and the last windows of a layer on a row of pixels, for several layers or sizes below each other.

    The pixels are numbered. Those that no window reads are empty; what windows read beyond the ends, padding and overhang,
    is hatched.

    Parameters
    ----------
    cases : dict
        {title: (layer, pixels)}, the layer a convolution or a pooling, of whose columns the windows are.
    path : str or Path, optional
        A PNG to write.

    Returns
    -------
    matplotlib Figure

    Examples
    --------
    >>> from minicnn import Conv2d, plots
    >>> figure = plots.borders({"no padding": (Conv2d(3, 96, 11, stride=4), 227)})
    >>> figure.axes[0].get_title(loc="left")
    'no padding: 55 windows'
    """
    figure = new_figure((WIDTH, 1.45 * len(cases)))
    for pair, (title, (layer, pixels)) in zip(figure.subplots(len(cases), 2, squeeze=False), cases.items()):
        taps = layer.window.columns.taps(pixels)
        read = {tap for window in taps for tap in window}
        low, high = min(0, taps[0][0]), max(pixels - 1, taps[-1][-1])
        for axes, first in zip(pair, (low, high - ENDS + 1)):
            _pixels(axes, range(first, first + ENDS), pixels, read)
            _bars(axes, taps, first)
        pair[0].set_title(f"{title}: {len(taps)} windows", loc="left", fontsize=10)
        pair[1].set_title(_remark(pixels, taps, read), loc="right", fontsize=9, color=FAINT)
    return finish(figure, path)


def _pixels(axes, shown, pixels, read):
    """The row of pixels, and what is read beside it."""
    from matplotlib.patches import Rectangle

    for place in shown:
        inside = 0 <= place < pixels
        if not inside and place not in read:
            continue
        colour = AMBER if not inside else SKY if place in read else "white"
        axes.add_patch(Rectangle((place - 0.5, 0), 1, 1, facecolor=colour, edgecolor=INK, linewidth=0.6,
                                 hatch="" if inside else "////"))
        axes.text(place, 0.5, place if inside else "", ha="center", va="center", fontsize=5.5)
    axes.set(xlim=(shown[0] - 1.5, shown[-1] + 1.5), ylim=(4.6, -0.1))
    axes.set_axis_off()


def _bars(axes, taps, first):
    """Every window that begins and ends among the shown pixels as a bar; orange where it leaves the row."""
    last = first + ENDS - 1
    shown = [(number, window) for number, window in enumerate(taps, 1) if window[0] >= first and window[-1] <= last]
    for line, (number, window) in enumerate(shown[:3] if first <= 0 else shown[-3:]):
        height = 1.6 + line
        axes.plot([window[0] - 0.4, window[-1] + 0.4], [height, height], color=(BLUE, ORANGE)[line % 2], linewidth=4,
                  solid_capstyle="butt")
        axes.text(window[-1] + 0.7, height, number, va="center", fontsize=7)


def _remark(pixels, taps, read):
    """What is added at the ends, and what is left unread."""
    ends = {"left": max(0, -taps[0][0]), "right": max(0, taps[-1][-1] + 1 - pixels)}
    unread = pixels - sum(0 <= tap < pixels for tap in read)
    zeros = " and ".join(f"{count} on the {end}" for end, count in ends.items() if count)
    said = [f"zeros are read: {zeros}" * bool(zeros), f"pixels never read: {unread}" * bool(unread)]
    return "; ".join(filter(None, said)) or "all pixels are read, and nothing else"
