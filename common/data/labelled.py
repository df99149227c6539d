"""The labelled images of any data set, and how many of them a run was trained on."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from common.data import agreement, loading
from common.runs import records, storage


@dataclass(frozen=True, eq=False)
class Labelled:
    """Images whose labels are known.

    Attributes:
        name: what sentences call them, "test rows" for example.
        rows: int64 (n,), counted from 0 through the training rows and then the test rows, or
            through the test rows alone.
        images: uint8 (n, 48, 48).
        labels: int64 (n,), codes 0-6.
        sentences: what a score on them is worth.
    """

    name: str
    rows: np.ndarray
    images: np.ndarray
    labels: np.ndarray
    sentences: tuple[str, ...]


def load(dataset: loading.Dataset, rows: str, runs: Iterable[Path]) -> Labelled:
    """Return the labelled images of a data set, and whether the runs have seen them.

    Args:
        dataset: the data set.
        rows: "all" for every labelled image, "test" for the test rows alone.
        runs: run folders that are to be scored.

    Raises:
        ValueError: there are no such images with labels.
    """
    images, labels = dataset.test_images, dataset.test_labels
    if rows == "test" and (labels is None or not len(labels)):
        found = "test rows without labels" if len(images) else "no test rows"
        raise ValueError(
            f"{dataset.source}: expected labelled test rows, found {found}: pass --rows all to "
            "score every labelled image"
        )
    if labels is None or not len(labels):
        images, labels = dataset.train_images, dataset.train_labels
        if not len(labels):
            raise ValueError(f"{dataset.source}: expected labelled images, found none")
    elif rows == "all":
        images = np.concatenate([dataset.train_images, images])
        labels = np.concatenate([dataset.train_labels, labels])
    # The training rows stay in front, where a run on the same data has numbered them.
    everything = images if rows == "all" else np.concatenate([dataset.train_images, images])
    return Labelled(
        name="test rows" if rows == "test" else "labelled images",
        rows=np.arange(len(images)),
        images=images,
        labels=labels,
        sentences=tuple(
            _worth(run, replace(dataset, train_images=everything), len(images))
            for run in dict.fromkeys(runs)
        ),
    )


def _worth(run, everything, count):
    """Return how many of the last `count` images a run was trained on, and its caveats."""
    worth = _trained_on(run, everything, count)
    caveats = records.caveats(storage.read_json(Path(run) / "config.json"))
    return " ".join([worth, *(f"Caveat: {caveat}." for caveat in caveats)])


def _trained_on(run, everything, count):
    try:
        seen = int(agreement.seen_by(run, everything)[-count:].sum())
    except (ValueError, FileNotFoundError):
        return (
            f"It is not known whether {run} was trained on some of these {count:,} images: this "
            "may not be a validation score."
        )
    if not seen:
        return f"{run} was trained on none of these {count:,} images."
    return (
        f"Careful: {run} was trained on {seen:,} of these {count:,} images (or on copies), so this "
        "is no validation score."
    )
