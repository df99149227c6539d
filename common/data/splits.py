"""Who held out what: splits of the training rows, and the same images in another copy."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from common.data import loading, matching, pixels
from common.labels import NUM_CLASSES
from common.runs import provenance, records, schema, storage

IMAGES = "images.npz"  # in a run folder, or above several that share their data
FER2013 = provenance.PROJECT / "pretrained" / IMAGES
FEW = 0.1  # share of a run's held-out images below which other data are not a copy of its own


@dataclass(frozen=True, eq=False)
class Split:
    """Which training rows a model trains on and which it is validated on.

    Attributes:
        train_rows: int64, ascending.
        validation_rows: int64, in the order drawn: "validation image 4" is `validation_rows[4]`.
        seed: the seed it was drawn with.
        data_hash: `Dataset.data_hash` of the data it was drawn from.
        positions: int64, which of the images that the run held out `validation_rows` are, where
            they were found again in another copy of the data; None where all are there.
    """

    train_rows: np.ndarray
    validation_rows: np.ndarray
    seed: int
    data_hash: str
    positions: np.ndarray | None = None


def default_validation_size(num_rows: int) -> int:
    """Return how many rows to hold out: 3,000 as in the report, 15 % of a small data set."""
    return 3_000 if num_rows >= 10_000 else num_rows * 15 // 100


def draw(faces: loading.Dataset, *, seed: int, validation: int = 3_000) -> Split:
    """Return a `Split` with exactly `validation` random training rows held out, perhaps none.

    Identical images stay on one side: the groups of them are walked through in random order and
    each one that still fits is held out. The same data, seed and size give the same rows.

    Raises:
        ValueError: a side would have 1 to 6 rows, or no set of groups was found to fit.
    """
    num_rows = len(faces.train_images)
    if (validation != 0 and validation < NUM_CLASSES) or num_rows - validation < NUM_CLASSES:
        raise ValueError(
            f"expected at least {NUM_CLASSES} rows on each side of the split, found {validation} "
            f"for validation out of {num_rows:,} training rows; pass another size or more data"
        )
    generator = np.random.default_rng(seed)
    groups = pixels.duplicate_groups(faces.train_images)
    sizes = np.bincount(groups)
    held_out = np.zeros(len(sizes), dtype=bool)
    missing = validation
    for group in generator.permutation(len(sizes)):
        if sizes[group] <= missing:
            held_out[group] = True
            missing -= sizes[group]
            if missing == 0:
                break
    if missing:
        raise ValueError(
            f"expected groups of identical images that add up to {validation} validation rows, "
            f"found {validation - missing} rows; pass another seed or size"
        )
    is_validation = held_out[groups]
    return Split(
        train_rows=np.flatnonzero(~is_validation).astype(np.int64),
        validation_rows=generator.permutation(np.flatnonzero(is_validation)).astype(np.int64),
        seed=int(seed),
        data_hash=faces.data_hash,
    )


def draw_fold(faces: loading.Dataset, *, seed: int, folds: int, fold: int) -> Split:
    """Return a `Split` that holds out one of `folds` parts of all training rows.

    Identical images stay in one part: the groups of them, in random order, are cut into parts of
    as many rows, but for the size of a group. Every row is in exactly one part.

    Args:
        faces: the data set.
        seed: of the parts.
        folds: how many parts, 2 or more.
        fold: which one is held out, from 0.

    Raises:
        ValueError: there are too many parts, or there is no such part.
    """
    groups = pixels.duplicate_groups(faces.train_images)
    if not 0 <= fold < folds or not 2 <= folds <= len(groups) // NUM_CLASSES:
        raise ValueError(
            f"expected --folds from 2 to {len(groups) // NUM_CLASSES} for {len(groups):,} training "
            f"rows, and --fold from 0 up to but not including that, found --folds {folds} --fold "
            f"{fold}"
        )
    generator = np.random.default_rng(seed)
    order = generator.permutation(groups.max() + 1)
    part = np.empty(len(order), np.int64)
    part[order] = (np.cumsum(np.bincount(groups)[order]) - 1) * folds // len(groups)
    held_out = part[groups] == fold
    return Split(
        train_rows=np.flatnonzero(~held_out).astype(np.int64),
        validation_rows=generator.permutation(np.flatnonzero(held_out)).astype(np.int64),
        seed=int(seed),
        data_hash=faces.data_hash,
    )


def with_train_rows(split: Split, train_rows: np.ndarray) -> Split:
    """Return the same `Split` with fewer training rows: what a run really learned from."""
    return replace(split, train_rows=np.asarray(train_rows, np.int64))


def save(path: Path, split: Split) -> None:
    """Write a `Split` to an npz file, atomically and without pickle."""
    storage.write_arrays(
        path,
        train_rows=split.train_rows,
        validation_rows=split.validation_rows,
        seed=np.array(split.seed),
        data_hash=np.array(split.data_hash),
    )


def load(path: Path) -> Split:
    """Return the `Split` that `save` wrote.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged or something else.
    """
    try:
        arrays = storage.read_arrays(path)
        for name, kind in (("seed", "iu"), ("data_hash", "U")):
            if arrays[name].shape or arrays[name].dtype.kind not in kind:
                raise ValueError(f"{name}: found {schema.described(arrays[name])}")
        loaded = Split(
            train_rows=schema.check_rows("train_rows", arrays["train_rows"]),
            validation_rows=schema.check_rows("validation_rows", arrays["validation_rows"]),
            seed=int(arrays["seed"]),
            data_hash=str(arrays["data_hash"]),
        )
        if np.isin(loaded.train_rows, loaded.validation_rows).any():
            raise ValueError("its rows are not row numbers, each one once")
        if not len(loaded.train_rows):
            raise ValueError("no row is left to train on")
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"{path}: expected the split of a trained run, found none: train one first"
        ) from error
    except (OSError, KeyError, ValueError) as error:
        raise ValueError(
            f"{path}: expected a split as saved with a run, found something else ({error})"
        ) from error
    return loaded


def load_joint(runs: Sequence[Path | str]) -> Split:
    """Return the rows that several runs held out as one `Split`: the same ones, or a part each.

    Raises:
        ValueError: a run held out none, or rows that are neither those of another nor apart from
            them.
    """
    first = load(Path(runs[0]) / "split.npz")
    parts: list[np.ndarray] = []
    for run in runs:
        split = load(Path(run) / "split.npz")
        rows = split.validation_rows
        if not len(rows):
            raise ValueError(f"{run}: {records.UNSCORED}")
        if any(np.array_equal(np.sort(rows), np.sort(part)) for part in parts):
            rows = rows[:0]
        if split.data_hash != first.data_hash or any(np.isin(rows, part).any() for part in parts):
            raise ValueError(
                f"{run}: expected the validation rows of {runs[0]}, found others: each model has "
                "trained on rows that the other holds out, so no row can score both; or take all "
                "runs of the same --folds and --split-seed"
            )
        parts += [rows] if len(rows) else []
    rows = np.concatenate(parts)
    return replace(first, validation_rows=rows, train_rows=np.setdiff1d(first.train_rows, rows))


def check_inside(where, split, count):
    """Refuse a split with rows beyond the `count` images that it is of."""
    last = max(rows.max(initial=-1) for rows in (split.train_rows, split.validation_rows))
    if last >= count:
        raise ValueError(
            f"{where}: expected a split of {count:,} training rows, found row {last:,} in it: the "
            "split is damaged"
        )


def is_fer2013(data_hash: str | None, images: np.ndarray) -> bool:
    """Return whether a run's validation images are FER-2013's, in whatever copy.

    Args:
        data_hash: of the data that the run was trained on.
        images: those that it held out, uint8 (m, 48, 48), of which 200 are looked at; if there are
            none, only our own copy of the data is recognised.
    """
    known, own = _read_images(FER2013)
    if known is None or not len(images):
        return known is not None and own == data_hash
    return matching.share_known(known, images[:200]) > 0.5


def _read_images(path):
    """Return (fingerprints, hash of their data) as `save_images` wrote them, or (None, None)."""
    try:
        arrays = storage.read_arrays(path)
        exact, outline, data_hash = (arrays[name] for name in ("exact", "outline", "data_hash"))
    except (OSError, ValueError, KeyError):  # none, damaged or something else
        return None, None
    if (
        data_hash.shape
        or (exact.dtype, outline.dtype) != (np.uint64, np.uint64)
        or exact.ndim != 1
        or outline.shape != (len(exact), matching.WORDS)
    ):
        return None, None
    return matching.Fingerprints(exact, outline), str(data_hash)


def save_images(folder: Path, dataset: loading.Dataset) -> None:
    """Write what identifies the training images of a run, so that any copy of them will do."""
    known = matching.fingerprints(dataset.train_images)
    storage.write_arrays(
        folder / IMAGES,
        exact=known.exact,
        outline=known.outline,
        data_hash=np.array(dataset.data_hash),
    )


def load_images(run: Path | str, split: Split, dataset: loading.Dataset) -> matching.Fingerprints:
    """Return what identifies the images of a run, from its folder or one above.

    Raises:
        ValueError: there is nothing, so that only the run's own data will do, which these are not.
    """
    for folder in (Path(run), *Path(run).parents[:2]):
        known, data_hash = _read_images(folder / IMAGES)
        if known is not None and data_hash == split.data_hash:
            check_inside(folder / IMAGES, split, len(known.exact))
            return known
    raise ValueError(
        f"{run}: expected the data it was trained on (hash {split.data_hash[:16]}), found "
        f"{dataset.data_hash[:16]} in {dataset.source}, and no {IMAGES} of the run to find its "
        "images by: pass the --data of the run"
    )


def load_of_run(
    run: Path | str, source: str | None = None, *, others: Sequence[Path | str] = ()
) -> tuple[loading.Dataset, Split]:
    """Return (dataset, split) of a trained run: its data, and the images that it held out.

    Another copy of the data will do: there the images are found one by one, in any order and
    encoding, also among labelled test images, which then count as training images. It is printed
    how many were found.

    Args:
        run: the run folder.
        source: `--data`; None for what the run was trained on, or else the folder `data/`.
        others: more runs on the same data, whose held-out images count too (see `load_joint`).

    Raises:
        ValueError: the data is not the run's, and few of the images it held out are there; or it
            held out none.
        FileNotFoundError: no split or no data.
    """
    held = load_joint([run, *others])
    if source is None:
        recorded = storage.read_json(Path(run) / "config.json").get("flags", {}).get("data")
        source = (
            recorded if recorded and (recorded == "sample" or Path(recorded).exists()) else None
        )
    dataset = loading.load(source)
    if held.data_hash == dataset.data_hash:
        check_inside(Path(run) / "split.npz", held, len(dataset.train_images))
        return dataset, held
    known = load_images(run, held, dataset)
    images, labels = dataset.train_images, dataset.train_labels
    if dataset.test_labels is not None:
        images = np.concatenate([images, dataset.test_images])
        labels = np.concatenate([labels, dataset.test_labels])
    found = matching.match(known, held.validation_rows, images)
    positions = np.flatnonzero(found >= 0)
    share = f"{len(positions):,} of the {len(found):,} images that {run} held out"
    if len(positions) < FEW * len(found):
        raise ValueError(
            f"{run}: expected the data it was trained on, found only {share} in "
            f"{dataset.source}: pass its --data, or score it on all these images with --rows all"
        )
    print(f"{dataset.source} is another copy of the data: {share} are there, and those count.")
    seen = np.flatnonzero(matching.seen(known, held.train_rows, images))
    rows = Split(seen, found[positions], held.seed, dataset.data_hash, positions)
    return replace(dataset, train_images=images, train_labels=labels), rows
