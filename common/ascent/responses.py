"""What the units of a layer answer to images, and the images that they answer most to.

A unit is one filter of a convolution or one number of a dense layer. Its activation on an image is
the mean over its map.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf

BATCH = 64  # images
ACTIVATIONS = (keras.layers.LeakyReLU, keras.layers.ReLU)


@dataclass(frozen=True, eq=False)
class TopActivations:
    """The images that excite each unit the most, the strongest first, the earlier of equals.

    `largest` is what a unit puts out at most, anywhere on any image, before an activation function.
    One whose largest is not above 0 is never active.
    """

    indices: np.ndarray  # int64 (units, count), which images
    activations: np.ndarray  # float32 (units, count), the mean activation of the unit on each
    places: np.ndarray  # int64 (units, count, 2), row and column of the largest number in its map
    marks: np.ndarray  # float (units, count, 2), the same as shares of the map; NaN without a map
    largest: np.ndarray  # float32 (units,)


def layer_units(
    model: keras.Model,
    layer: str,
    wanted: Sequence[int] | np.ndarray | None = None,
    *,
    maps: bool = False,
) -> np.ndarray:
    """Return the unit numbers of a layer, int64 (n,): those wanted, checked, or else all.

    Args:
        model: any Keras model.
        layer: name of one of its layers.
        wanted: numbers of units.
        maps: refuse a layer of numbers without maps.

    Raises:
        ValueError: no such layer, or no such unit in it; the message lists those that exist. Or a
            layer without maps.
    """
    names = [one.name for one in model.layers if not isinstance(one, keras.layers.InputLayer)]
    if layer not in names:
        raise ValueError(f"unknown layer {layer!r}: expected one of {', '.join(names)}")
    shape = model.get_layer(layer).output.shape
    if maps and len(shape) != 4:
        raise ValueError(
            f"{layer}: expected a layer that puts out maps, found one of {shape[-1]} numbers: "
            "choose --layers before the images are flattened"
        )
    units = np.arange(shape[-1]) if wanted is None else np.asarray(wanted)
    wrong = units[(units < 0) | (units >= shape[-1])]
    if wrong.size:
        raise ValueError(f"unknown filter {wrong[0]} of {layer}: expected 0 to {shape[-1] - 1}")
    return units.astype(np.int64)


def layer_outputs(
    model: keras.Model, layer: str, images: np.ndarray, *, batch: int = BATCH
) -> np.ndarray:
    """Return what a layer puts out for images: float32 (n, rows, columns, filters) or (n, units).

    Args:
        model: any Keras model of (n, 48, 48, 1).
        layer: name of one of its layers.
        images: float32 (n, 48, 48) or (n, 48, 48, 1) in [0, 1].
        batch: how many images are computed at once.

    Raises:
        ValueError: an unknown layer; the message lists those that exist.
    """
    layer_units(model, layer)
    submodel = keras.Model(model.input, model.get_layer(layer).output)

    @tf.function(input_signature=[tf.TensorSpec((None, 48, 48, 1))])
    def compute(images):
        return submodel(images, training=False)

    return np.concatenate([compute(some).numpy() for some in _batches(images, batch)])


def top_activating(
    model: keras.Model,
    layer: str,
    images: np.ndarray,
    count: int,
    *,
    among: np.ndarray | None = None,
    units: Sequence[int] | np.ndarray | None = None,
    activated: bool = True,
    batch: int = BATCH,
    progress: Callable[[int], object] | None = None,
) -> TopActivations:
    """Return the `TopActivations` of units of a layer among images.

    Args:
        model: any Keras model of (n, 48, 48, 1).
        layer: name of one of its layers.
        images: float32 (n, 48, 48) or (n, 48, 48, 1) in [0, 1].
        count: how many images for each unit; all, where there are fewer.
        among: int (k,), numbers of the images to choose from; all unless named.
        units: int (n,); all unless named.
        activated: measure after the activation function that follows the layer, if one does.
        batch: how many images are computed at once; no more maps than theirs are ever held.
        progress: called with the number of images done, after each batch, or None.

    Raises:
        ValueError: an unknown layer or unit; the message lists those that exist.
    """
    among = np.arange(len(images)) if among is None else among
    units = layer_units(model, layer, units)
    target = model.get_layer(layer)
    after = activation_after(model, target) if activated else tf.identity
    map_shape = target.output.shape[1:-1]
    submodel = keras.Model(model.input, target.output)

    @tf.function(input_signature=[tf.TensorSpec((None, 48, 48, 1))])
    def measure(images):
        maps = submodel(images, training=False)
        maps = tf.reshape(maps, (tf.shape(maps)[0], -1, maps.shape[-1]))
        means = tf.reduce_mean(after(maps), axis=1)
        return means, tf.reduce_max(maps, axis=1), tf.argmax(maps, axis=1)

    measured = []
    for some in _batches(images[among], batch):
        measured.append([values.numpy()[:, units] for values in measure(some)])
        if progress is not None:
            progress(len(some))
    means, largest, places = (np.concatenate(values).T for values in zip(*measured, strict=True))
    indices = np.argsort(-means, axis=1, kind="stable")[:, :count]
    places = np.take_along_axis(places, indices, axis=1)
    places = np.stack(np.unravel_index(places, map_shape or (1, 1)), axis=-1)
    return TopActivations(
        indices=among[indices],
        activations=np.take_along_axis(means, indices, axis=1),
        places=places,
        marks=(places + 0.5) / (map_shape or np.nan),
        largest=largest.max(axis=1),
    )


def activation_after(model: keras.Model, target: keras.layers.Layer) -> Callable:
    """Return the activation layer that alone reads what a layer puts out, or else the identity."""
    readers = [layer for layer in model.layers if layer.input is target.output]
    if len(readers) == 1 and isinstance(readers[0], ACTIVATIONS):
        return readers[0]
    return tf.identity


def _batches(images, batch):
    """Yield tensors of at most `batch` images, (n, 48, 48, 1)."""
    images = np.reshape(images, (-1, 48, 48, 1))
    for first in range(0, len(images), batch):
        yield tf.constant(images[first : first + batch], tf.float32)
