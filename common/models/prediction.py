"""Probabilities of a model, averaged over views of each image."""

import functools

import keras
import numpy as np
import tensorflow as tf

from common.labels import INPUT_SHAPE, NUM_CLASSES

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
