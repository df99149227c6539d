"""Layers that the networks share."""

import contextlib
from collections.abc import Iterator

import keras
import tensorflow as tf
from keras import layers

from common.labels import NUM_CLASSES

ACTIVATIONS = (layers.LeakyReLU, layers.ReLU)
LEAK = 0.001
DROPOUT = 0.25
MOMENTUM = 0.95  # of the batch statistics; Keras' 0.99 lags behind in runs of a few epochs
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


def normalization(*, fused: bool) -> type[layers.BatchNormalization]:
    """Return the layer class that normalises images: the one-pass one for training, or Keras'."""
    return FusedBatchNormalization if fused else layers.BatchNormalization


@contextlib.contextmanager
def precision(policy: str) -> Iterator[None]:
    """Build layers with this Keras dtype policy inside the block, whatever holds outside."""
    outside = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(outside)


def activation_after(model: keras.Model, target: layers.Layer) -> layers.Layer | None:
    """Return the activation layer that alone reads what a layer puts out, None without one."""
    readers = [
        layer
        for layer in model.layers
        if any(tensor is target.output for tensor in keras.tree.flatten(layer.input))
    ]
    return readers[0] if len(readers) == 1 and isinstance(readers[0], ACTIVATIONS) else None


def standardise(inputs: keras.KerasTensor) -> keras.KerasTensor:
    """Return each image with mean 0 and deviation 1 (0 throughout where it is flat)."""
    return layers.LayerNormalization(
        axis=(1, 2, 3), center=False, scale=False, epsilon=VARIANCE_FLOOR, name="standardise"
    )(inputs)


def classify(x: keras.KerasTensor) -> keras.KerasTensor:
    """Return the last Dense and the softmax, in float32 also when the rest is in half precision."""
    logits = layers.Dense(NUM_CLASSES, dtype="float32", name="logits")(x)
    return layers.Softmax(dtype="float32", name="probabilities")(logits)
