"""A residual CNN with a third of the report's multiplications."""

import itertools

import keras
from keras import layers

from common.labels import INPUT_SHAPE
from common.models import blocks


def build(*, normalization: type[layers.BatchNormalization]) -> keras.Model:
    """Return a residual CNN of 1,169,735 parameters, a third of the report's multiplications.

    Seven 3x3 convolutions, each followed by LeakyReLU and BatchNorm. The first stage sees the
    whole image with few filters; each later one halves the image, widens, and adds a convolution
    to its own input. The mean and the largest value of each last map stand for the Dense layers.
    """
    numbers = itertools.count(1)

    def convolve(x, filters):
        number = next(numbers)
        x = layers.Conv2D(filters, 3, padding="same", name=f"conv2d_{number}")(x)
        x = layers.LeakyReLU(negative_slope=blocks.LEAK, name=f"leaky_re_lu_{number}")(x)
        return normalization(momentum=blocks.MOMENTUM, name=f"batch_normalization_{number}")(x)

    inputs = keras.Input(INPUT_SHAPE, name="image")
    x = convolve(blocks.standardise(inputs), 32)
    for stage, filters in enumerate((64, 128, 256), start=1):
        x = layers.MaxPooling2D(2, name=f"max_pooling2d_{stage}")(x)
        x = convolve(x, filters)
        x = layers.Add(name=f"add_{stage}")([x, convolve(x, filters)])
    x = layers.Concatenate(name="concatenate")(
        [
            layers.GlobalAveragePooling2D(name="global_average_pooling2d")(x),
            layers.GlobalMaxPooling2D(name="global_max_pooling2d")(x),
        ]
    )
    x = layers.Dropout(blocks.DROPOUT, name="dropout_1")(x)
    return keras.Model(inputs, blocks.classify(x), name="compact")
