"""What a model is trained on, and in which precision."""

import contextlib
from pathlib import Path
from typing import NamedTuple

import keras
import tensorflow as tf


class Hardware(NamedTuple):
    """What a model is trained on.

    Attributes:
        strategy: a `tf.distribute.Strategy` over all local GPUs when there are several, or None.
        precision: Keras dtype policy.
        description: of both, for people.
    """

    strategy: tf.distribute.Strategy | None
    precision: str
    description: str


def prepare(*, seed: int, precision: str = "auto") -> Hardware:
    """Seed everything, and return the `Hardware` with the precision that is fastest on it.

    Args:
        seed: of the weights, dropout, shuffling and augmentation.
        precision: a Keras dtype policy; "auto" takes half precision where the hardware multiplies
            faster in it. Weights, batch statistics, logits and the loss stay in float32.
    """
    keras.utils.set_random_seed(seed)
    gpus = tf.config.list_physical_devices("GPU")
    for gpu in gpus:
        with contextlib.suppress(RuntimeError):  # already initialised
            tf.config.experimental.set_memory_growth(gpu, True)
    precision = resolved(precision)
    strategy = tf.distribute.MirroredStrategy() if len(gpus) > 1 else None
    device = f"{len(gpus)} GPU{'s' * (len(gpus) > 1)}" if gpus else "CPU"
    return Hardware(strategy, precision, f"{device}, {precision}")


def resolved(precision: str) -> str:
    """Return a Keras dtype policy; for "auto" the one with which this machine trains fastest."""
    if precision != "auto":
        return precision
    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        details = tf.config.experimental.get_device_details(gpus[0])
        major = details.get("compute_capability", (0, 0))[0]
        return "mixed_bfloat16" if major >= 8 else "mixed_float16" if major >= 7 else "float32"
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="utf-8").split()
    except OSError:
        return "float32"
    return "mixed_bfloat16" if {"avx512_bf16", "amx_bf16"} & set(flags) else "float32"
