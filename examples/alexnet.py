"""AlexNet, in the seven forms that go by the name.

Each recipe below is a table of layers, as in section 3.5 of the paper, with the constants of its source:

paper        Krizhevsky, Sutskever, Hinton 2012, "ImageNet classification with deep convolutional neural networks", as
             the text reads, with all maps on one processor
towers       the same in the two towers of its figure 2, which see each other's maps in conv3 and in the dense layers
2012         the authors' code: layers-145.cfg and layer-params-145.cfg of computerhistory/AlexNet-Source-Code. Left out:
             its second, spatial normalisation of conv2 (its own log of net 167 shows that to be worth nothing), the
             rate of the biases that stays when that of the weights drops, and conv1 frozen from epoch 72 on
caffe        models/bvlc_alexnet of BVLC/caffe
caffenet     models/bvlc_reference_caffenet of BVLC/caffe: pooling before normalisation
torchvision  torchvision.models.alexnet, after Krizhevsky 2014, "One weird trick for parallelizing convolutional networks"
flowers17    the Keras network for the 17 flowers data set: batch normalisation, no padding, 2 × 2 pooling, Adam
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

from minicnn import LRN, BatchNorm1d, BatchNorm2d, Conv2d, Dropout, Flatten, Linear, MaxPool2d, ReLU, Sequential, ShapeError
from minicnn.initialisers import HeNormal, Normal, Uniform, XavierUniform


@dataclass(frozen=True)
class Conv:
    """A convolution, what follows it, and how it starts."""

    name: str
    maps: int
    kernel: int
    stride: int = 1
    pad: int = 0
    towers: int = 1
    then: str = "relu"
    std: float = 0.01
    bias: float = 0.0


@dataclass(frozen=True)
class Dense:
    """A fully connected layer, what stands before and after it, and how it starts; units None: one for each class."""

    name: str
    units: int | None = None
    before: str = ""
    then: str = ""
    std: float = 0.01
    bias: float = 0.0


class TowerLRN(LRN):
    """LRN within each of two towers: the maps beside the border do not see across it (2012 code: channels=48 and 128)."""

    def settings(self):
        return super().settings() + ", within 2 towers"

    def _forward(self, ops, x, training):
        y, kept = super()._forward(ops, self._apart(x), training)
        return y.reshape(x.shape), kept

    def _backward(self, ops, dy, kept, need_dx):
        return super()._backward(ops, self._apart(dy), kept, need_dx)[0].reshape(dy.shape), {}

    @staticmethod
    def _apart(x):
        """(N, C, H, W) → (2N, C/2, H, W): each tower as an image of its own."""
        n, c, *size = x.shape
        return x.reshape(2 * n, c // 2, *size)


def lrn():
    return LRN(size=5, alpha=1e-4, beta=0.75, k=2.0)                                # paper, section 3.3


def lrn_2012():
    return TowerLRN(size=5, alpha=1e-4, beta=0.75, k=2.0, alpha_mode="mean")        # layer.py:1183 divides scale by size


def lrn_caffe():
    return LRN(size=5, alpha=1e-4, beta=0.75, k=1.0, alpha_mode="mean")             # caffe.proto: k defaults to 1


@dataclass(frozen=True)
class Recipe:
    """One of the networks: its layers, and how its authors trained it."""

    name: str
    description: str
    rows: tuple
    input_size: int = 227
    crop_from: int = 256           # paper, section 2: images of 256 × 256, from which training cuts its crops
    classes: int = 1000
    norm: Callable = lrn
    pool: tuple = (3, 2)           # paper, section 3.4: kernel 3, stride 2, so that windows overlap
    conv_ceil: bool = False        # round the size of convolutions up …
    pool_ceil: bool = False        # … and that of poolings
    dropout: float = 0.5           # paper, section 4.2
    weights: str = "normal"        # N(0, std²) of each row; or "xavier", or "fan-in" for PyTorch's default
    pixels: str = "raw"            # 0 … 255 minus the mean image; "unit" also divides by the standard deviation
    optimiser: str = "sgd"
    batch_size: int = 128          # paper, section 5, as are the four below
    lr: float = 0.01
    momentum: float = 0.9
    weight_decay: float = 5e-4
    epochs: int = 90
    milestones: tuple = ()         # epochs after which the rate is divided by 10; none: when validation stalls, 3 times
    bias_lr: float = 1.0           # learning rate of biases ÷ that of weights
    bias_decay: float = 1.0        # weight decay of biases ÷ that of weights


#     name     maps/units kernel
PAPER_ROWS = (
    Conv("conv1", 96, 11, stride=4, then="relu norm pool"),
    Conv("conv2", 256, 5, pad=2, then="relu norm pool", bias=1),
    Conv("conv3", 384, 3, pad=1),
    Conv("conv4", 384, 3, pad=1, bias=1),
    Conv("conv5", 256, 3, pad=1, then="relu pool", bias=1),
    Dense("fc6", 4096, then="relu drop", bias=1),
    Dense("fc7", 4096, then="relu drop", bias=1),
    Dense("fc8"),
)

TOWERS_ROWS = (
    Conv("conv1", 96, 11, stride=4, then="relu norm pool"),
    Conv("conv2", 256, 5, pad=2, towers=2, then="relu norm pool", bias=1),
    Conv("conv3", 384, 3, pad=1),
    Conv("conv4", 384, 3, pad=1, towers=2, bias=1),
    Conv("conv5", 256, 3, pad=1, towers=2, then="relu pool", bias=1),
    Dense("fc6", 4096, then="relu drop", bias=1),
    Dense("fc7", 4096, then="relu drop", bias=1),
    Dense("fc8"),
)

ROWS_2012 = (
    Conv("conv1", 96, 11, stride=4, then="norm pool relu"),           # conv1 has no neuron; pool1 has neuron=relu
    Conv("conv2", 256, 5, pad=2, towers=2, then="relu norm pool", bias=1),
    Conv("conv3", 384, 3, pad=1, std=0.03),
    Conv("conv4", 384, 3, pad=1, towers=2, std=0.03, bias=1),
    Conv("conv5", 256, 3, pad=1, towers=2, then="pool relu", std=0.03, bias=1),
    Dense("fc6", 4096, then="relu drop", bias=1),
    Dense("fc7", 4096, then="relu drop", bias=1),
    Dense("fc8"),
)

CAFFE_ROWS = (
    Conv("conv1", 96, 11, stride=4, then="relu norm pool"),
    Conv("conv2", 256, 5, pad=2, towers=2, then="relu norm pool", bias=0.1),
    Conv("conv3", 384, 3, pad=1),
    Conv("conv4", 384, 3, pad=1, towers=2, bias=0.1),
    Conv("conv5", 256, 3, pad=1, towers=2, then="relu pool", bias=0.1),
    Dense("fc6", 4096, then="relu drop", std=0.005, bias=0.1),
    Dense("fc7", 4096, then="relu drop", std=0.005, bias=0.1),
    Dense("fc8"),
)

CAFFENET_ROWS = (
    Conv("conv1", 96, 11, stride=4, then="relu pool norm"),
    Conv("conv2", 256, 5, pad=2, towers=2, then="relu pool norm", bias=1),
    Conv("conv3", 384, 3, pad=1),
    Conv("conv4", 384, 3, pad=1, towers=2, bias=1),
    Conv("conv5", 256, 3, pad=1, towers=2, then="relu pool", bias=1),
    Dense("fc6", 4096, then="relu drop", std=0.005, bias=1),
    Dense("fc7", 4096, then="relu drop", std=0.005, bias=1),
    Dense("fc8"),
)

TORCHVISION_ROWS = (
    Conv("conv1", 64, 11, stride=4, pad=2, then="relu pool"),
    Conv("conv2", 192, 5, pad=2, then="relu pool"),
    Conv("conv3", 384, 3, pad=1),
    Conv("conv4", 256, 3, pad=1),
    Conv("conv5", 256, 3, pad=1, then="relu pool"),
    Dense("fc6", 4096, before="drop", then="relu"),
    Dense("fc7", 4096, before="drop", then="relu"),
    Dense("fc8"),
)

FLOWERS17_ROWS = (
    Conv("conv1", 96, 11, stride=4, then="relu pool bn"),
    Conv("conv2", 256, 11, then="relu pool bn"),
    Conv("conv3", 384, 3, then="relu bn"),
    Conv("conv4", 384, 3, then="relu bn"),
    Conv("conv5", 256, 3, then="relu pool bn"),
    Dense("fc6", 4096, then="relu drop bn"),
    Dense("fc7", 4096, then="relu drop bn"),
    Dense("fc8", 1000, then="relu drop bn"),
    Dense("fc9"),
)

_CAFFE = {"norm": lrn_caffe, "pool_ceil": True, "batch_size": 256, "milestones": (20, 40, 60, 80), "bias_lr": 2.0,
          "bias_decay": 0.0}  # solver.prototxt: ×0.1 every 100,000 iterations, 20 epochs; train_val: lr_mult 2, decay_mult 0

RECIPES = {recipe.name: recipe for recipe in (
    Recipe("paper", "the paper's text, in a single column", PAPER_ROWS),
    Recipe("towers", "the paper's text, in two towers", TOWERS_ROWS),
    Recipe("2012", "the authors' code of 2012", ROWS_2012, input_size=224, norm=lrn_2012, conv_ceil=True, pool_ceil=True,
           milestones=(25, 51, 79), bias_lr=2.0, bias_decay=0.0),     # epsW .01, epsB .02; weights.cu: biases without wc
    Recipe("caffe", "Caffe's bvlc_alexnet", CAFFE_ROWS, **_CAFFE),
    Recipe("caffenet", "Caffe's CaffeNet", CAFFENET_ROWS, **_CAFFE),
    Recipe("torchvision", "torchvision's alexnet, \"one weird trick\"", TORCHVISION_ROWS, input_size=224, weights="fan-in",
           pixels="unit", weight_decay=1e-4, batch_size=32, milestones=(30, 60)),     # its references/classification/README
    Recipe("flowers17", "the Keras network for 17 flowers", FLOWERS17_ROWS, input_size=224, classes=17, pool=(2, 2),
           dropout=0.4, weights="xavier", pixels="unit", optimiser="adam", lr=1e-3, weight_decay=0.0, batch_size=64),
)}


FIRST_STD = 0.015  # of conv1 with init="he", a fifth of He's: its filters soon show what was learnt, not what was drawn


def alexnet(recipe="paper", num_classes=None, width=1.0, init="published", seed=0):
    """One of the seven AlexNets.

    Parameters
    ----------
    recipe : str
        A name in `RECIPES`.
    num_classes : int, optional
        1000, or 17 for flowers17, by default.
    width : float
        Factor on the number of maps and of dense units: 0.25 gives a quarter of them, and a sixteenth of the work.
    init : "published" or "he"
        As the recipe's authors started their network, or He-normal (conv1: N(0, 0.015²)) with biases 0. The paper's own
        N(0, 0.01²) with biases of 1 presupposes pixels of 0 … 255: with others its logits hardly depend on the image, and
        the loss stays at log K.
    seed : int
        Of the weights and of dropout.

    Returns
    -------
    Sequential
        Layers conv1, relu1, norm1, pool1, …, fc8; learning-rate and decay factors of the biases set as in the recipe.

    Examples
    --------
    >>> from alexnet import alexnet
    >>> from minicnn import trace
    >>> trace(alexnet("paper"), (1, 3, 227, 227)).parameters
    62378344
    """
    if recipe not in RECIPES:
        raise ShapeError(f"unknown recipe {recipe!r}: wanted one of {', '.join(RECIPES)}")
    if init not in ("published", "he"):
        raise ShapeError(f"init is {init!r}, wanted 'published' or 'he'")
    if not isinstance(width, (int, float)) or not 0 < width <= 4:
        raise ShapeError(f"width is {width!r}, wanted a number above 0 and up to 4")
    recipe = RECIPES[recipe]
    num_classes = recipe.classes if num_classes is None else num_classes
    net = Sequential(**dict(_layers(recipe, num_classes, width))).seed(seed)
    for number, row in enumerate(recipe.rows):
        _start(net[row.name], row, recipe, init, [seed, number])
    return net


def _layers(recipe, num_classes, width):
    """(name, layer) in order; each layer is made for the shape that the ones before it give."""
    shape = (1, 3, recipe.input_size, recipe.input_size)
    for row in recipe.rows:
        number = re.sub(r"\D", "", row.name)
        words = [row.name, *row.then.split()]
        if isinstance(row, Dense):
            words = [*row.before.split(), *words]
            if len(shape) == 4:
                words.insert(0, "flatten")
        for word in words:
            layer = _layer(word, row, recipe, shape, num_classes, width)
            shape = layer.output_shape(shape)
            yield word if word in (row.name, "flatten") else word + number, layer


def _layer(word, row, recipe, shape, num_classes, width):
    if word == "relu":
        return ReLU()
    if word == "norm":
        return recipe.norm()
    if word == "pool":
        return MaxPool2d(*recipe.pool, ceil_mode=recipe.pool_ceil)
    if word == "drop":
        return Dropout(recipe.dropout)
    if word == "flatten":
        return Flatten()
    if word == "bn":
        make = BatchNorm2d if len(shape) == 4 else BatchNorm1d
        return make(shape[1], eps=1e-3, momentum=0.01)  # the defaults of Keras, whose momentum weighs the old value
    if isinstance(row, Conv):
        return Conv2d(shape[1], _thin(row.maps, width), row.kernel, row.stride, row.pad, groups=row.towers,
                      ceil_mode=recipe.conv_ceil, seed=0)
    return Linear(shape[1], _thin(row.units, width) if row.units else num_classes, seed=0)


def _thin(count, width):
    """`count`·width, even so that two towers can share it."""
    return max(2, 2 * round(count * width / 2))


def _start(layer, row, recipe, init, seed):
    """Draw the weights of `layer`, and set how its bias is trained."""
    fan_in = layer.weight.data[0].size
    published = {"normal": Normal(row.std), "xavier": XavierUniform(), "fan-in": Uniform(fan_in**-0.5)}[recipe.weights]
    if init == "he":
        layer.initialize(Normal(FIRST_STD) if row.name == "conv1" else HeNormal(), 0.0, seed)
    else:
        layer.initialize(published, published if recipe.weights == "fan-in" else row.bias, seed)
    layer.bias.lr_mult, layer.bias.decay_mult = recipe.bias_lr, recipe.bias_decay
