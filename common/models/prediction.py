"""Running a model batch by batch; its probabilities, averaged over views of each image."""

import functools
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from common.labels import INPUT_SHAPE

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


def logits_model(model: keras.Model) -> keras.Model:
    """Return the model up to its `logits`, sharing all weights: what losses and gradients use."""
    return keras.Model(model.input, model.get_layer("logits").output, name=model.name)


def checked(
    model: keras.Model, images: np.ndarray, classes: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return what gradients need, images as float32 and classes as int64.

    A ValueError says what is wrong with the model, which must put out logits, with the images,
    (n, h, w, 1) in [0, 1], or with the classes, a code (n,) for each.
    """
    if isinstance(model.layers[-1], keras.layers.Softmax):
        raise ValueError(
            "expected a model that puts out logits, found probabilities: a softmax has no gradient "
            "where it is sure; pass prediction.logits_model(model)"
        )
    images, classes = np.asarray(images), np.asarray(classes)
    shape, count = model.input_shape[1:], model.output_shape[-1]
    if images.dtype.kind != "f" or images.shape[1:] != tuple(shape):
        raise ValueError(
            f"expected float images (n, {', '.join(map(str, shape))}) in [0, 1], found "
            f"{images.dtype} {images.shape}: convert grey levels with pixels.to_inputs"
        )
    if not ((images >= 0) & (images <= 1)).all():
        raise ValueError("expected pixels in [0, 1], found others: convert with pixels.to_inputs")
    if classes.shape != images.shape[:1] or classes.dtype.kind not in "iu":
        raise ValueError(
            f"expected one class code for each of {len(images)} images, found {classes.dtype} "
            f"{classes.shape}"
        )
    if len(classes) and not 0 <= classes.min() <= classes.max() < count:
        raise ValueError(
            f"expected class codes from 0 to {count - 1}, found {classes.min()} to {classes.max()}"
        )
    return images.astype(np.float32, copy=False), classes.astype(np.int64)


def in_batches(
    compute: Callable,
    *arrays: np.ndarray,
    size: int,
    axis: int = 0,
    progress: Callable[[int], object] | None = None,
) -> Any:
    """Return what `compute` makes of arrays (n, ...), `size` images at a time, joined along `axis`.

    It takes a batch of each array and returns an array or tensor, or a tuple or dictionary of such.
    `progress` is called with the number of images done, after every batch.
    """
    count = len(arrays[0])
    if not count:  # a black image tells the shape of an empty answer
        arrays = tuple(np.zeros((1, *array.shape[1:]), array.dtype) for array in arrays)
    answers = []
    for start in range(0, len(arrays[0]), size):
        answers.append(compute(*(array[start : start + size] for array in arrays)))
        if progress is not None:
            progress(min(size, count - start))
    return _joined(answers, count, axis)


def _joined(answers, count, axis):
    """Return `count` answers, arrays or tuples or dictionaries of arrays, joined along an axis."""
    if isinstance(answers[0], dict):
        return {key: _joined([one[key] for one in answers], count, axis) for key in answers[0]}
    if isinstance(answers[0], tuple):
        return tuple(_joined(each, count, axis) for each in zip(*answers, strict=True))
    joined = np.concatenate(answers, axis)
    return joined if count else joined.take(range(0), axis)


def predict(
    model: keras.Model,
    images: np.ndarray,
    *,
    views: int = 1,
    batch: int = BATCH,
    progress: Callable[[int], object] | None = None,
) -> np.ndarray:
    """Return probabilities, float32 (n, 7), averaged over test-time views of each image.

    Args:
        model: float32, as `load` returns it.
        images: uint8 (n, 48, 48).
        views: one of `VIEWS`: 1 is the image alone, 2 adds its mirror image, 10 and 18 take both
            of the image and of its shifts by `VIEW_SHIFT` pixels along or also across the axes.
        batch: images at a time; fewer cannot be computed, so a few images come sooner if it is low.
        progress: called with the number of images done, after every batch, or None.

    Raises:
        ValueError: there is no such number of views.
    """
    if views not in VIEWS:
        raise ValueError(f"--tta: expected one of {', '.join(map(str, VIEWS))}, found {views}")
    answer = _answer(model, views, batch)

    def answer_filled(some):  # one shape, one trace
        filled = np.pad(some, ((0, batch - len(some)), (0, 0), (0, 0)))
        return answer(filled)[: len(some)]

    return in_batches(answer_filled, images, size=batch, progress=progress)


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
