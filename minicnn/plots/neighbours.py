"""Images that a layer takes for alike."""

import numpy as np

from minicnn.errors import ShapeError
from minicnn.plots.passes import outputs
from minicnn.plots.style import BLUE, FAINT, INK, ORANGE, finish, new_figure, shorten, show_image, shown


def features(net, images, layer, batch_size=128):
    """What a layer makes of images, in evaluation mode: (N, D), the maps of a convolution behind each other.

    Parameters
    ----------
    net : Sequential
    images : NumPy array (N, C, H, W)
    layer : str
        Its name; the last but one, "relu7" of AlexNet, is where the paper measures likeness.
    batch_size : int
        Images at a time.

    Examples
    --------
    >>> import numpy as np
    >>> from minicnn import Conv2d, Flatten, Linear, MaxPool2d, ReLU, Sequential, plots
    >>> net = Sequential(conv1=Conv2d(3, 8, 5, seed=0), relu1=ReLU(), pool1=MaxPool2d(2), flat=Flatten(),
    ...                  fc=Linear(8 * 12 * 12, 4, seed=1))
    >>> images = np.random.default_rng(0).standard_normal((6, 3, 28, 28), np.float32)
    >>> plots.features(net, images, "pool1").shape
    (6, 1152)
    """
    parts = [next(outputs(net, images[i:i + batch_size], layer))[1] for i in range(0, len(images), batch_size)]
    return np.concatenate([part.reshape(len(part), -1) for part in parts])


def nearest(features, queries, count):
    """The images nearest to each query by Euclidean distance, itself left out: (indices, distances), both (Q, count).

    Of equal distances the lower index comes first.

    Parameters
    ----------
    features : NumPy array (N, D)
    queries : integers (Q,)
    count : int
        Of the N − 1 others, no more.

    Examples
    --------
    >>> import numpy as np
    >>> from minicnn.plots import nearest
    >>> indices, distances = nearest(np.array([[0.0], [1.0], [3.0]]), [0, 2], 2)
    >>> indices.tolist(), distances.tolist()
    ([[1, 2], [1, 0]], [[1.0, 3.0], [2.0, 3.0]])
    """
    features = np.asarray(features, np.float64)
    if features.ndim != 2 or not 1 <= count < len(features) or not np.isfinite(features).all():
        raise ShapeError(f"nearest: got features of shape {features.shape} and count {count}, wanted finite features (N, D) "
                         "and a count from 1 to N − 1")
    if not all(0 <= query < len(features) for query in queries):
        raise ShapeError(f"nearest: the queries are {list(queries)}, wanted numbers of the {len(features)} images")
    indices, distances = [], []
    for query in queries:
        distance = np.sqrt(((features - features[query]) ** 2).sum(axis=1))
        distance[query] = np.inf
        indices.append(np.argsort(distance, kind="stable")[:count])
        distances.append(distance[indices[-1]])
    return np.array(indices), np.array(distances)


def neighbours(images, features, queries, count=5, names=None, *, path=None):
    """Some images, and beside each the ones whose features are nearest to its own, as in figure 4 of the paper.

    Parameters
    ----------
    images : sequence of N images
        uint8 (H, W, 3) or (H, W), or floats (C, H, W).
    features : NumPy array (N, D)
        Such as `plots.features(net, inputs, "relu7")`.
    queries : sequence of int
        The images to find neighbours of, one a row.
    count : int
        Neighbours of each.
    names : sequence of N str, optional
        The class of each image, to be written over it; ✗ marks a neighbour of another class than the query's.
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
    >>> figure = plots.neighbours(images, plots.features(net, images, "pool1"), queries=[0, 3], count=2)
    >>> sum(len(axes.images) for axes in figure.axes)          # two rows: an image and its two neighbours
    6
    """
    if len(images) != len(features):
        raise ShapeError(f"neighbours: got {len(images)} images and {len(features)} features")
    indices, distances = nearest(features, queries, count)
    tall = min(1.5, max(height / width for height, width, _ in (shown(images[i]).shape for i in {*queries, *indices.flat})))
    figure = new_figure((1.35 * (count + 1), (1.3 * tall + 0.3) * len(queries) + 0.3))
    cells = figure.subplots(len(queries), count + 1, squeeze=False)
    for row, query, others, apart in zip(cells, queries, indices, distances):
        _show(row[0], images[query], shorten(names[query], 14) if names else f"image {query}", INK, "bold")
        for axes, i, distance in zip(row[1:], others, apart):
            same = names is None or names[i] == names[query]
            mark = "" if names is None else f"{'✓' if same else '✗'} {shorten(names[i], 11)}, "
            _show(axes, images[i], f"{mark}{distance:.3g}", FAINT if names is None else BLUE if same else ORANGE, "normal")
    figure.suptitle("the nearest by Euclidean distance of their features, which is written over each", x=0.01, ha="left",
                    fontsize=9)
    return finish(figure, path)


def _show(axes, image, title, colour, weight):
    show_image(axes, image)
    axes.set_anchor("W")
    axes.set_title(title, loc="left", fontsize=8, color=colour, fontweight=weight, parse_math=False)
