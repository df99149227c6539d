"""Attacks against closed forms on linear models, against another library, and at their limits."""

import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from common import attacks, robustness

SHAPE = (10, 10, 1)
NUM_IMAGES = 12


@pytest.fixture(scope="module")
def network():
    """A small convolutional network with moved BatchNorm statistics, on logits."""
    keras.utils.set_random_seed(3)
    model = keras.Sequential(
        [
            keras.Input(SHAPE),
            keras.layers.Conv2D(8, 3, kernel_initializer="he_normal"),
            keras.layers.LeakyReLU(negative_slope=0.001),
            keras.layers.BatchNormalization(momentum=0.5),
            keras.layers.Dropout(0.5),
            keras.layers.Flatten(),
            keras.layers.Dense(7, name="logits"),
        ]
    )
    model(np.random.default_rng(0).random((32, *SHAPE), np.float32), training=True)
    return model


@pytest.fixture(scope="module")
def pixels():
    return np.random.default_rng(1).random((NUM_IMAGES, *SHAPE), np.float32)


@pytest.fixture(scope="module")
def labels(network, pixels):
    return attacks.predict_logits(network, pixels).argmax(1)


@pytest.fixture(scope="module")
def linear():
    """A linear model with known weights, (model, weights (pixels, 7), bias (7,))."""
    model = keras.Sequential(
        [keras.Input(SHAPE), keras.layers.Flatten(), keras.layers.Dense(7, name="logits")]
    )
    generator = np.random.default_rng(2)
    weights = generator.normal(size=(100, 7)).astype(np.float32)
    bias = generator.normal(size=7).astype(np.float32)
    model.set_weights([weights, bias])
    return model, weights, bias


@pytest.fixture(scope="module")
def middling(linear):
    """Images near grey with the labels a linear model gives them, far from the pixel bounds."""
    images = 0.5 + 0.02 * np.random.default_rng(4).standard_normal((NUM_IMAGES, *SHAPE))
    images = images.astype(np.float32)
    return images, attacks.predict_logits(linear[0], images).argmax(1)


@pytest.fixture(scope="module")
def toolbox(network):
    """The same network as another library sees it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from art.estimators.classification import TensorFlowV2Classifier
    return TensorFlowV2Classifier(
        model=network,
        nb_classes=7,
        input_shape=SHAPE,
        loss_object=keras.losses.CategoricalCrossentropy(from_logits=True),
        clip_values=(0, 1),
    )


def generator(seed=0):
    return np.random.default_rng(seed)


def lengths(changes):
    return np.sqrt((changes.reshape(len(changes), -1).astype(np.float64) ** 2).sum(1))


# ---------------------------------------------------------------------------- the other library


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("targeted", [False, True])
def test_fgsm_equals_the_toolbox(network, toolbox, pixels, labels, norm, targeted):
    from art.attacks.evasion import FastGradientMethod

    aims = (labels + 1) % 7 if targeted else labels
    eps = {"linf": 0.05, "l2": 0.6}[norm]
    theirs = FastGradientMethod(
        toolbox, norm={"linf": np.inf, "l2": 2}[norm], eps=eps, targeted=targeted
    ).generate(pixels, keras.utils.to_categorical(aims, 7))
    ours = attacks.fgsm(network, pixels, aims, eps=eps, norm=norm, targeted=targeted)
    np.testing.assert_allclose(ours, theirs, atol=1e-5)
    assert np.abs(ours - pixels).max() > 0.01


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("targeted", [False, True])
def test_pgd_equals_the_toolbox(network, toolbox, pixels, labels, norm, targeted):
    from art.attacks.evasion import ProjectedGradientDescent

    aims = (labels + 1) % 7 if targeted else labels
    eps = {"linf": 0.05, "l2": 0.6}[norm]
    theirs = ProjectedGradientDescent(
        toolbox,
        norm={"linf": np.inf, "l2": 2}[norm],
        eps=eps,
        eps_step=eps / 4,
        max_iter=7,
        targeted=targeted,
        verbose=False,
    ).generate(pixels, keras.utils.to_categorical(aims, 7))
    ours = attacks.pgd(
        network,
        pixels,
        aims,
        eps=eps,
        norm=norm,
        steps=7,
        step_size=eps / 4,
        random_start=False,
        targeted=targeted,
    )
    np.testing.assert_allclose(ours, theirs, atol=1e-5)


# --------------------------------------------------------------------------------- closed forms


@pytest.mark.parametrize("targeted", [False, True])
def test_fgsm_on_a_linear_model(linear, middling, targeted):
    model, weights, bias = linear
    images, labels = middling
    logits = images.reshape(NUM_IMAGES, -1) @ weights + bias
    probabilities = np.exp(logits - logits.max(1, keepdims=True))
    probabilities /= probabilities.sum(1, keepdims=True)
    gradient = (probabilities - np.eye(7)[labels]) @ weights.T
    sign = -1 if targeted else 1
    expected = images + sign * 0.1 * np.sign(gradient).reshape(images.shape)
    found = attacks.fgsm(model, images, labels, eps=0.1, targeted=targeted)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    expected = images + sign * 0.1 * (gradient / lengths(gradient)[:, np.newaxis]).reshape(
        images.shape
    )
    found = attacks.fgsm(model, images, labels, eps=0.1, norm="l2", targeted=targeted)
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_deepfool_reaches_the_nearest_hyperplane(linear, middling, norm):
    model, weights, bias = linear
    images, labels = middling
    logits = (images.reshape(NUM_IMAGES, -1) @ weights + bias).astype(np.float64)
    distances = np.full((NUM_IMAGES, 7), np.inf)
    for image, label in enumerate(labels):
        for other in set(range(7)) - {label}:
            slope = weights[:, other].astype(np.float64) - weights[:, label]
            steepness = np.abs(slope).sum() if norm == "linf" else np.sqrt((slope**2).sum())
            distances[image, other] = (logits[image, label] - logits[image, other]) / steepness
    nearest = distances.min(1)
    found = attacks.deepfool(model, images, labels, norm=norm)
    size = attacks.change_size(found, images, norm=norm)
    np.testing.assert_allclose(size, 1.02 * nearest, rtol=1e-3, atol=1e-6)
    assert (attacks.predict_logits(model, found).argmax(1) == distances.argmin(1)).all()
    assert (smallest(model, images, labels, "deepfool", largest=1.0, norm=norm) == size).all()


@pytest.mark.parametrize("attack", ["fgsm", "pgd"])
def test_smallest_eps_on_two_classes_is_the_distance(attack):
    """With two classes the signed gradient is the fastest way over the one hyperplane."""
    model = keras.Sequential([keras.Input(SHAPE), keras.layers.Flatten(), keras.layers.Dense(2)])
    weights = np.random.default_rng(5).normal(size=(100, 2)).astype(np.float32)
    model.set_weights([weights, np.zeros(2, np.float32)])
    images = np.full((4, *SHAPE), 0.5, np.float32)
    images += 0.02 * np.random.default_rng(6).standard_normal(images.shape).astype(np.float32)
    logits = attacks.predict_logits(model, images)
    labels = logits.argmax(1)
    gap = np.abs(logits[:, 0] - logits[:, 1]).astype(np.float64)
    distance = gap / np.abs(weights[:, 0] - weights[:, 1]).sum()
    found = smallest(model, images, labels, attack, largest=0.25, rounds=14)
    np.testing.assert_allclose(found, distance, atol=0.25 / 2**13)


@pytest.mark.parametrize("attack", ["fgsm", "pgd", "deepfool"])
def test_smallest_eps_of_a_misread_image_is_zero_and_of_an_unmoved_one_infinite(
    linear, middling, attack
):
    model, _, _ = linear
    images, labels = middling
    assert (smallest(model, images, (labels + 1) % 7, attack, largest=0.5) == 0).all()
    if attack != "deepfool":  # which goes as far as it must
        assert np.isinf(smallest(model, images, labels, attack, largest=1e-9)).all()


def smallest(model, images, labels, attack, *, largest, **options):
    """Return the smallest eps that `robustness.measure` finds for each image."""
    found = robustness.measure(
        model, images, labels, eps=[largest], kinds=[attack], generator=generator(), **options
    )
    return found.smallest[attack]


# --------------------------------------------------------------------------------------- limits


@settings(deadline=None, max_examples=60)
@given(
    images=arrays.arrays(np.float32, (3, 2, 2, 1), elements=st.floats(0, 1, width=32)),
    candidates=arrays.arrays(np.float64, (3, 2, 2, 1), elements=st.floats(-3, 3)),
    eps=arrays.arrays(np.float64, (3,), elements=st.floats(0, 2)),
    norm=st.sampled_from(attacks.NORMS),
)
def test_project_never_leaves_the_ball_nor_the_bounds(images, candidates, eps, norm):
    found = attacks.project(candidates, images, eps=eps, norm=norm)
    assert found.dtype == np.float32
    assert found.min() >= 0
    assert found.max() <= 1
    # A thousand million times closer than the 1e-7 asked for.
    assert (attacks.change_size(found, images, norm=norm) <= eps + 1e-15).all()


@settings(deadline=None, max_examples=25)
@given(
    images=arrays.arrays(
        np.float32, (2, *SHAPE), elements=st.floats(0, 1, width=32), fill=st.just(np.float32(1))
    ),
    eps=st.one_of(st.integers(0, 255).map(lambda k: k / 255), st.floats(0, 3)),
    norm=st.sampled_from(attacks.NORMS),
    attack=st.sampled_from(["fgsm", "pgd", "noise"]),
    targeted=st.booleans(),
    seed=st.integers(0, 5),
)
def test_attacks_never_leave_the_ball_nor_the_bounds(
    network, images, eps, norm, attack, targeted, seed
):
    labels = np.array([seed, 6 - seed])
    if attack == "fgsm":
        found = attacks.fgsm(network, images, labels, eps=eps, norm=norm, targeted=targeted)
    elif attack == "pgd":
        found = attacks.pgd(
            network,
            images,
            labels,
            eps=eps,
            norm=norm,
            steps=3,
            restarts=2,
            targeted=targeted,
            generator=generator(seed),
        )
    else:
        found = attacks.random_noise(images, eps=eps, norm=norm, generator=generator(seed))
    assert np.isfinite(found).all()
    assert found.min() >= 0
    assert found.max() <= 1
    assert (attacks.change_size(found, images, norm=norm) <= eps + 1e-7).all()


def test_each_image_has_its_own_eps(network, pixels, labels):
    eps = np.linspace(0, 0.1, NUM_IMAGES)
    for found in (
        attacks.fgsm(network, pixels, labels, eps=eps),
        attacks.pgd(network, pixels, labels, eps=eps, generator=generator()),
    ):
        np.testing.assert_allclose(attacks.change_size(found, pixels), eps, atol=1e-6)
        assert (found[0] == pixels[0]).all()


def test_deepfool_stays_within_the_bounds(network, pixels, labels):
    found = attacks.deepfool(network, pixels, labels, norm="l2")
    assert found.min() >= 0
    assert found.max() <= 1
    assert attacks.fooled(network, found, labels).all()
    wrong = (labels + 1) % 7
    assert (attacks.deepfool(network, pixels, wrong) == pixels).all()


# ------------------------------------------------------------------------------------ behaviour


def test_two_calls_are_bit_equal_and_restarts_differ(network, pixels, labels):
    def call(seed):
        return attacks.pgd(
            network, pixels, labels, eps=0.03, restarts=2, steps=4, generator=generator(seed)
        )

    assert (call(0) == call(0)).all()
    assert (call(0) != call(1)).any()
    one = robustness.measure(network, pixels, labels, eps=[0, 0.02], generator=generator())
    two = robustness.measure(network, pixels, labels, eps=[0, 0.02], generator=generator())
    for name in ("fgsm", "pgd", "noise"):
        assert (one.predictions[name] == two.predictions[name]).all()
        assert (one.smallest[name] == two.smallest[name]).all()
    assert (one.smallest["deepfool"] == two.smallest["deepfool"]).all()


def test_chunks_do_not_change_the_result(network, pixels, labels):
    for targeted in (False, True):
        whole, chunked = (
            attacks.pgd(
                network,
                pixels,
                labels,
                eps=0.6,
                norm="l2",
                steps=3,
                restarts=2,
                targeted=targeted,
                generator=generator(),
                batch_size=batch_size,
            )
            for batch_size in (64, 5)
        )
        np.testing.assert_allclose(whole, chunked, atol=1e-4)
    np.testing.assert_allclose(
        attacks.deepfool(network, pixels, labels, batch_size=5),
        attacks.deepfool(network, pixels, labels),
        atol=1e-4,
    )


def test_weights_and_batch_statistics_stay(network, pixels, labels):
    before = [weights.copy() for weights in network.get_weights()]
    attacks.fgsm(network, pixels, labels, eps=0.03)
    attacks.pgd(network, pixels, labels, eps=0.03, generator=generator())
    attacks.deepfool(network, pixels, labels)
    for old, new in zip(before, network.get_weights(), strict=True):
        assert (old == new).all()


@pytest.mark.parametrize("loss", sorted(attacks.LOSSES))
def test_attacks_raise_the_loss_or_lower_it_to_a_target(network, pixels, labels, loss):
    def values(images, aims):
        logits = tf.constant(attacks.predict_logits(network, images))
        return attacks.LOSSES[loss](logits, tf.constant(aims)).numpy()

    target = (labels + 2) % 7
    options = {"eps": 0.03, "loss": loss}
    away = attacks.pgd(network, pixels, labels, generator=generator(), **options)
    assert (values(away, labels) > values(pixels, labels)).all()
    towards = attacks.pgd(network, pixels, target, targeted=True, generator=generator(), **options)
    assert (values(towards, target) < values(pixels, target)).all()
    one_step = attacks.fgsm(network, pixels, target, targeted=True, **options)
    assert (values(one_step, target) < values(pixels, target)).mean() > 0.9
    assert (values(towards, target) < values(one_step, target)).mean() > 0.9


def test_restarts_only_help(network, pixels, labels):
    def margin(restarts):
        found = attacks.pgd(
            network,
            pixels,
            labels,
            eps=0.02,
            steps=2,
            restarts=restarts,
            generator=generator(7),
        )
        return attacks.margins(attacks.predict_logits(network, found), labels)

    one, five = margin(1), margin(5)
    assert (five >= one - 1e-5).all()
    assert (five > one + 1e-5).any()


def test_margins_are_signed_by_success():
    logits = np.array([[3, 1, 0, 0, 0, 0, 0], [0, 5, 4, 0, 0, 0, 0]], np.float32)
    np.testing.assert_allclose(attacks.margins(logits, np.array([0, 2])), [-2, 1])
    np.testing.assert_allclose(attacks.margins(logits, np.array([0, 2]), targeted=True), [2, -1])


def test_vanished_gradients_are_seen_and_the_margin_loss_has_them(linear, middling):
    model, weights, bias = linear
    sure = keras.models.clone_model(model)
    sure.set_weights([1e6 * weights, 1e6 * bias])
    images, labels = middling
    flags = attacks.vanished(attacks.steepest(sure, images, labels))
    assert flags.all()
    assert (attacks.fgsm(sure, images, labels, eps=0.1) == images).all()
    sentence = attacks.describe_vanished(flags, loss="cross-entropy")
    assert f"{NUM_IMAGES} of {NUM_IMAGES}" in sentence
    assert "margin" in sentence
    there = attacks.vanished(attacks.steepest(sure, images, labels, loss="margin", norm="l2"))
    assert not there.any()
    assert "Warning" not in attacks.describe_vanished(there, loss="margin")
    assert "Warning" in attacks.describe_vanished(flags, loss="margin")


def test_small_gradients_keep_their_direction(linear, middling):
    """Squares of 1e-30 are zero in float32: the length must not be computed from them."""
    model, weights, bias = linear
    faint = keras.models.clone_model(model)
    faint.set_weights([1e-25 * weights, np.zeros_like(bias)])
    images, labels = middling
    direction = attacks.steepest(faint, images, labels, norm="l2")
    np.testing.assert_allclose(lengths(direction), 1, rtol=1e-5)


def test_a_model_without_any_gradient_is_left_alone(pixels):
    flat = keras.Sequential(
        [
            keras.Input(SHAPE),
            keras.layers.Flatten(),
            keras.layers.Dense(7, kernel_initializer="zeros"),
        ]
    )
    zeros = np.zeros(NUM_IMAGES, np.int64)
    for norm in attacks.NORMS:
        assert (attacks.deepfool(flat, pixels, zeros, norm=norm, steps=2) == pixels).all()
        assert (attacks.fgsm(flat, pixels, zeros, eps=0.1, norm=norm) == pixels).all()


def test_noise_has_the_size_of_the_attack():
    grey = np.full((3, *SHAPE), 0.5, np.float32)
    for norm, eps in (("linf", 8 / 255), ("l2", 1.5)):
        noisy = attacks.random_noise(grey, eps=eps, norm=norm, generator=generator())
        np.testing.assert_allclose(attacks.change_size(noisy, grey, norm=norm), eps, rtol=1e-6)
    again = attacks.random_noise(grey, eps=1.5, norm="l2", generator=generator(1))
    assert (again != noisy).any()


def test_rounding_gives_what_a_file_of_grey_levels_gives():
    levels = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1)
    exact = levels.astype(np.float32) / 255
    assert (attacks.round_to_8_bits(exact) == exact).all()
    nudged = np.clip(exact + 0.4 / 255, 0, 1)
    assert (attacks.round_to_8_bits(nudged) == exact).all()


# ---------------------------------------------------------------------------------- robustness


def test_robustness_agrees_with_the_attacks_one_by_one(network, pixels, labels):
    eps = np.array([0, 1, 3, 30]) / 255
    found = robustness.measure(network, pixels, labels, eps=eps, generator=generator(), rounds=4)
    assert set(found.predictions) == {"fgsm", "pgd", "noise"}
    assert set(found.smallest) == {"fgsm", "pgd", "noise", "deepfool"}
    for k, size in enumerate(eps):
        single = attacks.fgsm(network, pixels, labels, eps=size)
        expected = attacks.predict_logits(network, single).argmax(1)
        assert (found.predictions["fgsm"][k] == expected).all()
        expected = attacks.predict_logits(network, attacks.round_to_8_bits(single)).argmax(1)
        assert (found.rounded["fgsm"][k] == expected).all()
    for name in ("fgsm", "pgd", "noise"):
        assert (found.predictions[name][0] == labels).all()
    misread = found.predictions["pgd"] != labels
    assert (np.diff(misread.astype(int), axis=0) >= 0).all()
    assert misread[-1].all()
    assert (found.smallest["pgd"] <= found.smallest["fgsm"] + 1 / 255).all()
    # Each smallest eps lies in the step of the curve at which the image falls.
    first = misread.argmax(0)
    assert (found.smallest["pgd"] <= eps[first]).all()
    assert (found.smallest["pgd"] > eps[first - 1]).all()
    assert not found.vanished.any()


def test_robustness_of_a_target_counts_what_reaches_it(network, pixels, labels):
    target = np.full(NUM_IMAGES, 2)
    rows = labels != 2
    found = robustness.measure(
        network,
        pixels[rows],
        target[rows],
        eps=[0, 0.3],
        kinds=("pgd",),
        targeted=True,
        generator=generator(),
    )
    assert (found.predictions["pgd"][0] != 2).all()
    assert (found.predictions["pgd"][1] == 2).mean() > 0.9
    assert (found.smallest["pgd"] > 0).all()


# ----------------------------------------------------------------------------------- bad input


def test_bad_input_is_named(network, pixels, labels):
    good = {"eps": 0.1}
    for wrong in (-0.1, np.nan, np.inf, [0.1, 0.2], np.full((NUM_IMAGES, 1), 0.1)):
        with pytest.raises(ValueError, match="eps"):
            attacks.fgsm(network, pixels, labels, eps=wrong)
    with pytest.raises(ValueError, match="linf, l2"):
        attacks.fgsm(network, pixels, labels, norm="l1", **good)
    with pytest.raises(ValueError, match="margin"):
        attacks.fgsm(network, pixels, labels, loss="hinge", **good)
    with pytest.raises(ValueError, match="to_inputs"):
        attacks.fgsm(network, (pixels * 255).astype(np.uint8), labels, **good)
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        attacks.fgsm(network, pixels * 2, labels, **good)
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        attacks.fgsm(network, pixels * np.nan, labels, **good)
    with pytest.raises(ValueError, match="0 to 6"):
        attacks.fgsm(network, pixels, labels + 7, **good)
    with pytest.raises(ValueError, match="one for each image"):
        attacks.fgsm(network, pixels, labels[:2], **good)
    with pytest.raises(ValueError, match="generator"):
        attacks.pgd(network, pixels, labels, **good)
    with pytest.raises(ValueError, match="restarts"):
        attacks.pgd(network, pixels, labels, restarts=2, random_start=False, **good)
    with pytest.raises(ValueError, match="steps"):
        attacks.pgd(network, pixels, labels, steps=0, generator=generator(), **good)
    with pytest.raises(ValueError, match="untargeted"):
        robustness.measure(network, pixels, labels, eps=[0.1], targeted=True, generator=generator())
    with pytest.raises(ValueError, match="rising"):
        robustness.measure(network, pixels, labels, eps=[0.1, 0.1], generator=generator())
    soft = keras.Sequential([network, keras.layers.Softmax()])
    with pytest.raises(ValueError, match="logits_model"):
        attacks.fgsm(soft, pixels, labels, **good)


def test_no_images_give_no_images(network):
    none = np.zeros((0, *SHAPE), np.float32)
    labels = np.zeros(0, np.int64)
    assert attacks.fgsm(network, none, labels, eps=0.1).shape == none.shape
    assert attacks.pgd(network, none, labels, eps=0.1, generator=generator()).shape == none.shape
    assert attacks.deepfool(network, none, labels).shape == none.shape


# ------------------------------------------------------------------------------------ sampling


def test_even_sample_is_even_and_its_weights_restore_the_shares():
    labels = np.repeat(np.arange(7), [40, 2, 30, 60, 50, 20, 38])
    labels = generator().permutation(labels)
    rows, weights = robustness.even_sample(labels, 37)
    counts = np.bincount(labels[rows], minlength=7)
    assert counts[1] == 2
    assert set(np.delete(counts, 1)) <= {5, 6}
    assert len(rows) == len(set(rows)) == 37
    shares = np.bincount(labels[rows], weights)
    np.testing.assert_allclose(shares, np.bincount(labels) / len(labels))
    everything, equal = robustness.even_sample(labels, 10_000)
    assert (everything == np.arange(len(labels))).all()
    np.testing.assert_allclose(equal, 1 / len(labels))


def test_weighted_shares_by_hand():
    labels = np.array([0, 0, 0, 0, 3, 3])
    weights = np.array([0.1, 0.1, 0.1, 0.1, 0.3, 0.3])
    hits = np.array([[1, 1, 1, 0, 1, 0], [1, 1, 1, 1, 1, 1]], bool)
    share, error, of_class = robustness.weighted_shares(hits, labels, weights)
    np.testing.assert_allclose(share, [0.6, 1])
    expected = np.sqrt(0.4**2 * (0.75 * 0.25) / 4 + 0.6**2 * 0.25 / 2)
    np.testing.assert_allclose(error, [expected, 0])
    np.testing.assert_allclose(of_class[:, [0, 3]], [[0.75, 0.5], [1, 1]])
    assert np.isnan(of_class[:, [1, 2, 4, 5, 6]]).all()


def test_size_quartiles_leave_out_what_was_misread():
    smallest = np.array([0, 1, 2, 3, 4, np.inf, np.inf])
    labels = np.array([0, 0, 0, 0, 0, 5, 2])
    quartiles = robustness.size_quartiles(smallest, labels, np.full(7, 1 / 7))
    np.testing.assert_allclose(quartiles[1], [1, 2, 3])
    np.testing.assert_allclose(quartiles[0], [2, 3, np.inf])
    assert np.isinf(quartiles[1 + 5]).all()
    assert np.isnan(quartiles[1 + 1]).all()
