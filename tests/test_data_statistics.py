"""Mean image, standard deviation and colour axes against float64 formulas."""

import numpy as np
import pytest

from minicnn.data import ArrayImages, PixelStatistics
from minicnn.errors import DataError, StateError


def dataset(count=150, side=6, seed=0):
    """Correlated colours; more images than a chunk holds."""
    rng = np.random.default_rng(seed)
    base = rng.integers(0, 200, (count, side, side, 1))
    pixels = (base * [1.0, 0.6, 0.3] + rng.integers(0, 56, (count, side, side, 3))).astype(np.uint8)
    return ArrayImages(pixels, np.arange(count) % 2, ["a", "b"], size=side)


def test_against_the_formulas():
    data = dataset()
    x = data.pixels.astype(np.float64)
    result = PixelStatistics.fit(data)
    mean = x.mean(0)
    np.testing.assert_allclose(result.mean, mean, rtol=1e-6)
    np.testing.assert_allclose(result.std, np.sqrt(((x - mean) ** 2).mean((0, 1, 2))), rtol=1e-6)
    covariance = np.cov(x.reshape(-1, 3).T / 255, bias=True)
    values, vectors = result.eigenvalues.astype(float), result.eigenvectors.astype(float)
    np.testing.assert_allclose(vectors @ np.diag(values) @ vectors.T, covariance, atol=1e-8)
    np.testing.assert_allclose(vectors.T @ vectors, np.eye(3), atol=1e-6)
    assert values[0] > values[1] > values[2] > 0
    assert (np.abs(vectors).max(0) == vectors.max(0)).all(), "signs are fixed by the largest component"
    assert all(array.dtype == np.float32 for array in result.state_dict().values())
    assert (result.mean.shape, result.std.shape) == ((6, 6, 3), (3,))


def test_the_same_bits_whatever_the_threads():
    data = dataset(333)
    one, four = PixelStatistics.fit(data, workers=1), PixelStatistics.fit(data, workers=4)
    for name, array in one.state_dict().items():
        assert array.tobytes() == four.state_dict()[name].tobytes(), name


def test_white_images_do_not_overflow():
    white = ArrayImages(np.full((700, 5, 5, 3), 255, np.uint8), [0] * 700, ["a"], size=5)
    result = PixelStatistics.fit(white)
    assert (result.mean == 255).all() and (result.std == 1).all() and (result.eigenvalues == 0).all()


def test_grey_images_have_one_colour_axis():
    grey = ArrayImages(np.random.default_rng(0).integers(0, 256, (20, 8, 8), np.uint8), [0] * 20, ["a"], size=8)
    result = PixelStatistics.fit(grey)
    assert result.eigenvalues[0] > 0.1 and result.eigenvalues[1:].max() < 1e-7
    np.testing.assert_allclose(result.eigenvectors[:, 0], 3**-0.5, rtol=1e-5)


def test_lighting_is_the_papers_formula():
    """[p1 p2 p3][α1 λ1, α2 λ2, α3 λ3]ᵀ, term by term, with λ and not its square root."""
    result = PixelStatistics.fit(dataset())
    alpha = np.array([0.11, -0.07, 0.2])
    shift = np.zeros(3)
    for k in range(3):
        for c in range(3):
            shift[c] += 255 * float(result.eigenvectors[c, k]) * alpha[k] * float(result.eigenvalues[k])
    np.testing.assert_allclose(result.lighting(alpha), shift, rtol=1e-6)
    np.testing.assert_allclose(result.lighting(np.stack([alpha, -alpha])), [shift, -shift], rtol=1e-6)


def test_state_survives():
    result = PixelStatistics.fit(dataset(10))
    again = PixelStatistics.from_state_dict(result.state_dict())
    for name, array in result.state_dict().items():
        np.testing.assert_array_equal(getattr(again, name), array)


@pytest.mark.parametrize("change", [
    lambda state: state.pop("std"),
    lambda state: state.update(more=np.zeros(1)),
    lambda state: state.update(mean=np.zeros((6, 5, 3))),
    lambda state: state.update(mean=np.zeros(())),
    lambda state: state.update(eigenvectors=np.zeros(3)),
])
def test_a_state_that_does_not_fit_is_refused(change):
    state = PixelStatistics.fit(dataset(10)).state_dict()
    change(state)
    with pytest.raises(StateError, match="PixelStatistics"):
        PixelStatistics.from_state_dict(state)


def test_no_images():
    with pytest.raises(DataError, match="no images"):
        PixelStatistics.fit(ArrayImages(np.zeros((0, 4, 4), np.uint8), [], ["a"], size=4))
