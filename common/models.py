"""The networks, layer by layer, and safe loading of their weights.

Every model takes float32 (n, 48, 48, 1) in [0, 1], standardises each image inside (a layer without
parameters), and ends in a Dense named `logits` and a softmax after it.
"""

import contextlib
import functools
import itertools
import zipfile
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from common import runs
from common.labels import INPUT_SHAPE, NUM_CLASSES

LEAK = 0.001
DROPOUT = 0.25
MOMENTUM = 0.95  # of the batch statistics; Keras' 0.99 lags behind in runs of a few epochs
BATCH = 32  # of prediction: what the first layers put out still fits the cache of a processor
VIEWS = (1, 2, 10, 18)
VIEW_SHIFT = 3  # pixels
SHIFTS = [
    (VIEW_SHIFT * down, VIEW_SHIFT * right)
    for down, right in [
        *((0, 0), (0, 1), (0, -1), (1, 0), (-1, 0)),
        *((1, 1), (1, -1), (-1, 1), (-1, -1)),
    ]
]
VARIANCE_FLOOR = 1e-4  # a flat image has no deviation to divide by; this is (2.5 grey levels)^2


class FusedBatchNormalization(layers.BatchNormalization):
    """BatchNormalization of images that trains with TensorFlow's one-pass kernel.

    It has the weights and the result of its parent, which computes the moments and their
    gradients in separate passes over the batch: measured, the CNN of the report trains 1.4 times
    as fast with this one. It is used for training alone, never in a file.
    """

    def call(self, inputs, training=None, mask=None):
        """Return the normalised batch and, in training, move the averages."""
        if not training or not self.trainable:
            return super().call(inputs, training=training, mask=mask)
        outputs, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=inputs,
            scale=self.gamma.value,
            offset=self.beta.value,
            mean=tf.zeros(0),
            variance=tf.zeros(0),
            epsilon=self.epsilon,
            is_training=True,
        )
        # The kernel's variance is the unbiased one; Keras keeps the plain one.
        count = tf.cast(tf.size(inputs) // tf.size(mean), variance.dtype)
        variance *= (count - 1) / count
        for average, value in ((self.moving_mean, mean), (self.moving_variance, variance)):
            average.assign(average * self.momentum + value * (1.0 - self.momentum))
        return outputs


def build(architecture, *, fused=False):
    """Return a new model by the name of its architecture, with random weights.

    Args:
        architecture: one of `ARCHITECTURES`.
        fused: train with one-pass batch statistics (same weights, same result, faster).

    Raises:
        ValueError: there is no such architecture.
    """
    if architecture not in ARCHITECTURES:
        known = ", ".join(sorted(ARCHITECTURES))
        raise ValueError(f"unknown architecture {architecture!r}: expected one of {known}")
    return ARCHITECTURES[architecture](fused=fused)


def build_cnn(*, fused=False):
    """Return the report's CNN: 1,985,607 parameters, 2,304 of them moving averages.

    Six 3x3 convolutions, each followed by LeakyReLU and BatchNorm; the first is unpadded.
    Source: report, part 1.
    """
    normalise = FusedBatchNormalization if fused else layers.BatchNormalization
    inputs = keras.Input(INPUT_SHAPE, name="image")
    x = _standardise(inputs)
    for block, filters in enumerate((64, 128, 256), start=1):
        for number in (2 * block - 1, 2 * block):
            padding = "valid" if number == 1 else "same"
            x = layers.Conv2D(filters, 3, padding=padding, name=f"conv2d_{number}")(x)
            x = layers.LeakyReLU(negative_slope=LEAK, name=f"leaky_re_lu_{number}")(x)
            x = normalise(momentum=MOMENTUM, name=f"batch_normalization_{number}")(x)
        x = layers.MaxPooling2D(2, name=f"max_pooling2d_{block}")(x)
        x = layers.Dropout(DROPOUT, name=f"dropout_{block}")(x)
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dropout(DROPOUT, name="dropout_4")(x)
    for number in (1, 2):
        x = layers.Dense(128, name=f"dense_{number}")(x)
        x = layers.LeakyReLU(negative_slope=LEAK, name=f"leaky_re_lu_{number + 6}")(x)
        x = layers.BatchNormalization(momentum=MOMENTUM, name=f"batch_normalization_{number + 6}")(
            x
        )
        x = layers.Dropout(DROPOUT, name=f"dropout_{number + 4}")(x)
    return keras.Model(inputs, _classify(x), name="cnn")


def build_dnn(*, fused=False):
    """Return the report's DNN: nine hidden layers, 1,996,167 parameters, 5,120 moving averages.

    Dense 512 x3, 256 x2, 128 x4, each with LeakyReLU and BatchNorm, and Dropout after every
    BatchNorm but the first. Source: report, part 2.

    Args:
        fused: accepted like `build_cnn`; rows of numbers have no faster kernel.
    """
    del fused
    inputs = keras.Input(INPUT_SHAPE, name="image")
    x = layers.Flatten(name="flatten")(_standardise(inputs))
    for number, units in enumerate((512,) * 3 + (256,) * 2 + (128,) * 4, start=1):
        x = layers.Dense(units, name=f"dense_{number}")(x)
        x = layers.LeakyReLU(negative_slope=LEAK, name=f"leaky_re_lu_{number}")(x)
        x = layers.BatchNormalization(momentum=MOMENTUM, name=f"batch_normalization_{number}")(x)
        if number > 1:
            x = layers.Dropout(DROPOUT, name=f"dropout_{number - 1}")(x)
    return keras.Model(inputs, _classify(x), name="dnn")


def build_compact(*, fused=False):
    """Return a residual CNN of 1,169,735 parameters, a third of the report's multiplications.

    Seven 3x3 convolutions, each followed by LeakyReLU and BatchNorm. The first stage sees the
    whole image with few filters; each later one halves the image, widens, and adds a convolution
    to its own input. The mean and the largest value of each last map stand for the Dense layers.
    """
    normalise = FusedBatchNormalization if fused else layers.BatchNormalization
    numbers = itertools.count(1)

    def convolve(x, filters):
        number = next(numbers)
        x = layers.Conv2D(filters, 3, padding="same", name=f"conv2d_{number}")(x)
        x = layers.LeakyReLU(negative_slope=LEAK, name=f"leaky_re_lu_{number}")(x)
        return normalise(momentum=MOMENTUM, name=f"batch_normalization_{number}")(x)

    inputs = keras.Input(INPUT_SHAPE, name="image")
    x = convolve(_standardise(inputs), 32)
    for stage, filters in enumerate((64, 128, 256), start=1):
        x = layers.MaxPooling2D(2, name=f"max_pooling2d_{stage}")(x)
        x = convolve(x, filters)
        x = layers.Add(name=f"add_{stage}")([x, convolve(x, filters)])
    x = layers.Concatenate(name="concatenate")(
        [
            layers.GlobalAveragePooling2D(name="global_average_pooling2d")(x),
            layers.GlobalMaxPooling2D(name="global_max_pooling2d")(x),
        ]
    )
    x = layers.Dropout(DROPOUT, name="dropout_1")(x)
    return keras.Model(inputs, _classify(x), name="compact")


ARCHITECTURES = {"cnn": build_cnn, "compact": build_compact, "dnn": build_dnn}


def logits_model(model):
    """Return the model up to its `logits`, sharing all weights: what losses and gradients use."""
    return keras.Model(model.input, model.get_layer("logits").output, name=model.name)


def predict(model, images, *, views=1, progress=None):
    """Return probabilities, float32 (n, 7), averaged over test-time views of each image.

    Args:
        model: float32, as `load` returns it.
        images: uint8 (n, 48, 48).
        views: one of `VIEWS`: 1 is the image alone, 2 adds its mirror image, 10 and 18 take both
            of the image and of its shifts by `VIEW_SHIFT` pixels along or also across the axes.
        progress: called with the number of images done, after every batch, or None.

    Raises:
        ValueError: there is no such number of views.
    """
    if views not in VIEWS:
        raise ValueError(f"--tta: expected one of {', '.join(map(str, VIEWS))}, found {views}")
    answer = _answer(model, views, BATCH)
    probabilities = np.empty((len(images), NUM_CLASSES), np.float32)
    for start in range(0, len(images), BATCH):
        batch = images[start : start + BATCH]
        filled = np.pad(batch, ((0, BATCH - len(batch)), (0, 0), (0, 0)))  # one shape, one trace
        probabilities[start : start + BATCH] = answer(filled)[: len(batch)]
        if progress is not None:
            progress(len(batch))
    return probabilities


def save(path, model, architecture):
    """Write the weights of `model` as a complete, plain Keras model in float32, atomically.

    Args:
        path: ends in `.keras`.
        model: any model of that architecture, fused or in mixed precision too.
        architecture: one of `ARCHITECTURES`.
    """
    with precision("float32"):
        plain = build(architecture)
    plain.set_weights(model.get_weights())
    with runs.atomic_write(path) as temporary:
        plain.save(temporary)
        with zipfile.ZipFile(temporary) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
        # Keras stores weights as they are; deflated they take a tenth less, and load alike.
        with zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in members.items():
                archive.writestr(name, content)


def load(run, *, half=False):
    """Return (model, config) of a run folder: built here by name, weights only read from the file.

    Nothing that the file describes is ever executed, so a file from elsewhere can do no harm.

    Args:
        run: a run folder, or a folder in `pretrained/`.
        half: compute in bfloat16 what comes before the logits: faster where the processor
            multiplies in it, and right to about two digits of a probability.

    Raises:
        ValueError: the folder holds no run, or the weights are not those that it was measured
            with (`metrics.json` has their SHA-256) or not those of its architecture.
    """
    run = Path(run)
    if not run.is_dir():
        raise ValueError(
            f"{run}: expected a run folder (with config.json and model.keras), found "
            f"{'a file' if run.exists() else 'nothing'}"
        )
    config = runs.read_json(run / "config.json")
    if "architecture" not in config:
        raise ValueError(f"{run / 'config.json'}: expected the architecture of a model, found none")
    model = load_weights(config["architecture"], run / "model.keras", half=half)
    if (run / "metrics.json").exists():
        recorded = runs.read_json(run / "metrics.json").get("model_sha256")
        found = runs.sha256(run / "model.keras")
        if recorded not in (None, found):
            raise ValueError(
                f"{run / 'model.keras'}: expected the weights with SHA-256 {recorded[:16]} that "
                f"metrics.json was measured with, found {found[:16]}: get the folder again"
            )
    return model, config


def load_weights(architecture, path, *, half=False):
    """Return a plain model with the weights of a `.keras` file; nothing else is read from it.

    Args:
        architecture: one of `ARCHITECTURES`.
        path: of the file.
        half: as for `load`.

    Raises:
        ValueError: no such file, not a `.keras` file, or the weights of another architecture.
    """
    path = Path(path)
    with precision("mixed_bfloat16" if half else "float32"):
        model = build(architecture)
    if not path.is_file():
        raise ValueError(f"{path}: expected a trained model, found nothing: train one first")
    if path.suffix != ".keras" or not zipfile.is_zipfile(path):
        raise ValueError(f"{path}: expected a .keras file (a zip archive), found something else")
    try:
        model.load_weights(path)
    except Exception as error:  # Keras and h5py raise many kinds on a damaged or foreign file
        reason = " ".join(str(error).split())[:200]
        raise ValueError(
            f"{path}: expected the weights of the architecture {architecture!r}, found others "
            f"or a damaged file ({reason})"
        ) from error
    return model


def mean_weights(finished, architecture):
    """Return the mean of the weights of runs, array by array, as `get_weights` orders them.

    Runs that started from the same weights often lie in one valley of the loss, and their mean
    nearer to its middle (Izmailov et al. 2018; Wortsman et al. 2022). Batch statistics of a mean
    are wrong until it has been trained a little.

    Args:
        finished: run folders, one or more.
        architecture: that they must all have.

    Raises:
        ValueError: one has another architecture.
    """
    weights = []
    for run in finished:
        model = load(run)[0]
        if model.name != architecture:
            raise ValueError(
                f"{run}: expected weights of the {architecture}, found those of the {model.name}"
            )
        weights.append(model.get_weights())
    return [np.mean(arrays, axis=0) for arrays in zip(*weights, strict=True)]


@contextlib.contextmanager
def precision(policy):
    """Build layers with this Keras dtype policy inside the block, whatever holds outside."""
    outside = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(outside)


@functools.lru_cache(maxsize=8)
def _answer(model, views, batch_size):
    """Return the graph that averages a model over views, made once; weights stay the model's."""
    pixels = tf.TensorSpec((batch_size, *INPUT_SHAPE[:2]), tf.uint8)

    @tf.function(autograph=False, input_signature=[pixels])
    def answer(batch):
        inputs = tf.cast(batch, tf.float32)[..., tf.newaxis] / 255.0
        return tf.add_n([model(view, training=False) for view in _views(inputs, views)]) / views

    return answer


def _views(inputs, views):
    """Return the test-time views of a batch, shifted with repeated edges and mirrored."""
    steps = {1: 1, 2: 1, 10: 5, 18: 9}[views]
    size, margin = inputs.shape[1], VIEW_SHIFT
    rows = np.clip(np.arange(-margin, size + margin), 0, size - 1)
    padded = tf.gather(tf.gather(inputs, rows, axis=1), rows, axis=2)
    shifted = [
        padded[:, margin + down : margin + down + size, margin + right : margin + right + size]
        for down, right in SHIFTS[:steps]
    ]
    return shifted if views == 1 else [*shifted, *(view[:, :, ::-1] for view in shifted)]


def _standardise(inputs):
    """Return each image with mean 0 and deviation 1 (0 throughout where it is flat)."""
    return layers.LayerNormalization(
        axis=(1, 2, 3), center=False, scale=False, epsilon=VARIANCE_FLOOR, name="standardise"
    )(inputs)


def _classify(x):
    """Return the last Dense and the softmax, in float32 also when the rest is in half precision."""
    logits = layers.Dense(NUM_CLASSES, dtype="float32", name="logits")(x)
    return layers.Softmax(dtype="float32", name="probabilities")(logits)
