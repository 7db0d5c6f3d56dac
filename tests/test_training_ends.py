"""How the command ends when it is asked to stop, or when nobody takes its output: with one line, and nothing lost."""

import contextlib
import io
import os
import signal
import subprocess
import sys
import threading
import time

import pytest
from training_helpers import EXAMPLES, THIN, make_trainer, process, write_images

from minicnn.training import Checkpoint, RunFolder
from minicnn.training.command import run
from minicnn.training.progress import Lines
from minicnn.training.stopping import StopRequest

HANGUP = getattr(signal, "SIGHUP", None)
SIGNALS = [number for number in (signal.SIGINT, signal.SIGTERM, HANGUP) if number is not None]


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return write_images(tmp_path_factory.mktemp("images"))


# --- signals ---


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_outside_of_training_ends_with_a_line(number, capsys):
    before = [signal.getsignal(each) for each in SIGNALS]

    def main():
        os.kill(os.getpid(), number)
        time.sleep(10)

    assert run(main) == 128 + number
    assert capsys.readouterr().err == f"stopped by {number.name}\n"
    assert [signal.getsignal(each) for each in SIGNALS] == before


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_in_training_saves_first(number, tmp_path, capsys):
    def main():
        with RunFolder(tmp_path) as folder:
            trainer = make_trainer(folder)
            step = trainer._step
            trainer._step = lambda batch: (step(batch), os.kill(os.getpid(), number))
            trainer.fit(3)

    assert run(main) == 128 + number
    assert "stopped at epoch 1, batch 1 of 3. Saved: " in capsys.readouterr().err
    assert Checkpoint(tmp_path / "last.npz").progress == (0, 1)


def test_a_signal_during_the_last_save_is_not_forgotten(tmp_path, capsys):
    class Asked(RunFolder):
        def save(self, arrays, state, best=False):
            super().save(arrays, state, best)
            if state["epoch"] == 2:
                os.kill(os.getpid(), signal.SIGTERM)

    def main():
        with Asked(tmp_path) as folder:
            make_trainer(folder).fit(2)

    assert run(main) == 143 and "Saved" in capsys.readouterr().err


@pytest.mark.skipif(HANGUP is None, reason="no such signal here")
def test_nohup_is_respected():
    previous = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert run(lambda: os.kill(os.getpid(), signal.SIGHUP)) == 0
    finally:
        signal.signal(signal.SIGHUP, previous)


def test_an_ignored_ctrl_c_stays_ignored():
    """As that of a shell's background job, when something else asks it to stop."""
    previous = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with StopRequest() as stop:
            os.kill(os.getpid(), signal.SIGTERM)
            assert stop.signal == signal.SIGTERM and signal.getsignal(signal.SIGINT) is signal.SIG_IGN
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, previous)


def test_ctrl_c_among_the_imports_prints_no_traceback():
    program = """
import os, runpy, signal, sys
sys.path.insert(0, os.path.dirname(sys.argv[1]))
class Interrupter:
    def find_spec(self, name, *rest):
        if name == "minicnn.training":
            os.kill(os.getpid(), signal.SIGINT)
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.meta_path.insert(0, Interrupter())
runpy.run_path(sys.argv[1], run_name="__main__")"""
    done = subprocess.run([sys.executable, "-c", program, EXAMPLES / "train_alexnet.py"], capture_output=True, timeout=60)
    assert (done.returncode, done.stderr) == (-signal.SIGINT, b"")


def test_in_another_thread_no_handler_is_installed():
    codes = []
    thread = threading.Thread(target=lambda: codes.append(run(lambda: None)))
    thread.start()
    thread.join()
    assert codes == [0]


def test_terminated_while_images_are_read_or_pictures_drawn(images, tmp_path):
    """As a process, whose output says where it is; the signal comes before training and after it."""
    program = ("import os, signal, sys; sys.path[:0] = [{examples!r}]; import train_alexnet\n"
               "from minicnn.training.command import run\n"
               "train_alexnet.{function} = lambda *a, **k: os.kill(os.getpid(), signal.SIGTERM)\n"
               "sys.exit(run(lambda: train_alexnet.main(sys.argv[1:])))")
    examples = str(EXAMPLES)
    for function, saved in (("open_data", False), ("draw_pictures", True)):
        folder = tmp_path / function
        done = subprocess.run([sys.executable, "-c", program.format(examples=examples, function=function), "--data", images,
                               "--out", folder, *THIN], capture_output=True, text=True, timeout=60)
        assert (done.returncode, done.stderr) == (143, "stopped by SIGTERM\n")
        assert (folder / "last.npz").exists() == saved and folder.exists() == saved


def test_a_stopped_dry_run_says_nothing_of_a_place(images, tmp_path):
    running = process("--data", images, "--out", tmp_path / "run", *THIN, "--epochs", 500, "--dry-run")
    for line in running.stdout:
        if line.startswith("output"):
            break
    time.sleep(0.05)
    running.send_signal(signal.SIGINT)
    _, errors = running.communicate(timeout=60)
    assert running.returncode in (0, 130) and "Saved" not in errors and "Traceback" not in errors
    assert not list(tmp_path.iterdir())


# --- output that nobody takes ---


class Gone(io.StringIO):
    def write(self, text):
        raise OSError(5, "Input/output error")


@pytest.mark.parametrize("every", [0, 1000])
def test_training_is_saved_when_the_terminal_is_gone(tmp_path, capsys, every):
    """After a batch, or at the end of an epoch."""
    def main():
        with RunFolder(tmp_path) as folder:
            make_trainer(folder, progress=Lines(Gone(), every)).fit(3)

    assert run(main) == 1
    assert capsys.readouterr().err == "cannot write the output: Input/output error\n"
    assert Checkpoint(tmp_path / "last.npz").progress == ((0, 1) if every == 0 else (1, 0))


def test_a_pipe_that_nobody_reads(images, tmp_path):
    running = process("--data", images, "--out", tmp_path / "run", *THIN)
    running.stdout.readline()
    running.stdout.close()
    assert running.stderr.read() == "" and running.wait(60) == 1
    running.stderr.close()


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no such device here")
def test_a_full_disk_for_the_output(images, tmp_path):
    """A run prints its first lines at once; --evaluate's may come at the very end."""
    process("--data", images, "--out", tmp_path / "run", *THIN).communicate(timeout=60)
    for options in (["--data", images, "--out", tmp_path / "new", *THIN], ["--evaluate", "--resume", tmp_path / "run"]):
        with open("/dev/full", "w") as full:
            running = process(*options, stdout=full, env={**os.environ, "PYTHONUNBUFFERED": ""})
            _, errors = running.communicate(timeout=60)
        assert (running.returncode, errors) == (1, "cannot write the output: No space left on device\n")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no such device here")
def test_a_warning_that_nobody_takes(tmp_path):
    """A broken image is no reason to end, and neither is a log of errors on a full disk."""
    images = write_images(tmp_path / "images")
    (images / "train/red/broken.jpg").write_bytes(b"no image")
    with open("/dev/full", "w") as full:
        running = process("--data", images, *THIN, "--dry-run", stderr=full)
        out, _ = running.communicate(timeout=60)
    assert running.returncode == 0 and "all well" in out


@pytest.mark.parametrize("closed", ["1>&-", "2>&-"])
def test_no_output_at_all(images, tmp_path, closed):
    script = EXAMPLES / "train_alexnet.py"
    command = f'exec "$0" "$@" {closed}'
    done = subprocess.run(["sh", "-c", command, sys.executable, script, "--data", images, "--out", tmp_path / "run", *THIN],
                          capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and "Traceback" not in done.stderr and (tmp_path / "run/predictions.png").exists()


def test_a_terminal_that_knows_ascii_only(tmp_path):
    images = write_images(tmp_path / "images", ("rot", "grün", "藍"))
    running = process("--data", images, *THIN, "--dry-run", env={**os.environ, "PYTHONIOENCODING": "ascii"})
    out, errors = running.communicate(timeout=60)
    assert running.returncode == 0 and "all well" in out and not errors


def test_streams_of_another_kind():
    """What stands for stdout in a notebook cannot be reconfigured."""
    with contextlib.redirect_stdout(Gone()):
        assert run(lambda: None) == 0
