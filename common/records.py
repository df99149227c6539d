"""What a finished run recorded of itself: who made it, its scores, its curves in words."""

from dataclasses import dataclass
from pathlib import Path

from common import comparison
from common.runs import storage

RISE = 0.01  # of the validation loss that counts as one


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


def read(folder):
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


def check_architecture(folder, expected):
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


def curve_sentences(run):
    """Return what the curves of a run say.

    Args:
        run: a `Run`.

    Raises:
        ValueError: it has no history.
    """
    history = comparison.load_history(run.folder)
    try:
        kept = max(history, key=lambda row: row["validation_accuracy"])
        lowest = min(history, key=lambda row: row["validation_loss"])
        last = history[-1]["validation_loss"]
        risen = last > lowest["validation_loss"] + RISE
        return [
            f"Epoch {kept['epoch']} of {len(history)} is kept: {run.metrics['accuracy']:.3f} of "
            "the held-out rows are right; on the training rows, as augmented and with dropout on, "
            f"{kept['accuracy']:.3f} of the answers are the class that was taught.",
            f"The validation loss is lowest at epoch {lowest['epoch']} "
            f"({lowest['validation_loss']:.3f}) and ends at {last:.3f}: "
            + (
                "from there it rises, which is overfitting." if risen else "it does not rise again."
            ),
            f"All epochs together took {sum(row['seconds'] for row in history) / 60:,.0f} minutes.",
        ]
    except (KeyError, TypeError) as error:
        raise ValueError(
            f"{run.folder / 'history.csv'}: expected the history of a run, found no {error}"
        ) from error
