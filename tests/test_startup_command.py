"""The start-up check in the command: it warns, and leaves the run as it is to the last bit."""

import numpy as np
import pytest
from training_helpers import THIN, TIMES, load_command, write_images

from minicnn.training import Checkpoint

WARNING = "start-up check: "
PUBLISHED = ["--init", "published"]  # at this width and with these images, biases of 1 outweigh everything


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


def test_it_warns_and_goes_on(command, capsys, images, tmp_path):
    assert command("--data", images, "--out", tmp_path / "run", *THIN, *PUBLISHED) == 0
    captured = capsys.readouterr()
    (warning,) = captured.err.splitlines()
    assert warning.startswith(WARNING + "blind: the logits differ only ") and warning.endswith("--init he does that")
    assert WARNING not in captured.out and "epoch 2/2" in captured.out


@pytest.mark.parametrize("extra", [[], ["--recipe", "flowers17"], ["--dry-run"], ["--batch-size", 1]], ids=str)
def test_it_says_nothing_of_the_default(command, capsys, images, tmp_path, extra):
    place = [] if "--dry-run" in extra else ["--out", tmp_path / "run"]
    assert command("--data", images, *place, *THIN, "--epochs", 1, *extra) == 0
    assert WARNING not in capsys.readouterr().err


def test_a_dry_run_warns_too(command, capsys, images):
    assert command("--data", images, *THIN, *PUBLISHED, "--dry-run") == 0
    assert capsys.readouterr().err.startswith(WARNING)


def test_a_run_that_goes_on_is_not_checked(command, capsys, images, tmp_path):
    assert command("--data", images, "--out", tmp_path / "run", *THIN, *PUBLISHED) == 0
    capsys.readouterr()
    assert command("--resume", tmp_path / "run", "--epochs", 3) == 0
    assert not capsys.readouterr().err


@pytest.mark.parametrize("extra", [[], ["--recipe", "flowers17"]], ids=["dropout", "batch norm"])
def test_the_run_is_the_same_to_the_last_bit(command, images, tmp_path, monkeypatch, extra):
    import train_alexnet
    assert command("--data", images, "--out", tmp_path / "checked", *THIN, *extra) == 0
    monkeypatch.setattr(train_alexnet.Run, "check", lambda run: None)
    assert command("--data", images, "--out", tmp_path / "unchecked", *THIN, *extra) == 0
    one, other = (Checkpoint(tmp_path / name / "last.npz") for name in ("checked", "unchecked"))
    for part in ("net", "optimiser"):
        arrays, wanted = one.arrays(part), other.arrays(part)
        assert arrays.keys() == wanted.keys() and all(np.array_equal(arrays[name], wanted[name]) for name in wanted)
    histories = [[{key: value for key, value in row.items() if key not in TIMES} for row in checkpoint.state["history"]]
                 for checkpoint in (one, other)]
    assert histories[0] == histories[1] and one.state["random"] == other.state["random"]


def test_one_image_is_not_enough(command, capsys, images, tmp_path, monkeypatch):
    import train_alexnet
    real = train_alexnet.sample
    monkeypatch.setattr(train_alexnet, "sample", lambda dataset, count: real(dataset, 1))
    assert command("--data", images, *THIN, *PUBLISHED, "--dry-run") == 0
    assert not capsys.readouterr().err
