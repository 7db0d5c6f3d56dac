"""The training loop: forward, loss, backward, step; validate; save; and go on from any point as if nothing had happened."""

import contextlib
import dataclasses
import hashlib
import math
import time

from minicnn import backends
from minicnn.errors import DataError, FileError, MinicnnError
from minicnn.losses import SoftmaxCrossEntropy
from minicnn.out_of_memory import Advice, advised
from minicnn.training.evaluation import Sums, evaluate
from minicnn.training.progress import Silent
from minicnn.training.stopping import Interrupted, StopRequest


class Diverged(MinicnnError):
    """The loss or a weight is no longer a finite number. Nothing was saved after that; the last checkpoint is good.

    Examples
    --------
    >>> import numpy as np
    >>> from minicnn import SGD, Flatten, Linear, Sequential
    >>> from minicnn.data import Batches, PixelStatistics, Shapes
    >>> data = Shapes(24, size=32)
    >>> batches = Batches(data, 10, crop=28, statistics=PixelStatistics.fit(data))
    >>> net = Sequential(flat=Flatten(), fc=Linear(3 * 28 * 28, 12, seed=0))
    >>> net.fc.bias.data[0] = np.nan
    >>> Trainer(net, SGD(net.parameters(), lr=1e-3), batches, batches).fit(epochs=1)      # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    minicnn.training.trainer.Diverged: the loss is nan at epoch 1, batch 1: stopped before the weights change. ...
    """


class Clock:
    """A stopwatch: `lap` returns the seconds since the last lap, or since it was made."""

    def __init__(self):
        self._start = time.perf_counter()

    def lap(self):
        start, self._start = self._start, time.perf_counter()
        return self._start - start


def fingerprint(dataset):
    """[number of images, SHA-256 of their names and labels]. Names are relative: a folder may be moved."""
    labels = " ".join(map(str, dataset.labels))
    return [len(dataset), hashlib.sha256("\0".join([*dataset.names, labels]).encode(errors="replace")).hexdigest()]


class Trainer:
    """Trains a network, and can be stopped and resumed at any batch with bit-identical results.

    What makes the results identical is that everything random is a function of the seed and of a position: the batches
    of (seed, epoch, position), dropout of (seed, number of calls). So a checkpoint needs no generator's inner state, only
    the position, and `restore` jumps to it.

    Parameters
    ----------
    net : Sequential
        On the backend and in the dtype to train with.
    optimiser : SGD or Adam
    batches, validation : Batches
        Training and validation images; ``batches.epoch(epoch, start)`` yields what is left of an epoch.
    schedule : StepSchedule or PlateauSchedule, optional
        Changes the learning rate after each epoch.
    folder : RunFolder, optional
        Where checkpoints, metrics and pictures go; nothing is saved without it.
    progress : Bar or Lines, optional
    config : dict
        The run's settings, kept in each checkpoint.
    save_every : float
        Seconds after which a checkpoint is due in the middle of an epoch.

    Attributes
    ----------
    epoch, position : int
        Finished epochs, and finished batches of the current one.
    history : list of dict
        One row an epoch: epoch, train_loss, train_top1, train_top5, val_loss, val_top1, val_top5, lr, seconds,
        images_per_second, waiting. The shares are fractions of 1.

    Examples
    --------
    >>> from minicnn import SGD, Flatten, Linear, Sequential
    >>> from minicnn.data import Batches, PixelStatistics, Shapes
    >>> data = Shapes(24, size=32)
    >>> batches = Batches(data, 10, crop=28, statistics=PixelStatistics.fit(data))
    >>> net = Sequential(flat=Flatten(), fc=Linear(3 * 28 * 28, 12, seed=0))
    >>> trainer = Trainer(net, SGD(net.parameters(), lr=1e-3, momentum=0.9), batches, batches)
    >>> history = trainer.fit(epochs=2)
    >>> [row["epoch"] for row in history], history[1]["train_loss"] < history[0]["train_loss"]
    ([1, 2], True)
    """

    def __init__(self, net, optimiser, batches, validation, schedule=None, folder=None, progress=None, config=None,
                 save_every=600.0):
        self.net, self.optimiser, self.schedule = net, optimiser, schedule
        self.batches, self.validation = batches, validation
        self.folder, self.progress, self.config = folder, progress or Silent(), config or {}
        self._images = {"training": fingerprint(batches.dataset), "validation": fingerprint(validation.dataset)}
        self.loss = SoftmaxCrossEntropy()
        self.save_every = save_every
        self.epoch = self.position = 0
        self.sums = Sums()
        self.history = []
        self._saved = None  # (epoch, position) of the last checkpoint
        self._saved_at = time.monotonic()

    def fit(self, epochs):
        """Train until `epochs` epochs are finished, counted from the very first one. Returns the history.

        Raises
        ------
        Diverged
            A loss or a weight is not finite. The step that would have used it was not taken, nothing was saved after it.
        Interrupted
            SIGINT, SIGTERM or SIGHUP came. The batch was finished and a checkpoint written.
        NotSaved
            A checkpoint could not be written. The one before is intact.
        """
        with StopRequest() as stop, self.progress.over(epochs, len(self.batches), self.epoch, self.position):
            self._save_unless_saved()  # a run that is killed in its first minutes can be resumed too
            while self.epoch < epochs:
                self._stop_if_asked(stop)
                self._train_epoch(stop)
                self._finish_epoch(*self._validate(stop))
            self._stop_if_asked(stop)
        return self.history

    def _train_epoch(self, stop):
        self.net.train()
        self._show(self.progress.begin, self.epoch, self.position)
        clock = Clock()
        made = self.batches.epoch(self.epoch, self.position)
        with contextlib.closing(advised(made, self.net, self.batches.shape)) as batches:
            for batch in batches:
                waited = clock.lap()
                self._step(batch)
                self.position += 1
                self.sums.waited += waited
                self.sums.seconds += waited + clock.lap()
                self._show(self.progress.step, self.position, self.sums)
                self._stop_if_asked(stop)
                if time.monotonic() - self._saved_at > self.save_every:
                    self.save()
                self.sums.seconds += clock.lap()

    def _validate(self, stop):
        """The validation sums, and the seconds that they took."""
        clock = Clock()
        return evaluate(self.net, self.validation, check=lambda: self._stop_if_asked(stop)), clock.lap()

    def _step(self, batch):
        """One step of gradient descent, not taken if the loss is not finite.

        On a GPU, reading waits for all that was launched before: so loss and logits are read once, between backward and
        the update, which then runs while the next batch is fetched.
        """
        backend = backends.get(self.net.backend)
        self.optimiser.zero_grad()
        with self._advice(backend, batch.images):
            logits = self.net.forward(backend.asarray(batch.images))
            loss = self.loss(logits, batch.labels)
            self.net.backward(self.loss.backward(), need_dx=False)
            loss, logits = float(loss), backend.to_numpy(logits)
            if not math.isfinite(loss):
                raise Diverged(f"the loss is {loss} at epoch {self.epoch + 1}, batch {self.position + 1}: stopped before "
                               f"the weights change. A smaller --lr helps most often. {self._where_saved()}")
            self.optimiser.step()
        self.sums.add(loss, logits, batch.labels)

    def _advice(self, backend, images):
        """Which batch would fit, if this one does not."""
        is_there = backends.name_of(images) == self.net.backend
        return Advice(self.net, images.shape, backend.bytes_in_use() - is_there * images.nbytes,
                      state=self.optimiser.bytes_to_make())

    def _finish_epoch(self, measured, seconds):
        """Write down the epoch, drop the learning rate when its time has come, and save."""
        if not math.isfinite(measured.loss):
            raise Diverged(f"the validation loss is {measured.loss} after epoch {self.epoch + 1}. {self._where_saved()}")
        sums, best = self.sums, max((row["val_top1"] for row in self.history), default=-1.0)
        row = {"epoch": self.epoch + 1, "train_loss": sums.loss, "train_top1": sums.top1, "train_top5": sums.top5,
               "val_loss": measured.loss, "val_top1": measured.top1, "val_top5": measured.top5, "lr": self.optimiser.lr,
               "seconds": round(sums.seconds + seconds, 3), "images_per_second": round(sums.images_per_second, 2),
               "waiting": round(sums.waiting, 4)}
        self.history.append(row)
        self.epoch, self.position, self.sums = self.epoch + 1, 0, Sums()
        if self.schedule is not None:
            self.schedule.step(self.epoch, 1 - measured.top1)
        improved = measured.top1 > best
        self.save(improved)
        self._show(self.progress.finish, row, improved)

    def _show(self, method, *arguments):
        """Show progress; a closed pipe or a terminal that is gone ends the run, but not without saving."""
        try:
            method(*arguments)
        except OSError:
            self._save_unless_saved()
            raise

    def _stop_if_asked(self, stop):
        if stop.signal is not None:
            self._save_unless_saved()
            where = f"epoch {self.epoch + 1}, batch {self.position} of {len(self.batches)}"
            raise Interrupted(stop.signal, f"stopped at {where}. {self._where_saved()}")

    def _where_saved(self):
        if self.folder is None or self._saved is None:
            return "Nothing was saved."
        return self.folder.describe(*self._saved)

    def save(self, best=False):
        """Write `last` (and `best`, if this is the best so far), and the metrics."""
        if self.folder is not None:
            self.folder.save(self._arrays, self._state(), best)
        self._saved, self._saved_at = (self.epoch, self.position), time.monotonic()

    def _save_unless_saved(self):
        if self._saved != (self.epoch, self.position):
            self.save()

    def _arrays(self):
        """Every array of a checkpoint, one after the other."""
        for section, holder in (("net", self.net), ("optimiser", self.optimiser)):
            for name, array in holder.state_dict().items():
                if array.dtype.kind == "f" and array.size and not math.isfinite(float(array.min()) + float(array.max())):
                    raise Diverged(f"{name} is not finite after epoch {self.epoch}: not saved. {self._where_saved()}")
                yield f"{section}/{name}", array
        for name, array in self.batches.statistics.state_dict().items():
            yield f"statistics/{name}", array

    def _state(self):
        return {"config": self.config, "classes": list(self.batches.dataset.classes), "images": self._images,
                "batches": len(self.batches),
                "epoch": self.epoch, "position": self.position, "sums": dataclasses.asdict(self.sums),
                "history": self.history, "random": self.net.random_state(),
                "schedule": self.schedule.state_dict() if self.schedule is not None else {}}

    def restore(self, checkpoint):
        """Take over a `Checkpoint`: everything, or, if anything in it does not fit, nothing.

        Raises
        ------
        FileError
            Names, shapes or dtypes are not those of this run.
        DataError
            The images are not those that the run began with.
        """
        here, state = self._state(), checkpoint.state
        checkpoint.require({name: (array.shape, array.dtype) for name, array in self._arrays()},
                           {key: here[key] for key in ("random", "schedule", "sums")})
        if state["images"] != self._images:
            raise DataError(f"{checkpoint.path} was not made with these {self._images['training'][0]:,} training and "
                            f"{self._images['validation'][0]:,} validation images: files were added, removed, renamed or "
                            "moved to another class since")
        for key in ("classes", "batches"):
            if state[key] != here[key]:
                raise FileError(f"{checkpoint.path} does not fit this run: {key} {state[key]} in the file, {here[key]} here")
        self.optimiser.load_state_dict(checkpoint.arrays("optimiser"))
        self.net.load_state_dict(checkpoint.arrays("net"))
        self.net.load_random_state(state["random"])
        if self.schedule is not None:
            self.schedule.load_state_dict(state["schedule"])
        self.epoch, self.position, self.sums = state["epoch"], state["position"], Sums(**state["sums"])
        self.history = list(state["history"])
        if self.folder is not None:
            self.folder.write_metrics(self.history)
            if checkpoint.path == self.folder.last and state["config"] == self.config:
                self._saved = self.epoch, self.position
