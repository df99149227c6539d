"""What a finished run recorded of itself: who made it, its weights and its scores."""

import csv
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from common import metrics
from common.runs import provenance, schema, storage

MAX_HISTORY_BYTES = 4_000_000  # 50,000 epochs
UNSCORED = (
    "was trained on all its images (--validation 0), so that none is left to score it on: take a "
    "run that held images out, or score other labelled images (confusion.py --rows all --data)"
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
    needed = {name: schema.CONFIG[name] for name in ("command", "data_hash", "flags")}
    schema.check(folder / "config.json", config, needed, complete=True)
    seed = {"seed": schema.FLAGS["seed"]}
    schema.check(f"{folder / 'config.json'}, flags", config["flags"], seed, complete=True)
    weights = {"model_sha256": schema.METRICS["model_sha256"]}
    schema.check(folder / "metrics.json", metrics, weights, complete=True)
    model = folder / "model.keras"
    if not model.is_file() or storage.sha256(model) != metrics["model_sha256"]:
        raise ValueError(
            f"{model}: expected the weights that metrics.json measured, found "
            f"{'others' if model.is_file() else 'none'}: train the run to its end"
        )
    return Run(
        folder=folder,
        command=config["command"],
        seed=config["flags"]["seed"],
        data_hash=config["data_hash"],
        weights=metrics["model_sha256"],
        config=config,
        metrics=metrics,
    )


def keeps_last(flags: Mapping) -> bool:
    """Return whether training with these flags keeps its last epoch, so that no score chooses."""
    return bool(flags.get("folds")) or flags.get("validation") == 0


def is_scored(run: Path | str) -> bool:
    """Return whether a run held images out, by which it is scored."""
    return _flags(run).get("validation") != 0


def caveat(runs: Sequence[Path | str]) -> str:
    """Return what a score on the images that runs held out is worth, in one sentence."""
    if all(keeps_last(_flags(run)) for run in runs):
        return "The last epoch is kept, so these rows chose nothing."
    return "The epoch kept was chosen on these rows, which flatters a little."


def caveats(config: Mapping) -> list[str]:
    """Return what must be said of a run's results, by its configuration, as sentences."""
    return list(config.get("caveats") or config.get("stamps") or ())  # as they were called before


def _flags(run):
    """Return the flags that a run was started with, none where it has no record of them."""
    try:
        return storage.read_json(Path(run) / "config.json").get("flags", {})
    except ValueError:
        return {}


def load_predictions(run: Path | str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return (rows, labels, probabilities) on the validation rows of a finished run.

    Returns:
        int64 (m,), int64 (m,) and float64 (m, 7).

    Raises:
        ValueError: the run has none, or the file is not what it should be.
    """
    path = Path(run) / "predictions.npz"
    if not path.is_file() and not is_scored(run):
        raise ValueError(f"{run}: {UNSCORED}")
    if not path.is_file():
        raise ValueError(
            f"{path}: expected predictions of a finished run, found none: {remedy(run)}"
        )
    try:
        arrays = storage.read_arrays(path)
        rows, labels, probabilities = (arrays[name] for name in ("rows", "labels", "probabilities"))
        rows = schema.check_rows("rows", rows)
        if not rows.shape == labels.shape == probabilities.shape[:1]:
            raise ValueError(
                f"expected as many rows as labels and probabilities, found {rows.shape}, "
                f"{labels.shape}, {probabilities.shape}"
            )
        labels = metrics.checked_labels(labels)
        probabilities = metrics.checked_probabilities(probabilities)
    except storage.UNREADABLE as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(f"{path}: damaged or something else ({reason}): {remedy(run)}") from error
    return rows, labels, probabilities


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
            data_hash(run) != data_hash(first)
            or not np.array_equal(other_rows, rows)
            or not np.array_equal(other_labels, labels)
        ):
            raise _different(first, rows, run, other_rows)
        together.append(probabilities)
    return rows, labels, np.stack(together)


def load_models(
    models: Sequence[Sequence[Path | str]],
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return (rows, labels, probabilities) of models on the same held-out rows.

    Several runs count as one model: the mean of their answers where they held out the same rows,
    and each one's answers on its own rows where those are parts, as of `--folds`.

    Args:
        models: run folders of each model, one or more.

    Returns:
        int64 (m,), int64 (m,) and float64 (models, m, 7), rows in the order of the first model.

    Raises:
        ValueError: rows that differ between models, or overlap in part within one.
    """
    answers = []
    for runs in models:
        parts: dict[bytes, list] = {}  # runs by the rows that they held out
        for run in runs:
            parts.setdefault(load_predictions(run)[0].tobytes(), []).append(run)
        each = [load_together(part) for part in parts.values()]
        rows, labels = (np.concatenate([part[place] for part in each]) for place in (0, 1))
        if len(np.unique(rows)) < len(rows) or len({data_hash(run) for run in runs}) > 1:
            load_together(runs)  # says what is wrong with them
        answers.append((rows, labels, np.concatenate([part[2].mean(axis=0) for part in each])))
    rows, labels, _ = answers[0]
    order, aligned = np.argsort(rows), []
    for runs, (theirs, their_labels, probabilities) in zip(models, answers, strict=True):
        places = np.empty(len(theirs), np.int64)
        if len(theirs) == len(rows):
            places[order] = np.argsort(theirs)
        if (
            data_hash(runs[0]) != data_hash(models[0][0])
            or len(theirs) != len(rows)
            or not np.array_equal(theirs[places], rows)
            or not np.array_equal(their_labels[places], labels)
        ):
            raise _different(models[0][0], rows, runs[0], theirs)
        aligned.append(probabilities[places])
    return rows, labels, np.stack(aligned)


def _different(first, rows, run, other_rows):
    """Return the error that two runs held out different rows."""
    return ValueError(
        f"expected runs that held out the same rows of the same data, found that {first} "
        f"({len(rows):,} rows) and {run} ({len(other_rows):,}) did not: train both with "
        "the same --data, --validation and --split-seed"
    )


def display_name(run_folders: Sequence[Path | str], *, held_out: bool = False) -> str:
    """Return how a figure names one run, or several that count as one model.

    Args:
        run_folders: one or more.
        held_out: it is about what each run says of the rows that it held out.
    """
    names = ["/".join(Path(run).parts[-2:]) for run in run_folders]
    if len(names) == 1:
        return names[0]
    folds = held_out and _flags(run_folders[0]).get("folds")
    return f"{'folds' if folds else 'mean'} of {len(names)} runs ({', '.join(names)})"


def load_history(run: Path | str) -> list[dict]:
    """Return the rows of `history.csv` of a run: dictionaries with the names of `schema.HISTORY`.

    Those of `schema.HISTORY_EXTRA` are there if the run has them.

    Raises:
        ValueError: there is no such file, or it has no row, or a column is missing or holds what
            is no finite number.
    """
    path = Path(run) / "history.csv"
    names = [*schema.HISTORY, *schema.HISTORY_EXTRA]
    try:
        if path.stat().st_size > MAX_HISTORY_BYTES:
            raise ValueError(f"more than {MAX_HISTORY_BYTES:,} bytes")
        with path.open(encoding="utf-8", newline="") as file:
            history = [
                {name: _number(name, row[name]) for name in names if row.get(name)}
                for row in csv.DictReader(file, strict=True)
            ]
    except (OSError, ValueError, OverflowError, csv.Error) as error:
        raise ValueError(f"{path}: expected the history of a run, found none ({error})") from error
    if not history:
        raise ValueError(f"{path}: expected the history of a run, found no epoch: {remedy(run)}")
    schema.check_history(path, history)
    return history


def kept_epoch(history: list[dict], *, last: bool = False) -> dict:
    """Return the row of a history, of one or more, whose network is kept.

    It has the highest validation accuracy of those that have not collapsed under attack, unless
    the last is to be kept.
    """
    if last:
        return history[-1]
    sound = [row for index, row in enumerate(history) if not collapsed(history[: index + 1])]
    return max(sound, key=lambda row: row["validation_accuracy"])


def collapsed(history: list[dict]) -> bool:
    """Return whether the last epoch has less than half of the highest accuracy under PGD.

    That is the mark of catastrophic overfitting; runs without adversarial training have none.
    """
    *before, last = [row.get("pgd_accuracy", 0.0) for row in history]
    return last < max(before, default=0.0) / 2


def _number(name, text):
    """Return a field of a history: an epoch is a whole number."""
    return int(float(text)) if name == "epoch" else float(text)


def architecture(run: Path | str) -> str:
    """Return the name of a run's network."""
    return storage.read_json(Path(run) / "config.json")["architecture"]


def data_hash(run: Path | str) -> str | None:
    """Return which data a run was trained on."""
    return storage.read_json(Path(run) / "config.json").get("data_hash")


def remedy(run: Path | str) -> str:
    """Return the command that makes what a run folder lacks."""
    try:
        script = shlex.split(storage.read_json(Path(run) / "config.json")["command"])[1]
        known = script.endswith(".py") and script.isprintable()
    except (ValueError, KeyError, IndexError):
        known = False
    if not known:
        return f"train it with {provenance.typed('python', 'train_cnn.py', '--out', Path(run))}"
    command = provenance.typed("python", script, "--out", Path(run), "--resume")
    return f"train it to its end with {command}"
