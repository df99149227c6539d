"""Networks by name: the one line that a new one adds. No Keras until one is built."""

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class Architecture:
    """A network.

    Attributes:
        title: as figures and help name it.
        module: in `common.models`, with a function `build(*, normalization) -> keras.Model`.
        convolutional: trained by train_cnn.py, and of use to what looks into convolutions.
    """

    title: str
    module: str
    convolutional: bool = True


ARCHITECTURES = {
    "cnn": Architecture("CNN of the report", "cnn"),
    "compact": Architecture("compact CNN, which trains three times as fast", "compact"),
    "dnn": Architecture("DNN of the report", "dnn", convolutional=False),
}


def check(architecture: str) -> None:
    """Raise a ValueError unless there is an architecture of that name."""
    if architecture not in ARCHITECTURES:
        known = ", ".join(sorted(ARCHITECTURES))
        raise ValueError(f"unknown architecture {architecture!r}: expected one of {known}")


def build(architecture: str, *, fused: bool = False) -> "keras.Model":
    """Return a new model by the name of its architecture, with random weights.

    Args:
        architecture: one of `ARCHITECTURES`.
        fused: train with one-pass batch statistics (same weights, same result, faster).

    Raises:
        ValueError: there is no such architecture.
    """
    check(architecture)
    from common.models import blocks

    module = importlib.import_module(f"common.models.{ARCHITECTURES[architecture].module}")
    return module.build(normalization=blocks.normalization(fused=fused))
