"""Batch statistics of plain images for the validated and kept model."""

import math

import keras
import numpy as np
import tensorflow as tf

from common.data.pixels import to_inputs


class PreciseBatchNorm(keras.callbacks.Callback):
    """Gives a model precise batch-norm statistics of unchanged images after each epoch.

    That is before it is validated, or at the end of the epoch where nothing is held out.

    The moving averages that BatchNormalization keeps come from augmented images with dropout on,
    which have other variances than the plain images that a trained model is asked about. Here each
    layer gets the mean of what it sees over whole batches without dropout. Training never reads
    these statistics, so nothing else changes.

    Args:
        images: training images, uint8 (n, 48, 48), one or more.
        batch_size: images a batch.
        batches: at most; each is spread evenly over the images, which may be in order of class.

    Source: Wu, Johnson, "Rethinking 'Batch' in BatchNorm", 2021, section 3; on dropout: Li et al.,
    "Understanding the disharmony between dropout and batch normalization", 2019.
    """

    def __init__(self, images: np.ndarray, *, batch_size: int = 128, batches: int = 24):
        """Choose the images."""
        super().__init__()
        count = min(batches, math.ceil(len(images) / batch_size))
        total = min(len(images), count * batch_size)
        rows = np.linspace(0, len(images), total, endpoint=False).astype(np.int64)
        self.batches = [images[rows[first::count]] for first in range(count)]

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

    def on_epoch_begin(self, epoch, logs=None):
        """Forget that it was done."""
        self.done = False

    def on_epoch_end(self, epoch, logs=None):
        """Do what no validation has done."""
        if not self.done:
            self.on_test_begin()

    def on_test_begin(self, logs=None):
        """Measure, and replace what the model has."""
        self.done = True
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
