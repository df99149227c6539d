"""Occlusion: how far the logit drops when a pixel is covered.

Source: Zeiler and Fergus 2013, section 4.2.
"""

import numpy as np
from keras import Model
from numpy import ndarray

from common.attribution import engine
from common.models.prediction import checked


def attribute(
    model: Model,
    images: ndarray,
    classes: ndarray,
    options: engine.Options,
    *,
    patch: int = 8,
    stride: int = 4,
    fill: float | None = None,
) -> ndarray:
    """Return the drop averaged over the patches on each pixel; arguments as `engine` says.

    A `patch` is a square of that many pixels' side and of the grey `fill`, by default the mean of
    the image; patches lie `stride` pixels apart, and the last one of a row or column ends at the
    edge.
    """
    images, classes = checked(model, images, classes)
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
    before = engine.class_logits(model, images, classes)
    maps = np.empty(images.shape[:3], np.float32)
    for place, (image, code) in enumerate(zip(images, classes, strict=True)):
        grey = image.mean() if fill is None else np.float32(fill)
        copies = np.where(covered[..., np.newaxis], grey, image)
        drops = before[place] - engine.class_logits(model, copies, np.full(len(copies), code))
        maps[place] = np.tensordot(drops, covered, axes=1) / covered.sum(axis=0)
    return maps


def _starts(size, patch, stride):
    return sorted({*range(0, size - patch + 1, stride), size - patch})
