"""The filters of a convolution in the course of a training."""

import numpy as np

from minicnn.errors import ShapeError
from minicnn.plots.filters import paper_for, tinted
from minicnn.plots.style import WIDTH, finish, largest_of, new_figure, sheet


def filmstrip(stages, count=10, *, path=None):
    """How training made the filters of a first convolution: a row for each stage of it, a column for each filter.

    Of many filters those are shown which changed most, by the norm of last − first. The scale of a filter is the same in
    all rows, so that one sees it grow; zero is grey where filters have three channels, and white where they have one.

    Parameters
    ----------
    stages : dict
        {name of a row: weights, a NumPy array (F, C, KH, KW) with C = 1 or 3}, in order. Keep copies: an optimiser changes
        weights in place.
    count : int
        Filters, at most.
    path : str or Path, optional
        A PNG to write.

    Returns
    -------
    matplotlib Figure

    Examples
    --------
    >>> import numpy as np
    >>> from minicnn import Conv2d, plots
    >>> start, end = (Conv2d(3, 96, 11, seed=seed).weight.data for seed in (0, 1))
    >>> figure = plots.filmstrip({"start": start, "half way": (start + end) / 2, "end": end})
    >>> [label.get_text() for label in figure.axes[0].get_yticklabels()]
    ['start', 'half way', 'end']
    """
    weights = [np.asarray(values) for values in stages.values()]
    shapes = sorted({values.shape for values in weights})
    if len(shapes) != 1 or len(shapes[0]) != 4 or shapes[0][1] not in (1, 3) or not weights[0].size or count < 1:
        raise ShapeError(f"filmstrip: got {count} filters to show, of weights {' and '.join(map(str, shapes)) or '()'}; "
                         "wanted (F, C, KH, KW) with 1 or 3 channels, the same at every stage, and one filter at least")
    picks = _most_changed(weights[0], weights[-1], count)
    return finish(_strip(list(stages), [values[picks] for values in weights], picks), path)


def _most_changed(first, last, count):
    """The numbers of the `count` filters that differ most between two weights (F, C, KH, KW), in ascending order."""
    change = np.square(np.nan_to_num(last - first)).sum(axis=(1, 2, 3))
    return np.sort(np.argsort(-change, kind="stable")[:count])


def _strip(names, weights, picks):
    """A sheet of tiles with the names of its rows and the numbers of its columns."""
    columns, channels, height, width = weights[0].shape
    largest = np.max([largest_of(values, (1, 2, 3)) for values in weights], axis=0)
    tiles = np.concatenate([tinted(values, largest) for values in weights])
    tile = min((WIDTH - 1) / columns, 1.0)  # inches
    figure = new_figure((tile * columns + 1, tile * len(names) * (height + 1) / (width + 1) + 0.5))
    axes = figure.subplots()
    axes.imshow(sheet(tiles, columns, paper_for(channels)), interpolation="nearest")
    axes.set_xticks([i * (width + 1) + width / 2 for i in range(columns)], [str(pick) for pick in picks])
    axes.set_yticks([i * (height + 1) + height / 2 for i in range(len(names))], names)
    axes.set_xlabel("filter")
    axes.xaxis.set_label_position("top")
    axes.tick_params(length=0, labeltop=True, labelbottom=False)
    axes.spines[:].set_visible(False)
    return figure
