"""DeepFool: just over the nearest boundary that a linear view of the model shows, again and again.

Source: Moosavi-Dezfooli, Fawzi & Frossard 2016, "DeepFool", algorithm 2 and, for other norms,
equation 11.
"""

import functools

import numpy as np
import tensorflow as tf
from keras import Model
from numpy import ndarray

from common.attacks import engine
from common.attacks.registry import Budget, check
from common.models.prediction import checked, in_batches

STEPS = 50  # at most; most images take two or three
OVERSHOOT = 0.02  # it goes this much past the boundary (section 2.1)
GAP_FLOOR = 1e-6  # a tie of two logits must still lead to a step


def perturb(model: Model, images: ndarray, labels: ndarray, budget: Budget) -> ndarray:
    """Return images perturbed by as little, in `budget.norm`, as is found to be enough.

    Every image goes on until it is misread, and only those that are not yet are computed; one that
    is misread from the beginning comes back as it is. Errors are those of `engine`, and a
    ValueError if the budget is targeted.
    """
    images, labels = checked(model, images, labels)
    check(["deepfool"], targeted=budget.targeted)
    gaps_of = _compiled_gaps(model)

    def step(some):
        gaps, gradients = (np.array(array) for array in gaps_of(some))
        # A black pixel cannot get darker nor a white one lighter: those stand still.
        at = some[:, np.newaxis]
        gradients[((at <= 0) & (gradients > 0)) | ((at >= 1) & (gradients < 0))] = 0
        return _over_nearest(gaps.astype(np.float64), gradients, budget.norm)

    change = np.zeros(images.shape, np.float64)
    attacked = images.copy()
    active = np.flatnonzero(~engine.fooled(model, images, labels, budget))
    for _ in range(STEPS):
        if not len(active):
            break
        change[active] += in_batches(step, attacked[active], size=budget.batch_size)
        attacked[active] = np.clip(images[active] + (1 + OVERSHOOT) * change[active], 0, 1)
        active = active[~engine.fooled(model, attacked[active], labels[active], budget)]
    return attacked


def _over_nearest(gaps, gradients, norm):
    """Return the smallest change, by norm, that closes one of the gaps if they were linear.

    The gaps, float64 (n, c), are the logit of the predicted class minus those of the others; their
    gradients are (n, c, ...).
    """
    slopes = gradients.reshape(*gaps.shape, -1).astype(np.float64)
    steepness = np.abs(slopes).sum(2) if norm == "linf" else np.sqrt((slopes**2).sum(2))
    with np.errstate(divide="ignore"):
        distances = np.where(steepness > 0, np.maximum(gaps, GAP_FLOOR) / steepness, np.inf)
    nearest = distances.argmin(1)
    each = np.arange(len(gaps))
    slope = slopes[each, nearest]
    distance = distances[each, nearest]
    distance[np.isinf(distance)] = 0  # no gradient at all: nowhere to go
    if norm == "linf":
        unit = np.sign(slope)
    else:
        unit = slope / np.maximum(steepness[each, nearest], engine.TINY)[:, np.newaxis]
    return (-distance[:, np.newaxis] * unit).reshape(len(gaps), *gradients.shape[2:])


@functools.lru_cache(maxsize=8)
def _compiled_gaps(model):
    """Return the function images -> (gaps, their gradients), made once for a model."""

    @tf.function(autograph=False, input_signature=[engine.pixels_of(model)])
    def gaps(images):
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(images)
            ranked = tf.sort(model(images, training=False), axis=1, direction="DESCENDING")
            behind = tf.unstack(ranked[:, :1] - ranked[:, 1:], axis=1)
        gradients = [tape.gradient(gap, images) for gap in behind]
        return tf.stack(behind, axis=1), tf.stack(gradients, axis=1)

    return gaps
