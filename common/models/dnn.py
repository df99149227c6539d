"""The DNN of the report."""

import keras
from keras import layers

from common.labels import INPUT_SHAPE
from common.models import blocks


def build(*, normalization: type[layers.BatchNormalization]) -> keras.Model:
    """Return the report's DNN: nine hidden layers, 1,996,167 parameters, 5,120 moving averages.

    Dense 512 x3, 256 x2, 128 x4, each with LeakyReLU and BatchNorm, and Dropout after every
    BatchNorm but the first. Source: report, part 2.

    Rows of numbers have no faster kernel than Keras', so `normalization` is not used.
    """
    del normalization
    inputs = keras.Input(INPUT_SHAPE, name="image")
    x = layers.Flatten(name="flatten")(blocks.standardise(inputs))
    for number, units in enumerate((512,) * 3 + (256,) * 2 + (128,) * 4, start=1):
        x = layers.Dense(units, name=f"dense_{number}")(x)
        x = layers.LeakyReLU(negative_slope=blocks.LEAK, name=f"leaky_re_lu_{number}")(x)
        x = layers.BatchNormalization(
            momentum=blocks.MOMENTUM, name=f"batch_normalization_{number}"
        )(x)
        if number > 1:
            x = layers.Dropout(blocks.DROPOUT, name=f"dropout_{number - 1}")(x)
    return keras.Model(inputs, blocks.classify(x), name="dnn")
