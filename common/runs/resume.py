"""Creating a run folder, and the state from which a killed run goes on."""

import argparse
import json
import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from common.runs import lock, provenance, storage

WRITTEN = (  # by a run beside config.json, what follows from others first
    *("manifest.json", "observations.txt", "comparison.*", "pseudo_label*", "ledger.*"),
    *("submission.csv", "curves.png", "layers.csv", "metrics.json", "predictions.npz"),
    *("model.keras", "history.csv", "state", "tensorboard", "teacher_probabilities.npz"),
    *("unlabelled.npz", "hidden.npz", "images.npz", "split.npz", "teacher", "round-*"),
)
NOT_RECALLED = ("out", "resume", "overwrite")
GENERATIONS = 2  # states kept: a kill while the newest is written leaves the one before


def restore_flags(args: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    """Set every flag of `args` to what the run in `args.out` was started with, for `--resume`.

    Args:
        args: of argparse, changed in place.
        parser: that made them; a flag that differs from its default was given on purpose.

    Raises:
        ValueError: there is no run to resume, or a flag was given that the run was not started
            with.
    """
    path = args.out / "config.json"
    if not path.exists():
        raise ValueError(
            f"{args.out}: expected a run to resume, found none: start without --resume"
        )
    flags = storage.read_json(path).get("flags", {})
    for name, value in vars(args).items():
        if name in NOT_RECALLED or name not in flags:
            continue
        given = _as_flag(value)
        if given not in (_as_flag(parser.get_default(name)), flags[name]):
            raise ValueError(
                f"{args.out}: was started with --{name.replace('_', '-')} {flags[name]}, found "
                f"{given}: resume without it, or start another run with another --out"
            )
        setattr(args, name, Path(flags[name]) if isinstance(value, Path) else flags[name])


def create(args: argparse.Namespace, **facts: Any) -> dict:
    """Make the run folder `args.out` and write its `config.json`; keep both when resuming.

    Args:
        args: of argparse, with `out`, `resume` and `overwrite`.
        facts: more to record: architecture, data hash, ...

    Returns:
        dictionary: the configuration as it is on disk.

    Raises:
        ValueError: the folder holds a run already, or another process writes to it, or it cannot
            be written, or the run that is resumed was started on something else.
    """
    folder = storage.check_writable(args.out)
    lock.acquire(folder)  # given back when all results are written, or the process ends
    path = folder / "config.json"
    if args.resume:
        config = storage.read_json(path)
        for name, value in facts.items():
            if config.get(name) != value:
                raise ValueError(
                    f"{folder}: was started with {name} {config.get(name)}, found {value}: start "
                    "another run with another --out"
                )
        return config
    if path.exists():
        if not args.overwrite:
            raise ValueError(
                f"{folder}: holds a run already: go on with it (--resume), replace it "
                "(--overwrite) or choose another folder (--out)"
            )
        # By name, as --out may hold what is no run's; config.json last, as it tells of the rest.
        for part in (part for name in WRITTEN for part in folder.glob(name)):
            shutil.rmtree(part) if part.is_dir() else part.unlink()
        path.unlink()
    flags = {key: _as_flag(value) for key, value in vars(args).items() if key not in NOT_RECALLED}
    config = {**provenance.provenance(), **facts, "flags": flags}
    storage.write_json(path, config)
    return storage.read_json(path)


def save_state(folder: Path, epoch: int, arrays: dict[str, np.ndarray], record: dict) -> None:
    """Write the state after `epoch` finished epochs, and drop all but the newest generations.

    Args:
        folder: the run folder.
        epoch: how many epochs are finished.
        arrays: dictionary of name -> array.
        record: anything JSON can hold (history, best so far, ...).
    """
    states = Path(folder) / "state"
    packed = np.frombuffer(json.dumps(record, default=storage.plain).encode(), np.uint8)
    with (
        storage.atomic_write(states / f"epoch-{epoch:05d}.npz") as temporary,
        temporary.open("wb") as file,
    ):
        stored: dict[str, Any] = {f"array/{name}": array for name, array in arrays.items()}
        np.savez(file, record=packed, **stored)
    for old in sorted(states.glob("epoch-*.npz"))[:-GENERATIONS]:
        old.unlink()


def load_state(folder: Path) -> tuple[dict[str, np.ndarray], dict] | None:
    """Return (arrays, record) of the newest readable state, or None when there is none.

    A state that is damaged (every member of the archive has a checksum) is passed over for the
    generation before it.
    """
    for path in sorted((Path(folder) / "state").glob("epoch-*.npz"), reverse=True):
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
                arrays = {
                    name.removeprefix("array/"): archive[name]
                    for name in archive.files
                    if name.startswith("array/")
                }
                return arrays, json.loads(archive["record"].tobytes())
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            continue
    return None


def _as_flag(value):
    """Return a flag's value as JSON keeps it."""
    return json.loads(json.dumps(value, default=storage.plain))
