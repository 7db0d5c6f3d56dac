"""A run small enough to be repeated many times, with everything in it that has a state: momentum, dropout, batch norm,
shuffling, augmentation, a schedule. Used in-process, and as a program that tests kill."""

import sys

import numpy as np

from minicnn import LRN, SGD, BatchNorm2d, Conv2d, Dropout, Flatten, Linear, MaxPool2d, ReLU, Sequential
from minicnn.data import Augmentation, Batches, PixelStatistics
from minicnn.schedules import StepSchedule
from minicnn.training import Checkpoint, RunFolder, Trainer

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


if __name__ == "__main__":  # training_helpers.py FOLDER EPOCHS: train, or go on, saving after every batch
    with RunFolder(sys.argv[1]) as run:
        trainer = make_trainer(run, save_every=0)
        if run.last.exists():
            trainer.restore(Checkpoint(run.last))
        print("ready", flush=True)
        trainer.fit(int(sys.argv[2]))
