"""Saving weights, and loading them without executing anything."""

import io
import re
import tempfile
import zipfile
from pathlib import Path

import h5py
import keras
import numpy as np

from common.models import blocks, registry
from common.runs import schema, storage

MAX_FILES = 100  # in a .keras file
MAX_BYTES = 512 * 1024**2  # of weights, packed or not; the networks here take 8 MB


def save(path: Path, model: keras.Model, architecture: str) -> None:
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
            for name, content in members.items():  # a `ZipInfo` of its own has no time in it
                archive.writestr(
                    zipfile.ZipInfo(name), _repeated(name, content), zipfile.ZIP_DEFLATED
                )


def _repeated(name, content):
    """Return a member of a `.keras` file without time and addresses, so that its bytes repeat."""
    if name == "metadata.json":
        return re.sub(rb'"date_saved": "[^"]*"', b'"date_saved": "1980-01-01@00:00:00"', content)
    if name != "config.json":
        return content
    numbers: dict[bytes, int] = {}  # address of an object -> its number by first mention
    return re.sub(
        rb'(?<="shared_object_id": )\d+',
        lambda found: b"%d" % numbers.setdefault(found[0], len(numbers) + 1),
        content,
    )


def load(run: Path | str, *, half: bool = False) -> tuple[keras.Model, dict]:
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
    needed = {"architecture": schema.CONFIG["architecture"]}
    schema.check(run / "config.json", config, needed, complete=True)
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


def load_weights(architecture: str, path: Path, *, half: bool = False) -> keras.Model:
    """Return a plain model with the weights of a `.keras` file; nothing else is read from it.

    Args:
        architecture: one of `ARCHITECTURES`.
        path: of the file.
        half: as for `load`.

    Raises:
        ValueError: no such file, not a `.keras` file, the weights of another architecture, or
            some that are not finite.
    """
    path = Path(path)
    with blocks.precision("mixed_bfloat16" if half else "float32"):
        model = registry.build(architecture)
    if not path.is_file():
        raise ValueError(f"{path}: expected a trained model, found nothing: train one first")
    if path.suffix != ".keras" or not zipfile.is_zipfile(path):
        raise ValueError(f"{path}: expected a .keras file (a zip archive), found something else")
    try:
        weights = _weights(path)
        with tempfile.TemporaryDirectory() as folder:  # in the archive Keras seeks back and forth
            unpacked = Path(folder) / "model.weights.h5"
            unpacked.write_bytes(weights)
            model.load_weights(unpacked)
    except Exception as error:  # Keras and h5py raise many kinds on a damaged or foreign file
        reason = " ".join(str(error).split())[:200]
        raise ValueError(
            f"{path}: expected the weights of the architecture {architecture!r}, found others "
            f"or a damaged file ({reason})"
        ) from error
    for variable in model.variables:
        schema.check_finite(f"{path}, {variable.path}", np.asarray(variable))
    return model


def _weights(path):
    """Return the weights in a `.keras` file, unless they take far more than those of a network."""
    with path.open("rb") as file:
        storage.check_directory(file, MAX_FILES)
        with zipfile.ZipFile(file) as archive:
            total = sum(info.file_size for info in archive.infolist())
            if total > MAX_BYTES:
                raise ValueError(f"expected at most {MAX_BYTES:,} bytes, found {total:,}")
            weights = archive.read("model.weights.h5")
    with h5py.File(io.BytesIO(weights), "r") as stored:
        sizes = [0]

        def count(_, item):
            if isinstance(item, h5py.Dataset):
                sizes.append(item.size * item.dtype.itemsize)

        stored.visititems(count)
        if sum(sizes) > MAX_BYTES:
            raise ValueError(f"expected at most {MAX_BYTES:,} bytes, found {sum(sizes):,}")
    return weights


def mean_weights(finished: list[Path], architecture: str) -> list[np.ndarray]:
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
        model, config = load(run)
        if config["architecture"] != architecture:
            raise ValueError(
                f"{run}: expected weights of the {architecture}, found those of the "
                f"{config['architecture']}"
            )
        weights.append(model.get_weights())
    return [np.mean(arrays, axis=0) for arrays in zip(*weights, strict=True)]
