"""LayerCAM: where a convolution is active and raises the logit, place by place.

Source: Jiang et al. 2021, section III.
"""

import tensorflow as tf
from keras import Model
from numpy import ndarray

from common.attribution import engine


def attribute(model: Model, images: ndarray, classes: ndarray, options: engine.Options) -> ndarray:
    """Return the maps, float32 (n, h, w), never negative; arguments as `engine` says."""
    return engine.class_activation_maps(model, images, classes, options.layer, tf.nn.relu)
