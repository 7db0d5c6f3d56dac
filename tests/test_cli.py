"""The command: what it prints, what it leaves behind, and how it ends; on very thin networks."""

import csv
import errno
import json
import os
import re
import signal
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers import forget_cupy
from PIL import Image
from training_helpers import THIN, TIMES, fails, load_command, process, write_images

from minicnn.training import Checkpoint
from minicnn.training.folder import PICTURES


@pytest.fixture(scope="module")
def command():
    """`command(*options)` runs the script's `main` in this process and returns its exit code."""
    return load_command()


@pytest.fixture
def no_pictures(command, monkeypatch):
    """Drawing takes most of the time of a run as short as these."""
    import train_alexnet
    monkeypatch.setattr(train_alexnet, "draw_pictures", lambda *arguments: None)


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Three classes of 4 training and 2 validation images, and one file that is no image."""
    folder = write_images(tmp_path_factory.mktemp("images"))
    (folder / "train/red/broken.jpg").write_bytes(b"no image")
    return folder


@pytest.fixture(scope="module")
def finished(command, images, tmp_path_factory):
    """A run that ended: its folder."""
    folder = tmp_path_factory.mktemp("runs") / "first"
    assert command("--data", images, "--out", folder, *THIN) == 0
    return folder


def log(folder):
    with open(folder / "metrics.csv", newline="") as file:
        return [{key: value for key, value in row.items() if key not in TIMES} for row in csv.DictReader(file)]


# --- a run -----------------------------------------------------------------------------------------------------------


def test_what_a_run_leaves(finished):
    assert sorted(path.name for path in finished.iterdir()) == [
        "best.npz", "config.json", "confusion.png", "curves.png", "filters.png", "last.npz", "maps.png", "metrics.csv",
        "neighbours.png", "patches.png", "predictions.png"]
    assert [row["epoch"] for row in log(finished)] == ["1", "2"]
    config = json.loads((finished / "config.json").read_text())
    assert (config["width"], config["batch_size"], config["recipe"], config["seed"]) == (0.04, 4, "paper", 0)
    for name in PICTURES:
        with Image.open(finished / f"{name}.png") as picture:
            assert len(np.unique(np.array(picture.convert("L")))) > 20


def test_what_a_run_prints(images, tmp_path):
    """As a process whose output is no terminal: plain text, warnings on stderr."""
    first = process("--data", images, "--out", tmp_path / "run", *THIN, "--ten-crop")
    out, errors = first.communicate(timeout=60)
    assert first.returncode == 0, errors
    assert all(character == "\n" or character.isprintable() for character in out + errors)
    for part in ("12 training and 6 validation images, 3 classes, 1 image left out", "AlexNet 'paper', width 0.04",
                 "parameters", "seed 0", "threads", str(tmp_path / "run"), "epoch 2/2  train loss", "best      top-1",
                 "average of ten crops", "finished  in 0:"):
        assert part in out, part
    assert "broken.jpg" in errors and "Traceback" not in errors


def test_the_same_command_gives_the_same_weights(command, no_pictures, images, finished, tmp_path):
    """With another number of threads, too; and another seed gives others."""
    from minicnn import get_num_threads, set_num_threads
    threads = get_num_threads()
    try:
        assert command("--data", images, "--out", tmp_path / "a", *THIN, "--workers", 3, "--threads", 1) == 0
    finally:
        set_num_threads(threads)
    assert command("--data", images, "--out", tmp_path / "b", *THIN, "--seed", 1) == 0
    weights = [Checkpoint(folder / "last.npz").arrays("net") for folder in (finished, tmp_path / "a", tmp_path / "b")]
    assert all(np.array_equal(weights[0][name], weights[1][name]) for name in weights[0])
    assert any(not np.array_equal(weights[0][name], weights[2][name]) for name in weights[0])
    assert log(tmp_path / "a") == log(finished)


def test_signals_then_resuming(command, no_pictures, images, finished, tmp_path):
    """A process is asked to stop while it trains; the same run then goes on to the end of one that was never stopped."""
    for number, code in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
        folder = tmp_path / str(code)
        running = process("--data", images, "--out", folder, *THIN)
        for line in running.stdout:
            if line.startswith("output"):
                break
        while not (folder / "last.npz").exists() and running.poll() is None:
            pass
        running.send_signal(number)
        _, errors = running.communicate(timeout=60)
        assert running.returncode == code and "stopped at epoch" in errors and "Traceback" not in errors
        assert command("--resume", folder) == 0
        there, here = Checkpoint(folder / "last.npz").arrays("net"), Checkpoint(finished / "last.npz").arrays("net")
        assert all(np.array_equal(there[name], here[name]) for name in here)
        assert log(folder) == log(finished)


def test_training_longer(command, no_pictures, images, finished, tmp_path):
    """A finished run can be given more epochs; its rate keeps falling where it was to fall."""
    assert command("--data", images, "--out", tmp_path / "run", *THIN) == 0
    assert command("--resume", tmp_path / "run/last.npz", "--epochs", 3) == 0
    assert [row["epoch"] for row in log(tmp_path / "run")] == ["1", "2", "3"] and log(tmp_path / "run")[:2] == log(finished)


def test_evaluate(command, images, finished, capsys):
    before = {path: path.stat().st_mtime_ns for path in finished.iterdir()}
    best = max(float(row["val_top1"]) for row in log(finished))
    for options in (["--resume", finished], ["--resume", finished / "best.npz", "--data", images]):
        capsys.readouterr()
        assert command("--evaluate", *options) == 0
        text = capsys.readouterr().out
        assert "best.npz" in text and "6 validation images, centre crop: loss" in text and f"top-1 {best:.1%}" in text
    assert command("--evaluate", "--resume", finished, "--ten-crop") == 0
    assert "average of ten crops" in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in finished.iterdir()} == before


def test_dry_run(command, images, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert command("--data", images, *THIN, "--dry-run") == 0
    text = capsys.readouterr().out
    assert "conv1" in text and "fc8" in text and "12 training" in text and "all well" in text
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("options", ["--recipe flowers17", "--init published", "--recipe 2012 --init published",
                                     "--lighting 0.1 --noise 2 --no-mirror"])
def test_recipes_and_augmentation(command, images, options, capsys):
    assert command("--data", images, *THIN, *options.split(), "--dry-run") == 0
    assert "all well" in capsys.readouterr().out


def test_folders_of_runs(command, no_pictures, images, tmp_path, monkeypatch, capsys):
    """Without --out each run gets a folder of its own, and --resume alone takes the newest."""
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        assert command("--data", images, *THIN, "--epochs", 1) == 0
    assert sorted(path.name for path in Path("runs").iterdir()) == ["alexnet", "alexnet-2"]
    assert command("--resume", "--epochs", 2) == 0
    assert len(log(Path("runs/alexnet"))) == 1 and len(log(Path("runs/alexnet-2"))) == 2


# --- how it ends otherwise -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("option, value", [
    ("--lr", "-1"), ("--lr", "0"), ("--lr", "nan"), ("--lr", "inf"), ("--lr", "much"), ("--width", "0"), ("--width", "4.1"),
    ("--batch-size", "0"), ("--batch-size", "2.5"), ("--epochs", "0"), ("--momentum", "1"), ("--momentum", "-0.1"),
    ("--weight-decay", "-1"), ("--seed", "-1"), ("--threads", "0"), ("--workers", "0"), ("--recipe", "lenet"),
    ("--backend", "torch"), ("--init", "zero"), ("--lighting", "-1"), ("--noise", "x"), ("--dropout", "1"), ("--ep", "3"),
    ("--frobnicate", "1")])
def test_bad_options(command, capsys, option, value):
    fails(command, capsys, 2, re.escape(option), option, value)


def test_one_image_left_over_for_batch_normalisation(command, capsys, images):
    options = ["--data", images, *THIN, "--recipe", "flowers17", "--batch-size", 11, "--dry-run"]
    fails(command, capsys, 2, "--batch-size", *options)


def test_data_that_is_missing(command, capsys, tmp_path):
    fails(command, capsys, 2, "none", "--data", tmp_path / "none")
    fails(command, capsys, 2, re.escape(str(tmp_path)), "--data", tmp_path)


def test_no_gpu(command, capsys, monkeypatch, images):
    """One line that says what is missing; here the package itself is."""
    forget_cupy(monkeypatch)
    monkeypatch.setitem(sys.modules, "cupy", None)
    fails(command, capsys, 2, "(?i)cupy", "--data", images, "--backend", "cupy")


def test_nothing_to_resume(command, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for options in (["--resume"], ["--resume", "none.npz"], ["--resume", tmp_path], ["--evaluate"],
                    ["--out", "x", "--resume"]):
        fails(command, capsys, 2, "no checkpoint", *options)
    assert not list(tmp_path.iterdir())


def test_a_run_is_not_overwritten(command, capsys, images, finished):
    before = (finished / "last.npz").read_bytes()
    fails(command, capsys, 2, "already holds a run", "--data", images, "--out", finished, *THIN)
    assert (finished / "last.npz").read_bytes() == before


CONFLICTS = [("--lr", 0.5), ("--width", 0.05), ("--seed", 3), ("--recipe", "caffe"), ("--noise", 2.5)]


@pytest.mark.parametrize("option, value", CONFLICTS)
def test_options_that_conflict_with_the_checkpoint(command, capsys, finished, option, value):
    fails(command, capsys, 2, f"{option} {value} conflicts", "--resume", finished, option, value)


def test_a_checkpoint_of_other_images(command, capsys, finished, images, tmp_path):
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        for i in range(3):
            Image.fromarray(np.full((8, 8, 3), i, np.uint8)).save(tmp_path / name / f"{i}.png")
    fails(command, capsys, 2, "trained on the classes", "--resume", finished, "--data", tmp_path)


def test_a_damaged_checkpoint(command, capsys, finished, tmp_path):
    content = bytearray((finished / "last.npz").read_bytes())
    content[1000] ^= 4
    (tmp_path / "bad.npz").write_bytes(content)
    fails(command, capsys, 1, "bad.npz is damaged", "--resume", tmp_path / "bad.npz")


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_diverging(command, images, tmp_path, capsys):
    folder = tmp_path / "run"
    fails_with = ["--data", images, "--out", folder, *THIN, "--lr", "1e30"]
    capsys.readouterr()
    assert command(*fails_with) == 3
    assert re.search(r"not finite|loss is (nan|inf)", capsys.readouterr().err)
    assert all(np.isfinite(array).all() for array in Checkpoint(folder / "last.npz").arrays("net").values())


def test_a_full_disk(command, no_pictures, images, finished, tmp_path, capsys, monkeypatch):
    """Writing fails from the second checkpoint on: the first one is intact, and the run can go on from it."""
    fsync, calls = os.fsync, []

    def full(descriptor):
        calls.append(descriptor)
        if len(calls) > 6:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    assert command("--data", images, "--out", tmp_path / "run", *THIN) == 4
    monkeypatch.undo()
    assert re.search("cannot write.*npz: No space left on device.*needed.*free", capsys.readouterr().err)
    assert Checkpoint(tmp_path / "run/last.npz").state["epoch"] == 0
    assert command("--resume", tmp_path / "run") == 0 and log(tmp_path / "run") == log(finished)


def test_help(command, capsys):
    assert command("--help") == 0
    text = capsys.readouterr().out
    for part in ("examples:", "exit codes:", "143", "--resume", "--dry-run", "default: 0.01", "metrics.csv"):
        assert part in text, part
    flags = ("backend data recipe width batch-size epochs lr momentum weight-decay seed threads workers out resume evaluate "
             "dry-run init lighting noise ten-crop")
    assert all(f"--{flag}" in text for flag in flags.split()) and max(map(len, text.splitlines())) <= 120
