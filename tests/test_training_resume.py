"""A run that was stopped anywhere, in any way, and resumed ends as one that was never stopped: bit for bit."""

import contextlib
import csv
import os
import random
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from training_helpers import TIMES, everything, make_trainer

from minicnn import SGD, Adam
from minicnn.errors import DataError, FileError
from minicnn.schedules import PlateauSchedule
from minicnn.training import Checkpoint, Interrupted, NotSaved, RunFolder
from minicnn.training.progress import Silent

EPOCHS = 3
ROOT = Path(__file__).parents[1]


def unbroken(epochs=EPOCHS, **options):
    trainer = make_trainer(**options)
    trainer.fit(epochs)
    return everything(trainer)


def resumed(path, folder=None, epochs=EPOCHS, **options):
    trainer = make_trainer(folder, **options)
    trainer.restore(Checkpoint(path))
    trainer.fit(epochs)
    return everything(trainer)


def log(folder):
    """metrics.csv without the times."""
    with open(folder / "metrics.csv", newline="") as file:
        return [{key: value for key, value in row.items() if key not in TIMES} for row in csv.DictReader(file)]


class Copies(RunFolder):
    """Keeps a copy of every checkpoint."""

    def save(self, arrays, state, best=False):
        super().save(arrays, state, best)
        shutil.copy(self.last, self.path / f"epoch{state['epoch']}batch{state['position']}.npz")


@pytest.mark.parametrize("optimiser", [SGD, Adam])
def test_resuming_at_every_step(tmp_path, optimiser):
    wanted = unbroken(optimiser=optimiser)
    with Copies(tmp_path) as folder:
        make_trainer(folder, optimiser=optimiser, save_every=0).fit(EPOCHS)
    copies = sorted(tmp_path.glob("epoch*.npz"))
    assert len(copies) == 1 + EPOCHS * 4  # the beginning, every batch, every epoch
    for path in copies:
        assert resumed(path, optimiser=optimiser) == wanted, path.name


def test_resuming_a_plateau_schedule(tmp_path):
    """Its memory of the best error, which is infinite at first, is restored too."""
    def make(folder=None):
        trainer = make_trainer(folder, lr=1e-4)
        trainer.schedule = PlateauSchedule(trainer.optimiser, patience=1)
        return trainer

    with Copies(tmp_path) as folder:
        trainer = make(folder)
        trainer.fit(6)
        assert trainer.optimiser.lr < 1e-4
    for path in tmp_path.glob("epoch*.npz"):
        again = make()
        again.restore(Checkpoint(path))
        again.fit(6)
        assert everything(again) == everything(trainer), path.name


def test_the_result_depends_on_what_is_restored():
    """The comparison sees the seed, the number of epochs and the learning rate, so it would see a state that is missing."""
    runs = [unbroken(), unbroken(seed=1), unbroken(2), unbroken(lr=0.021)]
    assert all(runs[0] != other for other in runs[1:]) and unbroken() == runs[0]


# --- killed ---


def start(folder, epochs, program=None):
    """The run as a process of its own; with `program`, that text is executed before it."""
    helpers = Path(__file__).with_name("training_helpers.py")
    run_it = f"import runpy; runpy.run_path({str(helpers)!r}, run_name='__main__')"
    command = [helpers] if program is None else ["-c", f"{program}\n{run_it}"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")])}
    return subprocess.Popen([sys.executable, *map(str, command), str(folder), str(epochs)], text=True, env=environment,
                            stdout=subprocess.PIPE)


def finish_and_compare(folder, epochs):
    """Let the run in `folder` end, and compare it with one that was never stopped, its log included."""
    process = start(folder, epochs)
    process.communicate(timeout=60)
    assert process.returncode == 0
    with RunFolder(folder.parent / "unbroken") as other:
        trainer = make_trainer(other)
        trainer.fit(epochs)
    again = make_trainer()
    again.restore(Checkpoint(folder / "last.npz"))
    assert everything(again) == everything(trainer)
    assert log(folder) == log(other.path) and len(log(folder)) == epochs
    again.restore(Checkpoint(folder / "best.npz"))
    best = everything(again)
    again.restore(Checkpoint(other.best))
    assert everything(again) == best


def test_killed_at_random_moments(tmp_path):
    """The same run is killed again and again, each time at some moment after it went on."""
    moments, epochs, folder, killed = random.Random(0), 20, tmp_path / "run", 0
    for _ in range(4):
        process = start(folder, epochs)
        process.stdout.readline()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(moments.uniform(0, 0.2))
        process.kill()
        process.communicate()
        killed += process.returncode == -signal.SIGKILL
    assert killed > 1
    finish_and_compare(folder, epochs)


@pytest.mark.parametrize("call", range(1, 9))
def test_killed_between_the_steps_of_a_save(tmp_path, call):
    """The process ends, without any cleaning up, just before its n-th fsync, replace or link after the first epoch began."""
    program = f"""
import os, signal
calls = 0
def deadly(name):
    real = getattr(os, name)
    def wrapped(*arguments):
        global calls
        calls += 1
        if calls == 12 + {call}:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*arguments)
    setattr(os, name, wrapped)
for name in ("fsync", "replace", "link"):
    deadly(name)"""
    process = start(tmp_path / "run", 2, program)
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
    finish_and_compare(tmp_path / "run", 2)
    assert not list((tmp_path / "run").glob(".*"))


def test_killed_before_the_first_checkpoint_nothing_is_there(tmp_path):
    deadly = "import os, signal; os.replace = lambda *names: os.kill(os.getpid(), signal.SIGKILL)"
    process = start(tmp_path / "run", 1, deadly)
    process.communicate(timeout=60)
    assert not (tmp_path / "run/last.npz").exists()
    finish_and_compare(tmp_path / "run", 1)


# --- asked to stop ---


class Sender(Silent):
    """Sends signals to this process after a batch."""

    def __init__(self, epoch, position, *signals):
        self.place, self.signals = (epoch, position), signals

    def step(self, position, sums):
        if (self.epoch, position) == self.place:
            for number in self.signals:
                os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("place", [(0, 1), (1, 2), (1, 3), (2, 3)])
def test_a_signal_finishes_the_batch_and_saves(tmp_path, number, place):
    handlers = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with RunFolder(tmp_path) as folder:
        with pytest.raises(Interrupted, match="stopped at epoch") as caught:
            make_trainer(folder, progress=Sender(*place, number)).fit(EPOCHS)
        assert caught.value.signal == number
        state = Checkpoint(folder.last).state
        assert (state["epoch"], state["position"]) == place
        assert resumed(folder.last, folder) == unbroken()
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == handlers


def test_a_signal_during_validation(tmp_path):
    """The epoch's batches are all done; the resumed run goes on with the validation."""
    trainer = make_trainer(RunFolder(tmp_path))
    epoch = trainer.validation.epoch

    def kill(*arguments):
        for number, batch in enumerate(epoch(*arguments)):
            if number == 0 and trainer.epoch == 1:
                os.kill(os.getpid(), signal.SIGTERM)
            yield batch

    trainer.validation.epoch = kill
    with pytest.raises(Interrupted):
        trainer.fit(EPOCHS)
    assert (trainer.epoch, trainer.position) == (1, 3)
    assert resumed(tmp_path / "last.npz") == unbroken()


def test_a_second_ctrl_c_aborts_at_once(tmp_path):
    with RunFolder(tmp_path) as folder, pytest.raises(KeyboardInterrupt):
        make_trainer(folder, progress=Sender(1, 2, signal.SIGINT, signal.SIGINT)).fit(EPOCHS)
    assert Checkpoint(folder.last).state["epoch"] == 1 and Checkpoint(folder.last).state["position"] == 0


def test_a_checkpoint_is_written_in_time(tmp_path):
    """Every `save_every` seconds in the middle of an epoch, and not oftener."""
    for seconds, count in ((0, 13), (1000, 4)):
        with Copies(tmp_path / str(seconds)) as folder:
            make_trainer(folder, save_every=seconds).fit(EPOCHS)
        assert len(list(folder.path.glob("epoch*.npz"))) == count


# --- what is refused, and what fails ---


def test_a_checkpoint_of_another_run_changes_nothing(tmp_path):
    with RunFolder(tmp_path) as folder:
        make_trainer(folder).fit(1)
    for options, error in (({"optimiser": Adam}, FileError), ({"count": 54}, DataError)):
        other = make_trainer(**options)
        before = everything(other)
        with pytest.raises(error, match=r"does not fit|not made with these"):
            other.restore(Checkpoint(folder.last))
        assert everything(other) == before


def test_a_larger_network_is_refused(tmp_path):
    with RunFolder(tmp_path) as folder:
        make_trainer(folder).fit(1)
    other = make_trainer()
    other.net.astype("float64")
    before = everything(other)
    with pytest.raises(FileError, match=r"net/.* float32 in the file, .* float64 here"):
        other.restore(Checkpoint(folder.last))
    assert everything(other) == before


def test_a_disk_that_becomes_full_leaves_the_last_checkpoint(tmp_path, monkeypatch):
    def full(descriptor):
        raise OSError(28, "No space left on device")

    class Filling(Silent):
        def step(self, position, sums):
            if (self.epoch, position) == (1, 2):
                monkeypatch.setattr(os, "fsync", full)

    with RunFolder(tmp_path) as folder:
        with pytest.raises(NotSaved, match=r"last.npz: No space left on device \(at least [\d,]+ bytes needed, [\d,]+ free"):
            make_trainer(folder, progress=Filling(), save_every=0).fit(EPOCHS)
        monkeypatch.undo()
        state = Checkpoint(folder.last).state
        assert (state["epoch"], state["position"]) == (1, 1)
        assert resumed(folder.last, folder) == unbroken()


def test_two_runs_cannot_share_a_folder(tmp_path):
    pytest.importorskip("fcntl")
    with RunFolder(tmp_path), pytest.raises(FileError, match="another process is training"):
        RunFolder(tmp_path)
    RunFolder(tmp_path).close()


def test_last_and_best_are_one_file_while_they_are_the_same(tmp_path):
    with RunFolder(tmp_path) as folder:
        trainer = make_trainer(folder)
        history = trainer.fit(EPOCHS)
        best = max(history, key=lambda row: row["val_top1"])["epoch"]
        assert Checkpoint(folder.best).state["epoch"] == best
        assert folder.best.samefile(folder.last) == (best == EPOCHS)
        np.testing.assert_equal([row["epoch"] for row in history], [1, 2, 3])
