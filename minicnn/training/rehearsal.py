"""A dry run: a few real batches and a real checkpoint, in a folder that is gone afterwards."""

import contextlib
import itertools
import os
import tempfile
from pathlib import Path

import numpy as np

from minicnn.errors import StateError
from minicnn.training.checkpoint import Checkpoint, NotSaved
from minicnn.training.evaluation import Sums
from minicnn.training.folder import RunFolder


class FirstBatches:
    """The first `count` batches of each epoch of `batches`.

    Parameters
    ----------
    batches : Batches
    count : int
    """

    def __init__(self, batches, count):
        self._batches, self._count = batches, min(count, len(batches))
        self.dataset, self.statistics, self.shape = batches.dataset, batches.statistics, batches.shape

    def __len__(self):
        return self._count

    def epoch(self, epoch=0, start=0):
        with contextlib.closing(self._batches.epoch(epoch, start)) as batches:
            yield from itertools.islice(batches, self._count - start)


class PassingFolder(RunFolder):
    """A folder that will be gone, so that nobody is sent there."""

    def describe(self, epoch, position):
        return "A dry run keeps nothing."


def rehearse(trainer, place):
    """Train on two batches, validate on one, write a checkpoint and take it over again; return the history.

    The trainer's network is changed by it. Nothing stays on the disk.

    Parameters
    ----------
    trainer : Trainer
        Fresh or restored; what is left of its epoch does not matter.
    place : Path
        Where the run is to write. The temporary folder is made there, or in the nearest folder around it that exists.

    Raises
    ------
    NotSaved
        Nothing can be written there.
    StateError
        The weights that came back from the checkpoint are not those that went into it.
    """
    trainer.batches, trainer.validation = FirstBatches(trainer.batches, 2), FirstBatches(trainer.validation, 1)
    trainer.position, trainer.sums = 0, Sums()
    with _temporary_folder(place) as path, PassingFolder(path) as folder:
        trainer.folder = folder
        history = trainer.fit(trainer.epoch + 1)
        before = trainer.net.state_dict()
        trainer.restore(Checkpoint(folder.last))
        after = trainer.net.state_dict()
        if any(not np.array_equal(before[name], after[name]) for name in before):
            raise StateError("a checkpoint gave back other weights than it was given")
    return history


def _temporary_folder(place):
    place = Path(place).absolute()
    parent = next(folder for folder in (place, *place.parents) if os.path.isdir(folder))
    try:
        return tempfile.TemporaryDirectory(prefix=".dry-run-", dir=parent, ignore_cleanup_errors=True)
    except OSError as error:
        raise NotSaved(f"cannot write into {parent}: {error.strerror}") from error
