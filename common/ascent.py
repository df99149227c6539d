"""Images that excite a unit of a network the most, made by gradient ascent or found among faces.

A unit is one filter of a convolution or one number of a dense layer. Its activation on an image is
the mean over its map. Images are float32 in [0, 1] throughout. Models that standardise each image
ignore its brightness and contrast, so only the pattern counts.
"""

from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf

CHUNK = 8  # images ascended at once: what a layer puts out for them stays in the cache
FACES_CHUNK = 64  # images looked at at once
NOISE = 0.1  # half the range of the white noise that ascent starts from, around mid-grey
STEP = 0.02  # root mean square of what a step changes, in units of the pixel range
CONTRAST = 0.2  # deviation of a regularised image
SMOOTHNESS = 0.05  # weight of total variation, against an activation's gradient of unit size
FLAT = 6  # cycles per image up to which a regularised spectrum does not fall
SHIFT = 3  # pixels that a regularised image is moved by at most before a step
ACTIVATIONS = (keras.layers.LeakyReLU, keras.layers.ReLU)
TINY = 1e-12  # below this a size counts as 0 and is not divided by


@dataclass(frozen=True, eq=False)
class Ascent:
    """How images grew under gradient ascent.

    Attributes:
        units: int64 (n,), which unit each image excites.
        steps: int64 (k,), after how many steps each snapshot was taken.
        images: float32 (k, n, 48, 48) in [0, 1].
        activations: float32 (k, n), the mean activation of its unit on each image: the report's
            "loss", which ascent makes large.
    """

    units: np.ndarray
    steps: np.ndarray
    images: np.ndarray
    activations: np.ndarray

    def at(self, step):
        """Return (images, activations) of the snapshot after `step` steps."""
        place = int(np.flatnonzero(self.steps == step)[0])
        return self.images[place], self.activations[place]


@dataclass(frozen=True, eq=False)
class Favourites:
    """The images that excite each unit the most, the strongest first, the earlier of equals.

    Attributes:
        indices: int64 (units, count), which images.
        activations: float32 (units, count), the mean activation of the unit on each.
        places: int64 (units, count, 2), row and column of the largest number in the unit's map.
        largest: float32 (units,), what the unit puts out at most, anywhere on any image, before
            an activation function. One whose largest is not above 0 is never active.
    """

    indices: np.ndarray
    activations: np.ndarray
    places: np.ndarray
    largest: np.ndarray


def layer_names(model):
    """Return the names of the layers of `model` that compute something, first to last."""
    return [layer.name for layer in model.layers if not isinstance(layer, keras.layers.InputLayer)]


def layer_units(model, layer, wanted=None):
    """Return the unit numbers of a layer, int64 (n,): those wanted, checked, or else all.

    Raises:
        ValueError: no such layer, or no such unit in it; the message lists those that exist.
    """
    names = layer_names(model)
    if layer not in names:
        raise ValueError(f"unknown layer {layer!r}: expected one of {', '.join(names)}")
    count = model.get_layer(layer).output.shape[-1]
    units = np.arange(count) if wanted is None else np.asarray(wanted)
    wrong = units[(units < 0) | (units >= count)]
    if wrong.size:
        raise ValueError(f"unknown filter {wrong[0]} of {layer}: expected 0 to {count - 1}")
    return units.astype(np.int64)


def white_noise(units, *, seed):
    """Return the images that ascent starts from, float32 (n, 48, 48), uniform around mid-grey.

    The noise of a unit depends on its number and the seed alone, so that a filter's picture is the
    same whichever others are asked for.
    """
    noise = [np.random.default_rng([seed, unit]).uniform(-1, 1, (48, 48)) for unit in units]
    return (0.5 + NOISE * np.array(noise).reshape(-1, 48, 48)).astype(np.float32)


def maximise(
    model,
    layer,
    units,
    *,
    start,
    steps=100,
    snapshots=None,
    activated=True,
    regularised=False,
    step_size=STEP,
    seed=0,
    chunk=CHUNK,
    progress=None,
):
    """Return the `Ascent` of one image for each unit, all of a chunk together.

    The activations of a chunk are added up: an image only moves its own, so every image climbs
    exactly as it would alone. Only the part of the model up to the layer is computed, in inference
    mode. A step adds the gradient, divided by its root mean square, to the image.

    Plain, an image is kept in [0, 1] by clipping. Regularised, it is drawn from a spectrum that
    falls off as 1/frequency, has a fixed contrast, is moved at random before each step, and pays
    for total variation; that keeps fine noise, which excites deep layers, out of the picture.

    Args:
        model: any Keras model of (n, 48, 48, 1).
        layer: name of one of its layers; `logits` for images of classes.
        units: int (n,), the same one may come up more than once.
        start: float32 (n, 48, 48), for example `white_noise`.
        steps: how many.
        snapshots: after which steps to keep the images; by default the last.
        activated: measure after the activation function that follows the layer, if one does. The
            plain mean over what the first convolution puts out is the same for every pattern.
        regularised: see above.
        step_size: root mean square of a step.
        seed: of the random moves, which are the same for all images.
        chunk: how many images are ascended at once.
        progress: called with the number of images done, after each step of a chunk, or None.

    Raises:
        ValueError: an unknown layer or unit, or a snapshot that is never reached.

    Source: Erhan et al. 2009; for the regularised kind Olah et al. 2017, "Feature Visualization".
    """
    units = layer_units(model, layer, units)
    kept = np.unique(np.asarray([steps] if snapshots is None else snapshots, dtype=np.int64))
    if kept.size == 0 or kept[0] < 0 or kept[-1] > steps:
        raise ValueError(f"expected snapshots after 0 to {steps} steps, found {kept.tolist()}")
    draw = _from_spectrum if regularised else tf.identity
    climb, look = _steps(_objective(model, layer, activated), draw, regularised, step_size)
    moves = np.random.default_rng(seed).integers(-SHIFT, SHIFT, (steps, 2), endpoint=True)

    images = np.empty((len(kept), *start.shape), np.float32)
    activations = np.empty((len(kept), len(start)), np.float32)
    for first in range(0, len(start), chunk):
        part = slice(first, first + chunk)
        chosen = tf.constant(units[part])
        parameters = tf.constant(start[part], tf.float32)
        for step in range(int(kept[-1]) + 1):
            for place in np.flatnonzero(kept == step):
                images[place, part], activations[place, part] = look(parameters, chosen)
            if step < kept[-1]:
                parameters = climb(parameters, chosen, tf.constant(moves[step], tf.int32))
                if progress is not None:
                    progress(len(chosen))
    return Ascent(units=units, steps=kept, images=images, activations=activations)


def layer_outputs(model, layer, images, *, chunk=FACES_CHUNK):
    """Return what a layer puts out for images: float32 (n, rows, columns, filters) or (n, units).

    Args:
        model: any Keras model of (n, 48, 48, 1).
        layer: name of one of its layers.
        images: float32 (n, 48, 48) or (n, 48, 48, 1) in [0, 1].
        chunk: how many images are computed at once.

    Raises:
        ValueError: an unknown layer; the message lists those that exist.
    """
    layer_units(model, layer)
    compute = _computed(keras.Model(model.input, model.get_layer(layer).output))
    return np.concatenate([compute(part).numpy() for part in _parts(images, chunk)])


def top_activating(
    model, layer, images, count, *, activated=True, chunk=FACES_CHUNK, progress=None
):
    """Return the `Favourites` of each unit of a layer among images.

    Args:
        model: any Keras model of (n, 48, 48, 1).
        layer: name of one of its layers.
        images: float32 (n, 48, 48) or (n, 48, 48, 1) in [0, 1].
        count: how many images for each unit; all, where there are fewer.
        activated: measure after the activation function that follows the layer, if one does.
        chunk: how many images are computed at once; no more maps than theirs are ever held.
        progress: called with the number of images done, after each chunk, or None.

    Raises:
        ValueError: an unknown layer; the message lists those that exist.
    """
    layer_units(model, layer)
    target = model.get_layer(layer)
    after = _activation_after(model, target) if activated else tf.identity
    columns = target.output.shape[2] if len(target.output.shape) == 4 else 1
    submodel = keras.Model(model.input, target.output)

    @tf.function(input_signature=[tf.TensorSpec((None, 48, 48, 1))])
    def measure(part):
        maps = submodel(part, training=False)
        maps = tf.reshape(maps, (tf.shape(maps)[0], -1, maps.shape[-1]))
        means = tf.reduce_mean(after(maps), axis=1)
        return means, tf.reduce_max(maps, axis=1), tf.argmax(maps, axis=1)

    measured = []
    for part in _parts(images, chunk):
        measured.append([values.numpy() for values in measure(part)])
        if progress is not None:
            progress(len(part))
    means, largest, places = (np.concatenate(values).T for values in zip(*measured, strict=True))
    indices = np.argsort(-means, axis=1, kind="stable")[:, :count]
    places = np.take_along_axis(places, indices, axis=1)
    return Favourites(
        indices=indices,
        activations=np.take_along_axis(means, indices, axis=1),
        places=np.stack([places // columns, places % columns], axis=-1),
        largest=largest.max(axis=1),
    )


def dominant_frequency(images):
    """Return the cycles per image width that carry the most power, int64 (n,), 0 for flat images.

    Args:
        images: float (n, 48, 48).
    """
    size = images.shape[-1]
    power = np.abs(np.fft.fft2(images - images.mean(axis=(1, 2), keepdims=True))) ** 2
    ring = np.rint(_radius(size, np.fft.fftfreq(size) * size)).astype(np.int64)
    by_ring = np.stack([power[:, ring == radius].sum(axis=1) for radius in range(size // 2 + 1)], 1)
    by_ring[by_ring < TINY * size**4] = 0  # rounding errors of a flat image
    return by_ring.argmax(axis=1)


def _radius(size, across):
    """Return the distance of each frequency from 0, in cycles per image."""
    down = np.fft.fftfreq(size) * size
    return np.hypot(down[:, np.newaxis], across[np.newaxis, :])


def _parts(images, chunk):
    """Yield tensors of at most `chunk` images, (n, 48, 48, 1)."""
    images = np.reshape(images, (-1, 48, 48, 1))
    for first in range(0, len(images), chunk):
        yield tf.constant(images[first : first + chunk], tf.float32)


def _computed(submodel):
    """Return a compiled function of images that runs a model in inference mode."""

    @tf.function(input_signature=[tf.TensorSpec((None, 48, 48, 1))])
    def compute(images):
        return submodel(images, training=False)

    return compute


def _objective(model, layer, activated):
    """Return a function of images (n, 48, 48) and units (n,): activation of each one's own unit."""
    target = model.get_layer(layer)
    after = _activation_after(model, target) if activated else tf.identity
    if isinstance(target, keras.layers.Conv2D) and _is_plain(target):
        own_map = _own_map(model, target)
        return lambda images, units: tf.reduce_mean(after(own_map(images, units)), axis=(1, 2))

    submodel = _submodel(model, target.output)

    def own_mean(images, units):
        outputs = after(submodel(images[..., tf.newaxis], training=False))
        means = tf.reduce_mean(outputs, axis=range(1, len(outputs.shape) - 1))
        return tf.gather(means, units, axis=1, batch_dims=1)

    return own_mean


def _activation_after(model, target):
    """Return the activation layer that alone reads what a layer puts out, or else the identity."""
    readers = [layer for layer in model.layers if layer.input is target.output]
    if len(readers) == 1 and isinstance(readers[0], ACTIVATIONS):
        return readers[0]
    return tf.identity


def _is_plain(convolution):
    """Return whether a convolution can be computed by `_own_map`."""
    return (
        convolution.activation is keras.activations.linear
        and convolution.strides == convolution.dilation_rate == (1, 1)
        and convolution.groups == 1
        and convolution.padding in ("valid", "same")
        and convolution.data_format == "channels_last"
    )


def _own_map(model, convolution):
    """Return a function of images and units that convolves each image with its own filter alone.

    Convolving every image with all the filters, to use one map of each, costs as many times more
    as there are filters. Here one product gives what each tap of the kernel makes of each
    position, and the taps are added up, each moved to where it belongs. A BatchNormalization
    before the convolution is multiplied into the kernels.
    """
    source = convolution.input
    normaliser = next((layer for layer in model.layers if layer.output is source), None)
    if isinstance(normaliser, keras.layers.BatchNormalization):
        source = normaliser.input
    else:
        normaliser = None
    before = _submodel(model, source)
    down, across = convolution.kernel_size
    rows, columns = convolution.output.shape[1:3]
    same = convolution.padding == "same"
    borders = [((taps - 1) // 2, taps // 2) if same else (0, 0) for taps in (down, across)]

    def own_map(images, units):
        maps = before(images[..., tf.newaxis], training=False)
        count, (height, width, channels) = tf.shape(maps)[0], maps.shape[1:]
        kernels = tf.gather(tf.transpose(convolution.kernel, (3, 0, 1, 2)), units)
        kernels = tf.reshape(kernels, (count, down * across, channels))
        offsets = tf.zeros((count, down * across, 1))
        if normaliser is not None:
            scale, shift = _scale_and_shift(normaliser)
            offsets = tf.reduce_sum(kernels * shift, axis=2, keepdims=True)
            kernels *= scale
        flat = tf.reshape(maps, (count, height * width, channels))
        taps = tf.matmul(kernels, flat, transpose_b=True) + offsets
        taps = tf.unstack(tf.reshape(taps, (count, down * across, height, width)), axis=1)
        total = tf.add_n(
            [
                tf.slice(
                    tf.pad(tap, ((0, 0), *borders)),
                    (0, *divmod(number, across)),
                    (-1, rows, columns),
                )
                for number, tap in enumerate(taps)
            ]
        )
        if convolution.use_bias:
            total += tf.gather(convolution.bias, units)[:, tf.newaxis, tf.newaxis]
        return total

    return own_map


def _scale_and_shift(normaliser):
    """Return what a BatchNormalization multiplies by and adds in inference mode."""
    scale = tf.math.rsqrt(normaliser.moving_variance + normaliser.epsilon)
    if normaliser.scale:
        scale *= normaliser.gamma
    shift = -normaliser.moving_mean * scale
    return scale, shift + normaliser.beta if normaliser.center else shift


def _submodel(model, output):
    """Return the model up to one of its outputs, with all weights shared.

    A convolution of the grey image becomes a product with its patches: the kernel that TensorFlow
    has for the gradient of an image of one channel takes three times as long.
    """

    def same_or_patches(layer):
        if (
            isinstance(layer, keras.layers.Conv2D)
            and _is_plain(layer)
            and layer.padding == "valid"
            and layer.input.shape[-1] == 1
        ):
            return _PatchProduct(layer, name=layer.name)
        return layer

    return keras.models.clone_model(
        keras.Model(model.input, output), clone_function=same_or_patches
    )


class _PatchProduct(keras.layers.Layer):
    """An unpadded convolution of one channel, as the product of patches and kernel."""

    def __init__(self, convolution, **options):
        super().__init__(**options)
        self.convolution = convolution

    def call(self, images):
        """Return the maps (n, rows, columns, filters) of images (n, height, width, 1)."""
        down, across = self.convolution.kernel_size
        _, rows, columns, filters = self.convolution.output.shape
        grey = tf.squeeze(images, axis=-1)
        taps = [
            tf.slice(grey, (0, row, column), (-1, rows, columns))
            for row in range(down)
            for column in range(across)
        ]
        weights = tf.reshape(self.convolution.kernel, (down * across, filters))
        if self.convolution.use_bias:  # as a tap that is 1: no further pass over the maps
            taps.append(tf.ones_like(taps[0]))
            weights = tf.concat([weights, self.convolution.bias[tf.newaxis]], axis=0)
        maps = tf.matmul(tf.reshape(tf.stack(taps, axis=-1), (-1, len(taps))), weights)
        return tf.reshape(maps, (-1, rows, columns, filters))


def _steps(objective, draw, regularised, step_size):
    """Return (climb, look): one step of ascent, and what there is to see, both compiled."""
    images_spec, units_spec = tf.TensorSpec((None, 48, 48)), tf.TensorSpec((None,), tf.int64)

    @tf.function(input_signature=[images_spec, units_spec, tf.TensorSpec((2,), tf.int32)])
    def climb(parameters, units, move):
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(parameters)
            images = draw(parameters)
            seen = _move(images, move) if regularised else images
            activation = tf.reduce_sum(objective(seen, units))
            if regularised:
                variation = tf.reduce_sum(tf.image.total_variation(images[..., tf.newaxis]))
        direction = _unit(tape.gradient(activation, images))
        if not regularised:
            return tf.clip_by_value(parameters + step_size * direction, 0.0, 1.0)
        direction -= SMOOTHNESS * tape.gradient(variation, images)
        return parameters + step_size * _unit(tape.gradient(images, parameters, direction))

    @tf.function(input_signature=[images_spec, units_spec])
    def look(parameters, units):
        images = draw(parameters)
        return images, objective(images, units)

    return climb, look


def _unit(gradient):
    """Return each gradient (n, 48, 48) divided by its root mean square; zeros stay zeros."""
    size = tf.sqrt(tf.reduce_mean(gradient**2, axis=(1, 2), keepdims=True))
    return tf.math.divide_no_nan(gradient, tf.where(size > TINY, size, 0.0))


def _from_spectrum(parameters):
    """Return images in [0, 1] with fixed contrast whose spectrum falls off as 1/frequency.

    The parameters are weights of the waves, turned back into pixels: a rotation, under which
    steps of normalised ascent are the same.
    """
    size = parameters.shape[-1]
    radius = _radius(size, np.arange(size // 2 + 1))
    falling = tf.constant(1 / np.maximum(radius, FLAT), tf.complex64)
    waves = tf.signal.rfft2d(parameters - tf.reduce_mean(parameters, axis=(1, 2), keepdims=True))
    pattern = tf.signal.irfft2d(waves * falling, (size, size))
    return tf.sigmoid(4 * CONTRAST * _unit(pattern))  # a sigmoid's slope is 1/4 at mid-grey


def _move(images, move):
    """Return the images moved down and right by whole pixels; what leaves mirrors back in."""
    size = images.shape[-1]
    wide = tf.pad(images, ((0, 0), (SHIFT, SHIFT), (SHIFT, SHIFT)), "REFLECT")
    return tf.slice(wide, (0, SHIFT - move[0], SHIFT - move[1]), (-1, size, size))
