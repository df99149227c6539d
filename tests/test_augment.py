"""Augmentation against what flips, shifts, rotations and erasing must do."""

import numpy as np
import pytest
import tensorflow as tf

from common.training.augment import augment, mix
from common.training.recipes import POLICIES, Policy

SEED = tf.constant([3, 7])


def ramp(number=64):
    """Images that hold their own coordinates: value = column / 100 + row / 10_000."""
    rows, columns = np.mgrid[:48, :48]
    image = (columns / 100 + rows / 10_000).astype(np.float32)
    return np.broadcast_to(image[..., None], (number, 48, 48, 1)).copy()


def test_none_changes_nothing():
    images = ramp(4)
    np.testing.assert_array_equal(augment(images, "none", SEED), images)


def test_flip_mirrors_about_half_of_the_images_exactly():
    images = ramp(400)
    changed = np.asarray(augment(images, Policy(flip=True), SEED))
    mirrored = np.isclose(changed, images[:, :, ::-1], atol=1e-6).all(axis=(1, 2, 3))
    kept = np.isclose(changed, images, atol=1e-6).all(axis=(1, 2, 3))
    assert (mirrored ^ kept).all()
    assert 150 < mirrored.sum() < 250


def test_shifts_are_continuous_even_and_within_a_tenth():
    changed = np.asarray(augment(ramp(500), Policy(shift=0.1), SEED))[:, 20:28, 20:28, 0]
    columns = 100 * (changed - ramp(1)[0, 20:28, 20:28, 0])  # a column adds 1, a row 0.01
    rows = 100 * (changed[:, 1:] - changed[:, :-1])
    np.testing.assert_allclose(rows, 0.01, atol=1e-3)
    shifts = columns.mean(axis=(1, 2))
    assert np.abs(shifts).max() <= 4.8 + 0.06
    assert np.abs(shifts).max() > 4.5
    assert abs(shifts.mean()) < 0.4
    assert shifts.std() == pytest.approx(9.6 / np.sqrt(12), rel=0.1)
    assert len(np.unique(shifts.round(3))) > 400


def test_edges_are_repeated_as_in_the_report():
    changed = np.asarray(augment(ramp(200), Policy(shift=0.1), SEED))
    assert changed.min() >= 0
    assert changed.max() <= ramp(1).max() + 1e-6
    constant = np.full((8, 48, 48, 1), 0.25, np.float32)
    np.testing.assert_allclose(augment(constant, "report", SEED), constant, atol=1e-6)


def test_rotation_and_zoom_keep_the_centre():
    image = np.zeros((100, 48, 48, 1), np.float32)
    image[:, 22:26, 22:26] = 1
    changed = np.asarray(augment(image, Policy(rotation=12, zoom=0.1), SEED))[..., 0]
    weight = changed.sum(axis=(1, 2))
    centre = (changed * np.arange(48)).sum(axis=2).sum(axis=1) / weight
    np.testing.assert_allclose(centre, 23.5, atol=0.05)
    assert weight.min() < 15 < 17 < weight.max()


def test_erasing_covers_a_part_of_some_images():
    images = np.random.default_rng(0).random((300, 48, 48, 1), dtype=np.float32)
    changed = np.asarray(augment(images, Policy(erase=0.5), SEED))
    share = (changed != images).mean(axis=(1, 2, 3))
    assert 110 < (share > 0).sum() < 190
    assert share.max() < 0.25


def test_mixtures_of_two_images_have_the_mixture_of_both_losses():
    count, generator = 6, np.random.default_rng(0)
    values, weights = generator.random((2, count)).astype(np.float32)
    images = np.broadcast_to(values[:, None, None, None], (count, 48, 48, 1))
    targets = np.eye(7, dtype=np.float32)[:count]  # no class twice, so that shares can be read off
    mixed, taught, weight = (np.asarray(a) for a in mix(images, targets, weights, 0.4, SEED))
    before = (np.arange(count) - 1) % count
    share = (mixed[:, 0, 0, 0] - values[before]) / (values - values[before])
    assert ((share > 0) & (share < 1)).all()
    assert np.ptp(mixed, axis=(1, 2, 3)).max() == 0
    losses = -np.log(generator.dirichlet(np.ones(7), count))  # of each mixture, by class
    found = weight * (taught * losses).sum(axis=1)
    own, other = (weights[rows] * losses[range(count), rows] for rows in (range(count), before))
    np.testing.assert_allclose(found, share * own + (1 - share) * other, rtol=1e-4)
    np.testing.assert_allclose(taught.sum(axis=1), 1, rtol=1e-5)


@pytest.mark.parametrize("alpha", [0.01, 0.2, 1.0, 5.0])
def test_shares_of_mixtures_follow_the_beta_distribution(alpha):
    images = (np.arange(20_000) % 2).astype(np.float32)[:, None, None, None]
    batch = images, np.ones((20_000, 7), np.float32) / 7, np.ones(20_000, np.float32)
    mixed, again = (np.asarray(mix(*batch, alpha, SEED)[0]) for _ in range(2))
    assert np.isfinite(mixed).all()
    assert mixed.mean() == pytest.approx(0.5, abs=0.015)
    assert mixed.var() == pytest.approx(0.25 / (2 * alpha + 1), rel=0.05)
    np.testing.assert_array_equal(mixed, again)


@pytest.mark.parametrize("name", sorted(POLICIES))
def test_the_seed_alone_decides(name):
    images = np.random.default_rng(0).random((16, 48, 48, 1), dtype=np.float32)
    first, again = (np.asarray(augment(images, name, SEED)) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert first.shape == images.shape
    assert first.min() >= 0
    assert first.max() <= 1
    if name != "none":
        assert not np.array_equal(first, augment(images, name, tf.constant([3, 8])))
