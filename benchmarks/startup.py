"""Which starts of an AlexNet learn, and what the start-up check says of them before the first step.

    python benchmarks/startup.py                       # all starts, 240 steps of 16 images each
    python benchmarks/startup.py --only sigmoid        # those whose name has this in it
    python benchmarks/startup.py --write               # and keep the table in benchmarks/results/

Each network is thinned to a quarter of its maps, measured with `watch` on 8 drawn images, and then trained on drawn images
of 12 classes with SGD (learning rate 0.01, momentum 0.9, weight decay 0.0005, dropout 0.1). A network that knows nothing
has a loss of log 12 = 2.485. The thresholds of `minicnn/startup.py` lie between those that left it and those that did not.
"""

import argparse
import contextlib
import itertools
import math
import statistics
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "examples"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # for a checkout that was never installed

import numpy as np
from machine import RESULTS, describe

from alexnet import RECIPES, alexnet
from minicnn import (
    SGD,
    Conv2d,
    Dropout,
    Flatten,
    Linear,
    MaxPool2d,
    ReLU,
    Sequential,
    Sigmoid,
    SoftmaxCrossEntropy,
    Tanh,
    data,
    watch,
)
from minicnn.initialisers import Normal

WIDTH, CLASSES, CHECKED, LAST = 0.25, 12, 8, 30  # LAST: steps over which the loss at the end is averaged


def he(recipe="paper", bias=0.0, activation=ReLU):
    """He-normal weights, as the trainer's default, with another bias or activation."""
    net = alexnet(recipe, CLASSES, WIDTH, "he")
    for layer in net.leaves():
        if layer.parameters():
            layer.bias.data[...] = bias
    return net if activation is ReLU else Sequential(**{
        name: activation() if isinstance(layer, ReLU) else layer for name, layer in net.layers.items()})


def normal(std):
    """The paper's layers, N(0, std²) and biases of 0."""
    return alexnet("paper", CLASSES, WIDTH, "he").initialize(Normal(std))


def published(recipe):
    return alexnet(recipe, CLASSES, WIDTH)


def plain(depth=6):
    """Convolutions of 16 maps and ReLUs alone: no normalisation tames what He-normal weights and max-pooling make."""
    layers = {"conv0": Conv2d(3, 16, 5, stride=4, seed=0), "relu0": ReLU()}
    for i in range(1, depth):
        layers |= {f"conv{i}": Conv2d(16, 16, 3, padding=1, seed=i), f"relu{i}": ReLU()}
    return Sequential(**layers, pool=MaxPool2d(8), flat=Flatten(), fc=Linear(16 * 49, CLASSES, seed=99))


STARTS = {  # name: (recipe, network, pixels)
    "paper, He, unit": ("paper", he, "unit"),
    "2012, He, unit": ("2012", lambda: he("2012"), "unit"),
    "caffe, He, unit": ("caffe", lambda: he("caffe"), "unit"),
    "torchvision, He, unit": ("torchvision", lambda: he("torchvision"), "unit"),
    "torchvision, published, unit": ("torchvision", lambda: published("torchvision"), "unit"),
    "paper, Xavier, unit": ("paper", lambda: he().initialize("xavier"), "unit"),
    "six plain convolutions, He, unit": ("paper", plain, "unit"),
    "paper, He, 0 to 1": ("paper", he, "0 to 1"),
    "paper, He, 0 to 255": ("paper", he, "0 to 255"),
    "paper, He, 0 to 255 less the mean": ("paper", he, "raw"),
    "paper, He, biases of 0.1, unit": ("paper", lambda: he(bias=0.1), "unit"),
    "paper, He, biases of 1, unit": ("paper", lambda: he(bias=1.0), "unit"),
    "paper, He, biases of -1, unit": ("paper", lambda: he(bias=-1.0), "unit"),
    "paper, published, 0 to 255 less the mean": ("paper", lambda: published("paper"), "raw"),
    "2012, published, 0 to 255 less the mean": ("2012", lambda: published("2012"), "raw"),
    "caffe, published, 0 to 255 less the mean": ("caffe", lambda: published("caffe"), "raw"),
    "paper, published, unit": ("paper", lambda: published("paper"), "unit"),
    "paper, published, 0 to 1": ("paper", lambda: published("paper"), "0 to 1"),
    "paper, N(0, 0.1²), unit": ("paper", lambda: normal(0.1), "unit"),
    "paper, N(0, 0.03²), unit": ("paper", lambda: normal(0.03), "unit"),
    "paper, N(0, 0.02²), unit": ("paper", lambda: normal(0.02), "unit"),
    "paper, N(0, 0.01²), unit": ("paper", lambda: normal(0.01), "unit"),
    "paper, tanh, He, unit": ("paper", lambda: he(activation=Tanh), "unit"),
    "paper, sigmoid, He, unit": ("paper", lambda: he(activation=Sigmoid), "unit"),
}


class Images:
    """Drawn images in batches, with pixels that suit a start, or do not."""

    def __init__(self, count=1200):
        self.shapes = data.Shapes(count)
        self.statistics = data.PixelStatistics.fit(self.shapes)

    def batches(self, recipe, pixels, size, epoch):
        """(images, labels) of an epoch."""
        made = data.Batches(self.shapes, size, RECIPES[recipe].input_size, self.statistics,
                            "unit" if pixels == "unit" else "raw", augment=data.Augmentation())
        grey, most = np.float32(self.statistics.mean.mean()), np.float32(255 if pixels == "0 to 1" else 1)
        with contextlib.closing(made.epoch(epoch)) as batches:
            for batch in batches:
                yield ((batch.images + grey) / most if pixels.startswith("0 to") else batch.images), batch.labels

    def endless(self, recipe, pixels, size):
        for epoch in itertools.count(1):
            yield from self.batches(recipe, pixels, size, epoch)


def train(net, batches, steps):
    """The losses, up to the first that is not finite."""
    loss, losses = SoftmaxCrossEntropy(), []
    optimiser = SGD(net.parameters(), 0.01, momentum=0.9, weight_decay=5e-4)
    with np.errstate(all="ignore"):
        for images, labels in itertools.islice(batches, steps):
            losses.append(loss(net.forward(images), labels))
            if not math.isfinite(losses[-1]):
                break
            optimiser.zero_grad()
            net.backward(loss.backward(), need_dx=False)
            optimiser.step()
    return losses


def line(name, images, steps, batch):
    """A row of the table."""
    recipe, make, pixels = STARTS[name]
    net = make().seed(0)
    for layer in net.leaves():
        if isinstance(layer, Dropout):
            layer.p = 0.1
    watched = watch(net, *next(images.batches(recipe, pixels, CHECKED, 0)))
    said = ", ".join(finding.kind for finding in watched.findings)
    losses = train(net, images.endless(recipe, pixels, batch), steps)
    last = statistics.mean(losses[-LAST:]) if math.isfinite(losses[-1]) else math.nan
    end = f"{last:.3f}" if math.isfinite(last) else f"diverged at step {len(losses)}"
    depends = "" if watched.dependence is None else f"{watched.dependence:.1e}"
    least = min(row.ratio for row in watched.rows if row.ratio is not None)
    dead = max(row.dead for row in watched.rows[:-1])
    return f"| {name} | {watched.excess:+.2f} | {depends} | {least:.1e} | {dead:.0%} | {said} | {end} |"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=240, help="of training (default 240)")
    parser.add_argument("--batch-size", type=int, default=16, help="images in a step (default 16)")
    parser.add_argument("--only", default="", help="the starts with this in their names")
    parser.add_argument("--write", action="store_true", help="keep the table in benchmarks/results/")
    args = parser.parse_args()
    lines = [f"Starts of AlexNets with a quarter of the maps, and what {args.steps} steps of {args.batch_size} drawn images "
             f"make of them: mean loss of the last {LAST}. Where nothing is learnt it is log 12 = 2.485. {describe()}", "",
             "| start | loss − log K at first | dependence on the image | least dw/w | most dead | start-up check | loss at "
             "the end |", "|---|---|---|---|---|---|---|"]
    print("\n".join(lines), flush=True)
    images = Images()
    for name in STARTS:
        if args.only in name:
            lines.append(line(name, images, args.steps, args.batch_size))
            print(lines[-1], flush=True)
    if args.write:
        (RESULTS / "startup.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
