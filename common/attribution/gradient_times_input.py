"""Gradient times pixel: what each pixel adds to the logit where the model is linear.

Source: Shrikumar et al. 2016, section 2.
"""

import keras
import numpy as np

from common.attribution import engine, gradient


def attribute(
    model: keras.Model, images: np.ndarray, classes: np.ndarray, options: engine.Options
) -> np.ndarray:
    """Return the products, float32 (n, h, w); arguments as `engine` says."""
    return (
        gradient.attribute(model, images, classes, options) * np.asarray(images, np.float32)[..., 0]
    )
