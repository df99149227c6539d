"""Training with `fit`: hardware, batches by (seed, step), and a run that survives a kill.

An epoch ends with everything on disk: the weights of the best epoch, the history, and the state
from which the next epoch follows bit for bit.
"""

import contextlib
import math
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from common import models, runs
from common.augment import augment
from common.data import to_inputs
from common.labels import NUM_CLASSES
from common.recipes import CLASS_WEIGHTS, Policy, Recipe, entry, loss, optimizer


@dataclass(frozen=True)
class TrainingData:
    """What a network learns from.

    Attributes:
        images: uint8 (n, 48, 48).
        targets: float32 (n, 7), rows that sum to 1.
        weights: float32 (n,), of each image in the loss.
    """

    images: np.ndarray
    targets: np.ndarray
    weights: np.ndarray

    def extended(self, images: np.ndarray, targets: np.ndarray) -> "TrainingData":
        """Return these and more images with targets, each of the weight 1."""
        return TrainingData(
            np.concatenate([self.images, images]),
            np.concatenate([self.targets, targets]),
            np.concatenate([self.weights, np.ones(len(images), np.float32)]),
        )


@dataclass(frozen=True)
class Plan:
    """What is trained, and how.

    Attributes:
        architecture: a name that `models.build` knows.
        recipe: of the optimisation.
        seed: of the weights, dropout, shuffling and augmentation.
        precision: a Keras dtype policy, or "auto" (see `prepare`).
        initial_weights: to start from, as `get_weights` orders them, or None for random ones.
        tensorboard: also write logs for TensorBoard into the run folder.
    """

    architecture: str
    recipe: Recipe
    seed: int = 0
    precision: str = "auto"
    initial_weights: list[np.ndarray] | None = None
    tensorboard: bool = False


class Hardware(NamedTuple):
    """What a model is trained on.

    Attributes:
        strategy: a `tf.distribute.Strategy` over all local GPUs when there are several, or None.
        precision: Keras dtype policy.
        description: of both, for people.
    """

    strategy: tf.distribute.Strategy | None
    precision: str
    description: str


def prepare(*, seed: int, precision: str = "auto") -> Hardware:
    """Seed everything, and return the `Hardware` with the precision that is fastest on it.

    Args:
        seed: of the weights, dropout, shuffling and augmentation.
        precision: a Keras dtype policy; "auto" takes half precision where the hardware multiplies
            faster in it. Weights, batch statistics, logits and the loss stay in float32.
    """
    keras.utils.set_random_seed(seed)
    gpus = tf.config.list_physical_devices("GPU")
    for gpu in gpus:
        with contextlib.suppress(RuntimeError):  # already initialised
            tf.config.experimental.set_memory_growth(gpu, True)
    if precision == "auto":
        precision = _fastest_precision(gpus)
    strategy = tf.distribute.MirroredStrategy() if len(gpus) > 1 else None
    device = f"{len(gpus)} GPU{'s' * (len(gpus) > 1)}" if gpus else "CPU"
    return Hardware(strategy, precision, f"{device}, {precision}")


def soft_labels(labels: np.ndarray) -> np.ndarray:
    """Return one-hot float32 (n, 7) from codes (n,).

    Raises:
        ValueError: a code is not 0-6, such as that of a removed label.
    """
    if len(labels) and not 0 <= np.min(labels) <= np.max(labels) < NUM_CLASSES:
        raise ValueError(
            f"expected labels 0-{NUM_CLASSES - 1}, found {np.min(labels)} to {np.max(labels)}"
        )
    return np.eye(NUM_CLASSES, dtype=np.float32)[labels]


def row_weights(labels: np.ndarray, name: str) -> np.ndarray:
    """Return float32 (n,), mean 1: the weight of each image in the loss.

    Args:
        labels: codes (n,).
        name: "none" (all 1), "balanced" (one over the frequency of the image's class) or "sqrt"
            (the root of that, between the two).
    """
    power = entry(CLASS_WEIGHTS, name)
    counts = np.maximum(np.bincount(labels, minlength=NUM_CLASSES), 1)
    weights = (1.0 / counts[labels]) ** power
    return (weights / weights.mean()).astype(np.float32)


def labelled(images: np.ndarray, labels: np.ndarray, class_weight: str) -> TrainingData:
    """Return images uint8 (n, 48, 48) with labels (n,) as data to learn from."""
    return TrainingData(images, soft_labels(labels), row_weights(labels, class_weight))


def batches(
    data: TrainingData,
    *,
    batch_size: int,
    augmentation: str | Policy,
    seed: int,
    first_step: int,
    last_step: int,
) -> tf.data.Dataset:
    """Return the batches (inputs, targets, weights) from `first_step` up to `last_step`.

    Batch k is the same in every run: the order of its pass and its augmentation follow from
    (seed, pass) and (seed, k) alone. Every pass takes every image once, the last batch of a pass
    being a smaller one where the images do not divide.

    Args:
        data: to take them from.
        batch_size: images a step.
        augmentation: a name or `Policy` of `augment`.
        seed: of the run.
        first_step: counted from the start of training.
        last_step: one past the last.
    """
    count = len(data.images)
    steps = math.ceil(count / batch_size)  # of a pass
    images, targets, weights = map(tf.constant, (data.images, data.targets, data.weights))

    def batch(step):
        number, position = step // steps, step % steps
        order = tf.random.experimental.stateless_shuffle(
            tf.range(count), seed=tf.stack([seed, tf.cast(number, tf.int32)])
        )
        chosen = order[position * batch_size : (position + 1) * batch_size]
        pixels = tf.cast(tf.gather(images, chosen), tf.float32)[..., tf.newaxis] / 255.0
        pixels = augment(pixels, augmentation, tf.stack([seed, tf.cast(step, tf.int32)]))
        return pixels, tf.gather(targets, chosen), tf.gather(weights, chosen)

    return (
        tf.data.Dataset.range(first_step, last_step, output_type=tf.int32)
        .map(batch, num_parallel_calls=1)
        .prefetch(2)
    )


def fit(
    folder: Path, plan: Plan, data: TrainingData, validation: tuple[np.ndarray, np.ndarray]
) -> None:
    """Train, and leave the best epoch in `folder/model.keras`; go on when `folder` has a state.

    `folder/history.csv` gets a row an epoch. Its losses are cross-entropy without smoothing or
    weights, so that runs of several recipes can be compared; its training accuracy is over the
    images as augmented, with dropout on, against the targets' largest class.

    Args:
        folder: the run folder.
        plan: of the run.
        data: to learn from.
        validation: images uint8 (m, 48, 48) and labels (m,), which choose the epoch that is kept.

    Raises:
        ValueError: the loss became NaN or infinite.
    """
    recipe, (images, labels) = plan.recipe, validation
    hardware = prepare(seed=plan.seed, precision=plan.precision)
    print(
        f"Training the {plan.architecture.upper()} on {len(data.images):,} images with "
        f"{len(images):,} held out to choose the epoch; {hardware.description}."
    )
    steps = recipe.steps_per_epoch or math.ceil(len(data.images) / recipe.batch_size)
    model = _compiled(plan, recipe.epochs * steps, hardware)
    keeper = _KeepRun(folder, plan.architecture, recipe.epochs)
    done = keeper.restore(model)
    if done >= recipe.epochs:
        return
    callbacks = [keeper, keras.callbacks.TerminateOnNaN(raise_error=True)]
    if recipe.precise_statistics:
        callbacks.append(PreciseBatchNorm(data.images))
    if plan.tensorboard:
        callbacks.append(keras.callbacks.TensorBoard(folder / "tensorboard"))
    remaining = batches(
        data,
        batch_size=recipe.batch_size,
        augmentation=recipe.augmentation,
        seed=plan.seed,
        first_step=done * steps,
        last_step=recipe.epochs * steps,
    )
    try:
        with _termination_as_interrupt():
            model.fit(
                remaining,
                initial_epoch=done,
                epochs=recipe.epochs,
                steps_per_epoch=steps,
                validation_data=(to_inputs(images), soft_labels(labels)),
                validation_batch_size=128,
                shuffle=False,  # `batches` has done it
                callbacks=callbacks,
                verbose=1 if sys.stdout.isatty() else 0,
            )
    except RuntimeError as error:
        if "NaN" not in str(error) and "Invalid loss" not in str(error):
            raise
        raise ValueError(
            f"{folder}: the loss is no longer a number after epoch {len(keeper.history)}: "
            "choose a lower --learning-rate"
        ) from error


def _compiled(plan, total_steps, hardware):
    """Return the network of a plan as it starts, ready for `fit`."""
    scope = hardware.strategy.scope() if hardware.strategy else contextlib.nullcontext()
    with scope, models.precision(hardware.precision):
        model = models.logits_model(models.build(plan.architecture, fused=True))
        model.compile(
            optimizer=optimizer(plan.recipe, total_steps),
            loss=loss(plan.recipe),
            weighted_metrics=[],
            metrics=[
                keras.metrics.CategoricalAccuracy(name="accuracy"),
                keras.metrics.CategoricalCrossentropy(name="cross_entropy", from_logits=True),
            ],
            jit_compile="auto" if tf.config.list_physical_devices("GPU") else False,
        )
        model.optimizer.build(model.trainable_variables)
    if plan.initial_weights is not None:
        model.set_weights(plan.initial_weights)
    return model


class PreciseBatchNorm(keras.callbacks.Callback):
    """Gives a model precise batch-norm statistics of unchanged images before each validation.

    The moving averages that BatchNormalization keeps come from augmented images with dropout on,
    which have other variances than the plain images that a trained model is asked about. Here each
    layer gets the mean of what it sees over whole batches without dropout. Training never reads
    these statistics, so nothing else changes.

    Args:
        images: training images, uint8 (n, 48, 48), one or more.
        batch_size: images a batch.
        batches: at most; they are spread evenly over the images.

    Source: Wu, Johnson, "Rethinking 'Batch' in BatchNorm", 2021, section 3; on dropout: Li et al.,
    "Understanding the disharmony between dropout and batch normalization", 2019.
    """

    def __init__(self, images: np.ndarray, *, batch_size: int = 128, batches: int = 24):
        """Choose the images."""
        super().__init__()
        count = min(batches, math.ceil(len(images) / batch_size))
        rows = np.linspace(0, len(images), min(len(images), count * batch_size), endpoint=False)
        self.batches = [images[part] for part in np.array_split(rows.astype(np.int64), count)]

    def set_model(self, model):
        """Make the copy of the model that measures."""
        super().set_model(model)
        copy = keras.models.clone_model(model, clone_function=_measuring)
        self.layers = [
            (layer, copy.get_layer(layer.name))
            for layer in model.layers
            if isinstance(layer, keras.layers.BatchNormalization)
        ]

        @tf.function(autograph=False)
        def measure(batch):
            copy(batch, training=True)
            return [(seen.moving_mean.value, seen.moving_variance.value) for _, seen in self.layers]

        self.copy, self.measure = copy, measure

    def on_test_begin(self, logs=None):
        """Measure, and replace what the model has."""
        self.copy.set_weights(self.model.get_weights())
        found = [self.measure(tf.constant(to_inputs(batch))) for batch in self.batches]
        for (layer, _), pairs in zip(self.layers, zip(*found, strict=True), strict=True):
            means, variances = zip(*pairs, strict=True)
            layer.moving_mean.assign(np.mean(means, axis=0))
            layer.moving_variance.assign(np.mean(variances, axis=0))


def _measuring(layer):
    """Return a copy of a layer that keeps the statistics of the last batch and drops nothing."""
    config = layer.get_config()
    if isinstance(layer, keras.layers.BatchNormalization):
        config["momentum"] = 0.0
    if isinstance(layer, keras.layers.Dropout):
        config["rate"] = 0.0
    return type(layer).from_config(config)


class _KeepRun(keras.callbacks.Callback):
    """Writes the best weights, the history and the state at the end of every epoch."""

    def __init__(self, folder, architecture, epochs):
        super().__init__()
        self.folder = folder
        self.architecture = architecture
        self.epochs = epochs
        self.history = []
        self.best = {"epoch": 0, "validation_accuracy": -1.0}

    def restore(self, model):
        """Bring back the newest state, if any, and return the number of finished epochs."""
        state = runs.load_state(self.folder)
        if state is None:
            return 0
        arrays, record = state
        for index, variable in enumerate(self._variables(model)):
            variable.assign(arrays[f"{index:04d}"])
        self.history, self.best = record["history"], record["best"]
        return len(self.history)

    def on_epoch_begin(self, epoch, logs=None):
        """Start the clock."""
        self.began = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        """Keep everything that the epoch brought."""
        row = {
            "epoch": epoch + 1,
            "loss": logs["cross_entropy"],
            "accuracy": logs["accuracy"],
            "validation_loss": logs["val_cross_entropy"],
            "validation_accuracy": logs["val_accuracy"],
            "learning_rate": float(self.model.optimizer.learning_rate),
            "seconds": time.perf_counter() - self.began,
        }
        self.history.append({key: float(f"{value:.6g}") for key, value in row.items()})
        self.history[-1]["epoch"] = epoch + 1
        if row["validation_accuracy"] > self.best["validation_accuracy"]:
            self.best = {key: row[key] for key in ("epoch", "validation_accuracy")}
            models.save(self.folder / "model.keras", self.model, self.architecture)
        arrays = {
            f"{index:04d}": np.asarray(variable)
            for index, variable in enumerate(self._variables(self.model))
        }
        runs.save_state(
            self.folder, epoch + 1, arrays, {"history": self.history, "best": self.best}
        )
        runs.write_table(self.folder / "history.csv", self.history)
        self._say(self.history[-1])

    def _say(self, row):
        """Print the epoch in one line, with the time that is left."""
        recent = [past["seconds"] for past in self.history[-5:]]
        left = (self.epochs - row["epoch"]) * sum(recent) / len(recent)
        print(
            f"epoch {row['epoch']}/{self.epochs}  loss {row['loss']:.4f}  "
            f"accuracy {row['accuracy']:.4f}  validation {row['validation_accuracy']:.4f} "
            f"(best {self.best['validation_accuracy']:.4f}, epoch {self.best['epoch']})  "
            f"{row['seconds']:.0f} s  {duration(left)} left",
            flush=True,
        )

    @staticmethod
    def _variables(model):
        """Return all that changes in training: weights, dropout seeds, the optimizer's own."""
        return [*model.variables, *model.optimizer.variables]


def duration(seconds: float) -> str:
    """Return "2 h 05 min", "7 min" or "40 s"."""
    minutes = round(seconds / 60)
    if minutes >= 60:
        return f"{minutes // 60} h {minutes % 60:02d} min"
    return f"{minutes} min" if seconds >= 90 else f"{seconds:.0f} s"


def _fastest_precision(gpus):
    """Return the Keras dtype policy with which this machine trains fastest."""
    if gpus:
        details = tf.config.experimental.get_device_details(gpus[0])
        major = details.get("compute_capability", (0, 0))[0]
        return "mixed_bfloat16" if major >= 8 else "mixed_float16" if major >= 7 else "float32"
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="utf-8").split()
    except OSError:
        return "float32"
    return "mixed_bfloat16" if {"avx512_bf16", "amx_bf16"} & set(flags) else "float32"


@contextlib.contextmanager
def _termination_as_interrupt():
    """Let SIGTERM end training like Ctrl-C, so that the last words can be said."""

    def interrupt(signum, frame):
        raise KeyboardInterrupt

    previous = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)
