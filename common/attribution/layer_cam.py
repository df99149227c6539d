"""LayerCAM: where a convolution is active and raises the logit, place by place.

Source: Jiang et al. 2021, section III.
"""

import keras
import numpy as np
import tensorflow as tf

from common.attribution import engine


def attribute(
    model: keras.Model, images: np.ndarray, classes: np.ndarray, options: engine.Options
) -> np.ndarray:
    """Return the maps, float32 (n, h, w), never negative; arguments as `engine` says."""
    return engine.class_activation_maps(model, images, classes, options.layer, tf.nn.relu)
