"""Convolutions for ascent, which needs of each image one filter alone, and its gradient."""

from collections.abc import Callable

import keras
import tensorflow as tf


def is_plain(convolution: keras.layers.Conv2D) -> bool:
    """Return whether a convolution can be computed by `own_map`."""
    return (
        convolution.activation is keras.activations.linear
        and convolution.strides == convolution.dilation_rate == (1, 1)
        and convolution.groups == 1
        and convolution.padding in ("valid", "same")
        and convolution.data_format == "channels_last"
    )


def own_map(model: keras.Model, convolution: keras.layers.Conv2D) -> Callable:
    """Return a function that convolves each image with its own filter alone.

    It takes images (n, 48, 48) and the number of a filter for each, (n,), and returns maps
    (n, rows, columns). Convolving every image with all the filters, to use one map of each, costs
    as many times more as there are filters. Here one product gives what each tap of the kernel
    makes of each position, and the taps are added up, each moved to where it belongs. A
    BatchNormalization before the convolution is multiplied into the kernels.
    """
    source = convolution.input
    normaliser = next((layer for layer in model.layers if layer.output is source), None)
    if isinstance(normaliser, keras.layers.BatchNormalization):
        source = normaliser.input
    else:
        normaliser = None
    before = submodel(model, source)
    down, across = convolution.kernel_size
    rows, columns = convolution.output.shape[1:3]
    same = convolution.padding == "same"
    borders = [((taps - 1) // 2, taps // 2) if same else (0, 0) for taps in (down, across)]

    def compute(images, units):
        maps = before(images[..., tf.newaxis], training=False)
        count, (height, width, channels) = tf.shape(maps)[0], maps.shape[1:]
        kernels = tf.gather(tf.transpose(convolution.kernel, (3, 0, 1, 2)), units)
        kernels = tf.reshape(kernels, (count, down * across, channels))
        offsets = tf.zeros((count, down * across, 1))
        if normaliser is not None:
            scale, shift = _scale_and_shift(normaliser)
            offsets = tf.reduce_sum(kernels * shift, axis=2, keepdims=True)
            kernels *= scale
        flat = tf.reshape(maps, (count, height * width, channels))
        taps = tf.matmul(kernels, flat, transpose_b=True) + offsets
        taps = tf.unstack(tf.reshape(taps, (count, down * across, height, width)), axis=1)
        total = tf.add_n(
            [
                tf.slice(
                    tf.pad(tap, ((0, 0), *borders)),
                    (0, *divmod(number, across)),
                    (-1, rows, columns),
                )
                for number, tap in enumerate(taps)
            ]
        )
        if convolution.use_bias:
            total += tf.gather(convolution.bias, units)[:, tf.newaxis, tf.newaxis]
        return total

    return compute


def submodel(model: keras.Model, output: keras.KerasTensor) -> keras.Model:
    """Return the model up to one of its outputs, with all weights shared.

    A convolution of the grey image becomes a product with its patches: the kernel that TensorFlow
    has for the gradient of an image of one channel takes three times as long.
    """

    def same_or_patches(layer):
        if (
            isinstance(layer, keras.layers.Conv2D)
            and is_plain(layer)
            and layer.padding == "valid"
            and layer.input.shape[-1] == 1
        ):
            return _PatchProduct(layer, name=layer.name)
        return layer

    return keras.models.clone_model(
        keras.Model(model.input, output), clone_function=same_or_patches
    )


def _scale_and_shift(normaliser):
    """Return what a BatchNormalization multiplies by and adds in inference mode."""
    scale = tf.math.rsqrt(normaliser.moving_variance + normaliser.epsilon)
    if normaliser.scale:
        scale *= normaliser.gamma
    shift = -normaliser.moving_mean * scale
    return scale, shift + normaliser.beta if normaliser.center else shift


class _PatchProduct(keras.layers.Layer):
    """An unpadded convolution of one channel, as the product of patches and kernel."""

    def __init__(self, convolution, **options):
        super().__init__(**options)
        self.convolution = convolution

    def call(self, images):
        """Return the maps (n, rows, columns, filters) of images (n, height, width, 1)."""
        down, across = self.convolution.kernel_size
        _, rows, columns, filters = self.convolution.output.shape
        grey = tf.squeeze(images, axis=-1)
        taps = [
            tf.slice(grey, (0, row, column), (-1, rows, columns))
            for row in range(down)
            for column in range(across)
        ]
        weights = tf.reshape(self.convolution.kernel, (down * across, filters))
        if self.convolution.use_bias:  # as a tap that is 1: no further pass over the maps
            taps.append(tf.ones_like(taps[0]))
            weights = tf.concat([weights, self.convolution.bias[tf.newaxis]], axis=0)
        maps = tf.matmul(tf.reshape(tf.stack(taps, axis=-1), (-1, len(taps))), weights)
        return tf.reshape(maps, (-1, rows, columns, filters))
