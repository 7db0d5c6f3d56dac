"""How weights start. An initialiser is a function `(generator, shape) -> float32 array`, made by the classes below."""

import math

import numpy as np

from minicnn.errors import ShapeError


def fans(shape):
    """(fan in, fan out) of weights (O, I) or (O, I, KH, KW): how many numbers a unit reads, and how many read it.

    Examples
    --------
    >>> fans((96, 3, 11, 11)), fans((4096, 9216))
    ((363, 11616), (9216, 4096))
    """
    receptive = math.prod(shape[2:])
    return shape[1] * receptive, shape[0] * receptive


class HeNormal:
    """N(0, 2/fan_in): keeps the scale of activations through ReLUs (He et al. 2015, equation 10).

    Examples
    --------
    >>> weights = draw(HeNormal(), (500, 200), seed=0)
    >>> round(float(weights.std()), 2), (2 / 200) ** 0.5
    (0.1, 0.1)
    """

    def __call__(self, generator, shape):
        return Normal(math.sqrt(2 / fans(shape)[0]))(generator, shape)

    def __repr__(self):
        return "HeNormal()"


class XavierUniform:
    """U(−a, a) with a = √(6/(fan_in + fan_out)) (Glorot and Bengio 2010, equation 16).

    Examples
    --------
    >>> weights = draw(XavierUniform(), (300, 300), seed=0)
    >>> round(float(abs(weights).max()), 3), (6 / 600) ** 0.5
    (0.1, 0.1)
    """

    def __call__(self, generator, shape):
        return Uniform(math.sqrt(6 / sum(fans(shape))))(generator, shape)

    def __repr__(self):
        return "XavierUniform()"


class Uniform:
    """U(−bound, bound).

    Examples
    --------
    >>> weights = draw(Uniform(0.5), (100, 100), seed=0)
    >>> round(float(weights.min()), 2), round(float(weights.max()), 2)
    (-0.5, 0.5)
    """

    def __init__(self, bound):
        if not bound > 0:
            raise ShapeError(f"Uniform: bound is {bound!r}, wanted a number > 0")
        self.bound = bound

    def __call__(self, generator, shape):
        values = generator.random(shape, np.float32)
        values *= np.float32(2 * self.bound)
        values -= np.float32(self.bound)
        return values

    def __repr__(self):
        return f"Uniform({self.bound:g})"


class Normal:
    """N(0, std²).

    Examples
    --------
    >>> weights = draw(Normal(0.01), (100, 100), seed=0)          # the paper's, section 5
    >>> weights.dtype, round(float(weights.std()), 3)
    (dtype('float32'), 0.01)
    """

    def __init__(self, std):
        if not std > 0:
            raise ShapeError(f"Normal: std is {std!r}, wanted a number > 0")
        self.std = std

    def __call__(self, generator, shape):
        values = generator.standard_normal(shape, np.float32)
        values *= np.float32(self.std)
        return values

    def __repr__(self):
        return f"Normal({self.std:g})"


class Constant:
    """Every number the same; for biases.

    Examples
    --------
    >>> draw(Constant(1), (3,))
    array([1., 1., 1.], dtype=float32)
    """

    def __init__(self, value):
        self.value = value

    def __call__(self, generator, shape):
        return np.full(shape, self.value, np.float32)

    def __repr__(self):
        return f"Constant({self.value:g})"


NAMED = {"he": HeNormal(), "xavier": XavierUniform()}


def named(initialiser):
    """The initialiser itself, or the one called "he" or "xavier".

    Examples
    --------
    >>> named("he"), named(Normal(0.01))
    (HeNormal(), Normal(0.01))
    """
    found = NAMED.get(initialiser) if isinstance(initialiser, str) else initialiser
    if not callable(found):
        raise ShapeError(f"unknown initialiser {initialiser!r}: wanted one of {', '.join(NAMED)}, or an object such as "
                         "Normal(0.01)")
    return found


def draw(initialiser, shape, seed=None):
    """A float32 array of `shape` drawn by `initialiser` from a seed or generator (None: the system's entropy).

    A number instead of an initialiser stands for `Constant`.

    Examples
    --------
    >>> draw("he", (96, 3, 11, 11), seed=0).shape, draw(0.1, (2,))
    ((96, 3, 11, 11), array([0.1, 0.1], dtype=float32))
    """
    if isinstance(initialiser, (int, float)):
        initialiser = Constant(initialiser)
    return named(initialiser)(generator(seed), shape)


def generator(seed):
    """A generator for an int (a negative one counts from 2⁶⁴ down), a sequence of ints, None, or a generator itself.

    Examples
    --------
    >>> generator([0, 5]).integers(100) == generator([0, 5]).integers(100)
    np.True_
    """
    if seed is None or isinstance(seed, np.random.Generator):
        return np.random.default_rng(seed)
    words = list(np.atleast_1d(np.asarray(seed, dtype=object)))
    if not all(hasattr(word, "__index__") for word in words):
        raise ShapeError(f"a seed is {seed!r}, wanted an int, a sequence of ints, or None")
    return np.random.default_rng([int(word) % 2**64 for word in words])
