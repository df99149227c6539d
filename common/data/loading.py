"""A data set from any path, cached."""

import contextlib
import hashlib
import json
import os
import re
import stat
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from common.data import archives, folders, foreign, pixels, tables
from common.labels import CLASS_NAMES, NUM_CLASSES
from common.runs import provenance, storage

LONGEST = 600  # characters shown of what is wrong with a file, whose name may be of any length
DATA_FOLDER = provenance.PROJECT / "data"
CACHE_FOLDER = provenance.PROJECT / "outputs" / ".cache"
CACHE_FORMAT = "faces 2"
WAYS_ON = (
    "Download it with\n"
    "  kaggle competitions download -c "
    "challenges-in-representation-learning-facial-expression-recognition-challenge -p data\n"
    "and pass --data data, or pass --data sample for synthetic faces that need no download."
)


@dataclass(frozen=True, eq=False)
class Dataset:
    """A data set: training rows with labels, test rows with ids.

    Attributes:
        train_images: uint8 (n, 48, 48).
        train_labels: int64 (n,), codes 0-6 as in `labels.CLASS_NAMES`.
        test_images: uint8 (m, 48, 48).
        test_ids: int64 (m,), the ids that a submission names.
        test_labels: int64 (m,), or None where the layout keeps them secret.
        test_usage: "public" or "private" a test row, str (m,), or None where not known.
        source: what was asked for: a path, or "sample".
        data_hash: hex SHA-256 of train images, train labels and test images; the same whatever
            layout the same rows came in.
        notes: sentences on what was passed over, scaled or understood in the layout.
    """

    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_ids: np.ndarray
    test_labels: np.ndarray | None
    test_usage: np.ndarray | None
    source: str
    data_hash: str
    notes: tuple[str, ...] = ()


def load(source: Path | str | None = None, *, cache: Path | None = None) -> Dataset:
    """Return the data set at a path as a `Dataset`.

    Args:
        source: a CSV table, an archive or a folder; "sample" for synthetic faces; None for the
            project's `data/` folder.
        cache: folder to keep the parsed arrays in, by default `outputs/.cache`. A folder that
            cannot be written to only means that nothing is kept.

    Raises:
        FileNotFoundError: there is no such path; the message says how to get the data.
        ValueError: the data is not what it should be; one line that names file, row and column.
    """
    if source is not None and str(source) == "sample":
        path, read = Path(__file__).with_name("synthetic.py"), _draw_sample
    else:
        path, read = DATA_FOLDER if source is None else Path(source), _read_source
    if not path.exists():
        raise FileNotFoundError(f"no data at {path}. {WAYS_ON}")
    path = path.resolve()
    stamps = _stamps(path)
    if source is None and all(Path(name).suffix == ".md" for name, _, _ in stamps):
        raise FileNotFoundError(f"no data set in {path}. {WAYS_ON}")

    cache = CACHE_FOLDER if cache is None else Path(cache)
    place = cache / f"faces-{hashlib.sha256(os.fsencode(path)).hexdigest()[:16]}.npz"
    key = hashlib.sha256(json.dumps([CACHE_FORMAT, stamps]).encode()).hexdigest()
    arrays = _read_cache(place, key)
    if arrays is None:
        arrays = read(path, [Path(name) for name, _, _ in stamps])
        arrays["data_hash"] = np.array(_hash(arrays))
        arrays["notes"] = np.array(arrays.get("notes", []), dtype=np.str_)
        if _stamps(path) == stamps:  # nobody wrote to the files while they were read
            _write_cache(place, {**arrays, "key": np.array(key)})
    return Dataset(
        train_images=arrays["train_images"],
        train_labels=arrays["train_labels"],
        test_images=arrays["test_images"],
        test_ids=arrays["test_ids"],
        test_labels=arrays.get("test_labels"),
        test_usage=arrays.get("test_usage"),
        source=str(path if source is None else source),
        data_hash=str(arrays["data_hash"]),
        notes=tuple(map(str, arrays["notes"])),
    )


def _draw_sample(_path, _names):
    """Return the arrays of the synthetic faces by name."""
    from common.data import synthetic

    train_images, train_labels, test_images, test_labels = synthetic.draw_dataset()
    return {
        "train_images": train_images,
        "train_labels": train_labels,
        "test_images": test_images,
        "test_ids": np.arange(len(test_images), dtype=np.int64),
        "test_labels": test_labels,
    }


def _hash(arrays):
    digest = hashlib.sha256()
    for name, kind in (("train_images", "u1"), ("train_labels", "<i8"), ("test_images", "u1")):
        array = np.ascontiguousarray(arrays[name], dtype=kind)
        digest.update(repr(array.shape).encode())
        digest.update(array.data if array.size else b"")
    return digest.hexdigest()


def _stamps(path):
    """Return [path, size, mtime_ns] of every file at or below a path, sorted by path."""
    if not path.is_dir():
        names = [path]
    else:
        names, seen = [], set()
        for folder, folders, files in os.walk(path, followlinks=True):
            real = os.path.realpath(folder)
            if real in seen:  # a link that leads back up
                folders.clear()
                continue
            seen.add(real)
            folders[:] = [name for name in folders if not archives.is_hidden(name)]
            names += [Path(folder, name) for name in files if not archives.is_hidden(name)]
            if len(names) > archives.MAX_ROWS:
                raise ValueError(
                    f"{path}: expected a data set, found more than {archives.MAX_ROWS:,} files"
                )
    stamps = []
    for name in sorted(names):
        with contextlib.suppress(FileNotFoundError):  # a dangling link
            status = name.stat()
            if stat.S_ISREG(status.st_mode):
                stamps.append([str(name), status.st_size, status.st_mtime_ns])
    if not stamps and not path.is_dir():
        raise ValueError(f"{path}: expected a regular file or a folder")
    return stamps


def _read_cache(place, key):
    """Return the cached arrays by name, or None if there are none, old ones or damaged ones."""
    try:
        arrays = storage.read_arrays(place)
        return arrays if str(arrays.pop("key")) == key else None
    except Exception:  # whatever a damaged file leads to, the remedy is to write it again
        return None


def _write_cache(place, arrays):
    with (
        contextlib.suppress(OSError),
        storage.atomic_write(place) as temporary,
        temporary.open("wb") as file,
    ):
        np.savez(file, **arrays)


def _read_source(path, names):
    """Return the arrays of a data set by name."""
    files = [
        archives.File(str(name), name.relative_to(path.parent).parts, partial(open, name, "rb"))
        for name in names
    ]
    with contextlib.ExitStack() as stack:
        by_kind, images, others = _recognise(files, stack)
        named = {_part(file): file for file in by_kind[tables.TRAIN]}
        if len(named) == len(by_kind[tables.TRAIN]) > 1 and None not in named:
            return tables.read_named(named)
        for kind, found in by_kind.items():
            if len(found) > 1:
                raise ValueError(
                    f"{path}: expected one {kind} table, found {len(found)} "
                    f"({found[0].name} and {found[1].name}); pass one of them as --data"
                )
        if by_kind[tables.FULL]:
            return tables.read_full(by_kind[tables.FULL][0])
        if by_kind[tables.TRAIN] or by_kind[tables.TEST]:
            spoiled = [problem for suffix, problem in others if suffix in ("", ".csv")]
            if spoiled and not (by_kind[tables.TRAIN] and by_kind[tables.TEST]):
                raise ValueError(f"{spoiled[0]}; to go without it, pass the other table as --data")
            return tables.read_pair(by_kind[tables.TRAIN], by_kind[tables.TEST])
        if images:
            empty = [problem for suffix, problem in others if suffix in folders.SUFFIXES]
            return folders.read_images(path, images, empty)
    first = foreign.printable(others[0][1], LONGEST) if others else ""
    if len(others) == 1:
        raise ValueError(first)
    hint = f"; {first}" if others else ""
    raise ValueError(f"{path}: expected a data set, found none in {len(others)} files{hint}")


def _part(file):
    """Return the part of the data that the name of a labelled table tells, or None."""
    words = re.findall("[a-z]+", file.parts[-1].lower())
    parts = {tables.PARTS[word] for word in words if word in tables.PARTS}
    return parts.pop() if len(parts) == 1 else None


def _recognise(files, stack):
    """Return tables by kind, images, and (end of the name, what is wrong) of the rest.

    Goes down level by level and stops at the first level that completes a data set, so that the
    second copy inside Kaggle's download (a tar.gz next to the tables) is left alone.
    """
    found: dict[str, list] = {tables.FULL: [], tables.TRAIN: [], tables.TEST: []}
    images, others = [], []
    levels: dict[int, list] = {}
    for file in files:
        levels.setdefault(len(file.parts), []).append(file)
    while levels:
        for file in levels.pop(min(levels)):
            try:
                with archives.damage_named(file.name):
                    plain, head = archives.plain(file)
                    members = archives.members(plain, head, stack)
            except ValueError as error:
                others.append(("", str(error)))
                continue
            if members is not None:
                for member in members:
                    levels.setdefault(len(member.parts), []).append(member)
            elif head.startswith(tuple(folders.SIGNATURES)):
                images.append(plain)
            else:
                try:
                    found[tables.read_header(plain.name, head).kind].append(plain)
                except ValueError as error:
                    name = plain.parts[-1].lower()
                    others.append((".csv" if ".csv" in name else Path(name).suffix, str(error)))
        if found[tables.FULL] or (found[tables.TRAIN] and found[tables.TEST]):
            break
    return found, images, others


def describe(faces: Dataset) -> list[str]:
    """Return sentences on a data set: rows, classes, repeated, contradictory and flat images."""
    num_train, num_test = len(faces.train_images), len(faces.test_images)
    sentences = [f"{num_train:,} training rows and {num_test:,} test rows from {faces.source}."]
    sentences += faces.notes
    counts = np.bincount(faces.train_labels, minlength=NUM_CLASSES)
    named = ", ".join(f"{name} {count:,}" for name, count in zip(CLASS_NAMES, counts, strict=True))
    sentences.append(f"Training rows by class: {named}.")

    groups = pixels.duplicate_groups(np.concatenate([faces.train_images, faces.test_images]))
    train_groups = groups[:num_train]
    num_unique = len(np.unique(train_groups))
    pairs = np.unique(np.stack([train_groups, faces.train_labels]), axis=1)
    contradictory = np.count_nonzero(np.bincount(pairs[0], minlength=1) > 1)
    repeated = np.count_nonzero(np.isin(groups[num_train:], train_groups))
    sentences.append(
        f"{num_train - num_unique:,} training rows repeat an image that is already there; "
        f"{contradictory:,} images stand there with contradictory labels."
    )
    sentences.append(f"{repeated:,} test images also stand among the training rows.")
    flat = [
        np.count_nonzero(images.max(axis=(1, 2), initial=0) == images.min(axis=(1, 2), initial=255))
        for images in (faces.train_images, faces.test_images)
    ]
    sentences.append(f"{flat[0]:,} training and {flat[1]:,} test images are flat (one grey).")
    return sentences
