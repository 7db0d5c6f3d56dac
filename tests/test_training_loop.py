"""The training loop: it learns, counts correctly, and stops before a bad number can do harm."""

import csv
import itertools
import math
import os

import numpy as np
import pytest
from training_helpers import Stripes, everything, make_net, make_trainer

from minicnn import SoftmaxCrossEntropy
from minicnn.data import Batches, PixelStatistics, linear_baseline
from minicnn.errors import DataError
from minicnn.training import Checkpoint, Diverged, RunFolder, Sums, evaluate, predictions
from minicnn.training.evaluation import count_hits
from minicnn.training.folder import find_checkpoint
from minicnn.training.rehearsal import rehearse
from minicnn.training.state import COLUMNS


def test_a_small_network_learns_what_a_linear_classifier_cannot():
    """Stripes across, down or none, at random places: 60 of 60 held-out images within four epochs of 300."""
    trainer = make_trainer(count=300)
    history = trainer.fit(4)
    assert history[-1]["val_top1"] == 1.0 and history[-1]["val_loss"] < 0.1
    assert linear_baseline(Stripes(300, seed=1), Stripes(60, seed=2)) < 0.7


# --- what is counted ---


def test_hits():
    scores = np.array([[0, 1, 2, 3, 4, 5, 6.0]] * 7)
    assert count_hits(scores, np.arange(7)) == (1, 5)
    assert count_hits(scores[:, :3], np.array([2, 0, 2, 1, 1, 2, 2])) == (4, 7)  # three classes: top-5 is among all
    assert count_hits(np.zeros((10, 10)), np.arange(10)) == (1, 5)  # saying nothing is not being right
    assert count_hits(np.full((1, 4), np.nan), np.array([3])) == (0, 1)


def test_sums_are_weighted_by_images():
    """A last batch of one image counts as one image."""
    sums = Sums()
    sums.add(1.0, np.eye(3), np.arange(3))
    sums.add(5.0, np.eye(3)[:1], np.array([2]))
    assert (sums.images, sums.loss, sums.top1, sums.top5) == (4, 2.0, 0.75, 1.0)
    assert Sums().loss == 0.0 and Sums().images_per_second == 0.0


@pytest.mark.parametrize("views", ["centre", "ten"])
def test_evaluate_against_one_image_at_a_time(views):
    data, net = Stripes(11, seed=3), make_net()
    make_trainer().fit(1)
    statistics = PixelStatistics.fit(data)
    found = evaluate(net, Batches(data, 4, 17, statistics, views=views, workers=1))
    loss, hits = 0.0, 0
    for batch in Batches(data, 1, 17, statistics, views=views, workers=1).epoch():
        p = np.zeros(3)
        for view in batch.images:
            z = np.array(net.predict(view[None])[0], np.float64)
            p += np.exp(z) / np.exp(z).sum() / len(batch.images)
        loss -= math.log(p[batch.labels[0]]) / 11
        hits += int(p.argmax() == batch.labels[0])
    assert found.images == 11 and found.top1 == hits / 11 and found.loss == pytest.approx(loss, rel=1e-5)


def test_evaluation_changes_nothing():
    trainer = make_trainer()
    trainer.fit(1)
    before = everything(trainer)
    evaluate(trainer.net, trainer.validation)
    assert everything(trainer) == before


def test_training_counts_what_it_sees():
    """An epoch's training loss is that of the very logits that the steps were made with."""
    trainer = make_trainer()
    losses = []

    class Recorder(SoftmaxCrossEntropy):
        def __call__(self, logits, labels):
            losses.append((super().__call__(logits, labels), len(labels)))
            return losses[-1][0]

    trainer.loss = Recorder()
    row, = trainer.fit(1)
    assert [count for _, count in losses] == [10, 10, 7]
    assert row["train_loss"] == pytest.approx(sum(loss * count for loss, count in losses) / 27)
    assert row["lr"] == 0.02 and row["seconds"] > 0 and 0 <= row["waiting"] < 1
    assert trainer.optimiser.lr == pytest.approx(0.002)


def test_the_network_trains_in_training_mode_and_is_evaluated_in_the_other():
    trainer = make_trainer()
    trainer.net.eval()
    trainer.fit(2)
    assert trainer.net.training and trainer.net.drop.random_state[1] == 6  # one call a batch, none in validation


# --- what goes wrong ---


def test_a_loss_that_is_not_finite_stops_before_the_weights_change(tmp_path):
    with RunFolder(tmp_path) as folder:
        trainer = make_trainer(folder)
        trainer.fit(1)
        before = trainer.net.state_dict()
        trainer.batches._mean[...] = np.nan  # and so will the images be
        with pytest.raises(Diverged, match=r"loss is nan at epoch 2, batch 1.*last.npz \(epoch 2, batch 0\)"):
            trainer.fit(3)
        for parameter in trainer.net.parameters():
            np.testing.assert_array_equal(parameter.data, before[parameter.name])
        assert Checkpoint(folder.last).state["epoch"] == 1


def test_a_learning_rate_much_too_large_diverges(tmp_path):
    with RunFolder(tmp_path) as folder, np.errstate(all="ignore"):
        with pytest.raises(Diverged):
            make_trainer(folder, lr=1e30).fit(3)
        assert all(np.isfinite(array).all() for array in Checkpoint(folder.last).arrays("net").values())


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_weights_that_are_not_finite_are_never_saved(tmp_path, value):
    with RunFolder(tmp_path) as folder:
        trainer = make_trainer(folder)
        trainer.fit(1)
        before = folder.last.read_bytes()
        trainer.net.conv2.weight.data[1, 2, 0, 0] = value
        with pytest.raises(Diverged, match=r"conv2\.weight is not finite"):
            trainer.save()
        assert folder.last.read_bytes() == before
        assert sorted(path.name for path in tmp_path.iterdir()) == ["best.npz", "last.npz", "metrics.csv"]


def test_a_validation_loss_that_is_not_finite_stops(tmp_path):
    with RunFolder(tmp_path) as folder:
        trainer = make_trainer(folder)
        trainer.validation._mean[...] = np.nan
        with pytest.raises(Diverged, match="validation loss is nan"):
            trainer.fit(1)
        assert Checkpoint(folder.last).state["epoch"] == 0 and not trainer.history


# --- the folder ---


def test_metrics(tmp_path):
    with RunFolder(tmp_path) as folder:
        history = make_trainer(folder).fit(3)
    with open(tmp_path / "metrics.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [{key: float(value) for key, value in row.items()} for row in rows] == [
        {key: float(value) for key, value in row.items()} for row in history]
    assert list(rows[0]) == ["epoch", "train_loss", "train_top1", "train_top5", "val_loss", "val_top1", "val_top5", "lr",
                             "seconds", "images_per_second", "waiting"]
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]


def test_metrics_have_a_header_from_the_start(tmp_path):
    with RunFolder(tmp_path) as folder:
        make_trainer(folder).fit(0)
    assert (tmp_path / "metrics.csv").read_text().startswith("epoch,train_loss,")


def test_a_row_has_the_columns_that_a_checkpoint_must_have():
    row, = make_trainer().fit(1)
    assert tuple(row) == COLUMNS


def test_folders_are_numbered(tmp_path):
    names = []
    for _ in range(3):
        with RunFolder.numbered(tmp_path, "alexnet") as folder:
            folder.write_metrics([])
            names.append(folder.path.name)
    assert names == ["alexnet", "alexnet-2", "alexnet-3"]


def test_finding_a_checkpoint(tmp_path):
    for path in ("a", str(tmp_path), None):
        with pytest.raises(DataError, match="no checkpoint"):
            find_checkpoint(path, None, parent=tmp_path)
    for name, file in itertools.product(("a", "b"), ("last.npz", "best.npz")):
        (tmp_path / name).mkdir(exist_ok=True)
        (tmp_path / name / file).write_bytes(b"")
    a, b = tmp_path / "a", tmp_path / "b"
    os.utime(b / "last.npz", (1, 1))
    assert find_checkpoint("", None, parent=tmp_path) == a / "last.npz"  # the newest
    assert find_checkpoint("", str(b), parent=tmp_path) == b / "last.npz"
    assert find_checkpoint(str(b), str(a), parent=tmp_path) == b / "last.npz"
    assert find_checkpoint(str(b), None, best=True) == b / "best.npz"
    (b / "best.npz").unlink()
    assert find_checkpoint(str(b), None, best=True) == b / "last.npz"
    assert find_checkpoint(str(a / "best.npz"), None) == a / "best.npz"


def test_a_rehearsal(tmp_path):
    trainer = make_trainer(count=100)
    row, = rehearse(trainer, tmp_path)
    assert trainer.net.drop.random_state[1] == 2 and len(trainer.validation) == 1 and row["train_loss"] > 0
    assert not list(tmp_path.iterdir())


def test_predictions_cover_every_image_once():
    data = Stripes(23, seed=3)
    found = list(predictions(make_net(), Batches(data, 5, 18, PixelStatistics.fit(data), workers=1)))
    np.testing.assert_array_equal(np.concatenate([batch.indices for batch, _ in found]), np.arange(23))
    assert all(np.allclose(p.sum(axis=1), 1) for _, p in found)


def test_every_epoch_has_every_image_in_an_order_of_its_own():
    trainer = make_trainer()
    seen, step = [], trainer._step

    def record(batch):
        seen.append((trainer.epoch, batch.indices.tolist()))
        step(batch)

    trainer._step = record
    trainer.fit(2)
    first, second = ([i for epoch, indices in seen for i in indices if epoch == number] for number in (0, 1))
    assert sorted(first) == sorted(second) == list(range(27)) and first != second
