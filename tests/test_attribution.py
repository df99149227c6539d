"""Saliency maps against closed forms, hand-computed networks and PAIR's `saliency`."""

import functools
import importlib
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from keras import layers

from common.attribution import engine, faithfulness, gradient, integrated_gradients, registry
from common.attribution.maps import (
    MeanMaps,
    importance,
    mask_unimportant,
    mean_map,
    normalised,
    region_shares,
    zero_share,
)
from common.figures.saliency import explained_faces
from common.figures.saliency import faithfulness as faithfulness_figure
from common.figures.saliency import mean_map as mean_map_figure
from common.labels import IMAGE_SIZE

ROOT = Path(__file__).parents[1]
SIDE = 12


def attribute(name, model, images, classes, *, samples=50, seed=0, layer=None, **own):
    """Maps by a method, by its name."""
    options = engine.Options(samples=samples, seed=seed, layer=layer)
    return registry.load(name).attribute(model, images, classes, options, **own)


@pytest.fixture(scope="module")
def linear():
    """Logits that are a linear function of 4x4 pixels; returns (model, weights (16, 3))."""
    inputs = keras.Input((4, 4, 1))
    outputs = layers.Dense(3, name="logits")(layers.Flatten()(inputs))
    model = keras.Model(inputs, outputs)
    weights = np.random.default_rng(0).normal(size=(16, 3)).astype(np.float32)
    model.set_weights([weights, np.array([0.5, -0.5, 0.25], np.float32)])
    return model, weights


@pytest.fixture(scope="module")
def small_cnn():
    """Every kind of layer of the report's CNN, with batch statistics that are not 0 and 1."""
    inputs = keras.Input((SIDE, SIDE, 1))
    x = layers.LayerNormalization(axis=(1, 2, 3), center=False, scale=False, epsilon=1e-4)(inputs)
    for number, filters in enumerate((4, 6), start=1):
        x = layers.Conv2D(filters, 3, padding="same", name=f"conv2d_{number}")(x)
        x = layers.LeakyReLU(negative_slope=0.001)(x)
        x = layers.BatchNormalization()(x)
        x = layers.MaxPooling2D(2)(x)
        x = layers.Dropout(0.25)(x)
    x = layers.Dense(8, name="dense_1")(layers.Flatten()(x))
    x = layers.BatchNormalization()(layers.LeakyReLU(negative_slope=0.001)(x))
    model = keras.Model(inputs, layers.Dense(7, name="logits")(x), name="small")
    generator = np.random.default_rng(1)
    model.set_weights(
        [
            generator.uniform(0.5, 1.5, weights.shape)  # scales and variances must stay positive
            if variable.name in ("gamma", "moving_variance")
            else generator.normal(0, 0.4, weights.shape)
            for variable, weights in zip(model.weights, model.get_weights(), strict=True)
        ]
    )
    return model


@pytest.fixture(scope="module")
def faces():
    return np.random.default_rng(2).random((5, SIDE, SIDE, 1)).astype(np.float32)


@pytest.fixture(scope="module")
def targets():
    return np.array([3, 0, 6, 3, 1])


@pytest.fixture
def squares():
    return np.random.default_rng(3).random((2, 4, 4, 1)).astype(np.float32)


# ------------------------------------------------------------------------------- closed forms


def test_linear_model_gradient_is_the_weights(linear, squares):
    model, weights = linear
    maps = attribute("gradient", model, squares, [2, 0])
    np.testing.assert_allclose(maps, weights.T[[2, 0]].reshape(2, 4, 4), atol=1e-6)
    smooth = attribute("smooth_gradient", model, squares, [2, 0], samples=3)
    np.testing.assert_allclose(smooth, maps, atol=1e-6)
    product = attribute("gradient_times_input", model, squares, [2, 0])
    np.testing.assert_allclose(product, maps * squares[..., 0], atol=1e-6)


@pytest.mark.parametrize("baseline", [None, 0.0, 0.3, np.linspace(0, 1, 16).reshape(4, 4, 1)])
def test_linear_model_integrated_gradients_are_weights_times_the_way(linear, squares, baseline):
    model, weights = linear
    maps = attribute("integrated_gradients", model, squares, [1, 1], baseline=baseline, steps=2)
    start = squares.mean(axis=(1, 2), keepdims=True) if baseline is None else baseline
    way = (squares - start)[..., 0]
    np.testing.assert_allclose(maps, weights[:, 1].reshape(4, 4) * way, atol=1e-6)


def test_linear_model_occlusion_is_the_sum_over_the_patch(linear, squares):
    model, weights = linear
    maps = attribute("occlusion", model, squares, [0, 2], patch=2, stride=2, fill=0.25)
    effects = weights.T[[0, 2]].reshape(2, 4, 4) * (squares[..., 0] - 0.25)
    sums = effects.reshape(2, 2, 2, 2, 2).sum(axis=(2, 4))
    np.testing.assert_allclose(maps, sums.repeat(2, axis=1).repeat(2, axis=2), atol=1e-5)


def test_occlusion_averages_overlapping_patches_and_reaches_the_edge(linear, squares):
    model, weights = linear
    maps = attribute("occlusion", model, squares, [0, 0], patch=3, stride=2, fill=0.0)
    effects = weights[:, 0].reshape(4, 4) * squares[0, ..., 0]
    patches = {(y, x): effects[y : y + 3, x : x + 3].sum() for y in (0, 1) for x in (0, 1)}
    np.testing.assert_allclose(maps[0, 0, 0], patches[0, 0], atol=1e-5)
    np.testing.assert_allclose(maps[0, 0, 1], (patches[0, 0] + patches[0, 1]) / 2, atol=1e-5)
    np.testing.assert_allclose(maps[0, 1, 1], np.mean(list(patches.values())), atol=1e-5)
    np.testing.assert_allclose(maps[0, 3, 3], patches[1, 1], atol=1e-5)


@pytest.mark.parametrize("inside_the_dense_layer", [False, True])
def test_guided_backpropagation_of_a_network_by_hand(inside_the_dense_layer):
    inputs = keras.Input((1, 2, 1))
    x = layers.Flatten()(inputs)
    if inside_the_dense_layer:
        x = layers.Dense(3, activation="relu")(x)
    else:
        x = layers.LeakyReLU(negative_slope=0.1)(layers.Dense(3)(x))
    model = keras.Model(inputs, layers.Dense(2, name="logits")(x))
    first = np.array([[1.0, -1.0, 2.0], [3.0, 1.0, 1.0]])  # of pixel 1, of pixel 2
    second = np.array([[2.0, 0.0], [5.0, 0.0], [-4.0, 0.0]])
    model.set_weights([first, np.zeros(3), second, np.zeros(2)])
    # Pixels 1, 0.5 put 2.5, -0.5, 2.5 into the hidden units. Going back, unit 3 is cut for its
    # negative gradient; unit 2 did not fire and lets through only what its slope leaves.
    slope = 0.0 if inside_the_dense_layer else 0.1
    maps = attribute(
        "guided_backpropagation", model, np.array([[[[1.0], [0.5]]]], np.float32), np.array([0])
    )
    expected = [2 * 1 + slope * 5 * -1, 2 * 3 + slope * 5 * 1]
    np.testing.assert_allclose(maps[0, 0], expected, atol=1e-6)


@pytest.mark.parametrize("rectified", [False, True])
def test_grad_cam_of_a_network_by_hand(squares, rectified):
    inputs = keras.Input((4, 4, 1))
    x = layers.Conv2D(2, 1, name="conv")(inputs)
    x = layers.ReLU()(x) if rectified else x  # its output is the feature map
    x = layers.GlobalAveragePooling2D()(x)
    model = keras.Model(inputs, layers.Dense(2, name="logits")(x))
    model.set_weights(
        [
            np.array([2.0, -1.0]).reshape(1, 1, 1, 2),
            np.array([-0.5, 0.4]),
            np.array([[1.0, 0.0], [-3.0, 0.0]]),
            np.zeros(2),
        ]
    )
    maps = attribute("grad_cam", model, squares, [0, 0])
    pixels = squares[..., 0]
    first, second = 2 * pixels - 0.5, 0.4 - pixels
    if rectified:
        first, second = np.maximum(first, 0), np.maximum(second, 0)
    np.testing.assert_allclose(maps, np.maximum(first / 16 - 3 / 16 * second, 0), atol=1e-6)


def test_grad_cam_of_any_convolution_has_the_size_of_the_image(small_cnn, faces, targets):
    last = attribute("grad_cam", small_cnn, faces, targets)
    np.testing.assert_array_equal(
        last, attribute("grad_cam", small_cnn, faces, targets, layer="conv2d_2")
    )
    first = attribute("grad_cam", small_cnn, faces, targets, layer="conv2d_1")
    assert last.shape == first.shape == faces.shape[:3]
    assert not np.allclose(last, first)


def test_layer_cam_of_a_network_by_hand(squares):
    inputs = keras.Input((4, 4, 1))
    x = layers.Conv2D(2, 1, name="conv")(inputs)
    model = keras.Model(inputs, layers.Dense(1, name="logits")(layers.Flatten()(x)))
    slopes = np.random.default_rng(7).normal(size=(4, 4, 2)).astype(np.float32)
    model.set_weights(
        [
            np.array([2.0, -1.0]).reshape(1, 1, 1, 2),
            np.array([-0.5, 0.4]),
            slopes.reshape(32, 1),
            np.zeros(1),
        ]
    )
    maps = attribute("layer_cam", model, squares, [0, 0])
    activations = squares * [2.0, -1.0] + [-0.5, 0.4]
    expected = np.maximum((np.maximum(slopes, 0) * activations).sum(axis=-1), 0)
    np.testing.assert_allclose(maps, expected, atol=1e-5)


# -------------------------------------------------------------------------- PAIR, tf-keras-vis


@pytest.mark.filterwarnings("ignore:Please .* `zoom`:DeprecationWarning")  # in tf-keras-vis
@pytest.mark.filterwarnings("ignore:The structure of `inputs`:UserWarning")  # it wraps images so
@pytest.mark.parametrize("layer", ["conv2d_1", "conv2d_2"])
def test_layer_cam_equals_tf_keras_vis(small_cnn, faces, targets, layer):
    from tf_keras_vis.layercam import Layercam
    from tf_keras_vis.utils.scores import CategoricalScore

    theirs = Layercam(small_cnn)(
        CategoricalScore(targets.tolist()),
        faces,
        penultimate_layer=layer,
        expand_cam=False,  # theirs aligns the corners of both
        normalize_cam=False,
    )
    stretched = tf.image.resize(np.asarray(theirs)[..., np.newaxis], (SIDE, SIDE))[..., 0]
    maps = attribute("layer_cam", small_cnn, faces, targets, layer=layer)
    assert maps.any()
    np.testing.assert_allclose(maps, stretched, atol=1e-5)


@pytest.fixture(scope="module")
def pair():
    """PAIR's package `saliency`, whose name our script saliency.py has as well."""
    ours = {name: sys.modules.pop(name) for name in list(sys.modules) if name == "saliency"}
    paths = sys.path[:]
    sys.path[:] = [path for path in paths if Path(path or ".").resolve() != ROOT]
    try:
        return importlib.import_module("saliency.core")
    finally:
        sys.path[:] = paths
        for name in [name for name in sys.modules if name.split(".")[0] == "saliency"]:
            del sys.modules[name]
        sys.modules.update(ours)


def pair_model(model, pair):
    """The model as PAIR's library calls it, by a tape of its own."""

    def call(images, call_model_args=None, expected_keys=None):
        images = tf.convert_to_tensor(np.asarray(images), tf.float32)
        with tf.GradientTape() as tape:
            tape.watch(images)
            score = model(images, training=False)[:, call_model_args]
        return {pair.base.INPUT_OUTPUT_GRADIENTS: tape.gradient(score, images).numpy()}

    return call


def test_integrated_gradients_equal_pair(pair, small_cnn, faces, targets):
    def pair_rule(steps):
        return np.linspace(0, 1, steps), np.full(steps, 1 / steps)

    baseline = np.full((SIDE, SIDE, 1), 0.2, np.float32)
    ours = attribute(
        "integrated_gradients",
        small_cnn,
        faces,
        targets,
        baseline=baseline,
        steps=20,
        rule=pair_rule,
    )
    for image, target, maps in zip(faces, targets, ours, strict=True):
        theirs = pair.IntegratedGradients().GetMask(
            image,
            pair_model(small_cnn, pair),
            target,
            x_baseline=baseline,
            x_steps=20,
            batch_size=20,
        )
        np.testing.assert_allclose(maps, theirs[..., 0], atol=1e-5)


def test_smooth_gradient_equals_pair_with_the_same_noise(
    pair, small_cnn, faces, targets, monkeypatch
):
    samples, spread = 7, 0.15
    ours = attribute("smooth_gradient", small_cnn, faces, targets, samples=samples, spread=spread)
    for place, (image, target, maps) in enumerate(zip(faces, targets, ours, strict=True)):
        generator = np.random.default_rng([0, place])
        drawn = iter(generator.standard_normal((samples, *image.shape), np.float32))
        monkeypatch.setattr(
            np.random, "normal", lambda _, deviation, __, drawn=drawn: deviation * next(drawn)
        )
        theirs = pair.GradientSaliency().GetSmoothedMask(
            image,
            pair_model(small_cnn, pair),
            target,
            stdev_spread=spread,
            nsamples=samples,
            magnitude=False,
        )
        np.testing.assert_allclose(maps, theirs[..., 0], atol=1e-5)


# --------------------------------------------------------------------------- every method


def test_contributions_add_up_to_the_change_of_the_logit(small_cnn, faces, targets):
    for baseline in (None, 0.0, faithfulness.blurred(faces)):
        maps = attribute("integrated_gradients", small_cnn, faces, targets, baseline=baseline)
        error = integrated_gradients.completeness_error(small_cnn, faces, maps, targets, baseline)
        assert error.max() < 0.01
        wrong = integrated_gradients.completeness_error(
            small_cnn, faces, 1.5 * maps, targets, baseline
        )
        assert wrong.min() > 0.1


def test_steps_are_halved_only_while_they_have_to_be(small_cnn, faces, targets):
    def error(**options):
        maps = attribute("integrated_gradients", small_cnn, faces, targets, steps=8, **options)
        return maps, integrated_gradients.completeness_error(small_cnn, faces, maps, targets)

    def midpoint(steps):
        return (np.arange(steps) + 0.5) / steps, np.full(steps, 1 / steps)

    even, coarse = error(rule=midpoint)
    for options in ({"tolerance": np.inf}, {"max_steps": 8}):
        np.testing.assert_allclose(error(**options)[0], even, rtol=1e-4, atol=1e-6)
    assert coarse.max() > 0.1
    assert error(tolerance=0.001)[1].max() < 0.0011


@pytest.mark.parametrize("name", registry.METHODS)
def test_maps_are_bit_equal_twice_finite_and_leave_the_model_alone(small_cnn, faces, targets, name):
    before = small_cnn.get_weights()
    outputs = [layer.output for layer in small_cnn.layers]
    maps = attribute(name, small_cnn, faces, targets)
    again = attribute(name, small_cnn, faces, targets)
    assert maps.dtype == np.float32
    assert maps.shape == faces.shape[:3]
    assert np.isfinite(maps).all()
    assert maps.any()
    np.testing.assert_array_equal(maps, again)
    for old, new in zip(before, small_cnn.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    assert all(old is layer.output for old, layer in zip(outputs, small_cnn.layers, strict=True))


@pytest.mark.parametrize("name", registry.METHODS)
def test_batches_make_no_difference(small_cnn, faces, targets, name, monkeypatch):
    maps = attribute(name, small_cnn, faces, targets)
    monkeypatch.setattr(engine, "BATCH", 3)
    np.testing.assert_allclose(
        attribute(name, small_cnn, faces, targets), maps, rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("name", registry.METHODS)
def test_flat_images_and_no_images_are_fine(small_cnn, name):
    flat = np.full((1, SIDE, SIDE, 1), 0.5, np.float32)
    assert np.isfinite(attribute(name, small_cnn, flat, [1])).all()
    none = attribute(name, small_cnn, flat[:0], np.zeros(0, int))
    assert none.shape == (0, SIDE, SIDE)


def test_smooth_gradient_follows_its_seed_and_each_image_its_place(small_cnn, faces, targets):
    maps = attribute("smooth_gradient", small_cnn, faces, targets, samples=3)
    other = attribute("smooth_gradient", small_cnn, faces, targets, samples=3, seed=1)
    assert not np.allclose(maps, other)
    few = attribute("smooth_gradient", small_cnn, faces[:2], targets[:2], samples=3)
    np.testing.assert_array_equal(few, maps[:2])


def test_gradient_is_that_of_finite_differences(small_cnn, faces):
    maps = attribute("gradient", small_cnn, faces[:1], [3])
    step = np.zeros_like(faces[:1])
    step[0, 5, 6] = 1e-3
    logits = [np.asarray(small_cnn(faces[:1] + sign * step))[0, 3] for sign in (1, -1)]
    assert maps[0, 5, 6] == pytest.approx((logits[0] - logits[1]) / 2e-3, rel=0.02)


# ---------------------------------------------------------------------- how far to believe them


@pytest.fixture(scope="module")
def one_pixel():
    """Two classes; the first one's logit is 4 times pixel (1, 2)."""
    inputs = keras.Input((4, 4, 1))
    model = keras.Model(inputs, layers.Dense(2, name="logits")(layers.Flatten()(inputs)))
    weights = np.zeros((16, 2))
    weights[4 * 1 + 2, 0] = 4
    model.set_weights([weights, np.zeros(2)])
    return model


def test_deletion_and_insertion_curves_of_one_pixel(one_pixel):
    images = np.ones((1, 4, 4, 1), np.float32)
    importances = np.zeros((1, 4, 4))
    importances[0, 1, 2] = 1
    deletion, insertion = faithfulness.deletion_insertion(
        one_pixel, images, importances, [0], steps=16, fill=np.zeros_like
    )
    sure = 1 / (1 + np.exp(-4))
    np.testing.assert_allclose(deletion[0], [sure] + [0.5] * 16, atol=1e-6)
    np.testing.assert_allclose(insertion[0], [0.5] + [sure] * 16, atol=1e-6)
    np.testing.assert_allclose(faithfulness.area(deletion), 0.5 + (sure - 0.5) / 32, atol=1e-6)


def test_a_faithful_map_beats_random_masking_and_its_opposite_loses(one_pixel):
    images = np.ones((2, 4, 4, 1), np.float32)
    right = np.zeros((2, 4, 4))
    right[:, 1, 2] = 1
    curves = faithfulness.compare(
        one_pixel,
        images,
        {"right": right, "wrong": 1 - right},
        [0, 0],
        random_orders=8,
        fill=np.zeros_like,
    )
    assert list(curves) == ["right", "wrong", "random"]
    deletion, insertion = (
        [faithfulness.area(curves[name][kind]).mean() for name in curves] for kind in (0, 1)
    )
    assert deletion[0] < deletion[2] < deletion[1]
    assert insertion[1] < insertion[2] < insertion[0]


def test_curves_share_their_ends_and_ties_are_broken_by_the_seed(small_cnn, faces, targets):
    flat = np.zeros(faces.shape[:3])
    score = faithfulness.deletion_insertion
    deletion, insertion = score(small_cnn, faces, flat, targets, steps=5)
    np.testing.assert_allclose(deletion[:, 0], insertion[:, -1], atol=1e-6)
    np.testing.assert_allclose(deletion[:, -1], insertion[:, 0], atol=1e-6)
    np.testing.assert_array_equal(deletion, score(small_cnn, faces, flat, targets, steps=5)[0])
    other = score(small_cnn, faces, flat, targets, steps=5, seed=1)[0]
    assert not np.allclose(deletion[:, 1:-1], other[:, 1:-1])


def test_a_map_of_the_model_changes_when_the_model_is_randomised(small_cnn, faces, targets):
    before = small_cnn.get_weights()
    explain = functools.partial(gradient.attribute, options=engine.Options())
    names, correlations = faithfulness.cascading_randomisation(small_cnn, explain, faces, targets)
    assert names == ["logits", "dense_1", "conv2d_2", "conv2d_1"]
    assert correlations.shape == (5, len(faces))
    np.testing.assert_allclose(correlations[0], 1)
    assert np.abs(correlations[-1]).mean() < 0.5
    for old, new in zip(before, small_cnn.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    _, again = faithfulness.cascading_randomisation(small_cnn, explain, faces, targets)
    np.testing.assert_array_equal(correlations, again)


def test_a_map_of_the_image_alone_does_not_change_and_a_blank_one_says_nothing(
    small_cnn, faces, targets
):
    randomise = faithfulness.cascading_randomisation
    _, unmoved = randomise(small_cnn, lambda _, images, __: images[..., 0], faces, targets)
    np.testing.assert_allclose(unmoved, 1)
    shown = np.arange(len(faces)) > 0  # the first map is blank
    _, mixed = randomise(
        small_cnn,
        lambda _, images, __: images[..., 0] * shown[:, np.newaxis, np.newaxis],
        faces,
        targets,
    )
    np.testing.assert_array_equal(np.isnan(mixed), np.tile(~shown, (len(mixed), 1)))
    fading = iter([1, 0, 0, 0, 0])  # a map that goes blank has nothing left
    _, gone = randomise(
        small_cnn, lambda _, images, __: next(fading) * images[..., 0], faces, targets
    )
    np.testing.assert_array_equal(gone[1:], 0)


# ----------------------------------------------------------------------------- what maps show


def test_importance_is_the_size_of_a_sensitivity_and_the_positive_part_of_a_contribution():
    maps = np.array([[[-2.0, 1.0]]])
    np.testing.assert_array_equal(importance("gradient", maps), [[[2, 1]]])
    np.testing.assert_array_equal(importance("occlusion", maps), [[[0, 1]]])


def test_smoothing_spreads_the_size_of_a_pixel_as_a_bell_and_loses_none_of_it():
    maps = np.zeros((2, 31, 31))
    maps[0, 15, 15] = -4
    first, blank = importance("gradient", maps, 2)
    y, x = np.mgrid[-15:16, -15:16]
    bell = np.exp(-(x**2 + y**2) / (2 * 2**2))
    np.testing.assert_allclose(first, 4 * bell / bell.sum(), atol=1e-4)
    assert not blank.any()
    assert not importance("occlusion", maps, 2).any()


@settings(deadline=None)
@given(arrays(np.float32, (2, 3, 4), elements=st.floats(0, 1e6, width=32)), st.floats(0, 100))
def test_normalised_maps_stay_in_0_to_1_and_keep_their_order(maps, percentile):
    scaled = normalised(maps, percentile=percentile)
    assert scaled.min() >= 0
    assert scaled.max() <= 1
    np.testing.assert_array_equal(maps.any(axis=(1, 2)), scaled.any(axis=(1, 2)))
    order = np.argsort(maps[0], axis=None, kind="stable")
    assert (np.diff(scaled[0].ravel()[order]) >= 0).all()


def test_masking_keeps_the_share_that_is_asked_for_and_nothing_of_a_blank_map():
    images = np.random.default_rng(5).random((2, 10, 10, 1)).astype(np.float32)
    importances = np.stack([np.arange(100.0).reshape(10, 10), np.zeros((10, 10))])
    masked = mask_unimportant(images, importances, keep=0.25)
    np.testing.assert_array_equal(masked[0].ravel()[75:], images[0].ravel()[75:])
    np.testing.assert_allclose(masked[0].ravel()[:75], images[0].mean(), rtol=1e-6)
    np.testing.assert_allclose(masked[1], images[1].mean(), rtol=1e-6)
    with pytest.raises(ValueError, match="share of pixels"):
        mask_unimportant(images, importances, keep=0)


def test_shares_and_means_of_maps():
    blank, uniform = np.zeros((IMAGE_SIZE,) * 2), np.full((IMAGE_SIZE,) * 2, 3.0)
    assert zero_share(np.stack([blank, uniform])) == 0.5
    assert zero_share(np.zeros((0, 4, 4))) == 0
    np.testing.assert_allclose(mean_map(np.stack([blank, uniform, 5 * uniform])), 1 / IMAGE_SIZE**2)
    np.testing.assert_array_equal(mean_map(blank[np.newaxis]), 0)
    for share, area in region_shares(uniform).values():
        assert share == pytest.approx(area)
    assert all(share == 0 for share, _ in region_shares(blank).values())
    mouth = blank.copy()
    mouth[36] = 1
    assert region_shares(mouth)["mouth"][0] == 1


# ------------------------------------------------------------------------------------ bad input


def test_an_unknown_method_lists_the_known_ones():
    for ask in (registry.method, registry.load, lambda name: importance(name, np.ones(1))):
        with pytest.raises(ValueError, match=r"'lime': expected one of gradient, .*occlusion"):
            ask("lime")


def test_a_model_without_convolutions_has_no_grad_cam(linear, squares):
    with pytest.raises(ValueError, match=r"needs a convolution.*logits.*choose another method"):
        attribute("grad_cam", linear[0], squares, [0, 0])


def test_an_unknown_layer_lists_the_convolutions(small_cnn, faces, targets):
    with pytest.raises(ValueError, match="'dense_1': expected one of conv2d_1, conv2d_2"):
        attribute("grad_cam", small_cnn, faces, targets, layer="dense_1")


@pytest.mark.parametrize(
    ("images", "targets", "message"),
    [
        (np.zeros((2, 4, 4, 1), np.uint8), [0, 0], "float images"),
        (np.zeros((2, 4, 4), np.float32), [0, 0], "float images"),
        (np.zeros((2, 4, 4, 1), np.float32), [0], "one class code for each of 2"),
        (np.zeros((2, 4, 4, 1), np.float32), [0.0, 1.0], "one class code for each of 2"),
        (np.zeros((2, 4, 4, 1), np.float32), [0, 3], "from 0 to 2"),
        (np.zeros((2, 4, 4, 1), np.float32), [0, -1], "from 0 to 2"),
    ],
)
def test_wrong_images_and_targets_are_refused(linear, images, targets, message):
    with pytest.raises(ValueError, match=message):
        attribute("gradient", linear[0], images, targets)


def test_wrong_options_are_refused(linear, squares):
    with pytest.raises(ValueError, match="at least 1 sample"):
        attribute("smooth_gradient", linear[0], squares, [0, 0], samples=0)
    with pytest.raises(ValueError, match="patch of 1 to 4 pixels"):
        attribute("occlusion", linear[0], squares, [0, 0], patch=5)
    with pytest.raises(ValueError, match="stride of 1 to the patch"):
        attribute("occlusion", linear[0], squares, [0, 0], patch=2, stride=3)


# -------------------------------------------------------------------------------------- figures


def test_the_page_has_a_row_for_the_faces_and_two_for_each_method():
    faces = np.random.default_rng(6).integers(0, 256, (3, 48, 48), np.uint8)
    maps = {name: faces / 255 for name in ("gradient", "grad_cam")}
    areas = {name: np.full((2, 3), 0.25) for name in maps} | {"random": np.full((2, 3), 0.5)}
    result = explained_faces.ExplainedFaces(
        run="run",
        images=[4, 5, 6],
        faces=faces,
        labels=np.arange(3),
        probabilities=0.8 * np.eye(7)[[3, 1, 0]],
        classes=np.array([3, 1, 0]),
        maps=maps,
        shown=maps,
        masked=maps,
        areas=areas,
        smoothing=1,
    )
    figure = explained_faces.draw(result)
    pictures = [axes for axes in figure.axes if axes.images]
    assert len(pictures) == 3 * (1 + 2 * 2)
    assert [axes.get_title() for axes in pictures[:3]] == [
        "image 4: angry\npredicted happy 0.80",
        "image 5: disgust\npredicted disgust 0.80",
        "image 6: fear\npredicted angry 0.80",
    ]
    assert pictures[3].get_title() == "deletion 0.25 (0.50)\ninsertion 0.25 (0.50)"
    texts = [text.get_text() for axes in pictures for text in axes.texts]
    bracket = "\n\n(in brackets:\nmasking at\nrandom)"
    assert texts == [
        "original",
        f"gradient\nheat-map{bracket}",
        "gradient\nmasked",
        f"Grad-CAM\nheat-map{bracket}",
        "Grad-CAM\nmasked",
    ]
    lines = explained_faces.sentences(result)
    assert lines[0] == "image 4: angry, predicted happy 0.80; the maps explain happy."
    assert lines[3:] == [
        "Maps by gradient, Grad-CAM, smoothed over 1 pixel.",
        "Blank maps, zero everywhere: gradient 0%, Grad-CAM 0% of the 3 images.",
    ]


def test_the_check_draws_a_curve_for_each_method_and_for_chance():
    curves = {
        name: np.stack([np.ones((2, 5)), np.zeros((2, 5))]) for name in ("gradient", "random")
    }
    result = faithfulness.Faithfulness(
        run="run",
        images=[0, 1],
        classes=np.array([0, 3]),
        curves=curves,
        layers=["logits", "conv2d_1"],
        correlations={"gradient": np.array([[1, 1], [0.5, 0.4], [0, 0]])},
    )
    deletion, insertion, fading = faithfulness_figure.draw(result).axes
    labels = [text.get_text() for text in deletion.get_legend().get_texts()]
    assert labels == ["gradient, area 1.000", "random masking, area 1.000"]
    np.testing.assert_array_equal(insertion.lines[0].get_ydata(), 0)
    assert [tick.get_text() for tick in fading.get_xticklabels()] == [
        "trained", "logits", "conv2d_1",
    ]  # fmt: skip


def test_every_method_has_a_title_and_a_colour_of_its_own():
    methods = registry.METHODS.values()
    assert len({method.title for method in methods}) == len(methods)
    assert len({method.colour for method in methods}) == len(methods)


def test_mean_maps_are_drawn_against_the_average_pixel():
    maps = np.full((7, 48, 48), 1 / 48**2)
    figure = mean_map_figure.draw(MeanMaps("run", "gradient", list(range(7)), maps, maps))
    pictures = [axes for axes in figure.axes if axes.images]
    np.testing.assert_allclose(pictures[7].images[0].get_array(), 1)
    np.testing.assert_allclose(pictures[14].images[0].get_array(), 0, atol=1e-12)
    assert pictures[6].get_title() == "neutral\n6 faces"
