"""The pictures of a run: its curves, what it learned, and what it makes and says of images that it has not seen."""

import numpy as np

from minicnn import backends, plots
from minicnn.layers import Conv2d, Linear, ReLU
from minicnn.training.evaluation import predictions

COUNTED = 2000  # images that the confusion matrix counts, at most
SEARCHED = 200  # … in which patches and neighbours are looked for
SHOWN, UNITS, QUERIES = 18, 6, 5  # images with predictions, rows of patches, rows of neighbours


class Subset:
    """Some images of a dataset, as a dataset.

    Parameters
    ----------
    dataset : dataset
    picks : sequence of int
    """

    def __init__(self, dataset, picks):
        self._dataset, self._picks = dataset, list(picks)
        self.classes, self.labels = dataset.classes, dataset.labels[self._picks]
        self.size = dataset.size
        self.names = [dataset.names[i] for i in self._picks]

    def __len__(self):
        return len(self._picks)

    def image(self, i):
        return self._dataset.image(self._picks[i])


def sample(dataset, count, seed=0):
    """`count` images (or all there are), drawn without regard to their class."""
    order = np.random.default_rng(seed).permutation(len(dataset))
    return Subset(dataset, order[:count])


def first_filters(net):
    """A copy of the weights of the first convolution, (F, C, KH, KW), as a NumPy array."""
    weights = next(parameter.data for parameter in net.parameters() if parameter.data.ndim == 4)
    return backends.get(net.backend).to_numpy(weights)


def draw_pictures(folder, net, history, samples, start=None):
    """Draw what was learned into a run's folder: the PNGs that `training.folder.PICTURES` names.

    Parameters
    ----------
    folder : RunFolder
    net : Sequential
        The filters drawn are those of its first convolution, the patches those of its last.
    history : list of dict
        `Trainer.history`; without a finished epoch there are no curves.
    samples : Batches
        Of the images that the confusion matrix counts. The first of them are shown in the other pictures.
    start : array, optional
        `first_filters` of the untrained network.
    """
    if history:
        folder.draw("curves", plots.training_curves, history)
    folder.draw("filters", plots.filters, first_filters(net), start)
    labels, probabilities, inputs = _ask(net, samples)
    dataset, classes = samples.dataset, samples.dataset.classes
    folder.draw("confusion", plots.confusion, labels, probabilities.argmax(axis=1), classes)
    folder.draw("predictions", plots.predictions, [dataset.image(i) for i in range(min(SHOWN, len(dataset)))],
                labels[:SHOWN], probabilities[:SHOWN], classes, 3)
    folder.draw("maps", plots.feature_maps, net, inputs[0])
    _draw_likeness(folder, net, inputs, [_crop(dataset.image(i), inputs.shape[2]) for i in range(len(inputs))],
                   [classes[label] for label in labels])


def _draw_likeness(folder, net, inputs, pictures, names):
    """What excites the units of the last convolution, and which images are alike to the last linear layer."""
    leaves = list(net.leaves())
    convolution = max(i for i, leaf in enumerate(leaves) if isinstance(leaf, Conv2d))
    units = range(min(UNITS, leaves[convolution].out_channels))
    excited = leaves[convolution + isinstance(leaves[convolution + 1], ReLU)]
    folder.draw("patches", plots.patches, net, inputs, excited.name, units, 8, pictures)
    linear = max(i for i, leaf in enumerate(leaves) if isinstance(leaf, Linear))
    count = min(5, len(inputs) - 1)
    if count:
        features = plots.features(net, inputs, leaves[linear - 1].name)
        folder.draw("neighbours", plots.neighbours, pictures, features, range(min(QUERIES, len(inputs))), count, names)


def _ask(net, samples):
    """Labels (N,) and probabilities (N, classes) of all samples, and the first of the arrays that the network was given."""
    labels, probabilities, inputs, kept = [], [], [], 0
    for batch, answers in predictions(net, samples):
        labels.append(batch.labels)
        probabilities.append(answers)
        here = backends.get(backends.name_of(batch.images))
        inputs.append(here.to_numpy(batch.images[:max(0, SEARCHED - kept)]))
        kept += len(inputs[-1])
    return np.concatenate(labels), np.concatenate(probabilities), np.concatenate(inputs)


def _crop(image, side):
    """The middle of an image, as `Batches` crops it."""
    first = (len(image) - side) // 2
    return image[first:first + side, first:first + side]
