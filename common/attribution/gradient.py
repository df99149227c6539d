"""The gradient of the logit with respect to every pixel.

Source: Simonyan et al. 2013, section 3 (with the sign kept).
"""

import keras
import numpy as np

from common.attribution import engine


def attribute(
    model: keras.Model, images: np.ndarray, classes: np.ndarray, options: engine.Options
) -> np.ndarray:
    """Return the gradients, float32 (n, h, w); arguments as `engine` says."""
    return engine.gradients(model, *engine.checked(model, images, classes))
