"""The folder of a run: its configuration, checkpoints, metrics and pictures."""

import csv
import io
import json
import os
from pathlib import Path

from minicnn import plots
from minicnn.errors import DataError, FileError
from minicnn.files import atomic_link, atomic_write, remove_leftovers
from minicnn.training.checkpoint import NotSaved, write_checkpoint

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None


class RunFolder:
    """Makes and locks the folder of a run; two runs cannot write into one.

    Parameters
    ----------
    path : str or Path

    Attributes
    ----------
    last, best : Path
        The newest checkpoint, and the one with the highest validation top-1.

    Raises
    ------
    FileError
        The folder cannot be made, or another process is training in it.
    """

    def __init__(self, path):
        self.path = Path(path)
        self.last, self.best = self.path / "last.npz", self.path / "best.npz"
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise FileError(f"cannot make the folder {path}: {error.strerror}") from error
        self._lock = self._take_lock()
        remove_leftovers(self.path)

    def _take_lock(self):
        """Lock the folder itself. The lock is the process's: it ends with it, however it ends, and leaves no file."""
        if fcntl is None:
            return None
        descriptor = os.open(self.path, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(descriptor)
            raise FileError(f"another process is training in {self.path}") from error
        except OSError:  # a disk that knows no locks
            os.close(descriptor)
            return None
        return descriptor

    def close(self):
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.close()

    def save(self, arrays, state, best=False):
        """Write the checkpoint as `last` and, if it is the best so far, as `best`; then the metrics.

        The best one is written first and `last` becomes a second name of the same file: a run that is killed between the
        two repeats its last epoch and finds the same best again.
        """
        write_checkpoint(self.best if best else self.last, arrays, state)
        if best:
            self._guarded(atomic_link, self.best, self.last)
        self.write_metrics(state["history"])

    def write_config(self, config):
        self._write_text("config.json", json.dumps(config, indent=2) + "\n")

    def write_metrics(self, history):
        """metrics.csv is always the whole history, so that a resumed run's log has no gap and no repetition."""
        text = io.StringIO()
        if history:
            table = csv.DictWriter(text, list(history[0]), lineterminator="\n")
            table.writeheader()
            table.writerows(history)
        self._write_text("metrics.csv", text.getvalue())

    def draw_curves(self, history):
        self._guarded(plots.training_curves, history, self.path / "curves.png")

    def draw_filters(self, weights, start=None):
        self._guarded(plots.filters, weights, self.path / "filters.png", start)

    def draw_predictions(self, images, labels, probabilities, classes):
        self._guarded(plots.predictions, images, labels, probabilities, classes, self.path / "predictions.png")

    def _write_text(self, name, text):
        self._guarded(atomic_write, self.path / name, lambda file: file.write(text.encode()))

    def _guarded(self, write, *arguments):
        try:
            write(*arguments)
        except FileError as error:
            raise NotSaved(str(error)) from error


def new_folder(parent, name):
    """The first of parent/name, parent/name-2, parent/name-3 ... that does not exist.

    Examples
    --------
    >>> new_folder("/nowhere", "alexnet").as_posix()
    '/nowhere/alexnet'
    """
    number, path = 1, Path(parent) / name
    while path.exists():
        number += 1
        path = Path(parent) / f"{name}-{number}"
    return path


def find_checkpoint(given, folder, parent="runs", best=False):
    """The checkpoint that a user means.

    Parameters
    ----------
    given : str or None
        A checkpoint, or the folder of a run; None or empty stands for `folder`.
    folder : str or None
        The folder of a run; None stands for the run under `parent` that was saved last.
    best : bool
        Of a folder, take the best checkpoint, if there is one, in the place of the last.

    Raises
    ------
    DataError
        There is none. A run is never begun anew in silence.
    """
    place = given or folder
    if not place:
        saved = sorted(Path(parent).glob("*/last.npz"), key=lambda path: path.stat().st_mtime_ns)
        place = saved[-1].parent if saved else Path(parent, "*")
    place = Path(place)
    if place.is_dir():
        place = place / ("best.npz" if best and (place / "best.npz").exists() else "last.npz")
    if not place.is_file():
        raise DataError(f"there is no checkpoint {place}")
    return place
