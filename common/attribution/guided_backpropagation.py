"""Guided backpropagation: the gradient when rectifiers let only positive gradients back through.

Source: Springenberg et al. 2014, section 3.4.
"""

import keras
import tensorflow as tf
from keras import Model
from numpy import ndarray

from common.attribution import engine
from common.models.prediction import checked

RECTIFIERS = (keras.activations.relu, keras.activations.leaky_relu)


def attribute(model: Model, images: ndarray, classes: ndarray, options: engine.Options) -> ndarray:
    """Return the guided gradients, float32 (n, h, w); arguments as `engine` says."""
    return engine.gradients(model, *checked(model, images, classes), after=_guide)


def _guide(layer, outputs):
    rectifies = isinstance(layer, keras.layers.ReLU | keras.layers.LeakyReLU)
    rectifies = rectifies or getattr(layer, "activation", None) in RECTIFIERS
    return _only_positive_back(outputs) if rectifies else outputs


@tf.custom_gradient
def _only_positive_back(values):
    return tf.identity(values), tf.nn.relu
