"""The three pictures of a run: its curves, the filters that it learned, and what it says of images it has not seen."""

import numpy as np

from minicnn import backends, plots
from minicnn.training.evaluation import predictions


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
    """Draw curves.png, filters.png and predictions.png into a run's folder.

    Parameters
    ----------
    folder : RunFolder
    net : Sequential
        The filters drawn are those of its first convolution.
    history : list of dict
        `Trainer.history`; without a finished epoch there are no curves.
    samples : Batches
        Of the images to show, which need not be many.
    start : array, optional
        `first_filters` of the untrained network.
    """
    if history:
        folder.draw("curves", plots.training_curves, history)
    folder.draw("filters", plots.filters, first_filters(net), start)
    results = [(batch, probabilities) for batch, probabilities in predictions(net, samples)]
    shown = [samples.dataset.image(i) for batch, _ in results for i in batch.indices]
    folder.draw("predictions", plots.predictions, shown, np.concatenate([batch.labels for batch, _ in results]),
                np.concatenate([probabilities for _, probabilities in results]), samples.dataset.classes, 3)
