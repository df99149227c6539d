"""Targets from finished runs: a network learns what better or averaged ones think of each row.

Source: Hinton, Vinyals, Dean, "Distilling the knowledge in a neural network", 2015, section 2, at
temperature 1 (the teachers are trained on smoothed labels and are not overconfident).
"""

from pathlib import Path

import numpy as np

from common import training
from common.models import checkpoints, prediction
from common.runs import storage


def targets(folder, teachers, images, labels, *, weight):
    """Return (1 - weight) x label + weight x mean probability of the teachers, float32 (n, 7).

    The probabilities, averaged over each image and its mirror image, are kept in
    `folder/teacher_probabilities.npz`, and read from there when the run goes on after a stop.

    Args:
        folder: the run folder of the network that learns.
        teachers: run folders.
        images: uint8 (n, 48, 48).
        labels: codes (n,).
        weight: of the teachers, 0 to 1.
    """
    place = Path(folder) / "teacher_probabilities.npz"
    hashes = [storage.sha256(Path(run) / "model.keras") for run in teachers]
    kept = _read(place)
    if kept is not None and list(kept["hashes"]) == hashes and len(kept["mean"]) == len(images):
        mean = kept["mean"]
    else:
        print(f"Asking {', '.join(map(str, teachers))} about {len(images):,} rows.", flush=True)
        mean = np.mean(
            [prediction.predict(checkpoints.load(run)[0], images, views=2) for run in teachers],
            axis=0,
        )
        storage.write_arrays(place, mean=mean, hashes=np.array(hashes))
    return ((1 - weight) * training.soft_labels(labels) + weight * mean).astype(np.float32)


def _read(place):
    """Return the arrays of an archive, or None."""
    if not place.exists():
        return None
    with np.load(place) as archive:
        return dict(archive)
