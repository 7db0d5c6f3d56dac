"""What goes through a network, layer by layer, as NumPy arrays."""

import copy

import numpy as np

from minicnn import backends
from minicnn.errors import StateError
from minicnn.losses import SoftmaxCrossEntropy


def choose(net, layers=None, among=None):
    """The layers of these names, in the network's order; all of them without names. Among all its leaves, or those given.

    Raises
    ------
    StateError
        The network has no layer of that name.
    """
    leaves = list(among or net.leaves())
    if layers is None:
        return leaves
    wanted, names = [layers] if isinstance(layers, str) else list(layers), [leaf.name for leaf in leaves]
    for name in wanted:
        if name not in names:
            raise StateError(f"no layer {name!r} in the network: it has {', '.join(names)}")
    return [leaf for leaf in leaves if leaf.name in wanted]


def outputs(net, images, layers=None):
    """Yield (layer, output) for the chosen layers, in evaluation mode; nothing is kept, no pending backward disturbed.

    Parameters
    ----------
    net : Sequential
    images : NumPy array (N, C, H, W)
    layers : name or sequence of names, optional
    """
    ops, chosen = backends.get(net.backend), choose(net, layers, net.chain())
    x = ops.asarray(images)
    for leaf in net.chain():
        x = leaf.infer(x)
        if leaf in chosen:
            yield leaf, ops.to_numpy(x)
        if leaf is chosen[-1]:
            return


def gradients(net, images, labels, layers=None):
    """[(layer, y, dL/dy), …] of a softmax cross-entropy for the chosen layers, in the mode in which the network is.

    The passes run on a copy: the network's gradients, statistics and random state stay as they are.

    Parameters
    ----------
    net : Sequential
        Its output is logits (N, classes).
    images : NumPy array (N, C, H, W)
    labels : integers (N,)
    layers : name or sequence of names, optional
    """
    ops, names = backends.get(net.backend), {leaf.name for leaf in choose(net, layers, net.chain())}
    passed, x = [], ops.asarray(images)
    for leaf in copy.deepcopy(net).chain():
        x = leaf.forward(x)
        passed.append((leaf, x))
    loss, found = SoftmaxCrossEntropy(), []
    loss(x, np.asarray(labels))
    dy = loss.backward()
    for leaf, y in reversed(passed):
        if leaf.name in names:
            found.append((leaf, ops.to_numpy(y), ops.to_numpy(dy)))
        dy = leaf.backward(dy, need_dx=leaf is not passed[0][0])
    return found[::-1]
