"""One function that recognises what lies in a folder."""

from minicnn.data.cache import BUDGET, PixelCache
from minicnn.data.checks import check_whole
from minicnn.data.cifar10 import cifar10_files, open_cifar10
from minicnn.data.folder import open_folder
from minicnn.data.idx import idx_files, open_idx
from minicnn.data.scan import check_folder


def open_dataset(path, size=256, seed=0, warn=print, budget=BUDGET, workers=None, progress=None):
    """Open a folder as a training and a validation set.

    Recognised are, in this order: the idx files of MNIST and Fashion-MNIST (raw or .gz), CIFAR-10's own files (Python
    or binary version), and images in DIR/train/<class> and DIR/val/<class>, or in DIR/train/<class> or DIR/<class> alone
    with a seeded fifth of each class held out.

    Parameters
    ----------
    path : path of a folder
    size : int
        Side of the prepared images.
    seed : int
        Of the split, where one is made.
    warn : callable(str)
        Told of what is left out, missing or in both parts.
    budget : int
        Bytes of decoded images kept in memory, for both sets together; the rest is decoded anew each time.
    workers : int or None
        Threads for the first pass over image files; all available cores by default.
    progress : callable(done, total) or None
        Called during that pass.

    Returns
    -------
    train, val : datasets
        Each with classes, labels, names, size, skipped, len() and a thread-safe image(i), uint8 (size, size, 3).

    Raises
    ------
    DataError
        Nothing here can be trained on; the message says what was found and what was wanted.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from PIL import Image
    >>> with TemporaryDirectory() as root:
    ...     for name in ("ant/1.png", "ant/2.png", "bee/1.png", "bee/2.png"):
    ...         path = Path(root, name)
    ...         path.parent.mkdir(exist_ok=True)
    ...         Image.new("RGB", (40, 30), "red").save(path)
    ...     train, val = open_dataset(root, size=32)
    >>> len(train), len(val), train.classes
    (2, 2, ('ant', 'bee'))
    """
    check_folder(path)
    check_whole("open_dataset", 1, size=size, workers=1 if workers is None else workers)
    check_whole("open_dataset", seed=seed)
    cache = PixelCache(budget)
    if idx_files(path):
        return open_idx(path, size, seed, warn, cache)
    if cifar10_files(path):
        return open_cifar10(path, size, seed, warn, cache)
    return open_folder(path, size, seed, warn, cache, workers, progress)
