"""The start-up check: is a network that is about to be trained likely to learn? Judged by what `watch` measured.

The thresholds stand on `benchmarks/startup.py`, which starts AlexNets in many ways, measures them with `watch` and then
trains each; its table is in `benchmarks/results/startup.md`.
"""

import math
from dataclasses import dataclass, replace

# Logits that hardly depend on the image: the loss stays at log K, because all that a step can improve is the same for
# every image. Networks that learnt had 0.039 and more, those that stayed 0.0066 and less.
BLIND = 0.01

# Loss above log K, that of a network that knows nothing (the first check of Karpathy's CS231n notes, "Learning"). Those that
# learnt started up to 1.2 above it, and the residual network of notebook 7 4.0; with biases of 1 they start at 5.5 and stay
# there, and 0-255 pixels with He-normal weights start at 7.7 and 15, and diverge.
EXPLODING = 5.0

# Gradient ÷ weights. CS231n wants steps of about 1e-3 of the weights; with a learning rate of 0.01 and momentum 0.9, which
# makes of it 0.1, a ratio of 1e-4 gives steps of 1e-5. The least ratio of a network that learnt was 4.6e-4.
VANISHING = 1e-4

DEAD = 0.9  # share of the maps or units of a layer that are 0 for every image; healthy starts have up to 0.48
ALIKE = 1e-3  # how little the input differs from image to image, as a share of its norm
SCALES = {1.0: "pixels with a standard deviation of 1", 60.0: "pixels of 0 to 255 less their mean"}  # to try


@dataclass(frozen=True)
class Finding:
    """Something that speaks against learning, and what helps.

    Attributes
    ----------
    kind : str
        "not finite", "input alike", "dead", "symmetric", "blind", "exploding", "vanishing", or "input scale", if one of
        the last three goes away with an input of another scale.
    layer : str
        Where it begins; "" if in no single layer.
    text, remedy : str
        Sentences.
    """

    kind: str
    layer: str
    text: str
    remedy: str

    def __str__(self):
        return f"{self.kind}: {self.text}. {self.remedy}"


def find(watched, net, retry):
    """What speaks against learning, the likeliest cause first.

    Parameters
    ----------
    watched : Watch
    net : Layer
        For its weights.
    retry : callable
        `retry(factor)` is the `Watch` of the same images times `factor`.

    Returns
    -------
    tuple of Finding
    """
    for rule in (_not_finite, _alike, _dead, _symmetric):  # with one of these the others follow
        found = rule(watched, net)
        if found:
            return (found,)
    return tuple(_with_remedy(sign, watched, retry) for sign in _signs(watched)[:1])


def _not_finite(watched, net):
    remedy = "Look for numbers in the data that are no numbers, then for weights that are too large"
    for row in watched.rows:
        if not math.isfinite(row.norm):
            return Finding("not finite", row.name, f"{_place(row)} is not finite", remedy)
    for row in reversed(watched.rows):
        if not math.isfinite(row.gradient_norm or 0):
            return Finding("not finite", row.name, f"the gradient of {_place(row)} is not finite", remedy)


def _alike(watched, net):
    first = watched.rows[0]
    if first.varies is not None and first.varies < ALIKE:
        return Finding("input alike", "input", f"the images differ by {first.varies:.1e} of their norm, which is nothing",
                       "Look at what the data pipeline makes of them, and give pixels less their mean")


def _dead(watched, net):
    for row in watched.rows[:-1]:  # logits may all be 0 at first
        if row.dead is not None and row.dead >= DEAD:
            return Finding("dead", row.name, f"{row.dead:.0%} of the maps or units in {_place(row)} are 0 for every image",
                           'Are the biases far below 0, or the weights 0? net.initialize("he") starts with neither')


def _symmetric(watched, net):
    weighted = [layer for layer in net.leaves() if layer.parameters() and layer.parameters()[0].data.ndim > 1]
    for layer in weighted[:-1]:
        weights = layer.parameters()[0].data
        if len(weights) > 1 and bool((weights[0] == weights[1]).all()) and bool((weights[1:] == weights[:1]).all()):
            return Finding("symmetric", layer.name, f"all units of {layer.name} start with the same weights and so stay "
                           "copies of one another", 'Draw them at random: net.initialize("he")')


def _signs(watched):
    """Findings about scale, without a remedy."""
    return [sign for sign in (_exploding(watched), _blind(watched), _vanishing(watched)) if sign]


def _exploding(watched):
    if watched.excess is not None and watched.excess > EXPLODING:
        return Finding("exploding", "", f"the loss starts at {watched.loss:.3g}, where log {watched.classes} = "
                       f"{math.log(watched.classes):.3g} is due: the logits are too large", "")


def _blind(watched):
    depends = watched.dependence
    if depends is None or depends >= BLIND:
        return None
    before, after = min(zip(watched.rows, watched.rows[1:]), key=lambda pair: pair[1].varies / (pair[0].varies or math.inf))
    return Finding("blind", after.name, f"the logits differ only {depends:.1e} times as much from image to image as from "
                   f"class to class, and the loss will stay where it is; most is lost in {after.name}: of its input "
                   f"{100 * before.varies:.2g}% differ from image to image, of its output {100 * after.varies:.2g}%", "")


def _vanishing(watched):
    rows = [row for row in watched.rows if row.ratio is not None]
    if not rows or not rows[-1].weight_norm:  # behind weights of 0 the gradient is 0, and for one step only
        return None
    row = min(rows, key=lambda row: row.ratio)
    if row.ratio < VANISHING:
        return Finding("vanishing", row.name, f"the gradient of {row.name} is {row.ratio:.1e} of its weights, and steps "
                       "will hardly change them", "")


def _with_remedy(sign, watched, retry):
    scale = math.hypot(watched.rows[0].mean, watched.rows[0].std)
    for wanted, what in SCALES.items():
        if not 1 / 3 < wanted / scale < 3 and not _signs(retry(wanted / scale)):
            text = f"{sign.text}. It would not be so with an input of size {wanted:g}; now it is {scale:.2g}"
            return Finding("input scale", "input", text, f"The weights suit {what}: scale the images so, or draw weights "
                           "that suit these")
    if any(row.type in ("Sigmoid", "Tanh") for row in watched.rows):
        remedy = "Use ReLU, or batch normalisation before each Sigmoid or Tanh"
    else:
        remedy = 'Start with pixels of unit variance, He-normal weights and biases of 0: net.initialize("he")'
    return replace(sign, remedy=remedy)


def _place(row):
    return "the input" if row.name == "input" else f"the output of {row.name}"
