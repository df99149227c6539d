"""Write and check what Kaggle takes, and write the probabilities from which it is made.

Two forms: "homework" (the header `id,label`, then one row an image) and "contest2013" (one label
a line, no header, in the order of the test rows).
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from common import metrics
from common.labels import CLASS_NAMES, NUM_CLASSES
from common.runs import provenance, storage

COMPETITIONS = {
    "homework": "ml2017-hw3",
    "contest2013": "challenges-in-representation-learning-facial-expression-recognition-challenge",
}
SUBMISSION_HEADER = ["id", "label"]
PROBABILITY_HEADER = ["id", *CLASS_NAMES, "label"]
LABEL_TEXTS = tuple(str(code) for code in range(NUM_CLASSES))
BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def write_submission(
    path: Path,
    ids: np.ndarray,
    predictions: np.ndarray,
    *,
    form: str = "homework",
    columns: Sequence[str] = SUBMISSION_HEADER,
) -> None:
    """Write a submission, atomically; nothing is written when something is wrong.

    Args:
        path: the CSV file.
        ids: the test rows' ids, unique integers, (n,), at least one.
        predictions: class codes 0-6, (n,), in the order of `ids`.
        form: "homework" or "contest2013"; the second leaves the ids out, so `ids` must be in
            the order of the test file.
        columns: names of the two columns, in the homework form.

    Raises:
        ValueError: ids or predictions that Kaggle would refuse, or an unknown form.
    """
    _competition(form)
    ids = _checked_ids(ids)
    predictions = metrics.checked_labels(predictions, "predictions")
    _check_one_each(ids, predictions, "predictions")
    rows = [[label] for label in predictions]
    if form == "homework":
        rows = [list(columns), *map(list, zip(ids, predictions, strict=True))]
    _write_rows(path, rows)


def check_submission(
    path: Path, ids: np.ndarray, *, columns: Sequence[str] = SUBMISSION_HEADER
) -> int:
    """Return the number of predictions in a submission of either form that Kaggle would take.

    Rows of the homework form may be in any order, since Kaggle matches them by id.

    Args:
        path: the CSV file.
        ids: the ids Kaggle expects, unique integers, (n,), at least one.
        columns: names of the two columns, in the homework form.

    Raises:
        ValueError: Kaggle would refuse the file; one line that names file and row (the first
            line is row 1), what was expected and found.
    """
    expected = _checked_ids(ids).astype(str).tolist()
    rows = _read_rows(path)
    if rows and rows[0] == list(columns):
        wanted = set(expected)
        seen: dict[str, int] = {}
        for number, row in enumerate(rows[1:], start=2):
            _check_columns(path, number, row, columns)
            identifier, label = row
            if identifier not in wanted:
                raise ValueError(
                    f"{path}, row {number}, column id: expected an id of the test rows, "
                    f"found {identifier!r:.40}"
                )
            if identifier in seen:
                raise ValueError(
                    f"{path}, row {number}, column id: expected every id once, found "
                    f"{identifier} again (first in row {seen[identifier]})"
                )
            _check_label(path, number, label)
            seen[identifier] = number
        missing = [identifier for identifier in expected if identifier not in seen]
        if missing:
            raise ValueError(
                f"{path}, row {len(rows) + 1}: expected {len(expected)} predictions, "
                f"found {len(seen)}, the end of the file: id {missing[0]} is missing"
            )
    elif rows and len(rows[0]) == 1 and rows[0][0] in LABEL_TEXTS:
        for number, row in enumerate(rows, start=1):
            _check_columns(path, number, row, ["label"])
            _check_label(path, number, row[0])
        if len(rows) != len(expected):
            raise ValueError(
                f"{path}, row {min(len(rows), len(expected)) + 1}: "
                f"expected {len(expected)} labels, found {len(rows)}"
            )
    else:
        found = repr(",".join(rows[0])) if rows else "an empty file"
        raise ValueError(
            f"{path}, row 1: expected the header {','.join(columns)!r} (homework) or a "
            f"label 0-{NUM_CLASSES - 1} (contest of 2013), found {found:.60}"
        )
    return len(expected)


def submit_command(path: Path, *, form: str = "homework", competition: str | None = None) -> str:
    """Return the command line, as `provenance.typed`, that uploads by Kaggle's own tool.

    Args:
        path: the submission; its folder and name become the message.
        form: "homework" or "contest2013".
        competition: Kaggle's name of it, by default the one that has this form.
    """
    message = "/".join(Path(path).resolve().parts[-2:])
    words = ["kaggle", "competitions", "submit", "-c", competition or _competition(form)]
    return provenance.typed(*words, "-f", Path(path), "-m", message)


def write_probabilities(path: Path, ids: np.ndarray, probabilities: np.ndarray) -> None:
    """Write a CSV of id, one probability a class, and the most probable label, atomically.

    Args:
        path: the CSV file.
        ids: unique integers, (n,), at least one.
        probabilities: (n, 7), rows with sum 1; kept to float32 precision.

    Raises:
        ValueError: ids or probabilities that are none; nothing is written.
    """
    ids = _checked_ids(ids)
    probabilities = metrics.checked_probabilities(probabilities).astype(np.float32)
    _check_one_each(ids, probabilities, "rows of probabilities")
    labels = probabilities.argmax(axis=1)
    texts = probabilities.astype(str)  # the shortest text that reads back as the same float32
    rows = zip(ids, texts, labels, strict=True)
    _write_rows(path, [PROBABILITY_HEADER, *([number, *row, label] for number, row, label in rows)])


def _competition(form):
    """Return Kaggle's name of a competition, or raise ValueError for an unknown form."""
    if form not in COMPETITIONS:
        raise ValueError(f"form: expected one of {', '.join(COMPETITIONS)}, found {form!r}")
    return COMPETITIONS[form]


def _checked_ids(ids):
    """Return unique integers as int64 (n,), n of at least 1, or raise ValueError."""
    ids = np.asarray(ids)
    whole = ids.dtype != bool and np.can_cast(ids.dtype, np.int64)
    if ids.ndim != 1 or not ids.size or not whole:
        raise ValueError(
            f"id: expected one integer a row and at least one row, "
            f"found shape {ids.shape} of {ids.dtype}"
        )
    unique, positions, times = np.unique(ids, return_index=True, return_counts=True)
    if len(unique) != len(ids):
        again = np.argmax(times > 1)
        raise ValueError(
            f"id: expected every id once, found {unique[again]} {times[again]} times, "
            f"first at position {positions[again]}"
        )
    return ids.astype(np.int64)


def _check_one_each(ids, values, name):
    """Raise ValueError unless there are as many values as ids."""
    if len(ids) != len(values):
        raise ValueError(f"expected one of the {name} an id ({len(ids)}), found {len(values)}")


def _check_columns(path, number, row, header):
    """Raise ValueError unless a row has one cell a column."""
    if len(row) != len(header):
        raise ValueError(
            f"{path}, row {number}: expected {len(header)} columns ({','.join(header)}), "
            f"found {len(row)} in {','.join(row)!r:.60}"
        )


def _check_label(path, number, text):
    """Raise ValueError unless a cell is a class code as Kaggle reads it."""
    if text not in LABEL_TEXTS:
        raise ValueError(
            f"{path}, row {number}, column label: expected an integer 0-{NUM_CLASSES - 1}, "
            f"found {text!r:.40}"
        )


def _write_rows(path, rows):
    """Write rows of numbers and plain words as CSV, atomically."""
    storage.write_text(path, "".join(",".join(map(str, row)) + "\n" for row in rows))


def _read_rows(path):
    """Return the rows of a CSV file as lists of text; quotes and blanks are kept as they are."""
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise ValueError(f"{path}: expected a CSV file, found {error.strerror}") from error
    if content.startswith(BYTE_ORDER_MARK):
        raise ValueError(
            f"{path}, row 1: expected plain text, found a byte-order mark: "
            "save the file without one (in a spreadsheet, as 'CSV', not as 'CSV UTF-8')"
        )
    try:
        lines = content.decode("utf-8").replace("\r\n", "\n").split("\n")
    except UnicodeDecodeError as error:
        number = content[: error.start].count(b"\n") + 1
        raise ValueError(
            f"{path}, row {number}: expected UTF-8 text, found {error.reason}"
        ) from error
    if lines[-1] == "":
        lines.pop()  # what follows the last newline
    return [line.split(",") for line in lines]
