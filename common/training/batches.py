"""Batches that depend on seed and step alone."""

import math
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from common.labels import NUM_CLASSES
from common.training.augment import augment, mix
from common.training.recipes import CLASS_WEIGHTS, Policy, entry


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
    mixup: float = 0.0,
    first_step: int,
    last_step: int,
) -> tf.data.Dataset:
    """Return the batches (inputs, targets, weights) from `first_step` up to `last_step`.

    Batch k is the same in every run: the order of its pass follows from (seed, pass) alone, and its
    augmentation and mixture from (seed, k). Every pass takes every image once, the last batch of a
    pass being a smaller one where the images do not divide.

    Args:
        data: to take them from.
        batch_size: images a step.
        augmentation: a name or `Policy` of `augment`.
        mixup: alpha of `mix`, or 0 for images that are not mixed.
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
        draws = tf.stack([seed, tf.cast(step, tf.int32)])
        pixels = augment(pixels, augmentation, draws)
        made = pixels, tf.gather(targets, chosen), tf.gather(weights, chosen)
        return mix(*made, mixup, draws) if mixup else made

    return (
        tf.data.Dataset.range(first_step, last_step, output_type=tf.int32)
        .map(batch, num_parallel_calls=1)
        .prefetch(2)
    )
