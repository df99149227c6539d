"""FER-2013 in every layout it is handed around in, as uint8 arrays; the cache; the split.

`load` reads a data set from CSV tables or class folders of images, plain, gzipped or inside a zip
or tar archive, and recognises the layout by its contents, never by a file name. `split` draws the
validation rows. `describe` says in sentences what is in the data.
"""

import contextlib
import gzip
import hashlib
import io
import json
import os
import stat
import struct
import tarfile
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import BinaryIO

import numpy as np

from common import runs
from common.labels import CLASS_NAMES, IMAGE_SHAPE, NUM_CLASSES, NUM_PIXELS, class_code

DATA_FOLDER = Path(__file__).parents[1] / "data"
CACHE_FOLDER = Path(__file__).parents[1] / "outputs" / ".cache"

MAX_ROWS = 500_000  # rows, images or archive members; fourteen times FER-2013
MAX_LINE_BYTES = 65_536  # an honest row has at most 9,215 characters of pixels
MAX_UNPACKED_BYTES = MAX_ROWS * 10_000  # what an archive may hold in all
MAX_NESTED_ZIP_BYTES = 512 * 1024**2  # read into memory, because a zip is read from its end
MAX_NESTING = 2  # Kaggle's download is a zip that holds a tar.gz
CHUNK_ROWS = 2_000  # rows parsed at once: 20 MB of text
HEAD_BYTES = 4_096  # enough to recognise a file by
CACHE_FORMAT = "faces 1"

TRAIN, TEST, FULL = "train", "test", "full"
LAYOUTS = {  # set of column names -> what the table holds
    frozenset({"label", "feature"}): TRAIN,
    frozenset({"id", "feature"}): TEST,
    frozenset({"emotion", "pixels"}): TRAIN,
    frozenset({"pixels"}): TEST,
    frozenset({"emotion", "pixels", "usage"}): FULL,
}
KNOWN_HEADERS = "label,feature | id,feature | emotion,pixels,Usage | emotion,pixels | pixels"
USAGES = ("training", "publictest", "privatetest")
IMAGE_SIGNATURES = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")  # PNG, JPEG
IMAGE_MODES = ("L", "LA", "RGB", "RGBA", "P", "1")  # 8 bits or fewer a channel

WAYS_ON = (
    "Download it with\n"
    "  kaggle competitions download -c "
    "challenges-in-representation-learning-facial-expression-recognition-challenge -p data\n"
    "and pass --data data, or pass --data sample for drawn faces that need no download."
)


@dataclass(frozen=True, eq=False)
class Faces:
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
    """

    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_ids: np.ndarray
    test_labels: np.ndarray | None
    test_usage: np.ndarray | None
    source: str
    data_hash: str


@dataclass(frozen=True, eq=False)
class Split:
    """Which training rows a model trains on and which it is validated on.

    Attributes:
        train_rows: int64, ascending.
        validation_rows: int64, in the order drawn: "validation image 4" is `validation_rows[4]`.
        seed: the seed it was drawn with.
        data_hash: `Faces.data_hash` of the data it was drawn from.
    """

    train_rows: np.ndarray
    validation_rows: np.ndarray
    seed: int
    data_hash: str


@dataclass(frozen=True)
class _File:
    """A file on disk or an archive member: how to name it, where it lies, how to open it."""

    name: str
    parts: tuple[str, ...]  # folders and file name, from the source's own name down
    open: Callable[[], AbstractContextManager[BinaryIO]]
    nesting: int = 0


# ---------------------------------------------------------------------------------------- load


def load(source=None, *, cache=None):
    """Return the data set at a path as a `Faces`.

    Args:
        source: a CSV table, an archive or a folder; "sample" for drawn faces; None for the
            project's `data/` folder.
        cache: folder to keep the parsed arrays in, by default `outputs/.cache`. A folder that
            cannot be written to only means that nothing is kept.

    Raises:
        FileNotFoundError: there is no such path; the message says how to get the data.
        ValueError: the data is not what it should be; one line that names file, row and column.
    """
    if source is not None and str(source) == "sample":
        path, read = Path(__file__).with_name("faces.py"), _draw_sample
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
        if _stamps(path) == stamps:  # nobody wrote to the files while they were read
            _write_cache(place, {**arrays, "key": np.array(key)})
    return Faces(
        train_images=arrays["train_images"],
        train_labels=arrays["train_labels"],
        test_images=arrays["test_images"],
        test_ids=arrays["test_ids"],
        test_labels=arrays.get("test_labels"),
        test_usage=arrays.get("test_usage"),
        source=str(path if source is None else source),
        data_hash=str(arrays["data_hash"]),
    )


def _draw_sample(_path, _names):
    """Return the arrays of the drawn faces by name."""
    from common import faces

    train_images, train_labels, test_images, test_labels = faces.draw_dataset()
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


# --------------------------------------------------------------------------------------- cache


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
            folders[:] = [name for name in folders if not _is_hidden(name)]
            names += [Path(folder, name) for name in files if not _is_hidden(name)]
            if len(names) > MAX_ROWS:
                raise ValueError(f"{path}: expected a data set, found more than {MAX_ROWS:,} files")
    stamps = []
    for name in sorted(names):
        with contextlib.suppress(FileNotFoundError):  # a dangling link
            status = name.stat()
            if stat.S_ISREG(status.st_mode):
                stamps.append([str(name), status.st_size, status.st_mtime_ns])
    if not stamps and not path.is_dir():
        raise ValueError(f"{path}: expected a regular file or a folder")
    return stamps


def _is_hidden(name):
    return name.startswith(".") or name == "__MACOSX"


def _read_cache(place, key):
    """Return the cached arrays by name, or None if there are none, old ones or damaged ones."""
    try:
        arrays = _read_arrays(place)
        return arrays if str(arrays.pop("key")) == key else None
    except Exception:  # whatever a damaged file leads to, the remedy is to write it again
        return None


def _write_cache(place, arrays):
    with (
        contextlib.suppress(OSError),
        runs.atomic_write(place) as temporary,
        temporary.open("wb") as file,
    ):
        np.savez(file, **arrays)


def _read_arrays(path):
    """Return the arrays of an npz file by name, each one checked against its CRC."""
    with open(path, "rb") as file, np.load(file, allow_pickle=False) as stored:
        return {name: stored[name] for name in stored.files}


# ----------------------------------------------------------------------------- finding the tables


def _read_source(path, names):
    """Return the arrays of a data set by name."""
    files = [
        _File(str(name), name.relative_to(path.parent).parts, partial(open, name, "rb"))
        for name in names
    ]
    with contextlib.ExitStack() as stack:
        tables, images, others = _recognise(files, stack)
        for kind, found in tables.items():
            if len(found) > 1:
                raise ValueError(
                    f"{path}: expected one {kind} table, found {len(found)} "
                    f"({found[0].name} and {found[1].name}); pass one of them as --data"
                )
        if tables[FULL]:
            return _read_full(tables[FULL][0])
        if tables[TRAIN] or tables[TEST]:
            spoiled = [problem for is_spoiled, problem in others if is_spoiled]
            if spoiled and not (tables[TRAIN] and tables[TEST]):
                raise ValueError(f"{spoiled[0]}; to go without it, pass the other table as --data")
            return _read_pair(tables[TRAIN], tables[TEST])
        if images:
            return _read_images(path, images)
    if len(others) == 1:
        raise ValueError(others[0][1])
    hint = f"; {others[0][1]}" if others else ""
    raise ValueError(f"{path}: expected a data set, found none in {len(others)} files{hint}")


def _recognise(files, stack):
    """Return tables by kind, images, and (is it a spoiled table, what is wrong) of the rest.

    Goes down level by level and stops at the first level that completes a data set, so that the
    second copy inside Kaggle's download (a tar.gz next to the tables) is left alone.
    """
    tables = {FULL: [], TRAIN: [], TEST: []}
    images, others = [], []
    levels = {}
    for file in files:
        levels.setdefault(len(file.parts), []).append(file)
    while levels:
        for file in levels.pop(min(levels)):
            try:
                with _damage_named(file.name):
                    plain, head = _plain(file)
                    members = _members(plain, head, stack)
            except ValueError as error:
                others.append((True, str(error)))
                continue
            if members is not None:
                for member in members:
                    levels.setdefault(len(member.parts), []).append(member)
            elif head.startswith(IMAGE_SIGNATURES):
                images.append(plain)
            else:
                kind, problem = _table_kind(plain, head)
                if kind:
                    tables[kind].append(plain)
                else:
                    others.append((".csv" in plain.parts[-1].lower(), problem))
        if tables[FULL] or (tables[TRAIN] and tables[TEST]):
            break
    return tables, images, others


def _plain(file):
    """Return the file without its gzip layer, if it has one, and its first bytes."""
    with file.open() as stream:
        head = stream.read(HEAD_BYTES)
    if not head.startswith(b"\x1f\x8b"):
        return file, head
    file = replace(file, open=partial(_open_gzip, file.open))
    with file.open() as stream:
        return file, stream.read(HEAD_BYTES)


@contextlib.contextmanager
def _open_gzip(open_packed):
    with open_packed() as packed, gzip.GzipFile(fileobj=packed) as stream:
        yield stream


def _members(file, head, stack):
    """Return the files inside an archive, or None for a file that is no archive.

    Nothing is ever extracted to disk, and what only a hostile archive holds is refused.
    """
    is_zip, is_tar = head.startswith(b"PK\x03\x04"), head[257:262] == b"ustar"
    if not (is_zip or is_tar):
        return None
    if file.nesting == MAX_NESTING:
        raise ValueError(f"{file.name}: expected at most {MAX_NESTING} archives in each other")
    stream = stack.enter_context(file.open())
    if is_zip:
        if file.nesting or isinstance(stream, gzip.GzipFile):  # no cheap way back in these
            content = stream.read(MAX_NESTED_ZIP_BYTES + 1)
            if len(content) > MAX_NESTED_ZIP_BYTES:
                raise ValueError(f"{file.name}: too large for a packed zip; unpack the outer one")
            stream = io.BytesIO(content)
        archive = stack.enter_context(zipfile.ZipFile(stream))
        infos = ((info, info.filename, info.file_size) for info in archive.infolist())
        is_file, opener = (lambda info: not info.is_dir()), archive.open
    else:
        archive = stack.enter_context(tarfile.TarFile(fileobj=stream))
        infos = ((info, info.name, info.size) for info in archive)
        is_file, opener = tarfile.TarInfo.isreg, archive.extractfile

    members, total = [], 0
    for count, (info, name, size) in enumerate(infos, start=1):
        path = name.replace("\\", "/")
        shown = name if name.isprintable() else ascii(name)
        if path.startswith("/") or ".." in path.split("/"):
            raise ValueError(f"{file.name}: expected names inside the archive, found {shown[:80]}")
        total += size
        if count > MAX_ROWS or total > MAX_UNPACKED_BYTES:
            raise ValueError(f"{file.name}: expected at most {MAX_ROWS:,} rows, found more")
        parts = tuple(part for part in path.split("/") if part not in ("", "."))
        if parts and is_file(info) and not any(map(_is_hidden, parts)):
            members.append(
                _File(
                    name=f"{file.name}:{shown}",
                    parts=file.parts + parts,
                    open=partial(opener, info),
                    nesting=file.nesting + 1,
                )
            )
    return members


@contextlib.contextmanager
def _damage_named(name):
    """Turn what the unpacking libraries raise on damaged files into one named ValueError."""
    try:
        yield
    except (
        EOFError,
        OSError,  # a bad gzip header, or a seek to nowhere
        UnicodeDecodeError,  # a member's name
        struct.error,
        zlib.error,
        zipfile.BadZipFile,
        tarfile.TarError,
        RuntimeError,  # an encrypted zip
        NotImplementedError,  # a compression that Python does not know
    ) as error:
        if isinstance(error, OSError) and error.filename is not None:
            raise  # the file itself cannot be opened, which the error says already
        raise ValueError(f"{name}: damaged or cut off ({error}); download it again") from error


def _table_kind(file, head):
    """Return (kind, None) of a table, or (None, what is wrong with it)."""
    if not head:
        return None, f"{file.name}: expected a table with a header, found an empty file"
    columns = _columns(head.split(b"\n", 1)[0])
    kind = LAYOUTS.get(frozenset(columns))
    if kind and len(set(columns)) == len(columns):
        return kind, None
    found = _short(",".join(columns))
    return None, f"{file.name}, line 1: expected a header of {KNOWN_HEADERS}, found {found}"


def _columns(line):
    text = line.decode("utf-8-sig", errors="replace")
    return [name.strip().strip('"').strip().lower() for name in text.split(",")]


def _short(value):
    text = value if isinstance(value, str) else value.decode("utf-8", errors="replace")
    return repr(text) if len(text) <= 40 else f"{text[:40]!r}... ({len(text):,} characters)"


# ------------------------------------------------------------------------------ reading the tables


def _read_full(file):
    """Return the arrays of a table whose Usage column says what each row is for."""
    images, labels, _, usage = _read_table(file)
    usage = np.array(usage)
    training = np.flatnonzero(usage == USAGES[0])
    public = np.flatnonzero(usage == USAGES[1])
    private = np.flatnonzero(usage == USAGES[2])
    test = np.concatenate([public, private])
    return {
        "train_images": images[training],
        "train_labels": labels[training],
        "test_images": images[test],
        "test_ids": np.arange(len(test), dtype=np.int64),
        "test_labels": labels[test],
        "test_usage": np.array(["public"] * len(public) + ["private"] * len(private), dtype="<U7"),
    }


def _read_pair(train, test):
    """Return the arrays of a training and a test table, of which one may be missing."""
    images = np.empty((0, *IMAGE_SHAPE), dtype=np.uint8)
    labels = ids = np.empty(0, dtype=np.int64)
    arrays = {
        "train_images": images,
        "train_labels": labels,
        "test_images": images,
        "test_ids": ids,
    }
    if train:
        arrays["train_images"], arrays["train_labels"], _, _ = _read_table(train[0])
    if test:
        arrays["test_images"], _, arrays["test_ids"], _ = _read_table(test[0])
    return arrays


def _read_table(file):
    """Return images uint8 (n, 48, 48), labels or None, ids int64 (n,), usages (list or None)."""
    with (
        _damage_named(file.name),
        file.open() as opened,
        io.BufferedReader(opened) as stream,  # a zip member alone reads lines slowly
    ):
        columns = _columns(stream.readline(MAX_LINE_BYTES))
        pixels_at = next(columns.index(name) for name in ("feature", "pixels") if name in columns)
        label_at = next(
            (columns.index(name) for name in ("label", "emotion") if name in columns), None
        )
        id_at = columns.index("id") if "id" in columns else None
        usage_at = columns.index("usage") if "usage" in columns else None

        blocks, texts, places = [], [], []
        labels, ids, usages, row_of_id = [], [], [], {}
        for row, line_number, fields in _rows(file, stream, columns):
            where = f"{file.name}, row {row} (line {line_number}), column"
            if label_at is not None:
                label = _number(fields[label_at])
                if label is None or label >= NUM_CLASSES:
                    raise ValueError(
                        f"{where} {columns[label_at]}: expected a label 0-{NUM_CLASSES - 1}, "
                        f"found {_short(fields[label_at])}"
                    )
                labels.append(label)
            if id_at is not None:
                number = _number(fields[id_at])
                if number is None:
                    raise ValueError(
                        f"{where} id: expected a whole number, found {_short(fields[id_at])}"
                    )
                if number in row_of_id:
                    raise ValueError(
                        f"{where} id: expected every id once, found {number} again "
                        f"(first in row {row_of_id[number]})"
                    )
                row_of_id[number] = row
                ids.append(number)
            if usage_at is not None:
                usage = fields[usage_at].decode("ascii", errors="replace").lower()
                if usage not in USAGES:
                    raise ValueError(
                        f"{where} usage: expected Training, PublicTest or PrivateTest, "
                        f"found {_short(fields[usage_at])}"
                    )
                usages.append(usage)
            # "replace" leaves a character that no number holds, so the parser refuses it.
            texts.append(fields[pixels_at].decode("ascii", errors="replace"))
            places.append(f"{where} {columns[pixels_at]}")
            if len(texts) == CHUNK_ROWS:
                blocks.append(_parse_pixels(texts, places))
                texts, places = [], []
        if texts:
            blocks.append(_parse_pixels(texts, places))
    if not blocks:
        raise ValueError(f"{file.name}: expected rows below the header, found none")
    images = np.concatenate(blocks).reshape(-1, *IMAGE_SHAPE)
    return (
        images,
        np.array(labels, dtype=np.int64) if label_at is not None else None,
        np.array(ids, dtype=np.int64)
        if id_at is not None
        else np.arange(len(images), dtype=np.int64),
        usages if usage_at is not None else None,
    )


def _rows(file, stream, columns) -> Iterator[tuple[int, int, list[bytes]]]:
    """Yield (data row from 1, line from 1, stripped fields) for every line that is not blank."""
    row, line_number = 0, 1
    while line := stream.readline(MAX_LINE_BYTES):
        line_number += 1
        if not line.strip():
            continue
        row += 1
        where = f"{file.name}, row {row} (line {line_number})"
        if len(line) == MAX_LINE_BYTES:
            raise ValueError(
                f"{where}: expected fewer than {MAX_LINE_BYTES:,} characters, found {_short(line)}"
            )
        if row > MAX_ROWS:
            raise ValueError(f"{file.name}: expected at most {MAX_ROWS:,} rows, found more")
        fields = [field.strip().strip(b'"').strip() for field in line.split(b",")]
        if len(fields) != len(columns):
            raise ValueError(
                f"{where}: expected {len(columns)} columns ({','.join(columns)}), "
                f"found {len(fields)}"
            )
        yield row, line_number, fields


def _number(text):
    """Return a whole number >= 0 from its bytes, or None for anything else."""
    return int(text) if text.isdigit() and len(text) <= 18 else None


def _parse_pixels(texts, places):
    """Return uint8 (n, 2304) from n lines of 2,304 numbers; the strict and fast way."""
    # The parser skips empty lines and takes "+1"; everything else it refuses by itself.
    if all(texts) and not any("+" in text for text in texts):
        with contextlib.suppress(ValueError):
            pixels = np.loadtxt(texts, dtype=np.uint8, comments=None, ndmin=2)
            if pixels.shape == (len(texts), NUM_PIXELS):
                return pixels
    for text, place in zip(texts, places, strict=True):  # which one was it?
        values = text.split()
        if len(values) != NUM_PIXELS:
            raise ValueError(f"{place}: expected {NUM_PIXELS:,} pixels, found {len(values):,}")
        for position, value in enumerate(values, start=1):
            number = _number(value.encode())
            if number is None or number > 255:
                raise ValueError(
                    f"{place}: expected whole numbers 0-255, found {_short(value)} "
                    f"as pixel {position}"
                )
        if "\r" in text:
            raise ValueError(f"{place}: expected spaces between pixels, found a line break")
    raise ValueError(f"{places[0]}: expected {NUM_PIXELS:,} whole numbers, found something else")


def _read_images(path, images):
    """Return the arrays of class folders train/<class>/ and test/<class>/, sorted by class."""
    if not any(len(file.parts) > 2 and file.parts[-3].lower() in (TRAIN, TEST) for file in images):
        raise ValueError(
            f"{path}: expected images in train/<class>/ and test/<class>/, found {len(images):,} "
            "images elsewhere; to classify photos without labels use predict.py --photos"
        )
    if len(images) > MAX_ROWS:
        raise ValueError(f"{path}: expected at most {MAX_ROWS:,} images, found more")
    rows = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's remarks on images that are refused below
        for file in images:  # in the order of the archive: a tar.gz can only be read forwards
            part, folder, name = ("", *file.parts)[-3:]
            if part.lower() not in (TRAIN, TEST):
                raise ValueError(f"{file.name}: expected to lie in train/<class>/ or test/<class>/")
            try:
                code = class_code(folder)
            except ValueError as error:
                raise ValueError(f"{file.name}: {error}") from error
            rows.append((part.lower(), code, name, file.name, _decode(file)))
    rows.sort(key=lambda row: row[:4])
    arrays = {}
    for wanted in (TRAIN, TEST):
        chosen = [row for row in rows if row[0] == wanted]
        pixels = np.array([row[4] for row in chosen], dtype=np.uint8)
        arrays[f"{wanted}_images"] = pixels.reshape(-1, *IMAGE_SHAPE)
        arrays[f"{wanted}_labels"] = np.array([row[1] for row in chosen], dtype=np.int64)
    arrays["test_ids"] = np.arange(len(arrays["test_images"]), dtype=np.int64)
    return arrays


def _decode(file):
    """Return uint8 (48, 48) grey values of a PNG or JPEG file."""
    from PIL import Image

    try:
        with file.open() as stream, Image.open(stream, formats=("PNG", "JPEG")) as image:
            (width, height), mode, pixels = image.size, image.mode, None
            if image.size == IMAGE_SHAPE[::-1] and mode in IMAGE_MODES:
                pixels = np.asarray(image.convert("L"))
    except Exception as error:  # a decoder fed with damaged bytes may raise anything
        raise ValueError(f"{file.name}: not a readable image ({error})") from error
    if pixels is None:
        raise ValueError(
            f"{file.name}: expected 48x48 pixels of 8 bits, found {width}x{height} (mode {mode})"
        )
    return pixels


# ----------------------------------------------------------------------------- looking at the data


def duplicate_groups(images):
    """Return int64 (n,): the same number for two rows if and only if they are identical.

    Numbers count from 0 in the order of first appearance.

    Args:
        images: uint8 (n, 48, 48).
    """
    numbers = {}
    return np.array(
        [numbers.setdefault(image.tobytes(), len(numbers)) for image in images], dtype=np.int64
    )


def describe(faces):
    """Return sentences on a data set: rows, classes, repeated, contradictory and flat images."""
    num_train, num_test = len(faces.train_images), len(faces.test_images)
    sentences = [f"{num_train:,} training rows and {num_test:,} test rows from {faces.source}."]
    counts = np.bincount(faces.train_labels, minlength=NUM_CLASSES)
    named = ", ".join(f"{name} {count:,}" for name, count in zip(CLASS_NAMES, counts, strict=True))
    sentences.append(f"Training rows by class: {named}.")

    groups = duplicate_groups(np.concatenate([faces.train_images, faces.test_images]))
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


def to_inputs(images):
    """Return what a model takes, float32 (n, 48, 48, 1) in [0, 1], from uint8 (n, 48, 48)."""
    inputs = images[..., np.newaxis].astype(np.float32)
    inputs /= 255
    return inputs


# ------------------------------------------------------------------------------------------- split


def default_validation_size(num_rows):
    """Return how many rows to hold out: 3,000 as in the report, 15 % of a small data set."""
    return 3_000 if num_rows >= 10_000 else num_rows * 15 // 100


def split(faces, *, seed, validation=3_000):
    """Return a `Split` with exactly `validation` random training rows held out.

    Identical images stay on one side: the groups of them are walked through in random order and
    each one that still fits is held out. The same data, seed and size give the same rows.

    Raises:
        ValueError: a side would have fewer than 7 rows, or no set of groups was found to fit.
    """
    num_rows = len(faces.train_images)
    if validation < NUM_CLASSES or num_rows - validation < NUM_CLASSES:
        raise ValueError(
            f"expected at least {NUM_CLASSES} rows on each side of the split, found {validation} "
            f"for validation out of {num_rows:,} training rows; pass another size or more data"
        )
    generator = np.random.default_rng(seed)
    groups = duplicate_groups(faces.train_images)
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


def with_train_rows(split, train_rows):
    """Return the same `Split` with fewer training rows: what a run really learned from."""
    return replace(split, train_rows=np.asarray(train_rows, np.int64))


def save_split(path, split):
    """Write a `Split` to an npz file, atomically and without pickle."""
    runs.write_arrays(
        path,
        train_rows=split.train_rows,
        validation_rows=split.validation_rows,
        seed=np.array(split.seed),
        data_hash=np.array(split.data_hash),
    )


def load_split(path):
    """Return the `Split` that `save_split` wrote.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged or something else.
    """
    try:
        arrays = _read_arrays(path)
        loaded = Split(
            train_rows=arrays["train_rows"],
            validation_rows=arrays["validation_rows"],
            seed=int(arrays["seed"]),
            data_hash=str(arrays["data_hash"]),
        )
        rows = np.concatenate([loaded.train_rows, loaded.validation_rows])
        if rows.dtype != np.int64 or len(np.unique(rows)) < len(rows) or rows.min(initial=0) < 0:
            raise ValueError("its rows are not row numbers, each one once")
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"{path}: expected the split of a trained run, found none: train one first"
        ) from error
    except Exception as error:  # whatever a damaged or foreign file leads to
        raise ValueError(
            f"{path}: expected a split as saved with a run, found something else ({error})"
        ) from error
    return loaded


def check_split(split, faces):
    """Raise a ValueError if a split was drawn from other data than this."""
    if split.data_hash != faces.data_hash:
        raise ValueError(
            f"this run was trained on other data: expected hash {split.data_hash[:16]}, found "
            f"{faces.data_hash[:16]} in {faces.source}; pass the --data of the run"
        )


def seen_by(run, faces):
    """Return which training images a run was trained on, themselves or a copy: bool (n,).

    Raises:
        ValueError: the run was trained on other data.
    """
    theirs = load_split(Path(run) / "split.npz")
    check_split(theirs, faces)
    groups = duplicate_groups(faces.train_images)
    return np.isin(groups, groups[theirs.train_rows])


def check_unseen(finished, faces, held_out):
    """Raise a ValueError if a finished run was trained on a validation row or on other data.

    Args:
        finished: run folders whose weights or answers are to be learned from.
        faces: the data set.
        held_out: the validation rows of the run that is to learn from them.
    """
    for run in finished:
        leaked = int(seen_by(run, faces)[held_out].sum())
        if leaked:
            raise ValueError(
                f"{run}: expected a run that never saw the {len(held_out):,} validation rows, "
                f"found one that was trained on {leaked:,} of them: take one with the same "
                "--split-seed and --validation"
            )


def load_of_run(run, source=None):
    """Return (faces, split) of a trained run: its data, and the rows that it held out.

    Args:
        run: the run folder.
        source: `--data`; None for what the run was trained on, or else the folder `data/`.

    Raises:
        ValueError: the data is not the run's.
        FileNotFoundError: no split or no data.
    """
    held = load_split(Path(run) / "split.npz")
    if source is None:
        recorded = runs.read_json(Path(run) / "config.json").get("flags", {}).get("data")
        source = (
            recorded if recorded and (recorded == "sample" or Path(recorded).exists()) else None
        )
    faces = load(source)
    check_split(held, faces)
    return faces, held
