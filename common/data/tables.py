"""CSV tables of pixels: the parser, and the layouts it knows."""

import contextlib
import io
from collections.abc import Iterator

import numpy as np

from common.data import archives
from common.labels import IMAGE_SHAPE, NUM_CLASSES, NUM_PIXELS

MAX_LINE_BYTES = 65_536  # an honest row has at most 9,215 characters of pixels
CHUNK_ROWS = 2_000  # rows parsed at once: 20 MB of text
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


def table_kind(file, head):
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


def read_full(file):
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


def read_pair(train, test):
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
        archives.damage_named(file.name),
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
        if row > archives.MAX_ROWS:
            raise ValueError(
                f"{file.name}: expected at most {archives.MAX_ROWS:,} rows, found more"
            )
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
