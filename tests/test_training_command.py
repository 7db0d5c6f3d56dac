"""The command where something is against it: options, folders, data and checkpoints that do not go together."""

import json
import os
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from training_helpers import THIN, Stripes, everything, fails, load_command, make_trainer, write_images

from minicnn import get_num_threads, set_num_threads
from minicnn.training import Checkpoint, RunFolder, Trainer, write_checkpoint
from minicnn.training.trainer import fingerprint


@pytest.fixture(scope="module")
def command():
    return load_command()


@pytest.fixture(autouse=True)
def no_pictures(command, monkeypatch):
    import train_alexnet
    monkeypatch.setattr(train_alexnet, "draw_pictures", lambda *arguments: None)


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return write_images(tmp_path_factory.mktemp("images"))


@pytest.fixture(scope="module")
def finished(command, images, tmp_path_factory):
    """A run of two epochs, without pictures."""
    import train_alexnet
    draw, train_alexnet.draw_pictures = train_alexnet.draw_pictures, lambda *arguments: None
    folder = tmp_path_factory.mktemp("runs") / "first"
    assert command("--data", images, "--out", folder, *THIN) == 0
    train_alexnet.draw_pictures = draw
    return folder


def content(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def behind(finished, command, images, tmp_path):
    """A run whose best.npz is an epoch behind its last.npz."""
    folder = tmp_path / "behind"
    assert command("--data", images, "--out", folder, *THIN, "--epochs", 1) == 0
    (folder / "best.npz").unlink()
    shutil.copy(folder / "last.npz", folder / "best.npz")
    shutil.copy(finished / "last.npz", folder / "last.npz")
    return folder


# --- no progress is lost ---


def test_an_older_checkpoint_does_not_replace_a_newer_one(command, capsys, behind):
    before = content(behind)
    fails(command, capsys, 2, "choose another --out", "--resume", behind / "best.npz")
    damaged = bytearray(before["last.npz"])
    damaged[1000] ^= 4
    (behind / "last.npz").write_bytes(damaged)
    fails(command, capsys, 2, "choose another --out", "--resume", behind / "best.npz")
    assert content(behind) == {**before, "last.npz": bytes(damaged)}


def test_branching(command, capsys, behind, finished, images, tmp_path):
    """--resume PATH --out DIR goes on in DIR, to the same end, and leaves the old run as it is."""
    before = content(behind)
    assert command("--resume", behind / "best.npz", "--out", tmp_path / "branch", "--epochs", 2) == 0
    assert content(behind) == before
    branch, whole = (Checkpoint(folder / "last.npz").arrays("net") for folder in (tmp_path / "branch", finished))
    assert all(np.array_equal(branch[name], whole[name]) for name in whole)
    assert len((tmp_path / "branch/metrics.csv").read_text().splitlines()) == 3
    fails(command, capsys, 2, "already holds a run", "--resume", behind / "best.npz", "--out", tmp_path / "branch")
    same = tmp_path / "branch/../branch"
    assert command("--resume", tmp_path / "branch", "--out", same, "--epochs", 3) == 0


def test_a_branch_has_the_best_checkpoint_so_far(command, finished, tmp_path):
    assert command("--resume", finished, "--out", tmp_path / "branch") == 0
    assert (tmp_path / "branch/best.npz").read_bytes() == (finished / "best.npz").read_bytes()


def test_a_branch_does_not_adopt_what_is_not_its_own(finished, behind, tmp_path):
    """best.npz of another run, of a later epoch, a damaged one, or none."""
    history = Checkpoint(finished / "best.npz").state["history"]
    (tmp_path / "damaged.npz").write_bytes(b"")
    strangers = [behind / "best.npz", tmp_path / "damaged.npz", tmp_path / "none.npz"]
    with RunFolder(tmp_path / "branch") as folder:
        for best, ours in [*((best, history) for best in strangers), (finished / "best.npz", history[:-1])]:
            folder.adopt(best, ours)
            assert not folder.best.exists()
        folder.adopt(finished / "best.npz", history)
        assert folder.best.exists()


def test_a_finished_run_says_so_and_stays(command, capsys, finished):
    before = content(finished)
    assert command("--resume", finished) == 0
    assert "2 epochs finished already" in capsys.readouterr().out and content(finished) == before
    fails(command, capsys, 2, "^--epochs 1: .*last.npz has finished 2 already", "--resume", finished, "--epochs", 1)
    assert content(finished) == before


def test_more_epochs_are_remembered_at_once(command, finished, tmp_path, monkeypatch):
    """A run that is killed before it could save anything else still knows how long it was to go on."""
    run = shutil.copytree(finished, tmp_path / "run")
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_train_epoch", lambda *arguments: None)
        patch.setattr(Trainer, "_validate", lambda *arguments: sys.exit(9))
        assert command("--resume", run, "--epochs", 3) == 9
    assert Checkpoint(run / "last.npz").state["config"]["epochs"] == 3
    assert command("--resume", run) == 0 and Checkpoint(run / "last.npz").state["epoch"] == 3


@pytest.mark.parametrize("change", ["more", "fewer", "renamed", "moved", "validation"])
def test_images_that_changed_are_noticed(command, capsys, finished, images, tmp_path, change):
    data, run = shutil.copytree(images, tmp_path / "images"), shutil.copytree(finished, tmp_path / "run")
    one = data / ("val" if change == "validation" else "train") / "red/1.png"
    if change == "more":
        shutil.copy(one, one.with_name("x.png"))
    elif change == "fewer":
        one.unlink()
    else:
        one.rename(one.with_name("9.png") if change != "moved" else one.parents[1] / "green/9.png")
    before = content(run)
    fails(command, capsys, 2, "not made with these", "--resume", run, "--data", data, "--epochs", 3)
    assert content(run) == before


def test_labels_that_changed_are_noticed():
    """Images from one file, such as MNIST's, have no names that tell."""
    one, other = Stripes(6), Stripes(6)
    other.labels = other.labels[::-1]
    assert fingerprint(one) == fingerprint(Stripes(6)) != fingerprint(other)


def test_a_folder_of_images_may_be_moved(command, finished, images, tmp_path):
    data, run = shutil.copytree(images, tmp_path / "elsewhere"), shutil.copytree(finished, tmp_path / "run")
    assert command("--resume", run, "--data", data, "--epochs", 3) == 0


# --- folders ---


def test_the_folder_is_locked_before_the_images_are_read(command, capsys, images, tmp_path):
    pytest.importorskip("fcntl")
    with RunFolder(tmp_path / "run"):
        fails(command, capsys, 1, "another process is training", "--data", tmp_path / "none", "--out", tmp_path / "run")


def test_a_run_that_came_before_the_lock_is_seen(command, capsys, images, finished, tmp_path, monkeypatch):
    take_lock = RunFolder._take_lock

    def wait_for_lock(folder):
        shutil.copy(finished / "last.npz", folder.path)
        return take_lock(folder)

    monkeypatch.setattr(RunFolder, "_take_lock", wait_for_lock)
    fails(command, capsys, 2, "already holds a run", "--data", images, "--out", tmp_path / "run", *THIN)


def test_a_folder_that_cannot_be_made_is_noticed_before_the_images_are_read(command, capsys, tmp_path):
    (tmp_path / "file").write_bytes(b"")
    for extra in ([], ["--dry-run"]):
        code, text = (4, "cannot make the folder") if not extra else (2, "no such folder")
        fails(command, capsys, code, text, "--data", tmp_path / "none", "--out", tmp_path / "file/run", *extra)


def test_a_folder_that_cannot_even_be_looked_for(command, capsys, images, tmp_path):
    """A name that is too long stands for a folder in one that may not be entered."""
    name = 300 * "x"
    fails(command, capsys, 4, "cannot make the folder", "--data", tmp_path / "none", "--out", tmp_path / name / "run")
    assert command("--data", images, *THIN, "--out", tmp_path / name / "run", "--dry-run") == 0
    fails(command, capsys, 1, f"^{re.escape(str(tmp_path))}/x+: ", "--resume", tmp_path / name)


def test_no_empty_folder_is_left(command, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for options in ([], ["--out", "some/where"]):
        fails(command, capsys, 2, "no such folder", "--data", "none", *options)
    assert not list(tmp_path.iterdir())


def test_two_runs_at_once_get_two_folders(tmp_path, monkeypatch):
    """The second one looks for a name before the first one has made its folder."""
    monkeypatch.setattr(Path, "exists", lambda path: False)
    with RunFolder.numbered(tmp_path, "a") as one, RunFolder.numbered(tmp_path, "a") as two:
        assert (one.path.name, two.path.name) == ("a", "a-2")


def test_a_folder_that_may_not_be_written_into(command, capsys, images, tmp_path, monkeypatch):
    (tmp_path / "run").mkdir()
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    fails(command, capsys, 4, "cannot write into", "--data", images, "--out", tmp_path / "run", *THIN)


# --- options ---


@pytest.mark.parametrize("option", ["--dry-run", "--epochs 3", "--out x", "--lr 0.001", "--no-mirror"])
def test_what_does_not_go_with_evaluate(command, capsys, finished, option):
    fails(command, capsys, 2, f"leave out {option.split()[0]}$", "--evaluate", "--resume", finished, *option.split())


def test_a_dry_run_goes_on_from_the_checkpoint(command, capsys, finished, images):
    before = content(finished)
    assert command("--resume", finished, "--dry-run") == 0
    text = capsys.readouterr().out
    assert all(part in text for part in ("all well", "conv1", "12 training", "epoch 3/3")) and content(finished) == before
    assert command("--data", images, *THIN, "--dry-run") == 0
    assert text.splitlines()[-1] != capsys.readouterr().out.splitlines()[-1]


def test_a_dry_run_is_refused_where_the_run_would_be(command, capsys, finished, images):
    fails(command, capsys, 2, "already holds a run", "--data", images, "--out", finished, *THIN, "--dry-run")


def test_a_dry_run_tries_the_place_of_the_run(command, images, tmp_path, monkeypatch):
    import tempfile
    made, real = [], tempfile.TemporaryDirectory
    monkeypatch.setattr(tempfile, "TemporaryDirectory", lambda **how: made.append(how["dir"]) or real(**how))
    (tmp_path / "disk").mkdir()
    assert command("--data", images, *THIN, "--dry-run", "--out", tmp_path / "disk/runs/a") == 0
    assert made == [tmp_path / "disk"] and not list((tmp_path / "disk").iterdir())


def test_adam_has_no_momentum(command, capsys, images):
    fails(command, capsys, 2, "--momentum", "--data", images, "--recipe", "flowers17", "--momentum", 0.8, "--dry-run")


def test_no_mirror_is_called_by_its_name(command, capsys, finished):
    fails(command, capsys, 2, "^--no-mirror conflicts", "--resume", finished, "--no-mirror")


def test_batches_of_one_and_batch_normalisation(command, capsys, images):
    capsys.readouterr()
    assert command("--data", images, *THIN, "--recipe", "flowers17", "--batch-size", 1) == 2
    captured = capsys.readouterr()
    assert "--batch-size" in captured.err and not captured.out  # refused before anything is described


def test_when_the_rate_drops(command):
    from training_options import fresh_settings
    published = {"init": "published", "recipe": "caffe", "data": "x"}
    assert fresh_settings(published)["milestones"] == [20, 40, 60, 80] and fresh_settings(published)["epochs"] == 90
    assert fresh_settings({**published, "epochs": 10})["milestones"] == [6, 8]
    for epochs in ({}, {"epochs": 10}):
        assert fresh_settings({"init": "published", **epochs})["milestones"] == []  # the paper's own: when validation stalls
    assert fresh_settings({"epochs": 1})["milestones"] == [1]


def test_sentences(command, images, capsys):
    threads = get_num_threads()
    try:
        assert command("--data", images / "train", *THIN, "--epochs", 1, "--threads", 1, "--dry-run") == 0
        text = capsys.readouterr().out
        assert "1 epoch, batch 4, learning rate 0.001, momentum" in text and "1 thread\n" in text
        assert "3 validation images (a held-out fifth), 3 classes, 0 images left out" in text
        assert command("--data", images, *THIN, "--epochs", 5, "--recipe", "flowers17", "--dry-run") == 0
        text = capsys.readouterr().out
        assert "divided by 10 after epochs 3 and 4, Adam, weight" in text and "held-out" not in text
    finally:
        set_num_threads(threads)


def test_workers_and_progress_reach_the_first_pass(command, images, monkeypatch):
    import train_alexnet
    given, real = {}, train_alexnet.data.open_dataset
    monkeypatch.setattr(train_alexnet.data, "open_dataset", lambda *a, **how: given.update(how) or real(*a, **how))
    assert command("--data", images, *THIN, "--workers", 3, "--dry-run") == 0
    assert given["workers"] == 3 and callable(given["progress"])


# --- checkpoints of somebody else ---

CONFIGS = [{"batch_size": 0}, {"batch_size": "x"}, {"batch_size": 2.5}, {"recipe": "lenet"}, {"recipe": []}, {"data": 5},
           {"milestones": "ab"}, {"milestones": [1, "a"]}, {"dropout": 1.5}, {"mirror": 1}, {"seed": -1}, {"seed": True},
           {"lr": None}, {"width": 5}, {"epochs": 0}, {"more": 1}, {"data": None}]


@pytest.mark.parametrize("change", CONFIGS, ids=str)
@pytest.mark.parametrize("options", [["--evaluate"], []], ids=["evaluate", "resume"])
def test_settings_that_are_not_ours(command, capsys, finished, tmp_path, change, options):
    state = Checkpoint(finished / "last.npz").state
    write_checkpoint(tmp_path / "x.npz", list, {**state, "config": {**state["config"], **change}})
    fails(command, capsys, 1, "not made by this program", "--resume", tmp_path / "x.npz", *options)
    assert [path.name for path in tmp_path.iterdir()] == ["x.npz"]


def test_a_checkpoint_of_the_library_s_own_trainer(command, capsys, tmp_path):
    with RunFolder(tmp_path) as folder:
        make_trainer(folder).fit(1)
    for options in (["--evaluate"], []):
        fails(command, capsys, 1, "not made by this program", "--resume", tmp_path, *options)


def test_settings_survive_their_own_check(finished):
    """What this program writes, it takes back."""
    sys.path.insert(0, str(Path(__file__).parents[1] / "examples"))
    from training_options import checked_settings
    checkpoint = Checkpoint(finished / "last.npz")
    assert checked_settings(checkpoint) == checkpoint.state["config"] == {
        key: value for key, value in json.loads((finished / "config.json").read_text()).items()
        if key not in ("backend", "blas")}


def test_the_network_reads_the_weights_of_a_checkpoint(tmp_path):
    with RunFolder(tmp_path) as folder:
        trainer = make_trainer(folder)
        trainer.fit(1)
    other = make_trainer(seed=5)
    other.net.load(folder.last)
    arrays, wanted = everything(other)[1], everything(trainer)[1]
    assert all(arrays[name] == wanted[name] for name in wanted if name.startswith("net/"))
