"""What every method stands on: its contract and checks, batches, and passes through the model.

A method is a module with the function `attribute(model, images, classes, options)`, where

    model    ends in logits, as from `prediction.logits_model`; it runs in inference mode, and
             nothing in it changes
    images   float32 (n, h, w, 1) in [0, 1]
    classes  int (n,), the class to explain for each image
    options  `Options`

and which returns a number for each pixel, float32 (n, h, w). Bad images or classes are a
ValueError.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf
from keras import Model
from numpy import ndarray

from common.models import blocks
from common.models.prediction import checked, in_batches

BATCH = 32  # images a pass; the CNN of the report needs about 15 MB for each


@dataclass(frozen=True)
class Options:
    """What the user chooses; each method takes what concerns it."""

    samples: int = 50  # noisy copies of an image, for methods that average over such
    seed: int = 0  # of everything random
    layer: str | None = None  # a convolution, for methods that explain by one; None for the last
    smoothing: float = 0  # pixels; not of the methods' own maps but of `maps.importance`


def convolutions(model: Model) -> list[str]:
    """Return the names of the model's convolutions, first to last."""
    return [layer.name for layer in model.layers if isinstance(layer, keras.layers.Conv2D)]


def convolution(model: Model, name: str | None = None) -> str:
    """Return the name of a convolution, by default the last, or raise a ValueError without any."""
    known = convolutions(model)
    if not known:
        raise ValueError(
            f"this method needs a convolution, and the model {model.name!r} has none (its layers: "
            f"{', '.join(layer.name for layer in model.layers)}): choose another method"
        )
    if name is not None and name not in known:
        raise ValueError(f"unknown convolution {name!r}: expected one of {', '.join(known)}")
    return name or known[-1]


def logits(model: Model, images: ndarray) -> ndarray:
    """Return all logits, float64 (n, classes)."""
    compute = functools.partial(_logits, model)
    return in_batches(compute, images, size=BATCH).astype(np.float64)


def class_logits(model: Model, images: ndarray, classes: ndarray) -> ndarray:
    """Return the logit of its class for each image, float64 (n,)."""
    return logits(model, images)[np.arange(len(images)), classes]


def gradients(
    model: Model, images: ndarray, classes: ndarray, *, after: Callable | None = None
) -> ndarray:
    """Return the gradient of its class's logit for each image, `checked` before, (n, h, w).

    `after(layer, outputs)` returns what is to stand for the outputs of a layer.
    """
    compute = functools.partial(_gradients, model, after)
    return in_batches(compute, images, classes, size=BATCH)


def class_activation_maps(
    model: Model, images: ndarray, classes: ndarray, layer: str | None, weigh: Callable
) -> ndarray:
    """Return what is positive in a weighted sum of a convolution's channels, float32 (n, h, w).

    The channels are those of its ReLU or LeakyReLU, if such a layer alone reads it. `weigh` takes
    the gradients of the classes' logits with respect to them, (n, rows, columns, channels), and
    returns their weights. The map of the convolution's size is stretched to the image (bilinear).
    """
    images, classes = checked(model, images, classes)
    convolved = model.get_layer(convolution(model, layer))
    watched = blocks.activation_after(model, convolved) or convolved
    compute = functools.partial(_activation_maps, model, watched.name, weigh)
    return in_batches(compute, images, classes, size=BATCH)


@tf.function(autograph=False, reduce_retracing=True)
def _logits(model, images):
    return model(images, training=False)


@tf.function(autograph=False, reduce_retracing=True)
def _gradients(model, after, images, classes):
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(images)
        scores = tf.gather(_call_layers(model, images, after), classes, batch_dims=1)
    return tape.gradient(scores, images, unconnected_gradients="zero")[..., 0]


@tf.function(autograph=False, reduce_retracing=True)
def _activation_maps(model, layer_name, weigh, images, classes):
    noted = []
    with tf.GradientTape(watch_accessed_variables=False) as tape:

        def watch(layer, outputs):
            if layer.name == layer_name:
                tape.watch(outputs)
                noted.append(outputs)
            return outputs

        scores = tf.gather(_call_layers(model, images, watch), classes, batch_dims=1)
    (activations,) = noted
    slopes = tape.gradient(scores, activations, unconnected_gradients="zero")
    maps = tf.nn.relu(tf.reduce_sum(weigh(slopes) * activations, axis=-1, keepdims=True))
    return tf.image.resize(maps, tf.shape(images)[1:3])[..., 0]


def _call_layers(model, images, after):
    """Return the logits; `after(layer, outputs)` sees, and may change, what each layer puts out.

    The layers are called one after another; the model, its weights and its graph stay as they are.
    """
    if after is None:
        return model(images, training=False)
    values = {id(model.inputs[0]): images}
    for layer in model.operations:
        if isinstance(layer, keras.layers.InputLayer):
            continue
        inputs = keras.tree.map_structure(lambda tensor: values[id(tensor)], layer.input)
        values[id(layer.output)] = after(layer, layer(inputs))
    return values[id(model.outputs[0])]
