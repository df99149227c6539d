"""Grad-CAM: where a convolution's channels that raise the logit are active.

Source: Selvaraju et al. 2017, section 3.
"""

import tensorflow as tf
from keras import Model
from numpy import ndarray

from common.attribution import engine


def attribute(model: Model, images: ndarray, classes: ndarray, options: engine.Options) -> ndarray:
    """Return the maps, float32 (n, h, w), never negative; arguments as `engine` says."""
    return engine.class_activation_maps(model, images, classes, options.layer, _channel_means)


def _channel_means(slopes):
    return tf.reduce_mean(slopes, axis=(1, 2), keepdims=True)
