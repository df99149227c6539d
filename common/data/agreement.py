"""Every check that runs and data fit together: the same images, none held out and trained on."""

from pathlib import Path

import numpy as np

from common.data import loading, matching, pixels, splits
from common.runs import records, storage

LEAK = "leak"  # how the caveat about one begins


def check(split: splits.Split, faces: loading.Dataset) -> None:
    """Raise a ValueError if a split was drawn from other data than this."""
    if split.data_hash != faces.data_hash:
        raise ValueError(
            f"this run was trained on other data: expected hash {split.data_hash[:16]}, found "
            f"{faces.data_hash[:16]} in {faces.source}; pass the --data of the run"
        )
    splits.check_inside(faces.source, split, len(faces.train_images))


def check_architecture(folder: Path | str, expected: str) -> None:
    """Refuse the run of another network than it is taken for; what is no run is not looked at.

    Raises:
        ValueError: its configuration names another architecture than `expected`.
    """
    try:
        found = storage.read_json(Path(folder) / "config.json").get("architecture", expected)
    except ValueError:
        return
    if found != expected:
        raise ValueError(f"{folder}: expected a run of the {expected}, found one of the {found}")


def check_comparable(run: Path | str, dataset: loading.Dataset, split: splits.Split) -> None:
    """Raise a ValueError unless a run is finished, and on the validation images of `split`."""
    check(splits.load(Path(run) / "split.npz"), dataset)
    records.read(run)  # raises unless it is finished
    if not np.array_equal(records.load_predictions(run)[0], split.validation_rows):
        raise ValueError(
            f"{run}: expected the validation rows of this run, found others: take a run with the "
            "same --split-seed and --validation"
        )


def seen_by(run: Path | str, dataset: loading.Dataset) -> np.ndarray:
    """Return which training images a run was trained on, themselves or a copy: bool (n,).

    Raises:
        ValueError: the run was trained on other data, and kept nothing to know its images by.
    """
    theirs = splits.load(Path(run) / "split.npz")
    if theirs.data_hash == dataset.data_hash:
        splits.check_inside(Path(run) / "split.npz", theirs, len(dataset.train_images))
        groups = pixels.duplicate_groups(dataset.train_images)
        return np.isin(groups, groups[theirs.train_rows])
    known = splits.load_images(run, theirs, dataset)
    return matching.seen(known, theirs.train_rows, dataset.train_images)


def check_unseen(finished: list, dataset: loading.Dataset, held_out: np.ndarray) -> None:
    """Raise a ValueError if a finished run was trained on a validation image.

    Args:
        finished: run folders whose weights or answers are to be learned from.
        dataset: the data set.
        held_out: the validation rows of the run that is to learn from them.
    """
    for run in finished:
        leaked = int(seen_by(run, dataset)[held_out].sum())
        if leaked:
            raise ValueError(
                f"{run}: expected a run that never saw the {len(held_out):,} validation rows, "
                f"found one that was trained on {leaked:,} of them: take one with the same "
                "--split-seed and --validation"
            )


def check_teacher(
    run: Path | str,
    architecture: str,
    dataset: loading.Dataset,
    unlabelled: np.ndarray,
    *,
    allow_leak: bool = False,
) -> list[str]:
    """Return the caveats on results of a given teacher, as sentences.

    The caveats on its own results hold for those of its students.

    Args:
        run: the teacher's run folder.
        architecture: of the student, which must be the teacher's.
        dataset: the data set.
        unlabelled: places of the training images whose labels are removed, int (u,).
        allow_leak: let a teacher pass that was trained on them, or learned from one that was.

    Raises:
        ValueError: the teacher has another architecture, or was trained on other data or on a
            removed label, or learned from such a teacher.
    """
    config = storage.read_json(Path(run) / "config.json")
    found = config.get("architecture")
    caveats = records.caveats(config)
    if found != architecture:
        raise ValueError(
            f"{run}: expected a teacher of the student's architecture, {architecture}, found "
            f"{found}: choose another teacher, or --architecture {found}"
        )
    seen = int(seen_by(run, dataset)[unlabelled].sum())
    if seen:
        caveats.append(
            f"{LEAK}: the teacher {run} was trained on {seen:,} of the {len(unlabelled):,} removed "
            "labels"
        )
    leaks = [caveat for caveat in caveats if caveat.startswith(LEAK)]
    if leaks and not allow_leak:
        raise ValueError(
            f"{run}: expected a teacher that never saw the removed labels, found "
            f"{'; '.join(leaks)}: leave --teacher out, or pass --allow-leak to measure the leak"
        )
    return caveats
