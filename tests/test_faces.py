import hashlib

import numpy as np
import pytest
from sklearn.linear_model import RidgeClassifier

from common.data import synthetic
from common.labels import CLASS_NAMES, NUM_CLASSES, class_code


@pytest.fixture(scope="module")
def drawn():
    return synthetic.draw_dataset(900, 400, seed=0)


def digests(images):
    return {hashlib.sha256(image.tobytes()).digest() for image in images}


def test_table_names_known_actions_and_every_class():
    for name, moves in synthetic.PROTOTYPES:
        assert set(moves) <= set(synthetic.ACTIONS), name
    assert {class_code(name) for name, _ in synthetic.PROTOTYPES} == set(range(NUM_CLASSES))
    assert np.isclose(sum(synthetic.CLASS_SHARES), 1)
    assert len(synthetic.CLASS_SHARES) == NUM_CLASSES


def test_no_two_numbers_of_a_face_share_a_name():
    names = [*synthetic.ACTIONS, *synthetic.IDENTITY, *synthetic.EXTRAS]
    assert len(names) == len(set(names))


def test_shapes_and_dtypes(drawn):
    train_images, train_labels, test_images, test_labels = drawn
    for images, labels, size in (
        (train_images, train_labels, 900),
        (test_images, test_labels, 400),
    ):
        assert images.shape == (size, 48, 48)
        assert images.dtype == np.uint8
        assert labels.shape == (size,)
        assert labels.dtype == np.int64


def test_classes_come_in_their_shares_and_out_of_order(drawn):
    labels = drawn[1]
    counts = np.bincount(labels, minlength=NUM_CLASSES)
    assert np.abs(counts - 900 * np.array(synthetic.CLASS_SHARES)).max() <= 1
    assert counts.argmin() == class_code("disgust")
    assert counts.argmax() == class_code("happy")
    assert set(labels[:100]) == set(range(NUM_CLASSES))


def test_same_seed_same_bits_other_seed_other_faces():
    first, again = synthetic.draw_dataset(40, 20, seed=3), synthetic.draw_dataset(40, 20, seed=3)
    other = synthetic.draw_dataset(40, 20, seed=4)
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not digests(first[0]) & digests(other[0])


def test_chunk_changes_no_pixel():
    labels = np.arange(60) % NUM_CLASSES
    whole, single, odd = (
        synthetic.draw_faces(labels, rng=np.random.default_rng(1), chunk=chunk)
        for chunk in (60, 1, 7)
    )
    assert np.array_equal(whole, single)
    assert np.array_equal(whole, odd)


def test_train_and_test_are_different_people_from_separate_streams(drawn):
    train_images, _, test_images, _ = drawn
    assert len(digests(train_images)) == len(train_images)
    assert not digests(train_images) & digests(test_images)
    equal_sizes = synthetic.draw_dataset(30, 30, seed=0)
    assert not digests(equal_sizes[0]) & digests(equal_sizes[2])
    longer = synthetic.draw_dataset(50, 30, seed=0)
    assert np.array_equal(equal_sizes[2], longer[2])


def test_every_image_has_a_range_of_greys(drawn):
    pixels = drawn[0].reshape(len(drawn[0]), -1).astype(float)
    spans = np.percentile(pixels, 98, axis=1) - np.percentile(pixels, 2, axis=1)
    assert spans.min() > 40
    assert np.median(spans) > 120
    assert 80 < pixels.mean() < 175


def test_expressions_are_learnable_yet_not_given_away(drawn):
    train_images, train_labels, test_images, test_labels = drawn

    def small(images):  # 24 x 24 pixels, each image at mean 0 and deviation 1
        blocks = images.reshape(-1, 24, 2, 24, 2).mean(axis=(2, 4)).reshape(len(images), -1)
        return (blocks - blocks.mean(1, keepdims=True)) / (blocks.std(1, keepdims=True) + 1e-6)

    model = RidgeClassifier(alpha=300.0).fit(small(train_images), train_labels)
    accuracy = model.score(small(test_images), test_labels)
    assert 2 * max(synthetic.CLASS_SHARES) < accuracy < 0.85


def mean_face(name):
    labels = np.full(150, class_code(name))
    return synthetic.draw_faces(labels, rng=np.random.default_rng(2)).mean(axis=0)


def test_surprise_opens_a_dark_mouth_and_smiles_are_wide():
    # Rows and columns of the mouth: it lies half a unit below the middle, at 1.13 times the size.
    surprise, happy, neutral = (mean_face(name) for name in ("surprise", "happy", "neutral"))
    mouth = np.s_[36:43, 21:27]
    assert surprise[mouth].mean() < neutral[mouth].mean() - 20
    corners = np.s_[33:37, [14, 15, 32, 33]]
    assert happy[corners].mean() < neutral[corners].mean() - 5


@pytest.mark.parametrize("labels", [[0, 7], [-1], [[0, 1]], ["happy"]])
def test_unknown_labels_are_refused(labels):
    with pytest.raises(ValueError, match="expected a list of class codes 0-6"):
        synthetic.draw_faces(labels, rng=np.random.default_rng(0))


def test_no_labels_no_faces():
    images = synthetic.draw_faces([], rng=np.random.default_rng(0))
    assert images.shape == (0, 48, 48)
    train_images, train_labels, *_ = synthetic.draw_dataset(0, 7)
    assert len(train_images) == len(train_labels) == 0


def test_all_names_can_be_drawn_in_one_small_set():
    labels = synthetic.draw_dataset(20, 20, seed=9)[1]
    assert {CLASS_NAMES[code] for code in labels} == set(CLASS_NAMES)
