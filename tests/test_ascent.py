import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from common.ascent import maximise, responses
from common.ascent.maximise import Options
from common.models import blocks


def sequence(*parts):
    """Return a functional model of 48x48 images from layers in a row."""
    inputs = keras.Input((48, 48, 1))
    x = inputs
    for part in parts:
        x = part(x)
    return keras.Model(inputs, x)


def standardise():
    return layers.LayerNormalization(
        axis=(1, 2, 3), center=False, scale=False, epsilon=1e-4, name="standardise"
    )


@pytest.fixture(scope="module")
def model():
    """Return a small network built like the report's, with random weights and statistics."""
    keras.utils.set_random_seed(5)
    network = sequence(
        standardise(),
        layers.Conv2D(4, 3, name="conv2d_1"),
        layers.LeakyReLU(negative_slope=0.001, name="leaky_re_lu_1"),
        layers.BatchNormalization(name="batch_normalization_1"),
        layers.MaxPooling2D(2, name="max_pooling2d_1"),
        layers.Conv2D(6, 3, padding="same", name="conv2d_2"),
        layers.LeakyReLU(negative_slope=0.001, name="leaky_re_lu_2"),
        layers.BatchNormalization(name="batch_normalization_2"),
        layers.MaxPooling2D(4, name="max_pooling2d_2"),
        layers.Flatten(name="flatten"),
        layers.Dense(7, name="logits"),
        layers.Softmax(name="probabilities"),
    )
    generator = np.random.default_rng(0)
    network.set_weights(
        [
            weights + generator.uniform(0, 0.2, weights.shape).astype(np.float32)
            for weights in network.get_weights()
        ]
    )
    return network


@pytest.fixture
def faces():
    return np.random.default_rng(1).random((11, 48, 48), dtype=np.float32)


def one_at_a_time(model, layer, units, start, steps):
    """Ascend each image alone with the whole layer computed, as a plain loop would."""
    output = model.get_layer(layer).output
    readers = [other for other in model.layers if other.input is output]
    if isinstance(readers[0], layers.LeakyReLU):
        output = readers[0].output
    submodel = keras.Model(model.input, output)

    @tf.function
    def climb(image, unit):
        with tf.GradientTape() as tape:
            tape.watch(image)
            loss = tf.reduce_mean(submodel(image, training=False)[..., unit])
        gradient = tape.gradient(loss, image)
        gradient /= tf.sqrt(tf.reduce_mean(gradient**2))
        return tf.clip_by_value(image + maximise.STEP * gradient, 0, 1)

    images = []
    for unit, image in zip(units, start, strict=True):
        image = tf.constant(image[np.newaxis, ..., np.newaxis])
        for _ in range(steps):
            image = climb(image, tf.constant(unit))
        images.append(image[0, ..., 0].numpy())
    return np.array(images)


class TestMaximise:
    def test_a_linear_model_ends_in_the_corner_of_the_box(self):
        signs = np.random.default_rng(0).choice([-1.0, 1.0], (48, 48)).astype(np.float32)
        linear = sequence(layers.Flatten(), layers.Dense(1, name="logits"))
        linear.set_weights([signs.reshape(-1, 1), np.zeros(1)])
        start = maximise.white_noise([0], seed=3)
        grown = maximise.ascend(linear, "logits", [0], Options(steps=40), start=start)
        np.testing.assert_array_equal(grown.images[0, 0], signs > 0)
        assert grown.activations[0, 0] == np.sum(signs > 0)

    def test_a_standardising_model_grows_the_template_without_its_mean(self):
        template = np.random.default_rng(0).normal(3, 1, (48, 48)).astype(np.float32)
        linear = sequence(standardise(), layers.Flatten(), layers.Dense(1, name="logits"))
        linear.set_weights([template.reshape(-1, 1), np.zeros(1)])
        grown = maximise.ascend(
            linear,
            "logits",
            [0],
            Options(steps=8),
            start=np.full((1, 48, 48), 0.5, np.float32) + ramp(),
        )
        cosine = np.corrcoef(grown.images[0, 0].ravel(), template.ravel())[0, 1]
        best = np.linalg.norm(template - template.mean()) * 48  # cosine 1, deviation 1
        assert cosine > 0.99
        assert 0.98 * best < grown.activations[0, 0] < best

    @pytest.mark.parametrize("padding", ["valid", "same"])
    @pytest.mark.parametrize("size", [(3, 3), (2, 5)])
    def test_one_step_on_a_convolution_follows_the_closed_form(self, padding, size):
        network = sequence(layers.Conv2D(2, size, padding=padding, name="conv"))
        kernel = network.get_layer("conv").get_weights()[0][:, :, 0, 1]
        start = maximise.white_noise([1], seed=0)
        grown = maximise.ascend(network, "conv", [1], Options(steps=1, step_size=0.01), start=start)
        # A pixel counts with every tap that meets it at some place of the kernel.
        expected = np.zeros((48, 48))
        rows, columns = network.output.shape[1:3]
        top, left = [(taps - 1) // 2 if padding == "same" else 0 for taps in size]
        for row in range(rows):
            for column in range(columns):
                for down in range(size[0]):
                    for right in range(size[1]):
                        y, x = row + down - top, column + right - left
                        if 0 <= y < 48 and 0 <= x < 48:
                            expected[y, x] += kernel[down, right]
        expected *= 0.01 / np.sqrt(np.mean(expected**2))
        np.testing.assert_allclose(grown.images[0, 0], start[0] + expected, atol=1e-6)

    @pytest.mark.parametrize("layer", ["conv2d_1", "conv2d_2", "batch_normalization_2", "logits"])
    def test_all_together_equal_one_at_a_time(self, model, layer):
        units = responses.layer_units(model, layer)[:4]
        start = maximise.white_noise(units, seed=0)
        grown = maximise.ascend(model, layer, units, Options(steps=12, batch=3), start=start)
        expected = one_at_a_time(model, layer, units, start, steps=12)
        np.testing.assert_allclose(grown.images[0], expected, atol=2e-4)

    def test_activations_are_those_of_the_images(self, model):
        units = np.array([5, 0, 5])
        start = maximise.white_noise(units, seed=0)
        for activated, layer in ((True, "leaky_re_lu_2"), (False, "conv2d_2")):
            grown = maximise.ascend(
                model,
                "conv2d_2",
                units,
                Options(steps=3, snapshots=[0, 3], activated=activated),
                start=start,
            )
            for images, activations in zip(grown.images, grown.activations, strict=True):
                means = responses.layer_outputs(model, layer, images).mean(axis=(1, 2))
                np.testing.assert_allclose(
                    activations, means[range(3), units], rtol=1e-4, atol=1e-5
                )
        np.testing.assert_array_equal(grown.at([0]).images[0], start)

    @pytest.mark.parametrize("regularised", [False, True])
    def test_activation_rises(self, model, regularised):
        units = responses.layer_units(model, "conv2d_2")
        grown = maximise.ascend(
            model,
            "conv2d_2",
            units,
            Options(steps=30, snapshots=range(31), regularised=regularised),
            start=maximise.white_noise(units, seed=0),
        )
        change = np.diff(grown.activations, axis=0)
        assert (grown.activations[-1] > grown.activations[0]).all()
        if not regularised:  # which moves the images at random
            lost = -change.clip(max=0).sum(axis=0)  # around the summit the steps are too long
            assert (lost < 0.1 * (grown.activations[-1] - grown.activations[0])).all()
        assert grown.images.min() >= 0
        assert grown.images.max() <= 1

    def test_regularised_images_are_smoother_and_of_one_contrast(self, model):
        units = responses.layer_units(model, "conv2d_2")
        start = maximise.white_noise(units, seed=0)
        roughness = {}
        for regularised in (False, True):
            grown = maximise.ascend(
                model, "conv2d_2", units, Options(steps=30, regularised=regularised), start=start
            )
            images = grown.images[0] / grown.images[0].std(axis=(1, 2), keepdims=True)
            roughness[regularised] = np.abs(np.diff(images, axis=2)).mean()
        assert roughness[True] < 0.9 * roughness[False]
        np.testing.assert_allclose(grown.images[0].std(axis=(1, 2)), maximise.CONTRAST, rtol=0.35)

    def test_a_regularised_spectrum_falls_as_one_over_frequency(self, model):
        units = np.zeros(20, np.int64)
        start = np.random.default_rng(0).uniform(0.4, 0.6, (20, 48, 48)).astype(np.float32)
        grown = maximise.ascend(
            model, "conv2d_1", units, Options(steps=0, regularised=True), start=start
        )
        size = np.abs(np.fft.rfft2(grown.images[0])).mean(axis=0)
        low, middle, high = size[0, 1:6].mean(), size[0, 12], size[0, 24]
        assert middle / low == pytest.approx(maximise.FLAT / 12, rel=0.3)
        assert high / low == pytest.approx(maximise.FLAT / 24, rel=0.4)

    @pytest.mark.parametrize("regularised", [False, True])
    def test_two_calls_are_bit_equal_and_leave_the_model_alone(self, model, regularised):
        before = [weights.copy() for weights in model.get_weights()]
        start = maximise.white_noise(range(7), seed=0)
        first, second = (
            maximise.ascend(
                model,
                "logits",
                range(7),
                Options(steps=5, regularised=regularised, seed=1),
                start=start,
            )
            for _ in range(2)
        )
        np.testing.assert_array_equal(first.images, second.images)
        np.testing.assert_array_equal(first.activations, second.activations)
        np.testing.assert_array_equal(start, maximise.white_noise(range(7), seed=0))
        for old, new in zip(before, model.get_weights(), strict=True):
            np.testing.assert_array_equal(old, new)

    def test_a_filter_without_gradient_keeps_its_noise(self, model):
        dead = keras.models.clone_model(model)
        dead.set_weights(model.get_weights())
        convolution = dead.get_layer("conv2d_2")
        convolution.set_weights([np.zeros_like(weights) for weights in convolution.get_weights()])
        start = maximise.white_noise([2], seed=0)
        grown = maximise.ascend(dead, "conv2d_2", [2], Options(steps=3), start=start)
        np.testing.assert_array_equal(grown.images[0], start)

    def test_progress_counts_every_step_of_every_image(self, model):
        done = []
        start = maximise.white_noise(range(4), seed=0)
        maximise.ascend(
            model,
            "conv2d_1",
            range(4),
            Options(steps=5, batch=3),
            start=start,
            progress=done.append,
        )
        assert sum(done) == 4 * 5

    def test_a_snapshot_that_is_never_reached_is_refused(self, model):
        start = maximise.white_noise([0], seed=0)
        with pytest.raises(ValueError, match="0 to 5 steps"):
            maximise.ascend(model, "conv2d_1", [0], Options(steps=5, snapshots=[6]), start=start)


def ramp():
    """Return a faint pattern: a flat image has no direction to start from."""
    return 0.01 * np.linspace(-1, 1, 48, dtype=np.float32)


class TestLayers:
    def test_an_unknown_layer_lists_those_there_are(self, model):
        with pytest.raises(ValueError, match=r"unknown layer 'conv9'.*conv2d_1.*probabilities"):
            responses.layer_outputs(model, "conv9", np.zeros((1, 48, 48)))

    @pytest.mark.parametrize("unit", [-1, 6])
    def test_an_unknown_filter_lists_those_there_are(self, model, unit):
        with pytest.raises(
            ValueError, match=rf"unknown filter {unit} of conv2d_2: expected 0 to 5"
        ):
            responses.layer_units(model, "conv2d_2", [0, unit])

    def test_outputs_in_batches_are_those_of_the_model(self, model, faces):
        submodel = keras.Model(model.input, model.get_layer("conv2d_2").output)
        expected = submodel(faces[..., np.newaxis], training=False).numpy()
        found = responses.layer_outputs(model, "conv2d_2", faces, batch=4)
        np.testing.assert_allclose(found, expected, atol=1e-5)


class TestNoise:
    def test_a_units_noise_does_not_depend_on_the_others(self):
        all_noise = maximise.white_noise(range(5), seed=2)
        np.testing.assert_array_equal(maximise.white_noise([3], seed=2)[0], all_noise[3])
        assert not np.array_equal(all_noise[3], all_noise[4])
        assert not np.array_equal(all_noise, maximise.white_noise(range(5), seed=3))

    def test_it_is_uniform_around_mid_grey(self):
        noise = maximise.white_noise(range(5), seed=0)
        assert noise.dtype == np.float32
        assert abs(noise.mean() - 0.5) < 0.002
        assert 0.4 <= noise.min() < 0.401
        assert 0.599 < noise.max() <= 0.6001


class TestTopActivating:
    @pytest.mark.parametrize("batch", [4, 64])
    @pytest.mark.parametrize(
        ("activated", "measured"), [(True, "leaky_re_lu_2"), (False, "conv2d_2")]
    )
    def test_maps_are_searched_like_by_hand(self, model, faces, batch, activated, measured):
        done = []
        found = responses.top_activating(
            model, "conv2d_2", faces, 3, activated=activated, batch=batch, progress=done.append
        )
        means = responses.layer_outputs(model, measured, faces).mean(axis=(1, 2))
        maps = responses.layer_outputs(model, "conv2d_2", faces)
        assert sum(done) == len(faces)
        assert found.indices.shape == (6, 3)
        np.testing.assert_allclose(found.largest, maps.max(axis=(0, 1, 2)), atol=1e-5)
        for unit in range(6):
            np.testing.assert_array_equal(found.indices[unit], np.argsort(-means[:, unit])[:3])
            np.testing.assert_allclose(
                found.activations[unit], means[found.indices[unit], unit], atol=1e-5
            )
            for index, (row, column) in zip(found.indices[unit], found.places[unit], strict=True):
                own = maps[index, ..., unit]
                assert own[row, column] == pytest.approx(own.max(), abs=1e-5)

    def test_numbers_without_a_map_are_ranked_too(self, model, faces):
        found = responses.top_activating(model, "logits", faces, 50)
        logits = responses.layer_outputs(model, "logits", faces)
        np.testing.assert_allclose(found.activations, -np.sort(-logits.T, axis=1), atol=1e-5)
        assert found.indices.shape == (7, 11)
        assert not found.places.any()

    def test_of_equal_images_the_earlier_comes_first(self, model, faces):
        same = np.repeat(faces[:1], 5, axis=0)
        found = responses.top_activating(model, "conv2d_1", same, 5)
        np.testing.assert_array_equal(found.indices, np.tile(np.arange(5), (4, 1)))


class TestFrequency:
    @pytest.mark.parametrize(("down", "across", "expected"), [(0, 6, 6), (3, 4, 5), (24, 0, 24)])
    def test_a_wave_has_its_own(self, down, across, expected):
        y, x = np.mgrid[:48, :48]
        wave = 0.5 + 0.1 * np.cos(2 * np.pi * (down * y + across * x) / 48)
        assert maximise.dominant_frequency(wave[np.newaxis]).tolist() == [expected]

    def test_a_flat_image_has_none(self):
        assert maximise.dominant_frequency(np.full((1, 48, 48), 0.3, np.float32)).tolist() == [0]


def test_an_activation_stands_for_its_layer_only_if_nothing_else_reads_that():
    inputs = keras.Input((8, 8, 1))
    convolved = layers.Conv2D(2, 3, padding="same", name="conv")(inputs)
    active = layers.ReLU(name="relu")(convolved)
    alone = keras.Model(inputs, active)
    assert blocks.activation_after(alone, alone.get_layer("conv")).name == "relu"
    both = keras.Model(inputs, layers.Add()([active, convolved]))
    assert blocks.activation_after(both, both.get_layer("conv")) is None
