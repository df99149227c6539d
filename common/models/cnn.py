"""The CNN of the report."""

import keras
from keras import layers

from common.labels import INPUT_SHAPE
from common.models import blocks


def build(*, normalization: type[layers.BatchNormalization]) -> keras.Model:
    """Return the report's CNN: 1,985,607 parameters, 2,304 of them moving averages.

    Six 3x3 convolutions, each followed by LeakyReLU and BatchNorm; the first is unpadded.
    Source: report, part 1.
    """
    inputs = keras.Input(INPUT_SHAPE, name="image")
    x = blocks.standardise(inputs)
    for block, filters in enumerate((64, 128, 256), start=1):
        for number in (2 * block - 1, 2 * block):
            padding = "valid" if number == 1 else "same"
            x = layers.Conv2D(filters, 3, padding=padding, name=f"conv2d_{number}")(x)
            x = layers.LeakyReLU(negative_slope=blocks.LEAK, name=f"leaky_re_lu_{number}")(x)
            x = normalization(momentum=blocks.MOMENTUM, name=f"batch_normalization_{number}")(x)
        x = layers.MaxPooling2D(2, name=f"max_pooling2d_{block}")(x)
        x = layers.Dropout(blocks.DROPOUT, name=f"dropout_{block}")(x)
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dropout(blocks.DROPOUT, name="dropout_4")(x)
    for number in (1, 2):
        x = layers.Dense(128, name=f"dense_{number}")(x)
        x = layers.LeakyReLU(negative_slope=blocks.LEAK, name=f"leaky_re_lu_{number + 6}")(x)
        x = layers.BatchNormalization(
            momentum=blocks.MOMENTUM, name=f"batch_normalization_{number + 6}"
        )(x)
        x = layers.Dropout(blocks.DROPOUT, name=f"dropout_{number + 4}")(x)
    return keras.Model(inputs, blocks.classify(x), name="cnn")
