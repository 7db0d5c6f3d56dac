"""A run small enough to be repeated many times, with everything in it that has a state: momentum, dropout, batch norm,
shuffling, augmentation, a schedule. Used in-process, and as a program that tests kill."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from minicnn import LRN, SGD, BatchNorm2d, Conv2d, Dropout, Flatten, Linear, MaxPool2d, ReLU, Sequential
from minicnn.data import Augmentation, Batches, PixelStatistics
from minicnn.schedules import StepSchedule
from minicnn.training import Checkpoint, RunFolder, Trainer
from minicnn.training.command import run

EXAMPLES = Path(__file__).parents[1] / "examples"
THIN = ["--width", "0.04", "--batch-size", "4", "--epochs", "2", "--lr", "0.001", "--workers", "1"]
TIMES = ("seconds", "images_per_second", "waiting")  # what a repetition of a run cannot repeat


class Stripes:
    """Noise with horizontal or vertical stripes, or none: easy for a small convolution, hard for a linear map."""

    classes = ("across", "down", "none")
    size = 20

    def __init__(self, count, seed=0):
        self.labels = np.arange(count) % 3
        self.names = [str(i) for i in range(count)]
        self.seed = seed

    def __len__(self):
        return len(self.labels)

    def image(self, i):
        rng = np.random.default_rng([self.seed, i])
        image = rng.integers(0, 100, (self.size, self.size, 3))
        places = np.arange(self.size) + rng.integers(4)
        bright = places % 4 < 2
        image[((bright,), (slice(None), bright), ())[self.labels[i]]] += 100 if self.labels[i] < 2 else 50
        return image.astype(np.uint8)


def make_net(seed=0):
    net = Sequential(conv1=Conv2d(3, 8, 5, stride=2, seed=seed), relu1=ReLU(), norm1=LRN(3),
                     conv2=Conv2d(8, 8, 3, seed=seed + 1), batchnorm=BatchNorm2d(8), relu2=ReLU(), pool=MaxPool2d(3, 2),
                     flat=Flatten(), drop=Dropout(0.3), fc=Linear(32, 3, seed=seed + 2))
    return net.seed(seed)


def make_trainer(folder=None, count=27, seed=0, optimiser=SGD, lr=0.02, **options):
    """Batches of 10 images: three an epoch, the last one smaller."""
    train, validation = Stripes(count, seed=1), Stripes(15, seed=2)
    statistics = PixelStatistics.fit(train, workers=1)
    net = make_net(seed)
    momentum = {"momentum": 0.9} if optimiser is SGD else {}
    optimiser = optimiser(net.parameters(), lr, weight_decay=1e-3, **momentum)
    augment = Augmentation(lighting=0.1, noise=1.0)
    return Trainer(net, optimiser, Batches(train, 10, 18, statistics, augment=augment, seed=seed, workers=1),
                   Batches(validation, 10, 18, statistics, workers=1), schedule=StepSchedule(optimiser, [1, 2]),
                   folder=folder, **options)


def everything(trainer):
    """All that a run has computed, but for the times it took."""
    state = trainer._state()
    state["sums"] = {key: value for key, value in state["sums"].items() if key not in ("seconds", "waited")}
    state["history"] = [{key: value for key, value in row.items() if key not in TIMES} for row in state["history"]]
    return state, {name: array.tobytes() for name, array in trainer._arrays()}


# --- the command -----------------------------------------------------------------------------------------------------


def load_command():
    """`command(*options)` runs train_alexnet.py's `main` in this process and returns its exit code."""
    sys.path.insert(0, str(EXAMPLES))
    try:
        import train_alexnet
    finally:
        sys.path.remove(str(EXAMPLES))

    def call(*options):
        try:
            return run(lambda: train_alexnet.main([str(option) for option in options]))
        except SystemExit as end:
            return end.code
    return call


def process(*options, **settings):
    """The command as a process of its own."""
    settings = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, **settings}
    return subprocess.Popen([sys.executable, str(EXAMPLES / "train_alexnet.py"), *map(str, options)], **settings)


def fails(command, capsys, code, pattern, *options):
    """The command ends with this code and one line of error that matches."""
    capsys.readouterr()
    assert command(*options) == code
    errors = capsys.readouterr().err
    lines = [line for line in errors.splitlines() if "broken.jpg" not in line]
    assert len(lines) == 1 and re.search(pattern, lines[0]), errors


def write_images(folder, classes=("red", "green", "blue")):
    """4 training and 2 validation images of each class; returns the folder."""
    rng = np.random.default_rng(0)
    for part, count in (("train", 4), ("val", 2)):
        for k, name in enumerate(classes):
            (folder / part / name).mkdir(parents=True)
            for i in range(count):
                pixels = rng.integers(0, 120, (60, 80, 3), dtype=np.uint8)
                pixels[..., k] += 100
                Image.fromarray(pixels).save(folder / part / name / f"{i}.png")
    return folder


if __name__ == "__main__":  # training_helpers.py FOLDER EPOCHS: train, or go on, saving after every batch
    with RunFolder(sys.argv[1]) as run:
        trainer = make_trainer(run, save_every=0)
        if run.last.exists():
            trainer.restore(Checkpoint(run.last))
        print("ready", flush=True)
        trainer.fit(int(sys.argv[2]))
