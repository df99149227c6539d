"""Saving weights, and loading them without executing anything."""

import zipfile
from pathlib import Path

import numpy as np

from common.models import blocks, registry
from common.runs import storage


def save(path, model, architecture):
    """Write the weights of `model` as a complete, plain Keras model in float32, atomically.

    Args:
        path: ends in `.keras`.
        model: any model of that architecture, fused or in mixed precision too.
        architecture: one of `ARCHITECTURES`.
    """
    with blocks.precision("float32"):
        plain = registry.build(architecture)
    plain.set_weights(model.get_weights())
    with storage.atomic_write(path) as temporary:
        plain.save(temporary)
        with zipfile.ZipFile(temporary) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
        # Keras stores weights as they are; deflated they take a tenth less, and load alike.
        with zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in members.items():
                archive.writestr(name, content)


def load(run, *, half=False):
    """Return (model, config) of a run folder: built here by name, weights only read from the file.

    Nothing that the file describes is ever executed, so a file from elsewhere can do no harm.

    Args:
        run: a run folder, or a folder in `pretrained/`.
        half: compute in bfloat16 what comes before the logits: faster where the processor
            multiplies in it, and right to about two digits of a probability.

    Raises:
        ValueError: the folder holds no run, or the weights are not those that it was measured
            with (`metrics.json` has their SHA-256) or not those of its architecture.
    """
    run = Path(run)
    if not run.is_dir():
        raise ValueError(
            f"{run}: expected a run folder (with config.json and model.keras), found "
            f"{'a file' if run.exists() else 'nothing'}"
        )
    config = storage.read_json(run / "config.json")
    if "architecture" not in config:
        raise ValueError(f"{run / 'config.json'}: expected the architecture of a model, found none")
    model = load_weights(config["architecture"], run / "model.keras", half=half)
    if (run / "metrics.json").exists():
        recorded = storage.read_json(run / "metrics.json").get("model_sha256")
        found = storage.sha256(run / "model.keras")
        if recorded not in (None, found):
            raise ValueError(
                f"{run / 'model.keras'}: expected the weights with SHA-256 {recorded[:16]} that "
                f"metrics.json was measured with, found {found[:16]}: get the folder again"
            )
    return model, config


def load_weights(architecture, path, *, half=False):
    """Return a plain model with the weights of a `.keras` file; nothing else is read from it.

    Args:
        architecture: one of `ARCHITECTURES`.
        path: of the file.
        half: as for `load`.

    Raises:
        ValueError: no such file, not a `.keras` file, or the weights of another architecture.
    """
    path = Path(path)
    with blocks.precision("mixed_bfloat16" if half else "float32"):
        model = registry.build(architecture)
    if not path.is_file():
        raise ValueError(f"{path}: expected a trained model, found nothing: train one first")
    if path.suffix != ".keras" or not zipfile.is_zipfile(path):
        raise ValueError(f"{path}: expected a .keras file (a zip archive), found something else")
    try:
        model.load_weights(path)
    except Exception as error:  # Keras and h5py raise many kinds on a damaged or foreign file
        reason = " ".join(str(error).split())[:200]
        raise ValueError(
            f"{path}: expected the weights of the architecture {architecture!r}, found others "
            f"or a damaged file ({reason})"
        ) from error
    return model


def mean_weights(finished, architecture):
    """Return the mean of the weights of runs, array by array, as `get_weights` orders them.

    Runs that started from the same weights often lie in one valley of the loss, and their mean
    nearer to its middle (Izmailov et al. 2018; Wortsman et al. 2022). Batch statistics of a mean
    are wrong until it has been trained a little.

    Args:
        finished: run folders, one or more.
        architecture: that they must all have.

    Raises:
        ValueError: one has another architecture.
    """
    weights = []
    for run in finished:
        model = load(run)[0]
        if model.name != architecture:
            raise ValueError(
                f"{run}: expected weights of the {architecture}, found those of the {model.name}"
            )
        weights.append(model.get_weights())
    return [np.mean(arrays, axis=0) for arrays in zip(*weights, strict=True)]
