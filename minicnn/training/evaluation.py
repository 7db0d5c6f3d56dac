"""How well a network does: loss, top-1 and top-5 of a data set, and the running sums of the same during training."""

import contextlib
import dataclasses

import numpy as np

from minicnn import backends
from minicnn.out_of_memory import advised


@dataclasses.dataclass
class Sums:
    """Running sums over the images of an epoch; dividing by `images` gives the means.

    They are saved in the middle of an epoch, so that a resumed epoch reports what an unbroken one does.

    Examples
    --------
    >>> sums = Sums()
    >>> sums.add(0.5, np.array([[.1, .7, .2], [.5, .3, .2]]), np.array([1, 2]))
    >>> sums.add(0.8, np.array([[.1, .1, .8]]), np.array([2]))
    >>> sums.images, round(sums.loss, 3), round(sums.top1, 3), sums.top5
    (3, 0.6, 0.667, 1.0)
    """

    images: int = 0
    loss_sum: float = 0.0
    top1_hits: int = 0
    top5_hits: int = 0
    seconds: float = 0.0
    waited: float = 0.0

    def add(self, loss, scores, labels):
        """Add a batch: its mean loss, and the scores (N, classes), of which only the order counts, for labels (N,)."""
        top1, top5 = count_hits(scores, labels)
        self.images += len(labels)
        self.loss_sum += float(loss) * len(labels)
        self.top1_hits += top1
        self.top5_hits += top5

    @property
    def loss(self):
        return self.loss_sum / max(self.images, 1)

    @property
    def top1(self):
        return self.top1_hits / max(self.images, 1)

    @property
    def top5(self):
        return self.top5_hits / max(self.images, 1)

    @property
    def images_per_second(self):
        return self.images / self.seconds if self.seconds else 0.0

    @property
    def waiting(self):
        """The share of the time in which the network waited for images."""
        return self.waited / self.seconds if self.seconds else 0.0


def count_hits(scores, labels):
    """How many labels are the best score, and how many are among the best five (of fewer classes: among all).

    Equal scores rank by class number, so that a network which says the same of every class is not taken for a good one.

    Shapes
    ------
    scores : (N, classes)
    labels : (N,) integers

    Examples
    --------
    >>> count_hits(np.array([[.1, .7, .2], [.5, .3, .2]]), np.array([1, 2]))
    (1, 2)
    """
    best = np.argsort(-scores, axis=1, kind="stable")[:, :5]
    hits = best == np.asarray(labels)[:, None]
    return int(hits[:, 0].sum()), int(hits.sum())


def softmax(logits):
    """exp(z) / sum(exp(z)) along the last axis, in float64."""
    shifted = np.exp(logits - logits.max(axis=-1, keepdims=True), dtype=np.float64)
    return shifted / shifted.sum(axis=-1, keepdims=True)


def predictions(net, batches):
    """Yield (batch, probabilities) for every batch of images, in evaluation mode.

    Where the batches hold several views of each image (ten crops), the probabilities are averaged over them, as in the
    paper's section 4.1.

    Shapes
    ------
    batch.images : (V*N, C, H, W), the V views of an image next to each other
    probabilities : (N, classes) float64

    Examples
    --------
    >>> from minicnn import Flatten, Linear, Sequential
    >>> from minicnn.data import Batches, PixelStatistics, Shapes
    >>> data = Shapes(24, size=32)
    >>> batches = Batches(data, 10, crop=28, statistics=PixelStatistics.fit(data))
    >>> net = Sequential(flat=Flatten(), fc=Linear(3 * 28 * 28, 12, seed=0))
    >>> [(len(batch.labels), p.shape) for batch, p in predictions(net, batches)]
    [(10, (10, 12)), (10, (10, 12)), (4, (4, 12))]
    """
    backend = backends.get(net.backend)
    made = batches.epoch()
    with contextlib.closing(advised(made, net, batches.shape, training=False)) as epoch:
        for batch in epoch:
            probabilities = softmax(backend.to_numpy(net.predict(backend.asarray(batch.images))))
            yield batch, probabilities.reshape(len(batch.labels), -1, probabilities.shape[-1]).mean(axis=1)


def evaluate(net, batches, check=lambda: None):
    """Loss (mean of -log p of the true class), top-1 and top-5 over all batches.

    Parameters
    ----------
    net : Sequential
    batches : Batches
    check : callable
        Called after each batch; may raise to stop.

    Returns
    -------
    Sums

    Examples
    --------
    >>> from minicnn import Flatten, Linear, Sequential
    >>> from minicnn.data import Batches, PixelStatistics, Shapes
    >>> data = Shapes(24, size=32)
    >>> batches = Batches(data, 10, crop=28, statistics=PixelStatistics.fit(data))
    >>> net = Sequential(flat=Flatten(), fc=Linear(3 * 28 * 28, 12, seed=0)).initialize(0.0)
    >>> found = evaluate(net, batches)
    >>> found.images, round(found.loss, 4), round(float(np.log(12)), 4)          # a network that knows nothing
    (24, 2.4849, 2.4849)
    """
    sums = Sums()
    with contextlib.closing(predictions(net, batches)) as results:
        for batch, probabilities in results:
            true = probabilities[np.arange(len(batch.labels)), batch.labels]
            sums.add(-np.log(np.maximum(true, np.finfo(np.float64).tiny)).mean(), probabilities, batch.labels)
            check()
    return sums
