"""The gradient of the logit with respect to every pixel.

Source: Simonyan et al. 2013, section 3 (with the sign kept).
"""

from keras import Model
from numpy import ndarray

from common.attribution import engine
from common.models.prediction import checked


def attribute(model: Model, images: ndarray, classes: ndarray, options: engine.Options) -> ndarray:
    """Return the gradients, float32 (n, h, w); arguments as `engine` says."""
    return engine.gradients(model, *checked(model, images, classes))
