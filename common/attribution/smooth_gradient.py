"""SmoothGrad: the gradient averaged over noisy copies of each image.

The copies may leave [0, 1], as in the original. Source: Smilkov et al. 2017, section 3.
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
    spread: float = 0.15,
) -> ndarray:
    """Return the mean gradients, float32 (n, h, w); arguments as `engine` says.

    `spread` is the deviation of the Gaussian noise as a share of the image's own range. Image k
    gets the same noise whatever other images come after it.
    """
    images, classes = checked(model, images, classes)
    samples = options.samples
    if samples < 1 or spread < 0:
        raise ValueError(
            f"expected at least 1 sample and a spread of 0 or more, found {samples} and {spread}"
        )
    maps = np.empty(images.shape[:3], np.float32)
    for place, (image, code) in enumerate(zip(images, classes, strict=True)):
        generator = np.random.default_rng([options.seed, place])
        noise = generator.standard_normal((samples, *image.shape), np.float32)
        copies = image + np.float32(spread * np.ptp(image)) * noise
        maps[place] = engine.gradients(model, copies, np.full(samples, code)).mean(axis=0)
    return maps
