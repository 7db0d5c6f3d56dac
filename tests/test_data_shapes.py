"""The painted data set: balanced, reproducible, of the right geometry, and hard for a linear classifier."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from minicnn.data import ArrayImages, PixelCache, Shapes, linear_baseline
from minicnn.data.figures import FIGURES, PATTERNS, coverage

K = len(Shapes.classes)


def polygon_area(x, y):
    return abs(x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2


def star_area():
    """Of the pentagram with tips on the unit circle: ten corners, every second one at cos 72° / cos 36°."""
    angles = np.arange(10) * np.pi / 5
    radii = np.where(np.arange(10) % 2, np.cos(0.4 * np.pi) / np.cos(0.2 * np.pi), 1)
    return polygon_area(radii * np.cos(angles), radii * np.sin(angles))


def lens_area(r, s, d):
    """Common part of two discs of radii r, s whose centres are d apart."""
    a, b = (d * d + r * r - s * s) / (2 * d), (d * d + s * s - r * r) / (2 * d)
    return r * r * np.arccos(a / r) - a * np.sqrt(r * r - a * a) + s * s * np.arccos(b / s) - b * np.sqrt(s * s - b * b)


AREAS = {
    "disc": np.pi,
    "ring": np.pi * 0.75,
    "square": 1.4**2,
    "triangle": 3 * np.sqrt(3) / 4,
    "star": star_area(),
    "cross": 2 * (1.9 * 0.56) - 0.56**2,
    "crescent": np.pi - lens_area(1, 0.85, 0.55),
}


@pytest.mark.parametrize("figure", FIGURES)
def test_area_of_each_figure(figure):
    side = 401
    x, y = np.meshgrid(*[np.linspace(-1.2, 1.2, side, dtype=np.float32)] * 2)
    mask = coverage(figure(x, y), side / 2.4)
    assert mask.dtype == np.float32 and mask.min() == 0 and mask.max() == 1
    assert mask.sum() * (2.4 / side) ** 2 == pytest.approx(AREAS[figure.__name__], rel=0.02)
    assert np.hypot(x, y)[mask > 0.5].max() < 1.01, "it does not fit the unit disc"


@pytest.mark.parametrize("pattern,share", list(zip(PATTERNS, [0.5, 0.5, np.pi * 0.09, 0.5, 0.5], strict=True)))
def test_share_of_each_pattern(pattern, share):
    x, y = np.meshgrid(*[np.linspace(-6, 6, 600, endpoint=False, dtype=np.float32)] * 2)
    assert coverage(pattern(x, y), 50).mean() == pytest.approx(share, abs=0.03)


def test_classes_are_balanced_and_many():
    data = Shapes(10 * K + 3, size=16)
    counts = np.bincount(data.labels)
    assert K >= 10 and len(set(data.classes)) == K == len(counts)
    assert counts.max() - counts.min() == 1 and len(data) == len(data.names) == 10 * K + 3
    assert data.labels.dtype == np.int64


def test_an_image_is_a_function_of_seed_and_index():
    data = Shapes(40, size=48, seed=3, cache=PixelCache(0))
    whole = [data.image(i) for i in range(40)]
    few = Shapes(7, size=48, seed=3)
    for i in (6, 0, 3):
        np.testing.assert_array_equal(few.image(i), whole[i])
    with ThreadPoolExecutor(4) as pool:
        for a, b in zip(whole, pool.map(data.image, range(40)), strict=True):
            np.testing.assert_array_equal(a, b)
    other = Shapes(40, size=48, seed=4)
    assert all((other.image(i) != whole[i]).mean() > 0.5 for i in range(40))
    assert all((whole[i] != whole[i + K]).mean() > 0.5 for i in range(40 - K)), "two images of a class are alike"


def test_figure_and_ground_differ_whichever_is_brighter():
    """Of rings: the figure is where it should be, in contrast, brighter about as often as darker."""
    data = Shapes(60 * K, size=64, seed=1)
    brighter = []
    for i in np.flatnonzero(data.labels == data.classes.index("ring")):
        grey = data.image(int(i)) @ np.array([0.299, 0.587, 0.114])
        dark, bright = np.percentile(grey, (3, 97))
        assert bright - dark > 30
        ground = np.median(np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]]))
        brighter.append(bright - ground > ground - dark)
    assert 0.25 < np.mean(brighter) < 0.75


def test_a_linear_classifier_does_poorly():
    score = linear_baseline(Shapes(K * 50, size=114), Shapes(K * 25, size=114, seed=1))
    assert score < 0.3


def as_dataset(pixels, labels, count):
    return ArrayImages(pixels, labels, [str(k) for k in range(count)], size=pixels.shape[1])


def test_linear_baseline_finds_what_is_linear():
    rng = np.random.default_rng(0)
    labels = np.arange(200) % 4
    pixels = rng.integers(0, 120, (200, 20, 20, 3)).astype(np.uint8)
    for k in range(4):
        pixels[labels == k, 5 * k : 5 * k + 5] += 40
    for answers, low, high in ((labels, 1, 1), (rng.permutation(labels), 0, 0.5)):
        train, val = (as_dataset(pixels[part], answers[part], 4) for part in (slice(120), slice(120, None)))
        assert low <= linear_baseline(train, val) <= high


def test_linear_baseline_is_ridge_regression():
    """Against the primal normal equations, for the four λ that it may choose from."""
    rng = np.random.default_rng(1)
    labels, labels_val = rng.integers(0, 3, (2, 60))
    pixels, pixels_val = (rng.integers(0, 256, (60, 4, 4, 3), np.uint8) for _ in range(2))
    pixels[labels == 0, :2] //= 2
    pixels_val[labels_val == 0, :2] //= 2
    x, x_val = (p.reshape(60, -1) / 255 for p in (pixels, pixels_val))
    x, x_val, y = x - x.mean(0), x_val - x.mean(0), np.eye(3)[labels]
    y = y - y.mean(0)
    mean_diagonal = np.trace(x @ x.T) / 60
    scores = []
    for ridge in (1e-3, 1e-2, 1e-1, 1.0):
        w = np.linalg.solve(x.T @ x + ridge * mean_diagonal * np.eye(48), x.T @ y)
        scores.append(((x_val @ w).argmax(1) == labels_val).mean())
    result = linear_baseline(as_dataset(pixels, labels, 3), as_dataset(pixels_val, labels_val, 3))
    assert result == pytest.approx(max(scores)) and max(scores) > 0.45
