"""Integrated gradients: what each pixel adds to the logit on the straight way from a baseline.

The contributions add up to logit(image) - logit(baseline). Even steps would miss that by far: a
model that standardises its input sees a flat baseline plus a hundredth of a face almost as clearly
as the whole face, so nearly everything happens at the very start of the way. So where a step does
not account for the change of the logit between its ends it is halved, the worst quarter of all
steps at a time, until `completeness_error` is within the tolerance.

Source: Sundararajan et al. 2017, sections 3 and 5.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from keras import Model
from numpy import ndarray

from common.attribution import engine
from common.models.prediction import checked

SMALLEST_CHANGE = 0.1  # of a logit; an error relative to less than this would say nothing


def attribute(
    model: Model,
    images: ndarray,
    classes: ndarray,
    options: engine.Options,
    *,
    baseline: ndarray | float | None = None,
    steps: int = 32,
    tolerance: float = 0.01,
    max_steps: int = 4096,
    rule: Callable | None = None,
) -> ndarray:
    """Return the contributions, float32 (n, h, w); arguments as `engine` says.

    `baseline` stands for "no information", broadcast to the images: 0 (black), an image, ...; by
    default the mean grey of each image, which is what a standardising model sees as zero (and so
    light and dark pixels count alike). There are `steps` equal steps to start with, one gradient
    in the middle of each; none is halved once there are `max_steps`. `rule`, a function of the
    number of steps, returns (places in [0, 1], weights) to use instead, without halving.
    """
    images, classes = checked(model, images, classes)
    maps = np.empty(images.shape[:3], np.float32)
    for place, (image, start, code) in enumerate(
        zip(images, _baseline(images, baseline), classes, strict=True)
    ):
        way = _Way(model, start, image, code)
        if rule is None:
            slope = _adaptive_mean_slope(way, steps, tolerance, max_steps)
        else:
            places, weights = rule(steps)
            slope = np.tensordot(weights, way.slopes(places), axes=1)
        maps[place] = slope * (image - start)[..., 0]
    return maps


def completeness_error(
    model: Model,
    images: ndarray,
    maps: ndarray,
    classes: ndarray,
    baseline: ndarray | float | None = None,
) -> ndarray:
    """Return by how much maps miss logit(image) - logit(baseline), relative to it, float64 (n,).

    0 is perfect. Where the logit changes by less than 0.1 the error is relative to 0.1.
    """
    images, classes = checked(model, images, classes)
    change = engine.class_logits(model, images, classes) - engine.class_logits(
        model, _baseline(images, baseline), classes
    )
    total = np.sum(maps, axis=(1, 2), dtype=np.float64)
    return np.abs(total - change) / np.maximum(np.abs(change), SMALLEST_CHANGE)


@dataclass(frozen=True)
class _Way:
    """The straight way from a baseline to an image; places on it run from 0 to 1."""

    model: Model
    start: ndarray
    image: ndarray
    code: int

    def _points(self, places):
        shares = places.astype(np.float32)[:, np.newaxis, np.newaxis, np.newaxis]
        return self.start + shares * (self.image - self.start), np.full(len(places), self.code)

    def logits(self, places):
        return engine.class_logits(self.model, *self._points(places))

    def slopes(self, places):
        return engine.gradients(self.model, *self._points(places))


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


def _baseline(images, baseline):
    if baseline is None:
        baseline = images.mean(axis=(1, 2), keepdims=True)
    return np.broadcast_to(np.asarray(baseline, np.float32), images.shape)
