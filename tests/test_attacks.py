"""Attacks against closed forms on linear models, against another library, and at their limits."""

import sys
import types
import warnings
from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from common.attacks import deepfool, engine, fgsm, mi_fgsm, noise, pgd, registry, robustness
from common.attacks.registry import Budget
from common.attacks.robustness import Measurement, Robustness
from common.attacks.setting import Sample, Setting
from common.figures.adversarial import robustness as figure_of_robustness

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
    return engine.predict_logits(network, pixels).argmax(1)


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
    return images, engine.predict_logits(linear[0], images).argmax(1)


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
    ours = fgsm.perturb(network, pixels, aims, Budget(eps, norm, targeted=targeted))
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
    budget = Budget(eps, norm, steps=7, step_size=eps / 4, restarts=0, targeted=targeted)
    ours = pgd.perturb(network, pixels, aims, budget)
    np.testing.assert_allclose(ours, theirs, atol=1e-5)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("targeted", [False, True])
def test_mi_fgsm_equals_the_toolbox(network, toolbox, pixels, labels, norm, targeted, monkeypatch):
    from art.attacks.evasion import MomentumIterativeMethod

    # The toolbox has momentum in its NumPy version only, which it takes for other frameworks.
    monkeypatch.setattr(toolbox, "all_framework_preprocessing", False)
    aims = (labels + 1) % 7 if targeted else labels
    eps = {"linf": 0.05, "l2": 0.6}[norm]
    theirs = MomentumIterativeMethod(
        toolbox,
        norm={"linf": np.inf, "l2": 2}[norm],
        eps=eps,
        eps_step=eps / 4,
        decay=mi_fgsm.DECAY,
        max_iter=7,
        targeted=targeted,
        verbose=False,
    ).generate(pixels, keras.utils.to_categorical(aims, 7))
    budget = Budget(eps, norm, steps=7, step_size=eps / 4, targeted=targeted)
    ours = mi_fgsm.perturb(network, pixels, aims, budget)
    np.testing.assert_allclose(ours, theirs, atol=1e-5)
    without_momentum = pgd.perturb(network, pixels, aims, replace(budget, restarts=0))
    assert np.abs(ours - without_momentum).max() > 1e-3


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
    found = fgsm.perturb(model, images, labels, Budget(0.1, targeted=targeted))
    np.testing.assert_allclose(found, expected, atol=1e-6)
    expected = images + sign * 0.1 * (gradient / lengths(gradient)[:, np.newaxis]).reshape(
        images.shape
    )
    found = fgsm.perturb(model, images, labels, Budget(0.1, "l2", targeted=targeted))
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
    found = deepfool.perturb(model, images, labels, Budget(0, norm))
    size = engine.perturbation_size(found, images, norm)
    np.testing.assert_allclose(size, 1.02 * nearest, rtol=1e-3, atol=1e-6)
    assert (engine.predict_logits(model, found).argmax(1) == distances.argmin(1)).all()
    assert (smallest(model, images, labels, "deepfool", largest=1.0, norm=norm) == size).all()


@pytest.mark.parametrize("attack", ["fgsm", "pgd"])
def test_smallest_eps_on_two_classes_is_the_distance(attack):
    """With two classes the signed gradient is the fastest way over the one hyperplane."""
    model = keras.Sequential([keras.Input(SHAPE), keras.layers.Flatten(), keras.layers.Dense(2)])
    weights = np.random.default_rng(5).normal(size=(100, 2)).astype(np.float32)
    model.set_weights([weights, np.zeros(2, np.float32)])
    images = np.full((4, *SHAPE), 0.5, np.float32)
    images += 0.02 * np.random.default_rng(6).standard_normal(images.shape).astype(np.float32)
    logits = engine.predict_logits(model, images)
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


def smallest(model, images, labels, attack, *, largest, norm="linf", rounds=3):
    """Return the smallest eps that `robustness.measure` finds for each image."""
    budget = Budget([largest], norm, generator=generator())
    found = robustness.measure(model, images, labels, budget, [attack], rounds=rounds)
    return found.smallest[attack]


# --------------------------------------------------------------------------------------- limits


@settings(deadline=None, max_examples=60)
@given(
    images=arrays.arrays(np.float32, (3, 2, 2, 1), elements=st.floats(0, 1, width=32)),
    candidates=arrays.arrays(np.float64, (3, 2, 2, 1), elements=st.floats(-3, 3)),
    eps=arrays.arrays(np.float64, (3,), elements=st.floats(0, 2)),
    norm=st.sampled_from(registry.NORMS),
)
def test_project_never_leaves_the_ball_nor_the_bounds(images, candidates, eps, norm):
    found = engine.project(candidates, images, Budget(eps, norm))
    assert found.dtype == np.float32
    assert found.min() >= 0
    assert found.max() <= 1
    # A thousand million times closer than the 1e-7 asked for.
    assert (engine.perturbation_size(found, images, norm) <= eps + 1e-15).all()


@settings(deadline=None, max_examples=25)
@given(
    images=arrays.arrays(
        np.float32, (2, *SHAPE), elements=st.floats(0, 1, width=32), fill=st.just(np.float32(1))
    ),
    eps=st.one_of(st.integers(0, 255).map(lambda k: k / 255), st.floats(0, 3)),
    norm=st.sampled_from(registry.NORMS),
    attack=st.sampled_from([name for name in registry.ATTACKS if registry.ATTACKS[name].sized]),
    targeted=st.booleans(),
    seed=st.integers(0, 5),
)
def test_attacks_never_leave_the_ball_nor_the_bounds(
    network, images, eps, norm, attack, targeted, seed
):
    labels = np.array([seed, 6 - seed])
    budget = Budget(eps, norm, steps=3, restarts=2, targeted=targeted, generator=generator(seed))
    found = registry.load(attack).perturb(network, images, labels, budget)
    assert np.isfinite(found).all()
    assert found.min() >= 0
    assert found.max() <= 1
    assert (engine.perturbation_size(found, images, norm) <= eps + 1e-7).all()


def test_each_image_has_its_own_eps(network, pixels, labels):
    eps = np.linspace(0, 0.1, NUM_IMAGES)
    for attack in (fgsm, pgd, mi_fgsm):
        found = attack.perturb(network, pixels, labels, Budget(eps, generator=generator()))
        np.testing.assert_allclose(engine.perturbation_size(found, pixels, "linf"), eps, atol=1e-6)
        assert (found[0] == pixels[0]).all()


def test_deepfool_stays_within_the_bounds(network, pixels, labels):
    found = deepfool.perturb(network, pixels, labels, Budget(0, "l2"))
    assert found.min() >= 0
    assert found.max() <= 1
    assert engine.fooled(network, found, labels, Budget(0)).all()
    wrong = (labels + 1) % 7
    assert (deepfool.perturb(network, pixels, wrong, Budget(0)) == pixels).all()


# ------------------------------------------------------------------------------------ behaviour


def test_two_calls_are_bit_equal_and_restarts_differ(network, pixels, labels):
    def call(seed):
        budget = Budget(0.03, restarts=2, steps=4, generator=generator(seed))
        return pgd.perturb(network, pixels, labels, budget)

    assert (call(0) == call(0)).all()
    assert (call(0) != call(1)).any()
    one, two = (
        robustness.measure(network, pixels, labels, Budget([0, 0.02], generator=generator()))
        for _ in range(2)
    )
    for name in ("fgsm", "pgd", "noise"):
        assert (one.predictions[name] == two.predictions[name]).all()
        assert (one.smallest[name] == two.smallest[name]).all()
    assert (one.smallest["deepfool"] == two.smallest["deepfool"]).all()


@pytest.mark.parametrize("attack", [pgd, mi_fgsm, deepfool])
@pytest.mark.parametrize("targeted", [False, True])
def test_batches_do_not_change_the_result(network, pixels, labels, attack, targeted):
    if attack is deepfool and targeted:
        return
    whole, in_batches = (
        attack.perturb(
            network,
            pixels,
            labels,
            Budget(
                0.6,
                "linf" if attack is deepfool else "l2",
                steps=3,
                restarts=2,
                targeted=targeted,
                generator=generator(),
                batch_size=batch_size,
            ),
        )
        for batch_size in (64, 5)
    )
    np.testing.assert_allclose(whole, in_batches, atol=1e-4)


def test_weights_and_batch_statistics_stay(network, pixels, labels):
    before = [weights.copy() for weights in network.get_weights()]
    for name in registry.ATTACKS:
        attack = registry.load(name)
        attack.perturb(network, pixels, labels, Budget(0.03, generator=generator()))
    for old, new in zip(before, network.get_weights(), strict=True):
        assert (old == new).all()


@pytest.mark.parametrize("loss", registry.LOSSES)
def test_attacks_raise_the_loss_or_lower_it_to_a_target(network, pixels, labels, loss):
    def values(images, aims):
        logits = tf.constant(engine.predict_logits(network, images))
        return engine.LOSS_FUNCTIONS[loss](logits, tf.constant(aims)).numpy()

    target = (labels + 2) % 7
    budget = Budget(0.03, loss=loss, generator=generator())
    away = pgd.perturb(network, pixels, labels, budget)
    assert (values(away, labels) > values(pixels, labels)).all()
    budget = replace(budget, targeted=True, generator=generator())
    towards = pgd.perturb(network, pixels, target, budget)
    assert (values(towards, target) < values(pixels, target)).all()
    one_step = fgsm.perturb(network, pixels, target, budget)
    assert (values(one_step, target) < values(pixels, target)).mean() > 0.9
    assert (values(towards, target) < values(one_step, target)).mean() > 0.9


def test_restarts_only_help(network, pixels, labels):
    def margin(restarts):
        budget = Budget(0.02, steps=2, restarts=restarts, generator=generator(7))
        found = pgd.perturb(network, pixels, labels, budget)
        return engine.margins(engine.predict_logits(network, found), labels, budget)

    one, five = margin(1), margin(5)
    assert (five >= one - 1e-5).all()
    assert (five > one + 1e-5).any()


def test_margins_are_signed_by_success():
    logits = np.array([[3, 1, 0, 0, 0, 0, 0], [0, 5, 4, 0, 0, 0, 0]], np.float32)
    np.testing.assert_allclose(engine.margins(logits, np.array([0, 2]), Budget(0)), [-2, 1])
    targeted = Budget(0, targeted=True)
    np.testing.assert_allclose(engine.margins(logits, np.array([0, 2]), targeted), [2, -1])


def test_vanished_gradients_are_seen_and_the_margin_loss_has_them(linear, middling):
    model, weights, bias = linear
    sure = keras.models.clone_model(model)
    sure.set_weights([1e6 * weights, 1e6 * bias])
    images, labels = middling
    flags = engine.vanished(engine.steepest(sure, images, labels, Budget(0)))
    assert flags.all()
    assert (fgsm.perturb(sure, images, labels, Budget(0.1)) == images).all()
    sentence = Setting("", Budget(0)).describe_vanished(flags)
    assert f"{NUM_IMAGES} of {NUM_IMAGES}" in sentence
    assert "margin" in sentence
    margin = Budget(0, "l2", loss="margin")
    there = engine.vanished(engine.steepest(sure, images, labels, margin))
    assert not there.any()
    assert "Warning" not in Setting("", margin).describe_vanished(there)
    assert "Warning" in Setting("", margin).describe_vanished(flags)


def test_small_gradients_keep_their_direction(linear, middling):
    """Squares of 1e-30 are zero in float32: the length must not be computed from them."""
    model, weights, bias = linear
    faint = keras.models.clone_model(model)
    faint.set_weights([1e-25 * weights, np.zeros_like(bias)])
    images, labels = middling
    direction = engine.steepest(faint, images, labels, Budget(0, "l2"))
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
    for norm in registry.NORMS:
        for attack in (deepfool, fgsm, mi_fgsm):
            assert (attack.perturb(flat, pixels, zeros, Budget(0.1, norm)) == pixels).all()


def test_noise_has_the_size_of_the_attack():
    grey = np.full((3, *SHAPE), 0.5, np.float32)
    for norm, eps in (("linf", 8 / 255), ("l2", 1.5)):
        noisy = noise.perturb(None, grey, None, Budget(eps, norm, generator=generator()))
        np.testing.assert_allclose(engine.perturbation_size(noisy, grey, norm), eps, rtol=1e-6)
    again = noise.perturb(None, grey, None, Budget(1.5, "l2", generator=generator(1)))
    assert (again != noisy).any()


def test_rounding_gives_what_a_file_of_grey_levels_gives():
    levels = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1)
    exact = levels.astype(np.float32) / 255
    assert (engine.round_to_8_bits(exact) == exact).all()
    nudged = np.clip(exact + 0.4 / 255, 0, 1)
    assert (engine.round_to_8_bits(nudged) == exact).all()


# ---------------------------------------------------------------------------------- robustness


def test_robustness_agrees_with_the_attacks_one_by_one(network, pixels, labels):
    eps = np.array([0, 1, 3, 30]) / 255
    budget = Budget(eps, generator=generator())
    found = robustness.measure(network, pixels, labels, budget, rounds=4)
    assert set(found.predictions) == {"fgsm", "pgd", "noise"}
    assert set(found.smallest) == {"fgsm", "pgd", "noise", "deepfool"}
    for k, size in enumerate(eps):
        single = fgsm.perturb(network, pixels, labels, Budget(size))
        expected = engine.predict_logits(network, single).argmax(1)
        assert (found.predictions["fgsm"][k] == expected).all()
        expected = engine.predict_logits(network, engine.round_to_8_bits(single)).argmax(1)
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
    budget = Budget([0, 0.3], targeted=True, generator=generator())
    found = robustness.measure(network, pixels[rows], target[rows], budget, ["pgd"])
    assert (found.predictions["pgd"][0] != 2).all()
    assert (found.predictions["pgd"][1] == 2).mean() > 0.9
    assert (found.smallest["pgd"] > 0).all()


# ----------------------------------------------------------------------------------- bad input


def test_bad_input_is_named(network, pixels, labels):
    good = Budget(0.1)
    for wrong in (-0.1, np.nan, np.inf, [0.1, 0.2], np.full((NUM_IMAGES, 1), 0.1)):
        with pytest.raises(ValueError, match="eps"):
            fgsm.perturb(network, pixels, labels, Budget(wrong))
    with pytest.raises(ValueError, match="linf, l2"):
        Budget(0.1, norm="l1")
    with pytest.raises(ValueError, match="margin"):
        Budget(0.1, loss="hinge")
    with pytest.raises(ValueError, match="to_inputs"):
        fgsm.perturb(network, (pixels * 255).astype(np.uint8), labels, good)
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        fgsm.perturb(network, pixels * 2, labels, good)
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        fgsm.perturb(network, pixels * np.nan, labels, good)
    with pytest.raises(ValueError, match="0 to 6"):
        fgsm.perturb(network, pixels, labels + 7, good)
    with pytest.raises(ValueError, match="one class code for each"):
        fgsm.perturb(network, pixels, labels[:2], good)
    with pytest.raises(ValueError, match="generator"):
        pgd.perturb(network, pixels, labels, good)
    with pytest.raises(ValueError, match="restarts"):
        Budget(0.1, restarts=-1)
    with pytest.raises(ValueError, match="steps"):
        Budget(0.1, steps=0)
    with pytest.raises(ValueError, match="untargeted"):
        robustness.measure(network, pixels, labels, Budget([0.1], targeted=True))
    with pytest.raises(ValueError, match="untargeted"):
        deepfool.perturb(network, pixels, labels, Budget(0.1, targeted=True))
    with pytest.raises(ValueError, match="rising"):
        robustness.measure(network, pixels, labels, Budget([0.1, 0.1], generator=generator()))
    soft = keras.Sequential([network, keras.layers.Softmax()])
    with pytest.raises(ValueError, match="logits_model"):
        fgsm.perturb(soft, pixels, labels, good)


def test_an_unknown_attack_is_an_error_that_lists_the_known_ones(network, pixels, labels):
    with pytest.raises(ValueError, match="unknown attack 'anything': expected one of fgsm, pgd"):
        registry.load("anything")
    with pytest.raises(ValueError, match="unknown attack 'anything'"):
        registry.check(["anything"], targeted=False)
    budget = Budget([0.1], generator=generator())
    with pytest.raises(ValueError, match="unknown attack 'anything'"):
        robustness.measure(network, pixels, labels, budget, ["anything"])


@pytest.mark.parametrize("straight", [False, True])
def test_an_attack_that_is_registered_is_measured(monkeypatch, network, pixels, labels, straight):
    """FGSM under another name, once with its direction and once as an attack of its own."""
    module = types.SimpleNamespace(perturb=fgsm.perturb)
    if straight:
        module.direction = fgsm.direction
    monkeypatch.setitem(sys.modules, "another", module)
    entry = registry.Attack("Another", "#000000", "FGSM again", module="another")
    monkeypatch.setitem(registry.ATTACKS, "another", entry)
    budget = Budget([0, 0.01, 0.3], generator=generator())
    found = robustness.measure(network, pixels, labels, budget, ["fgsm", "another"])
    won = found.predictions["another"] != labels
    expected = found.predictions["fgsm"] != labels
    assert (won == (expected if straight else np.logical_or.accumulate(expected))).all()
    if straight:
        assert (found.smallest["another"] == found.smallest["fgsm"]).all()


def test_no_images_give_no_images(network):
    none = np.zeros((0, *SHAPE), np.float32)
    labels = np.zeros(0, np.int64)
    for name in registry.ATTACKS:
        for norm in registry.NORMS:
            budget = Budget(0.1, norm, generator=generator())
            assert registry.load(name).perturb(network, none, labels, budget).shape == none.shape


# ------------------------------------------------------------------------------------ sampling


def test_even_sample_is_even_and_its_weights_restore_the_shares():
    labels = np.repeat(np.arange(7), [40, 2, 30, 60, 50, 20, 38])
    labels = generator().permutation(labels)
    sample = Sample.even(labels, 37)
    rows, weights = sample.numbers, sample.weights
    assert (labels[rows] == sample.labels).all()
    counts = np.bincount(labels[rows], minlength=7)
    assert counts[1] == 2
    assert set(np.delete(counts, 1)) <= {5, 6}
    assert len(rows) == len(set(rows)) == 37
    shares = np.bincount(labels[rows], weights)
    np.testing.assert_allclose(shares, np.bincount(labels) / len(labels))
    everything = Sample.even(labels, 10_000)
    assert (everything.numbers == np.arange(len(labels))).all()
    np.testing.assert_allclose(everything.weights, 1 / len(labels))
    others = Sample.even(labels, 37, without=3)
    assert len(others.labels) == 37
    assert not (labels[others.numbers] == 3).any()


def test_weighted_shares_by_hand():
    labels = np.array([0, 0, 0, 0, 3, 3])
    weights = np.array([0.1, 0.1, 0.1, 0.1, 0.3, 0.3])
    hits = np.array([[1, 1, 1, 0, 1, 0], [1, 1, 1, 1, 1, 1]], bool)
    share, error, of_class = Sample(np.arange(6), labels, weights).shares(hits)
    np.testing.assert_allclose(share, [0.6, 1])
    variances = [
        [(4 / 6) * (2 / 6) / 6, (2 / 4) * (2 / 4) / 4],  # a hit and a miss more than there were
        [(5 / 6) * (1 / 6) / 6, (3 / 4) * (1 / 4) / 4],
    ]
    np.testing.assert_allclose(error, np.sqrt(variances @ np.array([0.4, 0.6]) ** 2))
    np.testing.assert_allclose(of_class[:, [0, 3]], [[0.75, 0.5], [1, 1]])
    assert np.isnan(of_class[:, [1, 2, 4, 5, 6]]).all()


def test_an_emotion_that_withstands_is_named_and_its_whisker_is_open():
    labels = np.repeat(np.arange(7), 3)
    sample = Sample(np.arange(21), labels, np.full(21, 1 / 21))
    smallest = np.where(labels == 3, np.inf, 0.5 + labels / 10) / 255
    smallest[labels == 5] = np.array([0.2, 0.4, np.inf]) / 255
    hits = np.tile(labels, (2, 1))
    names = ("fgsm", registry.CONTROL)
    measured = Measurement(
        dict.fromkeys(names, hits),
        dict.fromkeys(names, hits),
        dict.fromkeys(names, smallest),
        np.zeros(21, bool),
    )
    setting = Setting("run", Budget(eps=1 / 255))
    result = Robustness(setting, sample, np.array([0.0, 1.0]), measured)
    said = " ".join(figure_of_robustness.sentences(result))
    assert "for surprise (median 0.40/255), the largest for happy (median above 1/255)" in said
    overall, _, least = figure_of_robustness.draw(result).axes
    ends = [band.get_paths()[0].get_extents().intervaly for band in overall.collections]
    assert all(0 < low < high == 1 for low, high in ends)  # no accuracy is above 1
    arrows = [line for line in least.lines if line.get_marker() == ">"]
    reached = [np.flatnonzero(np.isfinite(line.get_xdata())).tolist() for line in arrows]
    assert reached == [[3, 5]] * 2
    assert all(np.nanmax(line.get_xdata()) == 1 for line in arrows)


def test_size_quartiles_leave_out_what_was_misread():
    smallest = np.array([0, 1, 2, 3, 4, np.inf, np.inf])
    labels = np.array([0, 0, 0, 0, 0, 5, 2])
    quartiles = Sample(np.arange(7), labels, np.full(7, 1 / 7)).quartiles(smallest)
    np.testing.assert_allclose(quartiles[1], [1, 2, 3])
    np.testing.assert_allclose(quartiles[0], [2, 3, np.inf])
    assert np.isinf(quartiles[1 + 5]).all()
    assert np.isnan(quartiles[1 + 1]).all()
