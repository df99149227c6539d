"""Images of a run found again in other copies: any order, other pixels, doubles, and no leak."""

import io

import numpy as np
import pytest
from PIL import Image

from common.data import matching, synthetic

COUNT, HELD_OUT = 280, 60
IMAGES = synthetic.draw_faces(np.arange(COUNT) % 7, rng=np.random.default_rng(5))
IMAGES[40] = IMAGES[41]  # repeated images, together on one side
ROWS = np.random.default_rng(6).permutation(np.setdiff1d(np.arange(COUNT), (40, 41)))
HELD = np.concatenate([ROWS[: HELD_OUT - 2], [40, 41]])
TRAINED = np.setdiff1d(np.arange(COUNT), HELD)
KNOWN = matching.fingerprints(IMAGES)


def jpeg(image, quality=75, size=48):
    stream = io.BytesIO()
    Image.fromarray(image).resize((size, size)).save(stream, "JPEG", quality=quality)
    return np.asarray(Image.open(stream).resize((48, 48), Image.Resampling.HAMMING).convert("L"))


def same(found, images):
    return (images[found] == IMAGES[HELD]).all(axis=(1, 2))


def test_any_order_is_found_to_the_last_image():
    order = np.random.default_rng(0).permutation(COUNT)
    found = matching.match(KNOWN, HELD, IMAGES[order])
    assert same(found, IMAGES[order]).all()
    assert len(np.unique(found)) == HELD_OUT  # repeated images are two, not one twice


@pytest.mark.parametrize("options", [{}, {"quality": 95}, {"size": 224}])
def test_encoded_anew_nearly_all_are_found_and_none_that_was_trained_on(options):
    order = np.random.default_rng(1).permutation(COUNT)
    images = np.stack([jpeg(image, **options) for image in IMAGES[order]])
    found = matching.match(KNOWN, HELD, images)
    assert (found >= 0).mean() > 0.95
    right = IMAGES[order[found[found >= 0]]] == IMAGES[HELD[found >= 0]]
    assert right.all()
    assert not np.isin(order[found[found >= 0]], TRAINED).any()


def test_missing_and_changed_images_are_said_to_be_missing():
    images = IMAGES.copy()
    changed, gone = HELD[:7], HELD[7:12]
    fresh = synthetic.draw_faces(np.zeros(7, int), rng=np.random.default_rng(9))
    images[changed] = fresh
    images = np.delete(images, gone, axis=0)
    found = matching.match(KNOWN, HELD, images)
    assert (found[:12] == -1).all()
    assert (found[12:] >= 0).all()


def test_doubled_rows_are_taken_once():
    images = np.concatenate([IMAGES[HELD[:5]]] * 3)
    found = matching.match(KNOWN, HELD, images)
    assert (found >= 0).sum() == 5


@pytest.mark.parametrize("change", [np.array, jpeg])
def test_what_was_trained_on_is_never_taken_for_held_out(change):
    images = np.stack([change(image) for image in IMAGES[TRAINED]])
    assert (matching.match(KNOWN, HELD, images) == -1).all()


@pytest.mark.parametrize("change", [np.array, jpeg])
def test_seen_is_what_was_trained_on_in_any_encoding(change):
    images = np.stack([change(image) for image in IMAGES])
    was_seen = matching.seen(KNOWN, TRAINED, images)
    assert was_seen[TRAINED].mean() > 0.98
    assert not was_seen[HELD].any()


def test_no_images_match_nothing():
    assert (matching.match(KNOWN, HELD, IMAGES[:0]) == -1).all()


def test_nothing_is_seen_where_nothing_is_known():
    nothing, images = np.empty((0, 48, 48), np.uint8), np.zeros((2, 48, 48), np.uint8)
    known = matching.fingerprints(nothing)
    assert not matching.seen(known, np.arange(0), images).any()
    assert not len(matching.seen(matching.fingerprints(images), np.arange(2), nothing))
