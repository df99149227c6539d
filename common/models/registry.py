"""Networks by name: the one line that a new one adds. No Keras until one is built."""

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class Architecture:
    """A network."""

    title: str  # as figures and help name it
    module: str  # in `common.models`, with a function `build(*, fused) -> keras.Model`
    convolutional: bool = True  # trained by train_cnn.py, of use to what looks into convolutions


ARCHITECTURES = {
    "cnn": Architecture("CNN of the report", "cnn"),
    "compact": Architecture("compact CNN, which trains three times as fast", "compact"),
    "dnn": Architecture("DNN of the report", "dnn", convolutional=False),
}


def option(*, convolutional: bool = False) -> dict:
    """Return choices and help of an option `--architecture`, of all or the convolutional alone."""
    shown = {name: a for name, a in ARCHITECTURES.items() if a.convolutional or not convolutional}
    titles = "; ".join(f"'{name}': {architecture.title}" for name, architecture in shown.items())
    return {"choices": tuple(shown), "help": f"{titles} (default: %(default)s)"}


def build(architecture: str, *, fused: bool = False) -> "keras.Model":
    """Return a new model by the name of its architecture, with random weights.

    One that is `fused` trains with one-pass batch statistics (same weights, same result, faster).
    An unknown name is a ValueError.
    """
    if architecture not in ARCHITECTURES:
        known = ", ".join(sorted(ARCHITECTURES))
        raise ValueError(f"unknown architecture {architecture!r}: expected one of {known}")
    module = importlib.import_module(f"common.models.{ARCHITECTURES[architecture].module}")
    return module.build(fused=fused)
