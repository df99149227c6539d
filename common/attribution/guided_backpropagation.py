"""Guided backpropagation: the gradient when rectifiers let only positive gradients back through.

Source: Springenberg et al. 2014, section 3.4.
"""

import keras
import numpy as np
import tensorflow as tf

from common.attribution import engine

RECTIFIERS = (keras.activations.relu, keras.activations.leaky_relu)


def attribute(
    model: keras.Model, images: np.ndarray, classes: np.ndarray, options: engine.Options
) -> np.ndarray:
    """Return the guided gradients, float32 (n, h, w); arguments as `engine` says."""
    return engine.gradients(model, *engine.checked(model, images, classes), after=_guide)


def _guide(layer, outputs):
    rectifies = isinstance(layer, keras.layers.ReLU | keras.layers.LeakyReLU)
    rectifies = rectifies or getattr(layer, "activation", None) in RECTIFIERS
    return _only_positive_back(outputs) if rectifies else outputs


@tf.custom_gradient
def _only_positive_back(values):
    return tf.identity(values), tf.nn.relu
