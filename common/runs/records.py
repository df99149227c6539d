"""What a finished run recorded of itself: who made it, its weights and its scores."""

import shlex
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from common import metrics
from common.runs import storage

UNREADABLE = (  # what NumPy raises on a damaged or foreign file
    OSError,
    ValueError,
    KeyError,
    TypeError,
    EOFError,
    NotImplementedError,
    zipfile.BadZipFile,
    zlib.error,
)


@dataclass(frozen=True)
class Run:
    """A finished run and what made it; `weights` is the SHA-256 of its model.keras."""

    folder: Path
    command: str
    seed: int
    data_hash: str
    weights: str
    config: dict
    metrics: dict


def read(folder: Path | str) -> Run:
    """Return the `Run` in a folder.

    Raises:
        ValueError: there is none, it is not finished, or its weights are not those that it
            measured.
    """
    folder = Path(folder)
    config, metrics = (storage.read_json(folder / name) for name in ("config.json", "metrics.json"))
    try:
        weights = metrics["model_sha256"]
        if storage.sha256(folder / "model.keras") != weights:
            raise ValueError(
                f"{folder / 'model.keras'}: expected the weights that metrics.json measured, found "
                "others: train the run to its end"
            )
        return Run(
            folder=folder,
            command=str(config["command"]),
            seed=config["flags"]["seed"],
            data_hash=str(config["data_hash"]),
            weights=weights,
            config=config,
            metrics=metrics,
        )
    except (OSError, KeyError, TypeError) as error:
        raise ValueError(
            f"{folder}: expected the record of a finished run, found it damaged ({error!r})"
        ) from error


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


def load_predictions(run: Path | str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return (rows, labels, probabilities) on the validation rows of a finished run.

    Returns:
        int64 (m,), int64 (m,) and float64 (m, 7).

    Raises:
        ValueError: the run has none, or the file is not what it should be.
    """
    path = Path(run) / "predictions.npz"
    if not path.is_file():
        raise ValueError(
            f"{path}: expected predictions of a finished run, found none: {remedy(run)}"
        )
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            rows, labels = archive["rows"], archive["labels"]
            probabilities = archive["probabilities"]
        labels = metrics.checked_labels(labels)
        probabilities = metrics.checked_probabilities(probabilities)
        if rows.dtype.kind not in "iu" or len(np.unique(rows)) < rows.size or rows.min() < 0:
            raise ValueError("rows: expected row numbers, each one once")
        if not rows.shape == labels.shape == probabilities.shape[:1]:
            raise ValueError(
                f"expected as many rows as labels and probabilities, found {rows.shape}, "
                f"{labels.shape}, {probabilities.shape}"
            )
    except UNREADABLE as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(f"{path}: damaged or something else ({reason}): {remedy(run)}") from error
    return rows.astype(np.int64), labels, probabilities


def load_together(
    run_folders: Sequence[Path | str],
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return (rows, labels, probabilities) of several runs on the same validation rows.

    Args:
        run_folders: one or more, each of which held out the same rows of the same data.

    Returns:
        int64 (m,), int64 (m,) and float64 (runs, m, 7). The mean over the first axis is what the
        runs say together.

    Raises:
        ValueError: the runs held out different rows, or one has no predictions.
    """
    first, *others = run_folders
    rows, labels, probabilities = load_predictions(first)
    together = [probabilities]
    for run in others:
        other_rows, other_labels, probabilities = load_predictions(run)
        if (
            _data_hash(run) != _data_hash(first)
            or not np.array_equal(other_rows, rows)
            or not np.array_equal(other_labels, labels)
        ):
            raise ValueError(
                f"expected runs that held out the same rows of the same data, found that {first} "
                f"({len(rows):,} rows) and {run} ({len(other_rows):,}) did not: train both with "
                "the same --data, --validation and --split-seed"
            )
        together.append(probabilities)
    return rows, labels, np.stack(together)


def display_name(run_folders: Sequence[Path | str]) -> str:
    """Return how a figure names one run, or several that count as one model.

    Args:
        run_folders: one or more.
    """
    names = ["/".join(Path(run).parts[-2:]) for run in run_folders]
    return names[0] if len(names) == 1 else f"mean of {len(names)} runs ({', '.join(names)})"


def load_history(run: Path | str) -> list[dict]:
    """Return the rows of `history.csv` of a run, as dictionaries.

    Raises:
        ValueError: there is no such file, or it has no row.
    """
    import pandas as pd  # slow to import

    path = Path(run) / "history.csv"
    try:
        history = pd.read_csv(path).to_dict("records")
    except (OSError, ValueError) as error:
        raise ValueError(f"{path}: expected the history of a run, found none ({error})") from error
    if not history:
        raise ValueError(f"{path}: expected the history of a run, found no epoch: {remedy(run)}")
    return history


def _data_hash(run):
    """Return which data a run was trained on."""
    return storage.read_json(Path(run) / "config.json").get("data_hash")


def remedy(run: Path | str) -> str:
    """Return the command that makes what a run folder lacks."""
    try:
        script = shlex.split(storage.read_json(Path(run) / "config.json")["command"])[1]
    except (ValueError, KeyError, TypeError, IndexError):
        return f"train it with python train_cnn.py --out {shlex.quote(str(run))}"
    return f"train it to its end with python {script} --out {shlex.quote(str(run))} --resume"
