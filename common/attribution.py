"""Which pixels a decision rests on: seven kinds of saliency map, and how far to believe them.

Every method takes the model up to its logits, float32 images (n, h, w, 1) in [0, 1] and the class
to explain for each of them, and returns one number a pixel, float32 (n, h, w). Models run in
inference mode; nothing in them changes.

Two kinds of map need telling apart (`importance` does). A *sensitivity* says how much a pixel
could change the logit: its size matters. A *contribution* says how much it did add: what is
negative speaks against the class.
"""

import functools
from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf
from scipy import ndimage, stats

CHUNK = 32  # images a pass; the CNN of the report needs about 15 MB for each
CONTRIBUTIONS = ("gradient_times_input", "integrated_gradients", "grad_cam", "occlusion")
RECTIFIERS = (keras.activations.relu, keras.activations.leaky_relu)
BLUR = 5.0  # pixels of deviation: a 48x48 face keeps its light and shade and loses its features
SMALLEST_CHANGE = 0.1  # of a logit; an error relative to less than this would say nothing

# Rows of a 48x48 face of FER-2013, where the average face has these features.
REGIONS = {"forehead": (0, 11), "brows and eyes": (11, 24), "nose": (24, 32), "mouth": (32, 44)}


# ------------------------------------------------------------------------------- the methods


def gradient(model, images, targets):
    """Return the gradient of the target's logit with respect to every pixel.

    Args:
        model: ends in logits, as from `prediction.logits_model`.
        images: float32 (n, h, w, 1) in [0, 1].
        targets: int (n,), the class to explain for each image.

    Raises:
        ValueError: the images or targets are not what is said here (every method checks this).

    Source: Simonyan et al. 2013, section 3 (with the sign kept).
    """
    images, targets = _checked(model, images, targets)
    return _gradients(model, images, targets)


def gradient_times_input(model, images, targets):
    """Return gradient times pixel: what each pixel adds to the logit where the model is linear.

    Arguments as for `gradient`. Source: Shrikumar et al. 2016, section 2.
    """
    return gradient(model, images, targets) * np.asarray(images, np.float32)[..., 0]


def smooth_gradient(model, images, targets, *, samples=50, spread=0.15, seed=0, noise=None):
    """Return the gradient averaged over noisy copies of each image (SmoothGrad).

    The noisy copies may leave [0, 1], as in the original.

    Args:
        model: as for `gradient`.
        images: as for `gradient`.
        targets: as for `gradient`.
        samples: noisy copies an image.
        spread: deviation of the Gaussian noise as a share of the image's own range.
        seed: of the noise; image k gets the same noise whatever other images there are after it.
        noise: use this noise (n, samples, h, w, 1) in units of a pixel instead.

    Source: Smilkov et al. 2017, section 3.
    """
    images, targets = _checked(model, images, targets)
    if noise is not None:
        samples = noise.shape[1]
    if samples < 1 or spread < 0:
        raise ValueError(
            f"expected at least 1 sample and a spread of 0 or more, found {samples} and {spread}"
        )
    maps = np.empty(images.shape[:3], np.float32)
    for row, (image, target) in enumerate(zip(images, targets, strict=True)):
        if noise is None:
            deviation = np.float32(spread * np.ptp(image))
            generator = np.random.default_rng([seed, row])
            added = deviation * generator.standard_normal((samples, *image.shape), np.float32)
        else:
            added = noise[row]
        copies = (image + added).astype(np.float32)
        maps[row] = _gradients(model, copies, np.full(samples, target)).mean(axis=0)
    return maps


def integrated_gradients(
    model,
    images,
    targets,
    *,
    baseline=None,
    steps=32,
    tolerance=0.01,
    max_steps=4096,
    rule=None,
):
    """Return how much each pixel adds to the logit on the straight way from a baseline.

    The contributions add up to logit(image) - logit(baseline). Even steps would miss that by far:
    a model that standardises its input sees a flat baseline plus a hundredth of a face almost as
    clearly as the whole face, so nearly everything happens at the very start of the way. So where
    a step does not account for the change of the logit between its ends it is halved, the worst
    quarter of all steps at a time, until `completeness_error` is within the tolerance.

    Args:
        model: as for `gradient`.
        images: as for `gradient`.
        targets: as for `gradient`.
        baseline: what stands for "no information", broadcast to the images: 0 (black), an image,
            ...; None for the mean grey of each image, which is what a standardising model sees as
            zero (and so light and dark pixels count alike).
        steps: equal steps to start with, one gradient in the middle of each.
        tolerance: of the completeness error.
        max_steps: halve no more once there are as many.
        rule: function of the number of steps that returns (places in [0, 1], weights): use these
            and do not halve.

    Source: Sundararajan et al. 2017, sections 3 and 5.
    """
    images, targets = _checked(model, images, targets)
    maps = np.empty(images.shape[:3], np.float32)
    for row, (image, start, target) in enumerate(
        zip(images, _baseline(images, baseline), targets, strict=True)
    ):
        way = _Way(model, start, image, target)
        if rule is None:
            slope = _adaptive_mean_slope(way, steps, tolerance, max_steps)
        else:
            places, weights = rule(steps)
            slope = np.tensordot(weights, way.slopes(places), axes=1)
        maps[row] = slope * (image - start)[..., 0]
    return maps


@dataclass(frozen=True)
class _Way:
    """The straight way from a baseline to an image; places on it run from 0 to 1."""

    model: keras.Model
    start: np.ndarray
    image: np.ndarray
    target: int

    def _points(self, places):
        shares = places.astype(np.float32)[:, np.newaxis, np.newaxis, np.newaxis]
        return self.start + shares * (self.image - self.start), np.full(len(places), self.target)

    def logits(self, places):
        return _target_logits(self.model, *self._points(places))

    def slopes(self, places):
        return _gradients(self.model, *self._points(places))


def _adaptive_mean_slope(way, steps, tolerance, max_steps):
    """Return the mean gradient (h, w) on a way, by the midpoint rule on steps that are halved."""
    edges = np.linspace(0, 1, steps + 1)
    logits = way.logits(edges)
    slopes = way.slopes((edges[1:] + edges[:-1]) / 2)
    allowed = tolerance * max(abs(logits[-1] - logits[0]), SMALLEST_CHANGE)
    ascent = (way.image - way.start)[..., 0]
    while True:
        widths = np.diff(edges)
        errors = np.einsum("khw,hw->k", slopes, ascent) * widths - np.diff(logits)
        if abs(errors.sum()) <= allowed or len(widths) >= max_steps:
            return np.tensordot(widths, slopes, axes=1)
        worst = np.abs(errors) >= np.quantile(np.abs(errors), 0.75)
        after = np.flatnonzero(worst) + 1
        middles = (edges[after - 1] + edges[after]) / 2
        edges = np.insert(edges, after, middles)
        logits = np.insert(logits, after, way.logits(middles))
        halves = np.repeat(worst, 1 + worst)
        slopes = np.repeat(slopes, 1 + worst, axis=0)
        slopes[halves] = way.slopes((edges[1:] + edges[:-1])[halves] / 2)


def completeness_error(model, images, maps, targets, baseline=None):
    """Return by how much contributions miss logit(image) - logit(baseline), relative to it.

    Args:
        model: as for `gradient`.
        images: as for `gradient`.
        targets: as for `gradient`.
        maps: of `integrated_gradients`, (n, h, w).
        baseline: that they were made with.

    Returns:
        float64 (n,), 0 is perfect. Where the logit changes by less than 0.1 the error is relative
        to 0.1.
    """
    images, targets = _checked(model, images, targets)
    change = _target_logits(model, images, targets) - _target_logits(
        model, _baseline(images, baseline), targets
    )
    total = np.sum(maps, axis=(1, 2), dtype=np.float64)
    return np.abs(total - change) / np.maximum(np.abs(change), SMALLEST_CHANGE)


def guided_backpropagation(model, images, targets):
    """Return the gradient when every rectifier lets only positive gradients back through.

    The layers are called one after another with an extra step behind each ReLU or LeakyReLU; the
    model itself, its weights and its graph stay as they are. Arguments as for `gradient`.
    Source: Springenberg et al. 2014, section 3.4.
    """
    images, targets = _checked(model, images, targets)
    return _gradients(model, images, targets, guided=True)


def grad_cam(model, images, targets, *, layer=None):
    """Return where a convolution's channels that raise the logit are active (Grad-CAM).

    The map of the layer's size is stretched to the image (bilinear); never negative.

    Args:
        model: as for `gradient`.
        images: as for `gradient`.
        targets: as for `gradient`.
        layer: name of a convolution; None for the last one.

    Raises:
        ValueError: there is no such convolution; the message lists those that exist.

    Source: Selvaraju et al. 2017, section 3.
    """
    images, targets = _checked(model, images, targets)
    layer = convolution(model, layer)
    maps = np.empty(images.shape[:3], np.float32)
    for part in _parts(len(images)):
        maps[part] = _grad_cam(model, layer, images[part], targets[part])
    return maps


def occlusion(model, images, targets, *, patch=8, stride=4, fill=None):
    """Return how far the logit drops when a pixel is covered, averaged over the patches on it.

    Args:
        model: as for `gradient`.
        images: as for `gradient`.
        targets: as for `gradient`.
        patch: side of the square that covers, in pixels.
        stride: pixels between patches; the last one of a row or column ends at the edge.
        fill: grey of the square; None for the mean of each image.

    Source: Zeiler and Fergus 2013, section 4.2.
    """
    images, targets = _checked(model, images, targets)
    height, width = images.shape[1:3]
    if not 1 <= patch <= min(height, width) or not 1 <= stride <= patch:
        raise ValueError(
            f"expected a patch of 1 to {min(height, width)} pixels and a stride of 1 to the patch, "
            f"found {patch} and {stride}"
        )
    corners = [
        (y, x) for y in _starts(height, patch, stride) for x in _starts(width, patch, stride)
    ]
    covered = np.zeros((len(corners), height, width), bool)
    for cover, (y, x) in zip(covered, corners, strict=True):
        cover[y : y + patch, x : x + patch] = True
    before = _target_logits(model, images, targets)
    maps = np.empty(images.shape[:3], np.float32)
    for row, (image, target) in enumerate(zip(images, targets, strict=True)):
        grey = image.mean() if fill is None else np.float32(fill)
        copies = np.where(covered[..., np.newaxis], grey, image)
        drops = before[row] - _target_logits(model, copies, np.full(len(copies), target))
        maps[row] = np.tensordot(drops, covered, axes=1) / covered.sum(axis=0)
    return maps


METHODS = {
    method.__name__: method
    for method in (
        gradient,
        gradient_times_input,
        smooth_gradient,
        integrated_gradients,
        guided_backpropagation,
        grad_cam,
        occlusion,
    )
}


# ----------------------------------------------------------------------------- what maps show


def convolutions(model):
    """Return the names of the model's convolutions, first to last."""
    return [layer.name for layer in model.layers if isinstance(layer, keras.layers.Conv2D)]


def convolution(model, name=None):
    """Return the name of a convolution, checked, or of the last one.

    Raises:
        ValueError: the model has no convolution, or none of that name; the message lists those
            that exist.
    """
    known = convolutions(model)
    if not known:
        raise ValueError(
            f"Grad-CAM needs a convolution, and the model {model.name!r} has none (its layers: "
            f"{', '.join(layer.name for layer in model.layers)}): choose another method"
        )
    if name is not None and name not in known:
        raise ValueError(f"unknown convolution {name!r}: expected one of {', '.join(known)}")
    return name or known[-1]


def layers_with_kernel(model):
    """Return the convolutions and dense layers of the model, first to last."""
    return [layer for layer in model.layers if getattr(layer, "kernel", None) is not None]


def importance(name, maps):
    """Return how much each pixel matters for the decision, (n, h, w), never negative.

    Args:
        name: of the method, a key of `METHODS`.
        maps: that it returned. Of a sensitivity the size is taken, of a contribution what speaks
            for the class.
    """
    return np.maximum(maps, 0) if name in CONTRIBUTIONS else np.abs(maps)


def normalised(maps, *, percentile=100.0):
    """Return each map divided by its maximum, in [0, 1]; an all-zero map stays zero.

    Args:
        maps: (n, h, w), never negative.
        percentile: divide by this percentile instead and clip, so that one pixel cannot darken
            the rest. Where it is 0 the maximum is taken.
    """
    highest = np.max(maps, axis=(1, 2), keepdims=True)
    scale = np.percentile(maps, percentile, axis=(1, 2), keepdims=True)
    scale = np.where(scale > 0, scale, highest)
    scale = np.where(scale > 0, scale, 1)
    return np.minimum(maps, scale) / scale


def mask_unimportant(images, importances, *, keep=0.3):
    """Return the images with everything but the most important pixels replaced by their mean.

    Args:
        images: float (n, h, w) or (n, h, w, 1) in [0, 1].
        importances: (n, h, w), of `importance`. Pixels without any are never kept.
        keep: share of the pixels to keep, above 0 and at most 1.

    Returns:
        float32 (n, h, w).
    """
    if not 0 < keep <= 1:
        raise ValueError(f"expected a share of pixels above 0 and at most 1, found {keep}")
    images = np.asarray(images, np.float32).reshape(np.shape(importances))
    threshold = np.quantile(importances, 1 - keep, axis=(1, 2), keepdims=True)
    kept = (importances >= threshold) & (importances > 0)
    return np.where(kept, images, images.mean(axis=(1, 2), keepdims=True))


def zero_share(maps):
    """Return the share of maps that are zero everywhere, 0 where there are no maps."""
    return float(np.mean(~np.any(maps, axis=(1, 2)))) if len(maps) else 0.0


def mean_map(importances):
    """Return the mean of maps after each is scaled to the sum 1, so that every face counts alike.

    Args:
        importances: (n, h, w), never negative; all-zero maps are left out.

    Returns:
        (h, w), sum 1, or 0 throughout when all maps are zero.
    """
    totals = np.sum(importances, axis=(1, 2), dtype=np.float64)
    if not totals.any():
        return np.zeros(importances.shape[1:])
    return np.mean(importances[totals > 0] / totals[totals > 0, np.newaxis, np.newaxis], axis=0)


def region_shares(importance_map):
    """Return {region: (share of the importance, share of the area)} of one map (h, w).

    The shares of an all-zero map are 0.
    """
    total = importance_map.sum() or 1.0
    return {
        name: (
            float(importance_map[top:bottom].sum() / total),
            (bottom - top) / len(importance_map),
        )
        for name, (top, bottom) in REGIONS.items()
    }


# ------------------------------------------------------------------------ how far to believe them


def blurred(images):
    """Return the images (n, h, w, 1) so blurred that only broad light and shade is left."""
    return ndimage.gaussian_filter(images, (0, BLUR, BLUR, 0), mode="nearest")


def deletion_insertion(model, images, importances, targets, *, steps=24, fill=blurred, seed=0):
    """Return how the target's probability moves as pixels go, or come, most important first.

    Deletion replaces pixels of the image by those of its blurred copy; insertion starts from the
    blurred copy and puts the image's pixels in. A faithful map makes the first curve fall early
    and the second rise early: a small area under deletion, a large one under insertion. Both end
    on images the model can make sense of, unlike black or grey holes, whose edges it has never
    seen. Source: Petsiuk et al. 2018, section 4 (RISE; there deletion fills with grey).

    Args:
        model: as for `gradient`.
        images: as for `gradient`.
        targets: as for `gradient`.
        importances: (n, h, w), of `importance`.
        steps: into how many equal parts the pixels are divided.
        fill: function of images that returns what stands for missing pixels.
        seed: of the order among pixels of equal importance.

    Returns:
        two float64 arrays (n, steps + 1): deletion and insertion, probability of the target after
        0, 1/steps, ..., all of the pixels.
    """
    images, targets = _checked(model, images, targets)
    pixels = importances[0].size if len(images) else 0
    counts = np.round(np.arange(steps + 1) / steps * pixels)
    curves = np.empty((2, len(images), steps + 1))
    for row, (image, target) in enumerate(zip(images, targets, strict=True)):
        chance = np.random.default_rng([seed, row]).random(pixels)
        rank = np.empty(pixels)
        rank[np.lexsort((chance, -importances[row].ravel()))] = np.arange(pixels)
        chosen = (rank < counts[:, np.newaxis]).reshape(-1, *image.shape)
        blank = fill(image[np.newaxis])[0]
        copies = np.concatenate([np.where(chosen, blank, image), np.where(chosen, image, blank)])
        curves[:, row] = _probabilities(model, copies, target).reshape(2, -1)
    return curves[0], curves[1]


def faithfulness(model, images, importances, targets, *, random_orders=5, seed=0, **options):
    """Return the deletion and insertion curves of several maps and of masking at random.

    Args:
        model: as for `gradient`.
        images: as for `gradient`.
        targets: as for `gradient`.
        importances: dictionary of name -> (n, h, w).
        random_orders: how many random orders are averaged as "random".
        seed: of those orders.
        options: for `deletion_insertion`.

    Returns:
        dictionary of name -> (deletion, insertion), each (n, steps + 1), "random" at the end.
    """
    score = functools.partial(deletion_insertion, model, images, targets=targets, **options)
    curves = {name: score(maps, seed=seed) for name, maps in importances.items()}
    shape = np.shape(images)[:3]
    constant = np.zeros(shape)  # all equal, so that the order is the seed's
    orders = [score(constant, seed=seed + 1 + order) for order in range(random_orders)]
    curves["random"] = tuple(np.mean(orders, axis=0))
    return curves


def area(curves):
    """Return the area under each curve (n, steps + 1) by the trapezoidal rule, in [0, 1]."""
    return np.trapezoid(curves, dx=1 / (np.shape(curves)[-1] - 1), axis=-1)


def cascading_randomisation(model, explain, images, targets, *, seed=0):
    """Return how similar maps stay while the model forgets, from its top layer down.

    A copy of the model loses what it learned: one layer with a kernel after another, logits
    first, gets kernel and bias shuffled (so each layer keeps the size of its values), and stays so
    while the next follows. A map that still looks the same then shows the image, not the model.
    Source: Adebayo et al. 2018, section 4.

    Args:
        model: as for `gradient`; it is not touched.
        images: as for `gradient`.
        targets: as for `gradient`.
        explain: function of (model, images, targets) that returns maps (n, h, w).
        seed: of the shuffling.

    Returns:
        names of the layers in the order they are randomised, and float64 (layers + 1, n):
        Spearman's rank correlation of the maps' size with that of the original; row 0, before
        anything is randomised, is 1. A map without two different values has the correlation 0.
    """
    copy = keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    generator = np.random.default_rng(seed)
    original = explain(copy, images, targets)
    names, correlations = [], [_rank_correlations(original, original)]
    for layer in reversed(layers_with_kernel(copy)):
        layer.set_weights(
            [
                generator.permuted(weights.ravel()).reshape(weights.shape)
                for weights in layer.get_weights()
            ]
        )
        names.append(layer.name)
        correlations.append(_rank_correlations(original, explain(copy, images, targets)))
    return names, np.array(correlations)


def _rank_correlations(first, second):
    return np.array(
        [
            0.0 if np.ptp(one) == 0 or np.ptp(other) == 0 else stats.spearmanr(one, other).statistic
            for one, other in zip(
                np.abs(first).reshape(len(first), -1),
                np.abs(second).reshape(len(second), -1),
                strict=True,
            )
        ]
    )


# ------------------------------------------------------------------------------ passes of the model


@tf.function(autograph=False, reduce_retracing=True)
def _input_gradients(model, images, targets, guided):
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(images)
        logits = _call_layers(model, images, _guide if guided else None)
        scores = tf.gather(logits, targets, batch_dims=1)
    return tape.gradient(scores, images, unconnected_gradients="zero")[..., 0]


@tf.function(autograph=False, reduce_retracing=True)
def _grad_cam(model, layer_name, images, targets):
    noted = []
    with tf.GradientTape(watch_accessed_variables=False) as tape:

        def watch(layer, outputs):
            if layer.name == layer_name:
                tape.watch(outputs)
                noted.append(outputs)
            return outputs

        scores = tf.gather(_call_layers(model, images, watch), targets, batch_dims=1)
    (activations,) = noted
    slopes = tape.gradient(scores, activations, unconnected_gradients="zero")
    weights = tf.reduce_mean(slopes, axis=(1, 2), keepdims=True)
    maps = tf.nn.relu(tf.reduce_sum(weights * activations, axis=-1, keepdims=True))
    return tf.image.resize(maps, tf.shape(images)[1:3])[..., 0]


@tf.function(autograph=False, reduce_retracing=True)
def _logits(model, images):
    return model(images, training=False)


def _call_layers(model, images, after):
    """Return the logits; `after(layer, outputs)` sees, and may change, what each layer puts out."""
    if after is None:
        return model(images, training=False)
    values = {id(model.inputs[0]): images}
    for layer in model.operations:
        if isinstance(layer, keras.layers.InputLayer):
            continue
        inputs = keras.tree.map_structure(lambda tensor: values[id(tensor)], layer.input)
        values[id(layer.output)] = after(layer, layer(inputs))
    return values[id(model.outputs[0])]


def _guide(layer, outputs):
    rectifies = isinstance(layer, keras.layers.ReLU | keras.layers.LeakyReLU)
    rectifies = rectifies or getattr(layer, "activation", None) in RECTIFIERS
    return _only_positive_back(outputs) if rectifies else outputs


@tf.custom_gradient
def _only_positive_back(values):
    return tf.identity(values), tf.nn.relu


def _gradients(model, images, targets, *, guided=False):
    """Return the gradients of the targets' logits, (n, h, w), in chunks of bounded memory."""
    maps = np.empty(images.shape[:3], np.float32)
    for part in _parts(len(images)):
        maps[part] = _input_gradients(model, images[part], targets[part], guided)
    return maps


def _all_logits(model, images):
    parts = [np.asarray(_logits(model, images[part])) for part in _parts(len(images))]
    return np.concatenate(parts).astype(np.float64) if parts else np.empty((0, 1))


def _target_logits(model, images, targets):
    return _all_logits(model, images)[np.arange(len(images)), targets]


def _probabilities(model, images, target):
    logits = _all_logits(model, images)
    logits -= logits.max(axis=1, keepdims=True)
    return np.exp(logits[:, target]) / np.exp(logits).sum(axis=1)


def _parts(count):
    return [slice(start, start + CHUNK) for start in range(0, count, CHUNK)]


def _starts(size, patch, stride):
    return sorted({*range(0, size - patch + 1, stride), size - patch})


def _baseline(images, baseline):
    if baseline is None:
        baseline = images.mean(axis=(1, 2), keepdims=True)
    return np.broadcast_to(np.asarray(baseline, np.float32), images.shape)


def _checked(model, images, targets):
    """Return images as float32 and targets as int64, or say what is wrong with them."""
    images, targets = np.asarray(images), np.asarray(targets)
    if images.ndim != 4 or images.shape[-1] != 1 or images.dtype.kind != "f":
        raise ValueError(
            f"expected float images (n, h, w, 1) in [0, 1], found {images.dtype} {images.shape}: "
            "make them with data.to_inputs"
        )
    classes = model.output_shape[-1]
    if targets.shape != images.shape[:1] or targets.dtype.kind not in "iu":
        raise ValueError(
            f"expected one class code for each of {len(images)} images, found {targets.dtype} "
            f"{targets.shape}"
        )
    if len(targets) and not 0 <= targets.min() <= targets.max() < classes:
        raise ValueError(f"expected class codes from 0 to {classes - 1}, found {targets.tolist()}")
    return images.astype(np.float32, copy=False), targets.astype(np.int64)
