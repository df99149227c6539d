"""Images that excite units of a network the most, made by gradient ascent.

Images are float32 in [0, 1] throughout. Models that standardise each image ignore its brightness
and contrast, so only the pattern counts.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import keras
import numpy as np
import tensorflow as tf

from common.ascent import fast_convolution, responses
from common.models import blocks
from common.models.prediction import in_batches

BATCH = 8  # images: what a layer puts out for them stays in the processor's cache
NOISE = 0.1  # half the range of the white noise that ascent starts from, around mid-grey
STEP = 0.02  # root mean square of what a step changes, in units of the pixel range
CONTRAST = 0.2  # deviation of a regularised image
SMOOTHNESS = 0.05  # weight of total variation, against an activation's gradient of unit size
FLAT = 6  # cycles per image up to which a regularised spectrum does not fall
SHIFT = 3  # pixels that a regularised image is moved by at most before a step
TINY = 1e-12  # below this a size counts as 0 and is not divided by


@dataclass(frozen=True)
class Options:
    """How images ascend.

    A regularised image is drawn from a spectrum that falls off as 1/frequency, has a fixed
    contrast, is moved at random before each step, and pays for total variation; that keeps fine
    noise, which excites deep layers, out of it. A plain one is kept in [0, 1] by clipping.

    Measured before its activation function, the mean over what the first convolution puts out is
    the same for every pattern.
    """

    steps: int = 100
    snapshots: Sequence[int] = ()  # steps after which images are kept; the last if none is named
    activated: bool = True  # measure after the activation function that follows, if one does
    regularised: bool = False
    seed: int = 0  # of the random moves, which are the same for all images
    step_size: float = STEP  # root mean square
    batch: int = BATCH  # images that ascend at once


@dataclass(frozen=True, eq=False)
class Ascent:
    """How images grew under gradient ascent."""

    layer: str
    regularised: bool
    units: np.ndarray  # int64 (n,), which unit of the layer each image excites
    steps: np.ndarray  # int64 (k,), after how many steps each snapshot was taken
    images: np.ndarray  # float32 (k, n, 48, 48) in [0, 1]
    activations: np.ndarray  # float32 (k, n), mean of the unit's map: the report's "loss"

    @property
    def name(self) -> str:
        """The layer, and whether images were regularised: part of the names of files."""
        return f"{self.layer}_regularised" if self.regularised else self.layer

    @property
    def frequencies(self) -> np.ndarray:
        """The cycles per image width that carry most power in the last images, int64 (n,)."""
        return dominant_frequency(self.images[-1])

    def at(self, steps: Sequence[int]) -> "Ascent":
        """Return the same with the snapshots after these steps alone."""
        kept = np.isin(self.steps, steps)
        snapshots = {key: getattr(self, key)[kept] for key in ("steps", "images", "activations")}
        return replace(self, **snapshots)


def white_noise(units: Sequence[int] | np.ndarray, *, seed: int) -> np.ndarray:
    """Return the images that ascent starts from, float32 (n, 48, 48), uniform around mid-grey.

    The noise of a unit depends on its number and the seed alone, so that a filter's picture is the
    same whichever others are asked for.
    """
    noise = [np.random.default_rng([seed, unit]).uniform(-1, 1, (48, 48)) for unit in units]
    return (0.5 + NOISE * np.array(noise).reshape(-1, 48, 48)).astype(np.float32)


def ascend(
    model: keras.Model,
    layer: str,
    units: Sequence[int] | np.ndarray,
    options: Options,
    *,
    start: np.ndarray,
    progress: Callable[[int], object] | None = None,
) -> Ascent:
    """Return the `Ascent` of one image for each unit, all of a batch together.

    The activations of a batch are added up: an image only moves its own, so every image climbs
    exactly as it would alone. Only the part of the model up to the layer is computed, in inference
    mode. A step adds the gradient, divided by its root mean square, to the image.

    Units are int (n,), the same one may come up more than once; they start from float images
    (n, 48, 48), for example `white_noise`. `progress` is called with the number of images, after
    each step of a batch. A ValueError says that a layer or unit is unknown, or a snapshot never
    reached.

    Source: Erhan et al. 2009; for the regularised kind Olah et al. 2017, "Feature Visualization".
    """
    chosen_units = responses.layer_units(model, layer, units)
    kept = np.unique(np.asarray(options.snapshots or [options.steps], dtype=np.int64))
    if kept[0] < 0 or kept[-1] > options.steps:
        raise ValueError(
            f"expected snapshots after 0 to {options.steps} steps, found {kept.tolist()}"
        )
    climb, look = _steps(_objective(model, layer, options.activated), options)
    generator = np.random.default_rng(options.seed)
    moves = generator.integers(-SHIFT, SHIFT, (options.steps, 2), endpoint=True)

    def grow(parameters, chosen):
        snapshots = []
        for step in range(int(kept[-1]) + 1):
            if step in kept:
                snapshots.append([values.numpy() for values in look(parameters, chosen)])
            if step < kept[-1]:
                parameters = climb(parameters, chosen, tf.constant(moves[step], tf.int32))
                if progress is not None:
                    progress(len(chosen))
        images, activations = zip(*snapshots, strict=True)
        return np.stack(images), np.stack(activations)

    arrays = np.asarray(start, np.float32), chosen_units
    images, activations = in_batches(grow, *arrays, size=options.batch, axis=1)
    return Ascent(layer, options.regularised, chosen_units, kept, images, activations)


def dominant_frequency(images: np.ndarray) -> np.ndarray:
    """Return the cycles per width of images (n, 48, 48) with the most power, (n,); 0 if flat."""
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


def _objective(model, layer, activated):
    """Return a function of images (n, 48, 48) and units (n,): activation of each one's own unit."""
    target = model.get_layer(layer)
    after = (blocks.activation_after(model, target) if activated else None) or tf.identity
    if isinstance(target, keras.layers.Conv2D) and fast_convolution.is_plain(target):
        own_map = fast_convolution.own_map(model, target)
        return lambda images, units: tf.reduce_mean(after(own_map(images, units)), axis=(1, 2))

    submodel = fast_convolution.submodel(model, target.output)

    def own_mean(images, units):
        outputs = after(submodel(images[..., tf.newaxis], training=False))
        means = tf.reduce_mean(outputs, axis=range(1, len(outputs.shape) - 1))
        return tf.gather(means, units, axis=1, batch_dims=1)

    return own_mean


def _steps(objective, options):
    """Return (climb, look): one step of ascent, and what there is to see, both compiled."""
    draw = _from_spectrum if options.regularised else tf.identity
    images_spec, units_spec = tf.TensorSpec((None, 48, 48)), tf.TensorSpec((None,), tf.int64)

    @tf.function(input_signature=[images_spec, units_spec, tf.TensorSpec((2,), tf.int32)])
    def climb(parameters, units, move):
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(parameters)
            images = draw(parameters)
            seen = _move(images, move) if options.regularised else images
            activation = tf.reduce_sum(objective(seen, units))
            if options.regularised:
                variation = tf.reduce_sum(tf.image.total_variation(images[..., tf.newaxis]))
        direction = _unit(tape.gradient(activation, images))
        if not options.regularised:
            return tf.clip_by_value(parameters + options.step_size * direction, 0.0, 1.0)
        direction -= SMOOTHNESS * tape.gradient(variation, images)
        return parameters + options.step_size * _unit(tape.gradient(images, parameters, direction))

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
