"""The folder of a run: its configuration, checkpoints, metrics and pictures."""

import contextlib
import csv
import io
import itertools
import json
import os
from pathlib import Path

from minicnn.errors import DataError, FileError
from minicnn.files import atomic_link, atomic_write, remove_leftovers
from minicnn.training.checkpoint import Checkpoint, NotSaved, write_checkpoint
from minicnn.training.state import COLUMNS

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None


PICTURES = ("curves", "filters", "predictions", "confusion", "maps", "patches", "neighbours")
FILES = ("last.npz", "best.npz", "config.json", "metrics.csv", *(f"{name}.png" for name in PICTURES))


class RunFolder:
    """Makes and locks the folder of a run; two runs cannot write into one.

    A folder that it made, and in which nothing was written, is removed again when it is closed.

    Parameters
    ----------
    path : str or Path

    Attributes
    ----------
    last, best : Path
        The newest checkpoint, and the one with the highest validation top-1.

    Raises
    ------
    NotSaved
        The folder cannot be made, or not be written into.
    FileError
        Another process is training in it.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as place, RunFolder.numbered(place, "alexnet") as folder:
    ...     folder.write_config({"lr": 0.01})
    ...     print(folder.path.name, folder.last.name, (folder.path / "config.json").read_text().split())
    alexnet last.npz ['{', '"lr":', '0.01', '}']
    """

    def __init__(self, path):
        self.path = Path(path)
        self.last, self.best = self.path / "last.npz", self.path / "best.npz"
        self._made = [folder for folder in (self.path, *self.path.parents) if not os.path.exists(folder)]
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise NotSaved(f"cannot make the folder {path}: {error.strerror}") from error
        if not os.access(self.path, os.R_OK | os.W_OK | os.X_OK):
            raise NotSaved(f"cannot write into the folder {path}")
        self._lock = self._take_lock()
        remove_leftovers(self.path, FILES)

    @classmethod
    def numbered(cls, parent, name):
        """A new folder: the first of parent/name, parent/name-2, parent/name-3 ... that nobody has taken."""
        for number in itertools.count(1):
            path = Path(parent, name if number == 1 else f"{name}-{number}")
            made = [folder for folder in path.parents if not os.path.exists(folder)]
            try:
                path.mkdir(parents=True, exist_ok=False)
            except FileExistsError:
                continue
            except OSError as error:
                raise NotSaved(f"cannot make the folder {path}: {error.strerror}") from error
            folder = cls(path)
            folder._made = [path, *made]
            return folder

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
        with contextlib.suppress(OSError):  # rmdir removes nothing that holds something
            for folder in self._made:
                folder.rmdir()
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

    def adopt(self, best, history):
        """Take over the best checkpoint of the run that this one branches from, if it is a part of this one's history."""
        if not same_folder(best.parent, self.path) and _is_part_of(best, history):
            self._guarded(atomic_link, best, self.best)

    def describe(self, epoch, position):
        """Where a stopped run was saved."""
        return f"Saved: {self.last} (epoch {epoch + 1}, batch {position})."

    def write_config(self, config):
        self._write_text("config.json", json.dumps(config, indent=2) + "\n")

    def write_metrics(self, history):
        """metrics.csv is always the whole history, so that a resumed run's log has no gap and no repetition."""
        text = io.StringIO()
        table = csv.DictWriter(text, COLUMNS, lineterminator="\n")
        table.writeheader()
        table.writerows(history)
        self._write_text("metrics.csv", text.getvalue())

    def draw(self, name, function, *arguments):
        """Draw a picture of minicnn.plots: name.png is what `function(*arguments)` returns."""
        self._guarded(lambda: function(*arguments, path=self.path / f"{name}.png"))

    def _write_text(self, name, text):
        self._guarded(atomic_write, self.path / name, lambda file: file.write(text.encode()))

    def _guarded(self, write, *arguments):
        try:
            write(*arguments)
        except FileError as error:
            raise NotSaved(str(error)) from error


def refuse_overwriting(path, source=None):
    """Refuse to write over a run.

    Parameters
    ----------
    path : Path
        The folder to write into, which need not exist.
    source : Path or None
        The checkpoint to go on from.

    Raises
    ------
    DataError
        `path` holds a run, and `source` is not of it, or is behind its newest checkpoint.
    """
    last = Path(path) / "last.npz"
    if source is None or not same_folder(path, source.parent):
        if os.path.exists(last) or os.path.exists(last.with_name("best.npz")):
            raise DataError(f"{path} already holds a run: --resume it, or choose another --out")
    elif os.path.exists(last) and not last.samefile(source) and _is_behind(source, last):
        raise DataError(f"{source} is not the newest checkpoint of its run, and {last} would be lost: choose another --out")


def same_folder(one, other):
    return os.path.realpath(one) == os.path.realpath(other)


def _is_behind(source, last):
    """A newest checkpoint that is damaged counts as ahead: whether it can be spared is for the user to say."""
    progress = Checkpoint(source).progress
    try:
        return progress < Checkpoint(last).progress
    except FileError:
        return True


def _is_part_of(checkpoint, history):
    try:
        epochs = Checkpoint(checkpoint).state["history"]
    except FileError:
        return False
    return epochs == history[:len(epochs)]


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
