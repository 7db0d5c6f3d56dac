"""What is drawn for an epoch: every crop offset, fair mirrors, the paper's lighting; only the key decides."""

import numpy as np
import pytest

from minicnn.data import Augmentation
from minicnn.data.augment import draw_epoch, draw_noise
from minicnn.errors import DataError

FULL = Augmentation(mirror=True, lighting=0.1, noise=2.0)


@pytest.mark.parametrize("room", [0, 1, 5, 29])
def test_every_offset_is_used_evenly_the_last_one_too(room):
    draws = draw_epoch(FULL, 20_000, room, seed=1, epoch=2)
    for offsets in (draws.top, draws.left):
        counts = np.bincount(offsets, minlength=room + 1)
        assert len(counts) == room + 1
        expected = 20_000 / (room + 1)
        assert np.abs(counts - expected).max() <= 5 * np.sqrt(expected)
    if room:
        assert abs(np.corrcoef(draws.top, draws.left)[0, 1]) < 0.04


def test_mirrors_are_fair_and_can_be_left_out():
    mirrored = draw_epoch(FULL, 10_000, 5, 0, 0).mirrored
    assert mirrored.dtype == bool and abs(mirrored.mean() - 0.5) < 0.025
    assert not draw_epoch(Augmentation(mirror=False), 100, 5, 0, 0).mirrored.any()


def test_alpha_is_normal_with_the_given_deviation():
    alpha = draw_epoch(FULL, 20_000, 5, 0, 0).alpha
    assert alpha.shape == (20_000, 3)
    np.testing.assert_allclose(alpha.std(0), 0.1, rtol=0.03)
    np.testing.assert_allclose(alpha.mean(0), 0, atol=0.004)
    assert not draw_epoch(Augmentation(), 100, 5, 0, 0).alpha.any()


def test_order_is_a_permutation():
    order = draw_epoch(FULL, 1000, 3, 7, 1).order
    assert sorted(order) == list(range(1000)) and (order != np.arange(1000)).mean() > 0.9


def test_a_function_of_seed_and_epoch():
    first, again = (draw_epoch(FULL, 500, 9, 3, 4) for _ in range(2))
    for name in ("order", "top", "left", "mirrored", "alpha"):
        np.testing.assert_array_equal(getattr(first, name), getattr(again, name))
        for seed, epoch in ((3, 5), (4, 4), (4, 3), (-3, 4), (3 + 2**60, 4)):
            assert (getattr(first, name) != getattr(draw_epoch(FULL, 500, 9, seed, epoch), name)).mean() > 0.3, name


def test_one_option_does_not_change_the_others():
    plain, full = draw_epoch(Augmentation(mirror=False), 300, 9, 3, 4), draw_epoch(FULL, 300, 9, 3, 4)
    for name in ("order", "top", "left"):
        np.testing.assert_array_equal(getattr(plain, name), getattr(full, name))


def test_noise_is_standard_normal_and_each_images_own():
    noise = draw_noise((3, 60, 60), seed=1, epoch=2, index=3)
    assert noise.dtype == np.float32 and abs(noise.std() - 1) < 0.03 and abs(noise.mean()) < 0.03
    np.testing.assert_array_equal(noise, draw_noise((3, 60, 60), 1, 2, 3))
    for other in ((1, 2, 4), (1, 3, 3), (2, 2, 3)):
        assert abs(np.corrcoef(noise.ravel(), draw_noise((3, 60, 60), *other).ravel())[0, 1]) < 0.05


@pytest.mark.parametrize("wrong", [{"lighting": -0.1}, {"noise": float("nan")}, {"noise": float("inf")}])
def test_senseless_strengths_are_refused(wrong):
    with pytest.raises(DataError, match="must be a number from 0 up"):
        Augmentation(**wrong)
