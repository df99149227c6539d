"""Targets from finished runs: a network learns what better or averaged ones think of each row.

Source: Hinton, Vinyals, Dean, "Distilling the knowledge in a neural network", 2015, section 2, at
temperature 1 (the teachers are trained on smoothed labels and are not overconfident).
"""

import time
from pathlib import Path

import numpy as np

from common import metrics, outputs
from common.models import ensemble, prediction
from common.runs import resume, storage
from common.training import batches

TELL_EVERY = 30  # seconds


def targets(
    folder: Path,
    teachers: list[Path | str],
    images: np.ndarray,
    labels: np.ndarray,
    *,
    weight: float,
    views: int = 10,
    half: bool = False,
) -> np.ndarray:
    """Return (1 - weight) x label + weight x mean probability of the teachers, float32 (n, 7).

    The probabilities are kept in `folder/teacher_probabilities.npz` and read from there when the
    run goes on after a stop. Those of other weights or over other views are asked for again, unless
    the run has begun with them: it goes on with what it learned from so far.

    Args:
        folder: the run folder of the network that learns.
        teachers: run folders.
        images: uint8 (n, 48, 48).
        labels: codes (n,).
        weight: of the teachers, 0 to 1.
        views: of each image that a teacher's answer is averaged over (see `prediction.predict`).
        half: ask in bfloat16 (see `checkpoints.load`), which moves a target by about 0.01.
    """
    place = folder / "teacher_probabilities.npz"
    mean = _kept(place, {}, len(images)) if resume.states(folder) else None
    if mean is None:
        hashes = [storage.sha256(Path(run) / "model.keras") for run in teachers]
        asked = {"hashes": np.array(hashes), "views": np.array(views)}
        mean = _kept(place, asked, len(images))
    if mean is None:
        print(f"Asking {', '.join(map(str, teachers))} about {len(images):,} images.", flush=True)
        told = _progress(len(teachers) * len(images))
        answers = [
            prediction.predict(model, images, views=views, progress=told)
            for model in ensemble.load_each(teachers, half=half)
        ]
        mean = np.mean(answers, axis=0)
        storage.write_arrays(place, **asked, mean=mean)
    return ((1 - weight) * batches.soft_labels(labels) + weight * mean).astype(np.float32)


def _progress(total):
    """Return what is called with numbers of images done; it says now and then how long is left."""
    began = said = time.monotonic()
    done = 0

    def told(count):
        nonlocal done, said
        done += count
        now = time.monotonic()
        if now - said >= TELL_EVERY and done < total:
            left = outputs.duration((now - began) * (total - done) / done)
            print(f"asked {done / total:.0%}  {left} left", flush=True)
            said = now

    return told


def _kept(place, asked, count):
    """Return the mean probabilities in an archive if they are of what is asked, else None."""
    if not place.exists():
        return None
    kept = storage.read_arrays(place)
    if not all(name in kept and np.array_equal(kept[name], value) for name, value in asked.items()):
        return None
    mean = kept.get("mean")
    if mean is None or mean.shape[:1] != (count,):
        return None
    try:
        metrics.checked_probabilities(mean)
    except (ValueError, TypeError) as error:
        raise ValueError(
            f"{place}: expected the answers of teachers, found others ({error}): delete it, and "
            "they are asked again"
        ) from error
    return mean  # in the type that it was computed in: targets are the same to the bit
