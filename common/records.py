"""What a finished run recorded of itself: who made it, its weights and its scores."""

from dataclasses import dataclass
from pathlib import Path

from common import runs


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
    config, metrics = (runs.read_json(folder / name) for name in ("config.json", "metrics.json"))
    try:
        weights = metrics["model_sha256"]
        if runs.sha256(folder / "model.keras") != weights:
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
        found = runs.read_json(Path(folder) / "config.json").get("architecture", expected)
    except ValueError:
        return
    if found != expected:
        raise ValueError(f"{folder}: expected a run of the {expected}, found one of the {found}")
