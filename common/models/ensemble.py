"""What several runs say of the same images."""

from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np
from tqdm import tqdm

from common.models import checkpoints, prediction


def load_each(runs: Sequence[Path | str], *, half: bool = False) -> list[keras.Model]:
    """Return the models of several runs; see `checkpoints.load`."""
    return [checkpoints.load(run, half=half)[0] for run in runs]


def predict_each(
    runs: Sequence[Path], images: np.ndarray, *, views: int = 1, half: bool = False
) -> np.ndarray:
    """Return the probabilities of each run, float32 (runs, n, 7); shows a progress bar.

    Args:
        runs: run folders.
        images: uint8 (n, 48, 48).
        views: as for `prediction.predict`.
        half: as for `checkpoints.load`.
    """
    loaded = load_each(runs, half=half)
    total = len(loaded) * len(images)
    with tqdm(total=total, desc="predicting", unit="face", disable=None) as bar:
        return np.stack(
            [
                prediction.predict(model, images, views=views, progress=bar.update)
                for model in loaded
            ]
        )
