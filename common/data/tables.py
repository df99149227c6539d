"""CSV tables of pixels: the parser, and the layouts it knows."""

import contextlib
import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from common.data import archives, foreign
from common.labels import IMAGE_SHAPE, NUM_PIXELS, class_code

MAX_LINE_BYTES = 65_536  # an honest row has at most 9,215 characters of pixels
CHUNK_ROWS = 2_000  # rows parsed at once: 20 MB of text
TRAIN, TEST, FULL = "train", "test", "full"
PUBLIC, PRIVATE = "public", "private"
ROLES = {  # of a column -> names that it goes by
    "pixels": ("pixels", "feature"),
    "label": ("emotion", "label"),
    "usage": ("usage", "split"),
    "id": ("id",),
}
SEPARATORS = (b",", b";", b"\t")
KNOWN_HEADERS = "label,feature | id,feature | emotion,pixels,Usage | emotion,pixels | pixels"
PARTS = {  # word for a part of the data -> the part; what FER-2013 calls PublicTest is `PUBLIC`
    **dict.fromkeys(("training", "train"), TRAIN),
    **dict.fromkeys(("publictest", "public", "validation", "valid", "val", "dev"), PUBLIC),
    **dict.fromkeys(("privatetest", "private", "testing", "test"), PRIVATE),
}

VALIDATION_NOTE = (
    "The validation part of these data counts as public test rows, as FER-2013's PublicTest does: "
    "nothing trains on it, and validation rows are drawn from the training rows."
)


@dataclass(frozen=True)
class Header:
    """What the first line of a table says.

    Attributes:
        separator: of fields.
        names: of all columns, in small letters.
        roles: "pixels" and any of "label", "usage", "id" -> place of that column.
    """

    separator: bytes
    names: tuple[str, ...]
    roles: dict[str, int]

    @property
    def kind(self) -> str:
        """What the rows are: `FULL` where each says what it is for, `TRAIN` or `TEST`."""
        if {"label", "usage"} <= self.roles.keys():
            return FULL
        return TRAIN if "label" in self.roles else TEST

    @property
    def passed_over(self) -> list[str]:
        """Names of columns that are not read."""
        ends = set(self.roles.values())
        return [name or "(unnamed)" for at, name in enumerate(self.names) if at not in ends]


def read_header(name: str, head: bytes) -> Header:
    """Return the `Header` in the first line of a file.

    Args:
        name: of the file, for messages.
        head: its first bytes.

    Raises:
        ValueError: it is not that of a table of pixels; the message says what it is.
    """
    if not head:
        raise ValueError(f"{name}: expected a table with a header, found an empty file")
    line = head.split(b"\n", 1)[0]
    separator = next((mark for mark in SEPARATORS if mark in line), b",")
    fields = line.decode("utf-8-sig", errors="replace").split(separator.decode())
    names = tuple(field.strip().strip('"').strip().lower() for field in fields)
    roles = {}
    for role, words in ROLES.items():
        places = [at for at, field in enumerate(names) if field in words]
        if len(places) > 1:
            found = " and ".join(names[at] for at in places)
            raise ValueError(f"{name}, line 1: expected one column of {role}, found {found}")
        if places:
            roles[role] = places[0]
    if "pixels" not in roles:
        other = foreign.kind_of(head) or f"found {_short(line.strip())}"
        raise ValueError(f"{name}, line 1: expected a header of {KNOWN_HEADERS}; {other}")
    if "label" in roles:
        roles.pop("id", None)
    else:
        roles.pop("usage", None)
    return Header(separator, names, roles)


def _short(value):
    text = value if isinstance(value, str) else value.decode("utf-8", errors="replace")
    return repr(text) if len(text) <= 40 else f"{text[:40]!r}... ({len(text):,} characters)"


def read_full(file: archives.File) -> dict:
    """Return the arrays of a table whose Usage column says what each row is for."""
    table = _read_table(file)
    return arrays_of(table["images"], table["labels"], table["parts"], table["notes"])


def read_named(found: dict[str, archives.File]) -> dict:
    """Return the arrays of labelled tables, one for each part, such as train, val and test.csv.

    Args:
        found: part (`TRAIN`, `PUBLIC`, `PRIVATE`) -> table.
    """
    read = {part: _read_table(file) for part, file in found.items()}
    notes = [note for table in read.values() for note in table["notes"]]
    return arrays_of(
        np.concatenate([table["images"] for table in read.values()]),
        np.concatenate([table["labels"] for table in read.values()]),
        np.repeat(list(read), [len(table["images"]) for table in read.values()]),
        notes + [VALIDATION_NOTE] * (PUBLIC in read),
    )


def arrays_of(images: np.ndarray, labels: np.ndarray, parts: np.ndarray, notes: list) -> dict:
    """Return the arrays of a data set from labelled images of which each belongs to a part.

    Args:
        images: uint8 (n, 48, 48).
        labels: int64 (n,).
        parts: str (n,), each of `TRAIN`, `PUBLIC` and `PRIVATE`; the two last are test rows.
        notes: sentences about what was read.
    """
    parts = np.asarray(parts)
    training = np.flatnonzero(parts == TRAIN)
    test = np.concatenate([np.flatnonzero(parts == part) for part in (PUBLIC, PRIVATE)])
    arrays = {
        "train_images": images[training],
        "train_labels": labels[training],
        "test_images": images[test],
        "test_ids": np.arange(len(test), dtype=np.int64),
        "test_labels": labels[test],
        "notes": notes,
    }
    if PUBLIC in parts:  # one test part is no half of a contest's
        arrays["test_usage"] = parts[test].astype("<U7")
    return arrays


def read_pair(train: list, test: list) -> dict:
    """Return the arrays of a training and a test table, of which one may be missing."""
    images = np.empty((0, *IMAGE_SHAPE), dtype=np.uint8)
    labels = ids = np.empty(0, dtype=np.int64)
    arrays = {
        "train_images": images,
        "train_labels": labels,
        "test_images": images,
        "test_ids": ids,
        "notes": [],
    }
    if train:
        table = _read_table(train[0])
        arrays["train_images"], arrays["train_labels"] = table["images"], table["labels"]
        arrays["notes"] += table["notes"]
    if test:
        table = _read_table(test[0])
        arrays["test_images"], arrays["test_ids"] = table["images"], table["ids"]
        arrays["notes"] += table["notes"]
    return arrays


def _read_table(file):
    """Return images uint8 (n, 48, 48), labels, ids int64 (n,), parts (or None each), notes."""
    with (
        archives.damage_named(file.name),
        file.open() as opened,
        io.BufferedReader(opened) as stream,  # a zip member alone reads lines slowly
    ):
        header = read_header(file.name, stream.readline(MAX_LINE_BYTES))
        roles, names = header.roles, header.names
        blocks, texts, places = [], [], []
        labels, ids, usages = [], [], []
        row_of_id: dict[int, int] = {}
        for row, line_number, fields in _rows(file, stream, header):
            where = f"{file.name}, row {row} (line {line_number}), column"
            if "label" in roles:
                labels.append(_label(fields[roles["label"]], f"{where} {names[roles['label']]}"))
            if "id" in roles:
                number = _number(fields[roles["id"]])
                if number is None:
                    found = _short(fields[roles["id"]])
                    raise ValueError(f"{where} id: expected a whole number, found {found}")
                if number in row_of_id:
                    raise ValueError(
                        f"{where} id: expected every id once, found {number} again "
                        f"(first in row {row_of_id[number]})"
                    )
                row_of_id[number] = row
                ids.append(number)
            if "usage" in roles:
                usage = fields[roles["usage"]].decode("ascii", errors="replace").lower()
                if usage not in PARTS:
                    raise ValueError(
                        f"{where} usage: expected Training, PublicTest or PrivateTest, "
                        f"found {_short(fields[roles['usage']])}"
                    )
                usages.append(usage)
            # "replace" leaves a character that no number holds, so the parser refuses it.
            texts.append(fields[roles["pixels"]].decode("ascii", errors="replace"))
            places.append(f"{where} {names[roles['pixels']]}")
            if len(texts) == CHUNK_ROWS:
                blocks.append(_parse_pixels(texts, places))
                texts, places = [], []
        if texts:
            blocks.append(_parse_pixels(texts, places))
    if not blocks:
        raise ValueError(f"{file.name}: expected rows below the header, found none")
    images = np.concatenate(blocks).reshape(-1, *IMAGE_SHAPE)
    notes = []
    if header.passed_over:
        named = foreign.printable(", ".join(header.passed_over))
        notes.append(f"{file.name}: columns passed over: {named}.")
    if any(PARTS[usage] == PUBLIC and usage not in ("publictest", PUBLIC) for usage in set(usages)):
        notes.append(VALIDATION_NOTE)
    return {
        "images": images,
        "labels": np.array(labels, dtype=np.int64) if "label" in roles else None,
        "ids": np.array(ids if "id" in roles else range(len(images)), dtype=np.int64),
        "parts": np.array([PARTS[usage] for usage in usages]) if "usage" in roles else None,
        "notes": notes,
    }


def _rows(file, stream, header) -> Iterator[tuple[int, int, list[bytes]]]:
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
        fields = [field.strip().strip(b'"').strip() for field in line.split(header.separator)]
        if len(fields) > len(header.names) and b'"' in line:  # a separator inside quotes
            text, mark = line.decode("utf-8", errors="replace"), header.separator.decode()
            try:
                parts = next(csv.reader([text], delimiter=mark))
            except csv.Error as error:  # a carriage return in the middle of a row
                raise ValueError(f"{where}: expected a row of a table ({error})") from error
            fields = [field.strip().encode() for field in parts]
        if len(fields) != len(header.names):
            raise ValueError(
                f"{where}: expected {len(header.names)} columns "
                f"({foreign.printable(','.join(header.names))}), found {len(fields)}"
            )
        yield row, line_number, fields


def _label(text, where):
    """Return the class code of a field: 2, 2.0 or a name."""
    if len(text) == 1 and text in b"0123456":  # nearly all of them
        return int(text)
    try:
        return class_code(text.decode("ascii", errors="replace"))
    except ValueError as error:
        raise ValueError(f"{where}: expected a label 0-6, found {_short(text)}: {error}") from error


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
