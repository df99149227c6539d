"""Gradient times pixel: what each pixel adds to the logit where the model is linear.

Source: Shrikumar et al. 2016, section 2.
"""

import numpy as np
from keras import Model
from numpy import ndarray

from common.attribution import engine, gradient


def attribute(model: Model, images: ndarray, classes: ndarray, options: engine.Options) -> ndarray:
    """Return the products, float32 (n, h, w); arguments as `engine` says."""
    return (
        gradient.attribute(model, images, classes, options) * np.asarray(images, np.float32)[..., 0]
    )
