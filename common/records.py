"""What a finished run recorded of itself: who made it, its layers, its curves in words."""

import json
import math
import zipfile
from dataclasses import dataclass
from pathlib import Path

from common import comparison
from common.runs import storage

SHOWN = ("Conv2D", "Dense", "BatchNormalization", "MaxPooling2D", "Flatten", "Dropout")
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


def layer_table(run):
    """Return the layers of a run with output and parameters: a list of dictionaries.

    The file of the weights says how its layers are wired; no Keras is needed to read it. The last
    rows are the sums: all parameters, those that are trained, and the batch statistics.

    Args:
        run: a `Run`.

    Raises:
        ValueError: the file is damaged, or its layers do not add up to the recorded parameters.
    """
    path = run.folder / "model.keras"
    rows, fixed, shapes = [], 0, {}
    try:
        with zipfile.ZipFile(path) as archive:
            layers = json.loads(archive.read("config.json"))["config"]["layers"]
        for layer in layers:  # what a layer takes is what the layer before it puts out
            for tensor in _tensors(layer["inbound_nodes"]):
                shapes[tensor["keras_history"][0]] = tensor["shape"][1:]
        for layer in layers:
            kind, name = layer["class_name"], layer["config"]["name"]
            if kind in SHOWN:
                count = _parameters(kind, layer["config"], layer.get("build_config"))
                fixed += count // 2 if kind == "BatchNormalization" else 0
                shape = " x ".join(f"{size:,}" for size in shapes.get(name, ()))
                rows.append({"layer": name, "output": shape, "parameters": count or ""})
    except (*comparison.UNREADABLE, AttributeError, IndexError) as error:
        raise ValueError(
            f"{path}: expected the weights of a run, found none ({error!r})"
        ) from error
    total, stated = sum(row["parameters"] or 0 for row in rows), run.metrics.get("parameters")
    if total != stated:
        raise ValueError(
            f"{path}: expected layers with {stated} parameters, found {total}: the table knows the "
            "report's layers alone"
        )
    sums = {"all": total, "trainable": total - fixed, "non-trainable": fixed}
    return rows + [{"layer": name, "output": "", "parameters": sums[name]} for name in sums]


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


def _parameters(kind, config, built):
    """Return how many parameters a layer has; its kind is one of `SHOWN`."""
    if kind == "BatchNormalization":
        return 4 * built["input_shape"][-1]
    if kind not in ("Conv2D", "Dense"):
        return 0
    units = config["filters" if kind == "Conv2D" else "units"]
    weights = math.prod(config.get("kernel_size", ())) * built["input_shape"][-1] * units
    return weights + units * bool(config["use_bias"])


def _tensors(value):
    """Yield the tensors in the (nested) inputs of a layer."""
    if isinstance(value, dict) and value.get("class_name") == "__keras_tensor__":
        yield value["config"]
    elif isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _tensors(part)
