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
    convolutional: bool = True  # trained by train_cnn.py, the others by train_dnn.py
    module: str | None = None  # with `build(*, fused)`; `common.models.<name>` unless named


ARCHITECTURES = {
    "cnn": Architecture("CNN of the report"),
    "compact": Architecture("compact CNN, which trains three times as fast"),
    "dnn": Architecture("DNN of the report", convolutional=False),
}


def option(*, convolutional: bool | None = None) -> dict:
    """Return choices and help of an option `--architecture`, of all or of one kind."""
    kinds = (True, False) if convolutional is None else (convolutional,)
    shown = {name: a for name, a in ARCHITECTURES.items() if a.convolutional in kinds}
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
    module = ARCHITECTURES[architecture].module or f"common.models.{architecture}"
    return importlib.import_module(module).build(fused=fused)
