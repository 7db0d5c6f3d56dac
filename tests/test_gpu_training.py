"""Training on the GPU beside training on the CPU: networks, optimisers, states and runs move without a seam."""

import re
import sys

import numpy as np
import pytest
from helpers import fetch, normal, send
from test_narrow_alexnet import narrow_alexnet
from test_optim_state import make
from training_helpers import EXAMPLES, THIN, load_command, make_trainer, write_images

from minicnn import (
    SGD,
    Adam,
    BatchNorm2d,
    Conv2d,
    Dropout,
    Flatten,
    Linear,
    ReLU,
    Sequential,
    SoftmaxCrossEntropy,
    backends,
)
from minicnn.errors import BackendError
from minicnn.training import Checkpoint, RunFolder

pytestmark = pytest.mark.gpu_only

LABELS = np.array([1, 0, 3, 3, 2, 1])


def small(seed=0):
    return Sequential(conv=Conv2d(2, 6, 3, padding=1, seed=seed), bn=BatchNorm2d(6), relu=ReLU(), flat=Flatten(),
                      drop=Dropout(0.3, seed=seed), fc=Linear(180, 4, seed=seed + 1)).astype("float64")


def train(net, optimiser, steps, shape=(6, 2, 6, 5)):
    """The losses of so many steps; the images of step s are a function of s."""
    loss, ops, found = SoftmaxCrossEntropy(), backends.get(net.backend), []
    for step in steps:
        optimiser.zero_grad()
        x = normal(*shape, seed=step, dtype=net.dtype.name)
        found.append(float(loss(net(ops.asarray(x)), LABELS[:len(x)])))
        net.backward(loss.backward(), need_dx=False)
        optimiser.step()
    return found


def test_narrow_alexnet_learns_the_same_step_by_step_on_both():
    """All layers in order, groups, LRN, overlapping pooling, dropout, momentum, weight decay; float64, to be exact."""
    losses = []
    for place in ("numpy", "cupy"):
        net = narrow_alexnet().seed(5).to(place)
        losses.append(train(net, SGD(net.parameters(), 0.05, 0.9, 5e-4), range(5), (4, 3, 123, 127)))
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-10)
    assert len(set(losses[0])) == 5


@pytest.mark.parametrize("recipe", ["paper", "2012"])
def test_the_recipes_learn_the_same_in_float32(recipe, monkeypatch):
    monkeypatch.syspath_prepend(EXAMPLES)
    import alexnet

    losses = []
    for place in ("numpy", "cupy"):
        net = alexnet.alexnet(recipe, 4, width=0.04, seed=1).seed(5).to(place)
        size = alexnet.RECIPES[recipe].input_size
        losses.append(train(net, SGD(net.parameters(), 0.01, 0.9, 5e-4), range(3), (2, 3, size, size)))
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-5)


@pytest.mark.parametrize("kind", [SGD, Adam])
def test_an_optimiser_follows_its_network_there_and_back(kind):
    stays, moves = small().to("numpy"), small().to("numpy")
    of_stays, of_moves = make(kind, stays), make(kind, moves)
    wanted = train(stays, of_stays, range(6))
    found = train(moves, of_moves, range(2))
    found += train(moves.to("cupy"), of_moves, range(2, 4))
    found += train(moves.to("numpy"), of_moves, range(4, 6))
    np.testing.assert_allclose(found, wanted, rtol=1e-11)
    for name, array in of_moves.state_dict().items():
        np.testing.assert_allclose(array, of_stays.state_dict()[name], atol=1e-12)


def test_gradients_and_running_statistics_move_too():
    net = small()
    loss = SoftmaxCrossEntropy()
    loss(net(send(normal(6, 2, 6, 5))), LABELS)
    net.backward(loss.backward())
    before = {p.name: fetch(p.grad) for p in net.parameters()}
    mean = fetch(net.bn.running_mean)
    net.to("numpy")
    for p in net.parameters():
        np.testing.assert_array_equal(p.grad, before[p.name])
    np.testing.assert_array_equal(net.bn.running_mean, mean)
    assert mean.any()


@pytest.mark.parametrize("suffix", ["npz", "safetensors"])
def test_weights_saved_on_a_gpu_are_loaded_on_a_cpu_and_back(suffix, tmp_path):
    here = small()
    here.save(tmp_path / f"net.{suffix}")
    there = small(seed=7).to("numpy").load(tmp_path / f"net.{suffix}")
    again = small(seed=8).load(tmp_path / f"net.{suffix}")
    for name, array in here.state_dict().items():
        assert type(array) is np.ndarray
        np.testing.assert_array_equal(there.state_dict()[name], array)
        np.testing.assert_array_equal(again.state_dict()[name], array)
    x = normal(3, 2, 6, 5)
    np.testing.assert_allclose(fetch(again.predict(send(x))), there.predict(x), rtol=1e-12)


def test_labels_may_be_on_either_side_and_the_loss_stays_where_it_is():
    import cupy

    logits, losses = send(normal(6, 4)), []
    for labels in (LABELS, send(LABELS), LABELS.astype(np.uint8)):
        loss = SoftmaxCrossEntropy()
        value = loss(logits, labels)
        assert isinstance(value, cupy.ndarray) and value.shape == ()
        losses.append((float(value), fetch(loss.backward()).tobytes()))
    assert len(set(losses)) == 1


def test_predict_wants_images_of_its_own_side():
    net = small()
    with pytest.raises(BackendError, match=r"array of numpy, but the layer is on cupy"):
        net.predict(normal(3, 2, 6, 5))


# --- runs ---


def run(folder, place, epochs=2):
    """A finished trainer on that backend."""
    with RunFolder(folder) as opened:
        trainer = make_trainer(opened)
        trainer.net.to(place)
        trainer.fit(epochs)
        return trainer


def test_a_run_learns_the_same_on_both_and_goes_on_to_the_last_bit(tmp_path):
    """Same batches, augmentation, dropout: curves that differ by rounding alone; and stopping changes no bit."""
    cpu, gpu = run(tmp_path / "cpu", "numpy"), run(tmp_path / "gpu", "cupy")
    for there, here in zip(cpu.history, gpu.history, strict=True):
        for key in ("train_loss", "val_loss", "train_top1", "val_top1"):
            assert here[key] == pytest.approx(there[key], rel=1e-3), key
    run(tmp_path / "stopped", "cupy", epochs=1)
    with RunFolder(tmp_path / "stopped") as opened:
        resumed = make_trainer(opened)
        resumed.net.to("cupy")
        resumed.restore(Checkpoint(opened.last))
        resumed.fit(2)
    for name, array in gpu.net.state_dict().items():
        np.testing.assert_array_equal(resumed.net.state_dict()[name], array, name)


def test_nothing_waits_for_the_update_of_the_weights(tmp_path, monkeypatch):
    """Every reading waits for all that was launched before; each step reads loss and logits, and then updates."""
    import cupy

    log = []
    monkeypatch.setattr(cupy.ndarray, "get", noting(cupy.ndarray.get, log, "read"))
    monkeypatch.setattr(cupy.ndarray, "__float__", noting(cupy.ndarray.__float__, log, "read"))
    monkeypatch.setattr(SGD, "step", noting(SGD.step, log, "update"))
    with RunFolder(tmp_path) as opened:
        trainer = make_trainer(opened)
        trainer.net.to("cupy")
        for batch in trainer.batches.epoch():
            log.clear()
            trainer._step(batch)
            assert log[-1] == "update" and log.count("update") == 1 and "read" in log


def noting(function, log, what):
    """`function`, which puts `what` into the log when it is called."""
    def call(*args, **kwargs):
        log.append(what)
        return function(*args, **kwargs)
    return call


def test_a_run_begun_on_the_gpu_goes_on_without_one(tmp_path):
    run(tmp_path, "cupy", epochs=1)
    with RunFolder(tmp_path) as opened:
        resumed = make_trainer(opened)
        resumed.net.to("numpy")
        resumed.restore(Checkpoint(opened.last))
        history = resumed.fit(2)
    assert len(history) == 2 and all(np.isfinite(row["val_loss"]) for row in history)


def test_the_command_trains_on_the_gpu_and_goes_on_there(tmp_path, capsys):
    command = load_command()
    images, out = write_images(tmp_path / "images"), tmp_path / "run"
    try:
        assert command("--data", images, "--out", out, "--backend", "cupy", *THIN, "--epochs", 1) == 0
        said = capsys.readouterr().out
        assert re.search(r"machine   cupy, .+, \d+\.\d GiB, CuPy \d+\.\d+\.\d+.*, driver for CUDA \d+\.\d\n", said)
        assert command("--resume", out, "--backend", "cupy", "--epochs", 2, "--workers", 1) == 0
        assert command("--evaluate", "--resume", out, "--ten-crop") == 0
    finally:
        sys.modules.pop("train_alexnet", None)
    assert (out / "predictions.png").exists() and (out / "metrics.csv").read_text().count("\n") == 3
