"""Adversarial images: FGSM, PGD built from the same step, DeepFool, and a control of random noise.

Images are float32 (n, 48, 48, 1) in [0, 1]; `eps` is the largest allowed change of one pixel
("linf") or the Euclidean length of the whole change ("l2"), in the same units, one number or one
for each image. Every model here puts out logits (`prediction.logits_model`) and runs in inference
mode. What comes back never leaves [0, 1] nor the ball around the image, not by a rounding error.

An attack is untargeted (`labels` are the true classes, to be left) or targeted (`labels` are the
classes to be reached).
"""

import functools
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from common.labels import NUM_CLASSES

NORMS = ("linf", "l2")
BATCH_SIZE = 64  # images at once: about 300 MB with the report's CNN
STEP = 2.5  # PGD can cross its ball 1.25 times (Madry et al. 2018, section 5)
OVERSHOOT = 0.02  # DeepFool goes this much past the boundary (its section 2.1)
GAP_FLOOR = 1e-6  # a tie of two logits must still lead to a step
TINY = 1e-30  # divides what is zero anyway


# ----------------------------------------------------------------------------------------- attacks


def fgsm(
    model,
    images,
    labels,
    *,
    eps,
    norm="linf",
    targeted=False,
    loss="cross-entropy",
    batch_size=BATCH_SIZE,
):
    """Return images moved by `eps` along the sign (or, in l2, the direction) of the gradient.

    Source: Goodfellow, Shlens & Szegedy 2015, "Explaining and harnessing adversarial examples",
    section 4.

    Args:
        model: puts out logits.
        images: float32 (n, 48, 48, 1) in [0, 1].
        labels: (n,) codes of the true classes, or of the targets.
        eps: size of the change, a number or (n,).
        norm: one of `NORMS`.
        targeted: towards `labels` rather than away from them.
        loss: one of `LOSSES`.
        batch_size: images at once.

    Raises:
        ValueError: images, labels, eps or a name is not as described.
    """
    direction = steepest(
        model, images, labels, norm=norm, targeted=targeted, loss=loss, batch_size=batch_size
    )
    return move(images, direction, eps=eps, norm=norm)


def pgd(
    model,
    images,
    labels,
    *,
    eps,
    norm="linf",
    steps=10,
    step_size=None,
    restarts=1,
    random_start=True,
    targeted=False,
    loss="cross-entropy",
    generator=None,
    batch_size=BATCH_SIZE,
):
    """Return images after `steps` projected gradient steps, the best of several restarts each.

    The best one has the largest margin: it is misread (or read as the target) if any restart is.
    Source: Madry et al. 2018, "Towards deep learning models resistant to adversarial attacks".

    Args:
        model: puts out logits.
        images: float32 (n, 48, 48, 1) in [0, 1].
        labels: (n,) codes of the true classes, or of the targets.
        eps: radius of the ball, a number or (n,).
        norm: one of `NORMS`.
        steps: gradients for each restart, 1 or more.
        step_size: length of a step, a number or (n,); 2.5 eps / steps when None.
        restarts: how often to begin anew, 1 or more.
        random_start: begin at a random point of the ball, not at the image.
        targeted: towards `labels` rather than away from them.
        loss: one of `LOSSES`.
        generator: `numpy.random.Generator` of the random starts; needed for them.
        batch_size: images at once; the random starts do not depend on it.

    Raises:
        ValueError: images, labels, eps or a name is not as described, or several restarts are
            asked for that would all be the same.
    """
    images, labels = checked(model, images, labels)
    eps = _for_each(eps, images, "eps")
    check_choice(norm, NORMS, "norm")
    if steps < 1 or restarts < 1:
        raise ValueError(f"expected 1 or more steps and restarts, found {steps} and {restarts}")
    if restarts > 1 and not random_start:
        raise ValueError(f"expected a random start for {restarts} restarts, found none: allow it")
    if random_start and generator is None:
        raise ValueError("expected a generator for the random start, found None: pass one")
    sizes = STEP * eps / steps if step_size is None else _for_each(step_size, images, "step_size")
    graph = _graph(model, norm, loss)
    best = np.empty_like(images)
    best_margin = np.full(len(images), -np.inf, np.float32)
    for _ in range(restarts):
        starts = _random_point(images, eps, norm, generator) if random_start else images
        for part in slices(len(images), batch_size):
            moved = graph.ascend(
                images[part],
                starts[part],
                labels[part],
                eps[part].astype(np.float32),
                _signed(sizes[part], targeted),
                steps,
            )
            found = project(moved.numpy(), images[part], eps=eps[part], norm=norm)
            if restarts == 1:
                best[part] = found
                continue
            margin = margins(graph.logits(found).numpy(), labels[part], targeted=targeted)
            better = margin > best_margin[part]
            best[part][better] = found[better]
            best_margin[part][better] = margin[better]
    return best


def deepfool(
    model,
    images,
    labels,
    *,
    norm="linf",
    steps=50,
    overshoot=OVERSHOOT,
    batch_size=BATCH_SIZE,
):
    """Return images moved just over the nearest boundary that a linear view of the model shows.

    Every image goes on until it is misread, and only those that are not yet are computed; one that
    is misread from the beginning comes back as it is. Untargeted only. Source: Moosavi-Dezfooli,
    Fawzi & Frossard 2016, "DeepFool", algorithm 2 and, for other norms, equation 11.

    Args:
        model: puts out logits.
        images: float32 (n, 48, 48, 1) in [0, 1].
        labels: (n,) codes of the true classes.
        norm: one of `NORMS`, the size that is kept small.
        steps: at most.
        overshoot: the whole change is lengthened by this fraction.
        batch_size: images at once.

    Raises:
        ValueError: images, labels or a name is not as described.
    """
    images, labels = checked(model, images, labels)
    check_choice(norm, NORMS, "norm")
    graph = _graph(model, norm, "cross-entropy")
    change = np.zeros(images.shape, np.float64)
    adversarial = images.copy()
    active = np.flatnonzero(~fooled(model, images, labels, batch_size=batch_size))
    for _ in range(steps):
        if not len(active):
            break
        for part in slices(len(active), batch_size):
            rows = active[part]
            gaps, gradients = (np.array(array) for array in graph.gaps(adversarial[rows]))
            # A black pixel cannot get darker nor a white one lighter: those stand still.
            at = adversarial[rows][:, np.newaxis]
            gradients[((at <= 0) & (gradients > 0)) | ((at >= 1) & (gradients < 0))] = 0
            change[rows] += _over_nearest(gaps.astype(np.float64), gradients, norm)
        adversarial[active] = np.clip(images[active] + (1 + overshoot) * change[active], 0, 1)
        still = ~fooled(model, adversarial[active], labels[active], batch_size=batch_size)
        active = active[still]
    return adversarial


def by_name(name, model, images, labels, *, eps, norm, targeted, loss, steps, restarts, generator):
    """Return images under "fgsm", "pgd", "deepfool" (which takes no `eps`) or "noise"."""
    if name == "noise":
        return random_noise(images, eps=eps, norm=norm, generator=generator)
    if name == "deepfool":
        return deepfool(model, images, labels, norm=norm)
    options = {"eps": eps, "norm": norm, "targeted": targeted, "loss": loss}
    if name == "fgsm":
        return fgsm(model, images, labels, **options)
    return pgd(
        model, images, labels, steps=steps, restarts=restarts, generator=generator, **options
    )


def random_noise(images, *, eps, norm="linf", generator):
    """Return images changed at random by as much as an attack of the same size may change them.

    Every pixel goes up or down by `eps` ("linf"), or the change is Gaussian with length `eps`
    ("l2"), before it is cut to [0, 1]. What such noise does to a model is the control: an attack
    must do more.

    Raises:
        ValueError: eps or norm is not as described.
    """
    return move(images, random_direction(images, norm, generator), eps=eps, norm=norm)


def steepest(
    model,
    images,
    labels,
    *,
    norm="linf",
    targeted=False,
    loss="cross-entropy",
    batch_size=BATCH_SIZE,
):
    """Return float32 like images: the step of size 1 that raises (or, targeted, lowers) the loss.

    It is the gradient's sign ("linf") or the gradient at length 1 ("l2"); zero where the gradient
    is zero throughout. `move` goes along it; arguments and errors are those of `fgsm`.
    """
    images, labels = checked(model, images, labels)
    check_choice(norm, NORMS, "norm")
    graph = _graph(model, norm, loss)
    direction = np.empty_like(images)
    for part in slices(len(images), batch_size):
        direction[part] = graph.steepest(images[part], labels[part])
    return -direction if targeted else direction


def move(images, direction, *, eps, norm="linf"):
    """Return images changed by `eps` along `direction`, within [0, 1] and the ball of `project`."""
    column = _for_each(eps, images, "eps").reshape(-1, *[1] * (images.ndim - 1))
    return project(images + column * direction, images, eps=eps, norm=norm)


def project(candidates, images, *, eps, norm="linf"):
    """Return the candidates, float32, brought into [0, 1] and the ball of `eps` around images.

    Computed in float64 and then rounded towards the image, so that the ball holds exactly and not
    but for a rounding error. In l2 a change that is too long is shortened as a whole.

    Args:
        candidates: (n, ...) of any float type.
        images: float32 (n, ...) in [0, 1], the centres.
        eps: radius, a number or (n,).
        norm: one of `NORMS`.

    Raises:
        ValueError: eps is negative or no number, or norm is unknown.
    """
    check_choice(norm, NORMS, "norm")
    column = _for_each(eps, images, "eps").reshape(-1, *[1] * (images.ndim - 1))
    centre = np.asarray(images, np.float64)
    change = np.asarray(candidates, np.float64) - centre
    if norm == "linf":
        change = np.clip(change, -column, column)
    else:
        change *= np.minimum(1, column / np.maximum(_length(change), TINY))
    wanted = np.clip(centre + change, 0, 1)
    result = wanted.astype(np.float32)
    beyond = np.abs(result - centre) > np.abs(wanted - centre)
    return np.where(beyond, np.nextafter(result, images), result)


# ---------------------------------------------------------------------------------------- outcomes


def predict_logits(model, images, *, batch_size=BATCH_SIZE):
    """Return the model's logits, float32 (n, 7)."""
    graph = _graph(model, "linf", "cross-entropy")
    parts = [graph.logits(images[part]).numpy() for part in slices(len(images), batch_size)]
    return np.concatenate(parts) if parts else np.zeros((0, model.output_shape[-1]), np.float32)


def fooled(model, images, labels, *, targeted=False, batch_size=BATCH_SIZE):
    """Return bool (n,): the image is not read as its label, or, targeted, it is."""
    predictions = predict_logits(model, images, batch_size=batch_size).argmax(1)
    return succeeded(predictions, labels, targeted=targeted)


def succeeded(predictions, labels, *, targeted=False):
    """Return bool like predictions: an attack that led to them reached its aim."""
    return (predictions == labels) if targeted else (predictions != labels)


def margins(logits, labels, *, targeted=False):
    """Return float32 (n,): how far an attack is past the boundary, in logits; above 0 it won."""
    beyond = _margin(tf.constant(logits), tf.constant(labels)).numpy()
    return -beyond if targeted else beyond


def change_size(adversarial, images, *, norm="linf"):
    """Return float64 (n,): the size of each image's change in that norm."""
    check_choice(norm, NORMS, "norm")
    change = adversarial.astype(np.float64) - images
    if norm == "l2":
        return _length(change).reshape(-1)
    return np.abs(change).reshape(len(change), -1).max(1, initial=0)


def round_to_8_bits(images):
    """Return images as they are once saved in 256 grey levels, float32 in [0, 1].

    A pixel moves by up to 0.5/255, so the result may lie that much outside the ball.
    """
    return np.rint(images * np.float32(255)) / np.float32(255)


def vanished(direction):
    """Return bool (n,): `steepest` found a gradient of zero throughout, nothing to follow."""
    return ~direction.reshape(len(direction), -1).any(1)


def describe_vanished(flags, *, loss):
    """Return a sentence about the images flagged by `vanished` with that loss, a warning if any."""
    if not flags.any():
        return f"The gradient vanished (exactly zero) for none of the {len(flags)} images."
    remedy = "attack with the margin loss, which does not saturate"
    if loss == "margin":
        remedy = "they withstand these attacks only because those cannot see a way"
    return (
        f"Warning: the gradient vanished (is exactly zero) for {flags.sum()} of {len(flags)} "
        f"images ({flags.mean():.0%}): {remedy}."
    )


# ------------------------------------------------------------------------------------------ inside


def _cross_entropy(logits, labels):
    return tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits)


def _margin(logits, labels):
    """Return the largest other logit minus the label's: it keeps a gradient at any confidence."""
    own = tf.one_hot(labels, tf.shape(logits)[1], on_value=True, off_value=False)
    others = tf.reduce_max(tf.where(own, logits.dtype.min, logits), axis=1)
    return others - tf.reduce_sum(tf.where(own, logits, 0), axis=1)


LOSSES = {"cross-entropy": _cross_entropy, "margin": _margin}


class _Graph(NamedTuple):
    """The compiled functions of one model; they take any number of images without retracing."""

    logits: object
    steepest: object
    ascend: object
    gaps: object


@functools.lru_cache(maxsize=8)
def _graph(model, norm, loss):
    """Return the `_Graph` of a model, made once."""
    check_choice(loss, LOSSES, "loss")
    if isinstance(model.layers[-1], keras.layers.Softmax):
        raise ValueError(
            "expected a model that puts out logits, found probabilities: a softmax has no gradient "
            "where it is sure; pass models.logits_model(model)"
        )
    pixels = tf.TensorSpec((None, *model.input_shape[1:]), tf.float32)
    codes = tf.TensorSpec((None,), tf.int64)
    numbers = tf.TensorSpec((None,), tf.float32)
    count = tf.TensorSpec((), tf.int32)
    axes = list(range(1, len(pixels.shape)))
    ones = [1] * len(axes)

    def length(changes):
        return tf.sqrt(tf.reduce_sum(tf.square(changes), axes, keepdims=True))

    def step(images, labels):
        with tf.GradientTape() as tape:
            tape.watch(images)
            value = LOSSES[loss](model(images, training=False), labels)
        gradient = tape.gradient(value, images)
        if norm == "linf":
            return tf.sign(gradient)
        # Squares of small gradients underflow in float32: first to 1 at most, then to length 1.
        gradient /= tf.maximum(tf.reduce_max(tf.abs(gradient), axes, keepdims=True), TINY)
        return gradient / tf.maximum(length(gradient), TINY)

    @tf.function(autograph=False, input_signature=[pixels])
    def logits(images):
        return model(images, training=False)

    @tf.function(autograph=False, input_signature=[pixels, codes])
    def steepest(images, labels):
        return step(images, labels)

    @tf.function(autograph=False, input_signature=[pixels, pixels, codes, numbers, numbers, count])
    def ascend(images, start, labels, eps, sizes, steps):
        eps, sizes = (tf.reshape(column, (-1, *ones)) for column in (eps, sizes))

        def once(number, moved):
            moved = tf.clip_by_value(moved + sizes * step(moved, labels), 0.0, 1.0)
            change = moved - images
            if norm == "linf":
                change = tf.clip_by_value(change, -eps, eps)
            else:
                change *= tf.minimum(1.0, eps / tf.maximum(length(change), TINY))
            return number + 1, images + change

        return tf.while_loop(lambda number, _: number < steps, once, (0, start))[1]

    @tf.function(autograph=False, input_signature=[pixels])
    def gaps(images):
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(images)
            ranked = tf.sort(model(images, training=False), axis=1, direction="DESCENDING")
            behind = tf.unstack(ranked[:, :1] - ranked[:, 1:], axis=1)
        gradients = [tape.gradient(gap, images) for gap in behind]
        return tf.stack(behind, axis=1), tf.stack(gradients, axis=1)

    return _Graph(logits, steepest, ascend, gaps)


def _over_nearest(gaps, gradients, norm):
    """Return the smallest change, by norm, that closes one of the gaps if they were linear.

    Args:
        gaps: float64 (n, c): logit of the predicted class minus those of the others.
        gradients: (n, c, ...) of the gaps.
        norm: one of `NORMS`.
    """
    slopes = gradients.reshape(*gaps.shape, -1).astype(np.float64)
    steepness = np.abs(slopes).sum(2) if norm == "linf" else np.sqrt((slopes**2).sum(2))
    with np.errstate(divide="ignore"):
        distances = np.where(steepness > 0, np.maximum(gaps, GAP_FLOOR) / steepness, np.inf)
    nearest = distances.argmin(1)
    rows = np.arange(len(gaps))
    slope = slopes[rows, nearest]
    distance = distances[rows, nearest]
    distance[np.isinf(distance)] = 0  # no gradient at all: nowhere to go
    if norm == "linf":
        unit = np.sign(slope)
    else:
        unit = slope / np.maximum(steepness[rows, nearest], TINY)[:, np.newaxis]
    return (-distance[:, np.newaxis] * unit).reshape(len(gaps), *gradients.shape[2:])


def random_direction(images, norm, generator):
    """Return float32 like images: a random change of size 1."""
    if norm == "linf":
        signs = generator.integers(0, 2, images.shape, dtype=np.int8)
        return 2 * signs.astype(np.float32) - 1
    normal = generator.standard_normal(images.shape)
    return (normal / np.maximum(_length(normal), TINY)).astype(np.float32)


def _random_point(images, eps, norm, generator):
    """Return a random point of the ball around each image, cut to [0, 1]."""
    if norm == "linf":
        direction, share = generator.uniform(-1, 1, images.shape), 1.0
    else:
        direction = generator.standard_normal(images.shape)
        direction /= np.maximum(_length(direction), TINY)
        share = generator.random(len(images)) ** (1 / images[0].size)  # even in volume
    return move(images, direction, eps=eps * share, norm=norm)


def _length(changes):
    """Return the Euclidean length of each change, (n, 1, ..., 1)."""
    return np.sqrt((changes**2).sum(axis=tuple(range(1, changes.ndim)), keepdims=True))


def _signed(sizes, targeted):
    """Return float32 sizes of steps: downhill where the attack is targeted."""
    return (-sizes if targeted else sizes).astype(np.float32)


def slices(count, size):
    """Return the slices that cut `count` rows into chunks."""
    return [slice(start, start + size) for start in range(0, count, size)]


def check_choice(value, known, name):
    """Raise a ValueError unless the value of that name is a known one."""
    if value not in known:
        raise ValueError(f"unknown {name} {value!r}: expected one of {', '.join(known)}")


def _for_each(value, images, name):
    """Return float64 (n,) from one number or one for each image.

    Raises:
        ValueError: it is negative, infinite or of another length.
    """
    values = np.asarray(value, np.float64)
    if values.ndim > 1 or (values.ndim == 1 and len(values) != len(images)):
        raise ValueError(
            f"expected one {name} or {len(images)}, one for each image, found {values.shape}"
        )
    if not np.isfinite(values).all() or (values < 0).any():
        raise ValueError(f"expected a finite {name} of 0 or more, found {value}")
    return np.broadcast_to(values, len(images))


def checked(model, images, labels):
    """Return images as float32 and labels as int64, or say in a ValueError what is wrong."""
    images = np.asarray(images)
    expected = tuple(model.input_shape[1:])
    if images.dtype.kind != "f" or images.shape[1:] != expected:
        raise ValueError(
            f"expected float images (n, {', '.join(map(str, expected))}), found {images.dtype} "
            f"{images.shape}: convert grey levels with data.to_inputs"
        )
    if not ((images >= 0) & (images <= 1)).all():
        raise ValueError("expected pixels in [0, 1], found others: convert with data.to_inputs")
    labels = np.asarray(labels)
    if labels.shape != (len(images),) or labels.dtype.kind not in "iu":
        raise ValueError(
            f"expected {len(images)} whole labels, one for each image, found {labels.dtype} "
            f"{labels.shape}"
        )
    if len(labels) and not (labels.min() >= 0 and labels.max() < NUM_CLASSES):
        raise ValueError(
            f"expected labels from 0 to {NUM_CLASSES - 1}, found {labels.min()} to {labels.max()}"
        )
    return images.astype(np.float32), labels.astype(np.int64)
