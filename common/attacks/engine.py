"""What attacks are made of: gradients, steps and projections, and whether an attack succeeded.

Images are float32 (n, 48, 48, 1) in [0, 1], labels are codes (n,): of the true classes, to be left,
or of the classes to be reached where `Budget.targeted`. Every model here puts out logits
(`prediction.logits_model`) and runs in inference mode. What an attack returns never leaves [0, 1]
nor the ball around the image, not even by a rounding error. Other images, labels and sizes are a
ValueError.
"""

import functools
from collections.abc import Callable

import numpy as np
import tensorflow as tf
from keras import Model
from numpy import ndarray

from common.attacks.registry import LOSSES, Budget
from common.models.prediction import checked, in_batches

TINY = 1e-30  # divides what is zero anyway


# ------------------------------------------------------------------------------------------- steps


def steepest(model: Model, images: ndarray, labels: ndarray, budget: Budget) -> ndarray:
    """Return float32 like images: the step of size 1 that raises (or, targeted, lowers) the loss.

    It is the gradient's sign ("linf") or the gradient at length 1 ("l2"); zero where the gradient
    is zero throughout.
    """
    images, labels = checked(model, images, labels)
    compiled = _compiled_steepest(model, budget.norm, budget.loss)
    direction = in_batches(compiled, images, labels, size=budget.batch_size)
    return -direction if budget.targeted else direction


def newest(gradient: tf.Tensor, before: tf.Tensor) -> tf.Tensor:
    """Return what a step follows where earlier gradients do not count."""
    return gradient


def ascend(
    model: Model,
    images: ndarray,
    starts: ndarray,
    labels: ndarray,
    budget: Budget,
    *,
    step: float,
    follow: Callable[[tf.Tensor, tf.Tensor], tf.Tensor] = newest,
) -> ndarray:
    """Return what `budget.steps` projected gradient steps from `starts` lead to.

    Images are the centres of the balls, `step` is the length of each step in units of eps / steps,
    unless the budget names it. `follow` takes the gradient and what it returned before (or zero)
    and returns a tensor like them, along which the step goes the steepest way; it is one function
    of a module, as what is compiled for it is kept.
    """
    images, labels = checked(model, images, labels)
    eps = for_each(budget.eps, images, "eps")
    sizes = step * eps / budget.steps
    if budget.step_size is not None:
        sizes = for_each(budget.step_size, images, "step_size")
    eps, sizes = eps.astype(np.float32), (-sizes if budget.targeted else sizes).astype(np.float32)
    compiled = _compiled_ascent(model, budget.norm, budget.loss, follow)

    def climb(*batch):
        return compiled(*batch, budget.steps)

    arrays = images, starts, labels, eps, sizes
    return project(in_batches(climb, *arrays, size=budget.batch_size), images, budget)


def move(images: ndarray, direction: ndarray, budget: Budget) -> ndarray:
    """Return images moved by `budget.eps` along `direction`, within what `project` allows."""
    return project(images + _column(budget.eps, images) * direction, images, budget)


def project(candidates: ndarray, images: ndarray, budget: Budget) -> ndarray:
    """Return the candidates, float32, brought into [0, 1] and the balls around images.

    Computed in float64 and then rounded towards the image, so that the ball holds exactly and not
    only up to a rounding error. In l2 a perturbation that is too long is shortened as a whole.
    """
    column = _column(budget.eps, images)
    centre = np.asarray(images, np.float64)
    change = np.asarray(candidates, np.float64) - centre
    if budget.norm == "linf":
        change = np.clip(change, -column, column)
    else:
        change *= np.minimum(1, column / np.maximum(lengths(change), TINY))
    wanted = np.clip(centre + change, 0, 1)
    result = wanted.astype(np.float32)
    beyond = np.abs(result - centre) > np.abs(wanted - centre)
    return np.where(beyond, np.nextafter(result, images), result)


# ---------------------------------------------------------------------------------------- outcomes


def predict_logits(model: Model, images: ndarray, batch_size: int = Budget.batch_size) -> ndarray:
    """Return the model's logits, float32 (n, 7)."""
    return in_batches(_compiled_logits(model), images, size=batch_size)


def fooled(model: Model, images: ndarray, labels: ndarray, budget: Budget) -> ndarray:
    """Return bool (n,): whether attacks that led to these images succeeded."""
    return succeeded(predict_logits(model, images, budget.batch_size).argmax(1), labels, budget)


def succeeded(predictions: ndarray, labels: ndarray, budget: Budget) -> ndarray:
    """Return bool (..., n): not predicted is the label or, if `budget.targeted`, it is."""
    return (predictions == labels) == budget.targeted


def margins(logits: ndarray, labels: ndarray, budget: Budget) -> ndarray:
    """Return float32 (n,): how far an attack is past the boundary, in logits; above 0 it won."""
    beyond = _margin(tf.constant(logits), tf.constant(labels)).numpy()
    return -beyond if budget.targeted else beyond


def perturbation_size(attacked: ndarray, images: ndarray, norm: str) -> ndarray:
    """Return float64 (n,): the size of each image's perturbation in "linf" or "l2"."""
    change = attacked.astype(np.float64) - images
    if norm == "l2":
        return lengths(change).reshape(-1)
    return np.abs(change).reshape(len(change), -1).max(1, initial=0)


def round_to_8_bits(images: ndarray) -> ndarray:
    """Return images as they are once saved in 256 grey levels, float32 in [0, 1].

    A pixel moves by up to 0.5/255, so the result may lie that much outside the ball.
    """
    return np.rint(images * np.float32(255)) / np.float32(255)


def vanished(direction: ndarray) -> ndarray:
    """Return bool (n,): `steepest` found a gradient of zero throughout, nothing to follow."""
    return np.logical_not(direction.reshape(len(direction), -1).any(axis=1))


# ------------------------------------------------------------------------------ arrays and checks


def lengths(changes: ndarray) -> ndarray:
    """Return the Euclidean length of each change, (n, 1, ..., 1)."""
    return np.sqrt((changes**2).sum(axis=tuple(range(1, changes.ndim)), keepdims=True))


def for_each(value: float | ndarray, images: ndarray, name: str) -> ndarray:
    """Return float64 (n,) from one size, finite and 0 or more, or one for each image."""
    values = np.asarray(value, np.float64)
    if values.ndim > 1 or (values.ndim == 1 and len(values) != len(images)):
        raise ValueError(
            f"expected one {name} or {len(images)}, one for each image, found {values.shape}"
        )
    if not np.isfinite(values).all() or (values < 0).any():
        raise ValueError(f"expected a finite {name} of 0 or more, found {value}")
    return np.broadcast_to(values, len(images))


# ------------------------------------------------------------------------------------------ inside


def _column(eps, images):
    """Return eps as float64 (n, 1, ..., 1)."""
    return for_each(eps, images, "eps").reshape(-1, *[1] * (images.ndim - 1))


def _cross_entropy(logits, labels):
    return tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits)


def _margin(logits, labels):
    """Return the largest other logit minus the label's: it keeps a gradient at any confidence."""
    own = tf.one_hot(labels, tf.shape(logits)[1], on_value=True, off_value=False)
    others = tf.reduce_max(tf.where(own, logits.dtype.min, logits), axis=1)
    return others - tf.reduce_sum(tf.where(own, logits, 0), axis=1)


LOSS_FUNCTIONS = dict(zip(LOSSES, (_cross_entropy, _margin), strict=True))


# The compiled functions of a model, each made once; they take any number of images without
# retracing.


@functools.lru_cache(maxsize=8)
def _compiled_logits(model):
    @tf.function(autograph=False, input_signature=[pixels_of(model)])
    def logits(images):
        return model(images, training=False)

    return logits


@functools.lru_cache(maxsize=8)
def _compiled_steepest(model, norm, loss):
    @tf.function(autograph=False, input_signature=[pixels_of(model), _CODES])
    def steepest(images, labels):
        return _unit(_gradient(model, loss, images, labels), norm)

    return steepest


@functools.lru_cache(maxsize=8)
def _compiled_ascent(model, norm, loss, follow):
    pixels = pixels_of(model)
    ones = [1] * (len(pixels.shape) - 1)

    @tf.function(
        autograph=False, input_signature=[pixels, pixels, _CODES, _NUMBERS, _NUMBERS, _COUNT]
    )
    def ascent(images, start, labels, eps, sizes, steps):
        eps, sizes = (tf.reshape(column, (-1, *ones)) for column in (eps, sizes))

        def once(number, moved, before):
            along = follow(_gradient(model, loss, moved, labels), before)
            moved = tf.clip_by_value(moved + sizes * _unit(along, norm), 0.0, 1.0)
            change = moved - images
            if norm == "linf":
                change = tf.clip_by_value(change, -eps, eps)
            else:
                change *= tf.minimum(1.0, eps / tf.maximum(_length(change), TINY))
            return number + 1, images + change, along

        first = (0, start, tf.zeros_like(start))
        return tf.while_loop(lambda number, *_: number < steps, once, first)[1]

    return ascent


def pixels_of(model: Model) -> tf.TensorSpec:
    """Return the signature of a batch of the model's images."""
    return tf.TensorSpec((None, *model.input_shape[1:]), tf.float32)


_CODES = tf.TensorSpec((None,), tf.int64)
_NUMBERS = tf.TensorSpec((None,), tf.float32)
_COUNT = tf.TensorSpec((), tf.int32)


def _gradient(model, loss, images, labels):
    with tf.GradientTape() as tape:
        tape.watch(images)
        value = LOSS_FUNCTIONS[loss](model(images, training=False), labels)
    return tape.gradient(value, images)


def _unit(direction, norm):
    """Return the step of size 1 that goes the steepest way along a gradient."""
    if norm == "linf":
        return tf.sign(direction)
    # Squares of small gradients underflow in float32: first to 1 at most, then to length 1.
    largest = tf.reduce_max(tf.abs(direction), _axes(direction), keepdims=True)
    direction /= tf.maximum(largest, TINY)
    return direction / tf.maximum(_length(direction), TINY)


def _length(changes):
    return tf.sqrt(tf.reduce_sum(tf.square(changes), _axes(changes), keepdims=True))


def _axes(images):
    return list(range(1, len(images.shape)))
