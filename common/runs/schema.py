"""What the files of a run must hold: types and ranges, checked before anything is used.

Names that are not listed may hold anything, so that runs of older and newer versions load.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

MAX_ROWS = 500_000  # of a data set, fourteen times FER-2013


@dataclass(frozen=True)
class Kind:
    """What a value must be, in words and as a test."""

    expected: str
    fits: Callable[[Any], bool]


def number(low: float = 0, high: float = 1e15) -> Kind:
    """Return the kind of a number from `low` to `high`; what is not finite is none."""
    return Kind(f"a number from {low:g} to {high:g}", lambda value: _is_number(value, low, high))


def whole(low: int = 0, high: int = 10**15) -> Kind:
    """Return the kind of a whole number from `low` to `high`."""
    return Kind(
        f"a whole number of {low} or more",
        lambda value: isinstance(value, int) and _is_number(value, low, high),
    )


def list_of(item: Kind, length: int | None = None) -> Kind:
    """Return the kind of a list of `length` values of a kind, or of any number of them."""
    return Kind(
        f"a list of {'' if length is None else f'{length} times '}{item.expected}",
        lambda value: (
            isinstance(value, list) and length in (None, len(value)) and all(map(item.fits, value))
        ),
    )


def optional(kind: Kind) -> Kind:
    """Return the kind of what may be null."""
    return Kind(f"{kind.expected} or null", lambda value: value is None or kind.fits(value))


def _is_number(value, low, high):
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return low <= value <= high  # False for NaN


TEXT = Kind("text", lambda value: isinstance(value, str))
MAPPING = Kind("names and values", lambda value: isinstance(value, dict))
SHARE = number(0, 1)
CONFIG = {
    "command": TEXT,
    "architecture": TEXT,
    "data_hash": TEXT,
    "flags": MAPPING,
    "caveats": list_of(TEXT),
    "stamps": list_of(TEXT),  # caveats, as they were called before
    "versions": MAPPING,
    "machine": MAPPING,
    "git_commit": optional(TEXT),
}
FLAGS = {"seed": whole(), "data": optional(TEXT)}  # the others are checked by the script's parser
METRICS = {
    "n": whole(1),
    "accuracy": SHARE,
    "interval_95": list_of(SHARE, 2),
    "macro_f1": SHARE,
    "balanced_accuracy": SHARE,
    "negative_log_likelihood": number(),
    "best_epoch": whole(1),
    "epochs": whole(1),
    "seconds_per_epoch": number(),
    "parameters": whole(1),
    "model_sha256": TEXT,
    "split": TEXT,
    "note": TEXT,
    "finished": TEXT,
}
HISTORY = {
    "epoch": whole(1),
    "loss": number(-1e-3),  # rounding
    "accuracy": SHARE,
    "validation_loss": number(-1e-3),
    "validation_accuracy": SHARE,
    "learning_rate": number(),
    "seconds": number(),
}
HISTORY_EXTRA = {"pgd_accuracy": SHARE}  # of adversarial training alone
STATE = {  # the record beside the arrays
    "history": list_of(MAPPING),
    "best": MAPPING,
}
SCORED = {"validation_loss", "validation_accuracy"}  # of a history, if images are held out
BEST = {"epoch": whole(), "validation_accuracy": number(-1, 1)}
BY_NAME = {"config.json": CONFIG, "metrics.json": METRICS}


def check(
    where: Path | str, record: Any, kinds: Mapping[str, Kind], *, complete: bool = False
) -> None:
    """Refuse a record with a value of another kind than its name asks for.

    Args:
        where: the file, for the message.
        record: as read from JSON.
        kinds: by name.
        complete: every one of these names must be there.

    Raises:
        ValueError: one line that names the file, the name, what was expected and found.
    """
    if not isinstance(record, dict):
        raise ValueError(f"{where}: expected names and values, found a {type(record).__name__}")
    for name, kind in kinds.items():
        if name not in record:
            if complete:
                raise ValueError(f"{where}: expected {name}, {kind.expected}, found none")
        elif not kind.fits(record[name]):
            raise ValueError(
                f"{where}: expected {name} to be {kind.expected}, found {shown(record[name])}"
            )


def check_json(path: Path | str, record: dict) -> None:
    """Refuse the content of a JSON file that its name says should be something else."""
    check(path, record, BY_NAME.get(Path(path).name, {}))
    if Path(path).name == "config.json" and "flags" in record:
        check(f"{path}, flags", record["flags"], FLAGS)


def check_history(where: Path | str, rows: list[dict]) -> None:
    """Refuse a history that lacks a column, holds what is no number, or skips an epoch."""
    scored = any(SCORED & row.keys() for row in rows)
    needed = {name: kind for name, kind in HISTORY.items() if scored or name not in SCORED}
    for number_of_row, row in enumerate(rows, start=1):
        check(f"{where}, epoch {number_of_row}", row, needed, complete=True)
        check(f"{where}, epoch {number_of_row}", row, HISTORY_EXTRA)
        if row["epoch"] != number_of_row:
            raise ValueError(
                f"{where}: expected epoch {number_of_row} in row {number_of_row}, found "
                f"{row['epoch']}"
            )


def check_state(where: Path | str, arrays: dict[str, np.ndarray], record: dict) -> None:
    """Refuse a state with numbers that are not finite, or without history."""
    check(where, record, STATE, complete=True)
    check(f"{where}, best", record["best"], BEST, complete=True)
    check_history(where, record["history"])
    for name, array in arrays.items():
        check_finite(f"{where}, {name}", array)


def check_rows(where: str, rows: np.ndarray) -> np.ndarray:
    """Return row numbers as int64 (n,).

    Raises:
        ValueError: they are no row numbers of a data set, each one once.
    """
    if rows.ndim != 1 or rows.dtype.kind not in "iu" or len(rows) > MAX_ROWS:
        raise ValueError(f"{where}: expected a list of row numbers, found {described(rows)}")
    wrong = len(np.unique(rows)) < len(rows)
    if wrong or (len(rows) and not 0 <= rows.min() <= rows.max() < MAX_ROWS):
        raise ValueError(
            f"{where}: expected row numbers from 0 to {MAX_ROWS - 1:,}, each one once, found others"
        )
    return rows.astype(np.int64)


def check_finite(where: str, array: np.ndarray) -> None:
    """Refuse an array that holds what is no number, or none that is finite.

    Raises:
        ValueError: the message says how many values are not.
    """
    if array.dtype.kind in "iub":
        return
    if array.dtype.kind != "f":
        raise ValueError(f"{where}: expected numbers, found {described(array)}")
    wrong = array.size - int(np.isfinite(array).sum())
    if wrong:
        raise ValueError(
            f"{where}: expected finite numbers, found {wrong:,} of {array.size:,} that are not"
        )


def described(array: np.ndarray) -> str:
    """Return shape and type of an array, in words."""
    return f"shape {array.shape} of {array.dtype}"[:80]


def shown(value: Any) -> str:
    """Return a value in one short line."""
    try:
        text = ascii(value)
    except (ValueError, RecursionError):  # a number of thousands of digits
        text = type(value).__name__
    return text if len(text) <= 60 else f"{text[:57]}..."
