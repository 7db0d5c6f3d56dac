"""The libraries that the benchmarks compare: each trains, or applies, the same network on the same random images."""

import importlib.util
import io
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

    package = "minicnn"

    def __init__(self, recipe, batch, width=1.0):
        from alexnet import RECIPES, alexnet
        from minicnn import SGD, SoftmaxCrossEntropy, blas, trace

        self.net = alexnet(recipe, num_classes=1000, width=width, init="he")
        self.images, self.labels = data(batch, RECIPES[recipe].input_size)
        self.loss, self.optimiser = SoftmaxCrossEntropy(), SGD(self.net.parameters(), LR, MOMENTUM, DECAY)
        rows = trace(self.net, self.images.shape).rows
        forward = 2 * sum(row.macs for row in rows)
        self.facts = {"version": blas.describe(), "training": 3 * forward - 2 * rows[0].macs, "inference": forward}

    def training(self):
        """Forward, loss, backward without the gradient of the images, and the optimiser's step; returns the loss."""
        self.optimiser.zero_grad()
        value = self.loss(self.net(self.images), self.labels)
        self.net.backward(self.loss.backward(), need_dx=False)
        self.optimiser.step()
        return value

    def inference(self):
        self.net.predict(self.images, batch_size=len(self.images))


class PyTorch:
    """The same network as people run it: eager, and in PyTorch's own layout of memory."""

    package = "torch"
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


class OnnxRuntime:
    """The network exported from PyTorch, applied by ONNX Runtime; it does not train."""

    package = "onnxruntime"

    def __init__(self, recipe, batch):
        import onnxruntime
        import torch

        eager, model = PyTorch(recipe, batch), io.BytesIO()
        torch.onnx.export(eager.net.eval(), (eager.images,), model, dynamo=False)
        self.session = onnxruntime.InferenceSession(model.getvalue(), providers=["CPUExecutionProvider"])
        self.inputs = {self.session.get_inputs()[0].name: eager.images.numpy()}
        self.facts = {"version": onnxruntime.__version__}

    def inference(self):
        self.session.run(None, self.inputs)


def put_back_names():
    """Names that NumPy had when Chainer and DeZero were written; this process runs nothing else."""
    import numpy as np

    for kind in (bool, int, float, complex, object):
        if kind.__name__ not in vars(np):
            setattr(np, kind.__name__, kind)
    np.sctypes = {"int": [np.int8, np.int16, np.int32, np.int64], "uint": [np.uint8, np.uint16, np.uint32, np.uint64],
                  "float": [np.float16, np.float32, np.float64], "complex": [np.complex64, np.complex128],
                  "others": [bool, object, bytes, str, np.void]}


class Chainer:
    """Chainer on NumPy."""

    package = "chainer"

    def __init__(self, recipe, batch):
        put_back_names()
        import chainer

        from alexnet import RECIPES, alexnet

        layers = [chainer_layer(layer) for layer in alexnet(recipe, num_classes=1000, init="he")]
        self.net = chainer.Sequential(*layers)
        self.images, labels = data(batch, RECIPES[recipe].input_size)
        self.labels = labels.astype("int32")
        self.optimiser = chainer.optimizers.MomentumSGD(LR, MOMENTUM).setup(self.net)
        self.optimiser.add_hook(chainer.optimizer_hooks.WeightDecay(DECAY))
        self.facts = {"version": chainer.__version__}

    def training(self):
        import chainer

        self.net.cleargrads()
        chainer.functions.softmax_cross_entropy(self.net(self.images), self.labels).backward()
        self.optimiser.update()

    def inference(self):
        import chainer

        with chainer.no_backprop_mode(), chainer.using_config("train", False):
            self.net(self.images)


class DeZero:
    """DeZero on NumPy, which has no LRN and no groups: it is spared the one and cannot do the other."""

    package, recipes = "dezero", ["paper", "torchvision"]

    def __init__(self, recipe, batch):
        put_back_names()
        import dezero

        from alexnet import RECIPES, alexnet

        layers = [dezero_layer(layer) for layer in alexnet(recipe, num_classes=1000, init="he")]
        self.net = dezero.models.Sequential(*filter(None, layers))
        self.images, self.labels = data(batch, RECIPES[recipe].input_size)
        self.optimiser = dezero.optimizers.MomentumSGD(LR, MOMENTUM).setup(self.net)
        self.optimiser.add_hook(dezero.optimizers.WeightDecay(DECAY))
        self.facts = {"version": "without LRN"}

    def training(self):
        import dezero

        loss = dezero.functions.softmax_cross_entropy(self.net(self.images), self.labels)
        self.net.cleargrads()
        loss.backward()
        self.optimiser.update()

    def inference(self):
        import dezero

        with dezero.no_grad(), dezero.test_mode():
            self.net(self.images)


CONTESTANTS = {"minicnn": Minicnn, "PyTorch": PyTorch, "PyTorch, channels last": ChannelsLast, "PyTorch, compiled": Compiled,
               "PyTorch, channels last, compiled": Both, "ONNX Runtime": OnnxRuntime, "Chainer": Chainer, "DeZero": DeZero}


def can_run(contestant, recipe, task):
    """Is its library installed, and has all that the recipe and the task need?"""
    return (importlib.util.find_spec(contestant.package) is not None and recipe in getattr(contestant, "recipes", [recipe])
            and hasattr(contestant, task))


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


def chainer_layer(layer):
    """Chainer's layer for one of ours; its LRN does not divide alpha by the size."""
    from chainer import functions, links

    kind, window = type(layer).__name__, getattr(layer, "window", None)
    if kind == "Conv2d":
        return links.Convolution2D(layer.in_channels, layer.out_channels, window.kernel, window.stride,
                                   (window.rows.before, window.columns.before), groups=layer.groups)
    if kind == "MaxPool2d":
        return lambda x: functions.max_pooling_2d(x, window.kernel, window.stride, cover_all=window.rows.ceil_mode)
    if kind == "LRN":
        _, alpha, beta, k = layer._constants()
        return lambda x: functions.local_response_normalization(x, layer.size, k, alpha, beta)
    if kind == "Linear":
        return links.Linear(layer.in_features, layer.out_features)
    return {"ReLU": functions.relu, "Flatten": lambda x: x.reshape(len(x), -1),
            "Dropout": lambda x: functions.dropout(x, layer.p)}[kind]


def dezero_layer(layer):
    """DeZero's layer for one of ours; None for LRN."""
    from dezero import functions, layers

    kind, window = type(layer).__name__, getattr(layer, "window", None)
    if kind == "Conv2d" and layer.groups == 1:
        return layers.Conv2d(layer.out_channels, window.kernel, window.stride, (window.rows.before, window.columns.before),
                             in_channels=layer.in_channels)
    if kind == "MaxPool2d":
        return lambda x: functions.pooling(x, window.kernel, window.stride)
    if kind == "Linear":
        return layers.Linear(layer.out_features, in_size=layer.in_features)
    return {"ReLU": functions.relu, "Flatten": functions.flatten, "Dropout": lambda x: functions.dropout(x, layer.p),
            "LRN": None}[kind]
