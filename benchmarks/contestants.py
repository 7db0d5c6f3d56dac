"""The libraries that the benchmarks compare: each trains, or applies, the same network on the same random images."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "examples")]

LR, MOMENTUM, DECAY = 0.01, 0.9, 5e-4


def data(batch, size):
    """Random images (N, 3, size, size) in float32 and labels (N,)."""
    import numpy as np

    random = np.random.default_rng(0)
    return random.standard_normal((batch, 3, size, size), np.float32), random.integers(0, 1000, batch)


class Minicnn:
    """The network of examples/alexnet.py."""

    def __init__(self, recipe, batch):
        from alexnet import RECIPES, alexnet
        from minicnn import SGD, SoftmaxCrossEntropy, blas, trace

        self.net = alexnet(recipe, num_classes=1000, init="he")
        self.images, self.labels = data(batch, RECIPES[recipe].input_size)
        self.loss, self.optimiser = SoftmaxCrossEntropy(), SGD(self.net.parameters(), LR, MOMENTUM, DECAY)
        rows = trace(self.net, self.images.shape).rows
        forward = 2 * sum(row.macs for row in rows)
        self.facts = {"version": blas.describe(), "training": 3 * forward - 2 * rows[0].macs, "inference": forward}

    def training(self):
        """Forward, loss, backward without the gradient of the images, and the optimiser's step."""
        self.optimiser.zero_grad()
        self.loss(self.net(self.images), self.labels)
        self.net.backward(self.loss.backward(), need_dx=False)
        self.optimiser.step()

    def inference(self):
        self.net.predict(self.images, batch_size=len(self.images))


class PyTorch:
    """The same network as people run it: eager, and in PyTorch's own layout of memory."""

    channels_last = compiled = False

    def __init__(self, recipe, batch):
        import torch

        from alexnet import RECIPES, alexnet

        layout = torch.channels_last if self.channels_last else torch.contiguous_format
        net = torch.nn.Sequential(*(torch_layer(layer) for layer in alexnet(recipe, num_classes=1000, init="he")))
        net = net.to(memory_format=layout)
        images, labels = data(batch, RECIPES[recipe].input_size)
        self.images, self.labels = torch.from_numpy(images).to(memory_format=layout), torch.from_numpy(labels)
        self.optimiser = torch.optim.SGD(net.parameters(), lr=LR, momentum=MOMENTUM, weight_decay=DECAY)
        self.net, self.loss = torch.compile(net) if self.compiled else net, torch.nn.CrossEntropyLoss()
        self.facts = {"version": f"{torch.__version__}, {torch.get_num_threads()} threads"}

    def training(self):
        self.net.train()
        self.optimiser.zero_grad()
        self.loss(self.net(self.images), self.labels).backward()
        self.optimiser.step()

    def inference(self):
        import torch

        self.net.eval()
        with torch.inference_mode():
            self.net(self.images)


class ChannelsLast(PyTorch):
    """With the channels as the last axis in memory."""

    channels_last = True


class Compiled(PyTorch):
    """Through torch.compile."""

    compiled = True


class Both(PyTorch):
    """Channels last, and through torch.compile."""

    channels_last = compiled = True


CONTESTANTS = {"minicnn": Minicnn, "PyTorch": PyTorch, "PyTorch, channels last": ChannelsLast,
               "PyTorch, compiled": Compiled, "PyTorch, channels last, compiled": Both}


def torch_layer(layer):
    """PyTorch's layer for one of ours; its LRN divides alpha by the size."""
    from torch import nn

    kind, window = type(layer).__name__, getattr(layer, "window", None)
    if kind == "Conv2d":
        return nn.Conv2d(layer.in_channels, layer.out_channels, window.kernel, window.stride,
                         (window.rows.before, window.columns.before), groups=layer.groups)
    if kind == "MaxPool2d":
        return nn.MaxPool2d(window.kernel, window.stride, ceil_mode=window.rows.ceil_mode)
    if kind == "LRN":
        alpha = layer.alpha * (layer.size if layer.alpha_mode == "sum" else 1)
        return nn.LocalResponseNorm(layer.size, alpha, layer.beta, layer.k)
    if kind == "Linear":
        return nn.Linear(layer.in_features, layer.out_features)
    return {"ReLU": nn.ReLU, "Flatten": nn.Flatten, "Dropout": lambda: nn.Dropout(layer.p)}[kind]()
