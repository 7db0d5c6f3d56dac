"""Plane figures and patterns as signed distances: negative inside, positive outside, about 1 per unit of length.

Each function takes coordinates x, y (arrays of one shape). Figures fill the unit disc; patterns have period 1 and fill
the plane. `coverage` turns any of them into an anti-aliased mask.
"""

import numpy as np


def disc(x, y):
    return np.hypot(x, y) - 1


def ring(x, y):
    return np.abs(np.hypot(x, y) - 0.75) - 0.25


def square(x, y):
    return np.maximum(np.abs(x), np.abs(y)) - 0.7


def cross(x, y):
    x, y = np.abs(x), np.abs(y)
    return np.maximum(np.minimum(x, y) - 0.28, np.maximum(x, y) - 0.95)


def crescent(x, y):
    return np.maximum(np.hypot(x, y) - 1, 0.85 - np.hypot(x - 0.55, y))


def triangle(x, y):
    """Inside of all three sides."""
    return np.maximum.reduce(_sides(x, y, 3)) - 0.5


def star(x, y):
    """The pentagram: inside of at least four of its five lines, so the second largest distance decides."""
    largest = second = np.float32(-np.inf)
    for distance in _sides(x, y, 5):
        second = np.maximum(second, np.minimum(largest, distance))
        largest = np.maximum(largest, distance)
    return second - np.float32(np.cos(0.4 * np.pi))


def stripes(x, y):
    return _bands(x)


def checks(x, y):
    """Inside of one family of stripes or of the other, but not of both."""
    across, along = _bands(x), _bands(y)
    return np.maximum(np.minimum(across, along), -np.maximum(across, along))


def dots(x, y):
    return np.hypot(x - np.rint(x), y - np.rint(y)) - 0.3


def waves(x, y):
    return _bands(x + 0.45 * np.sin(np.float32(np.pi) * y))


def ripples(x, y):
    return _bands(np.hypot(x, y))


def _bands(x):
    return np.abs(x - np.rint(x)) - 0.25


def _sides(x, y, count):
    angles = 2 * np.pi * np.arange(count) / count
    return [np.float32(np.cos(angle)) * x + np.float32(np.sin(angle)) * y for angle in angles]


FIGURES = (disc, ring, square, triangle, star, cross, crescent)
PATTERNS = (stripes, checks, dots, waves, ripples)


def coverage(distance, pixels):
    """The share of each pixel that lies inside, when a unit of length is `pixels` long: clip(1/2 − distance·pixels)."""
    return np.clip(np.float32(0.5) - distance * np.float32(pixels), 0, 1)
