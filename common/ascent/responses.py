"""What the units of a layer answer to images, and the images that they answer most to.

A unit is one filter of a convolution or one number of a dense layer. Its activation on an image is
the mean over its map.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf

from common.models import blocks
from common.models.prediction import in_batches

BATCH = 64  # images
INPUTS = [tf.TensorSpec((None, 48, 48, 1))]


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
    """Return the unit numbers of a layer, int64 (n,): those wanted or else all.

    A ValueError says that there is no such layer or unit, and lists those that exist, or, if `maps`
    are asked for, that the layer puts out numbers.
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

    Images are float (n, 48, 48) or (n, 48, 48, 1) in [0, 1]; an unknown layer is an error as of
    `layer_units`.
    """
    layer_units(model, layer)
    submodel = keras.Model(model.input, model.get_layer(layer).output)
    compute = tf.function(lambda images: submodel(images, training=False), input_signature=INPUTS)
    return in_batches(compute, _as_inputs(images), size=batch)


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
    """Return the `TopActivations` of units (n,) of a layer, by default all, among images.

    Images and errors are those of `layer_outputs`. There are `count` images for each unit, or all,
    chosen from those with the numbers `among` (k,). If `activated`, it is measured after the
    activation function that follows the layer, if one does. No more maps than those of a batch are
    ever held.
    """
    among = np.arange(len(images)) if among is None else among
    units = layer_units(model, layer, units)
    target = model.get_layer(layer)
    after = (blocks.activation_after(model, target) if activated else None) or tf.identity
    map_shape = target.output.shape[1:-1]
    submodel = keras.Model(model.input, target.output)

    @tf.function(input_signature=INPUTS)
    def measure(images):
        maps = submodel(images, training=False)
        maps = tf.reshape(maps, (tf.shape(maps)[0], -1, maps.shape[-1]))
        means = tf.reduce_mean(after(maps), axis=1)
        return means, tf.reduce_max(maps, axis=1), tf.argmax(maps, axis=1)

    measured = in_batches(measure, _as_inputs(images[among]), size=batch, progress=progress)
    means, largest, places = (values[:, units].T for values in measured)
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


def _as_inputs(images):
    return np.asarray(images, np.float32).reshape(-1, 48, 48, 1)
