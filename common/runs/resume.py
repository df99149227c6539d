"""Creating a run folder, and the state from which a killed run goes on."""

import argparse
import contextlib
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from common.runs import lock, provenance, schema, storage
from common.training import recipes

WRITTEN = (  # by a run beside config.json, what follows from others first
    *("manifest.json", "observations.txt", "comparison.*", "pseudo_label*", "ledger.*"),
    *("submission.csv", "curves.png", "layers.csv", "metrics.json", "predictions.npz"),
    *("model.keras", "history.csv", "state", "tensorboard", "teacher_probabilities.npz"),
    *("unlabelled.npz", "hidden.npz", "images.npz", "split.npz", "teacher", "round-*"),
)
NOT_RECALLED = ("out", "resume", "overwrite")
CHANGEABLE = ("data", "learning_rate", "epochs")  # on resuming: see `restore_flags`
MEASURED = ("metrics.json", "predictions.npz")  # what a finished run loses when it is to go on
GENERATIONS = 2  # states kept: a kill while the newest is written leaves the one before


def restore_flags(
    args: argparse.Namespace, parser: argparse.ArgumentParser, argv: Sequence[str] | None
) -> None:
    """Set every flag of `args` to what the run in `args.out` was started with, for `--resume`.

    `--data` may name another place of the same rows, `--learning-rate` another rate for the epochs
    to come, and `--epochs` more of them where the rate is constant and no weights are averaged: a
    schedule and an average stretch over the epochs that they were made for. Any other flag may be
    typed again only as it was.

    Args:
        args: of argparse, changed in place.
        parser: that made them.
        argv: from which; None for those of the command line.

    Raises:
        ValueError: there is no run to resume, its record is damaged, or a flag was typed that the
            run was not started with.
    """
    path = args.out / "config.json"
    if not path.exists():
        raise ValueError(
            f"{args.out}: expected a run to resume, found none: start without --resume"
        )
    flags = storage.read_json(path).get("flags", {})
    untyped = object()
    typed = parser.parse_args(argv, argparse.Namespace(**dict.fromkeys(vars(args), untyped)))
    for action in parser._actions:
        name = action.dest
        if name in NOT_RECALLED or name not in flags:
            continue
        recalled, given = _recalled(path, action, flags[name]), getattr(typed, name)
        if given is untyped or _as_flag(given) == _as_flag(recalled):
            setattr(args, name, recalled)
        elif name in CHANGEABLE and (name != "epochs" or _may_grow(args, flags, recalled, given)):
            setattr(args, name, given)
        else:
            raise ValueError(
                f"{args.out}: was started with {action.option_strings[0]} {flags[name]}, found "
                f"{_as_flag(given)}: resume without it, or start another run with another --out"
                + (f", from these weights: --initial-weights {args.out}" * _initial(args))
            )


def _initial(args):
    """Return whether a script can start from the weights of another run."""
    return hasattr(args, "initial_weights")


def _may_grow(args, flags, recalled, given):
    """Return whether a run can get more epochs, which are then as if it had been started so.

    The rate must be constant, no weights averaged from a share of the epochs on, and the run one
    network: students learn from a teacher at its end.
    """
    recipe = recipes.RECIPES.get(str(flags.get("recipe")))
    constant = recipe is not None and not recipe.annealed and flags.get("average_from") is None
    return _initial(args) and given > recalled and constant


def _recalled(path, action, value):
    """Return a recorded flag as argparse would give it, or raise a ValueError."""
    if value is None and action.default is None:
        return None
    if action.nargs == 0:
        if isinstance(value, bool):
            return value
        given = None
    else:
        given = value if isinstance(value, list) and action.nargs else [value]
    try:
        if not given or any(not isinstance(item, str | int | float) for item in given):
            raise ValueError(f"found {schema.shown(value)}")
        made = [(action.type or str)(str(item)) for item in given]
        if action.choices is not None and not set(made) <= set(action.choices):
            raise ValueError(f"expected one of {', '.join(action.choices)}")
    except (argparse.ArgumentTypeError, ValueError, TypeError) as error:
        raise ValueError(
            f"{path}, flags: expected what {action.option_strings[0]} takes, found "
            f"{schema.shown(value)} ({error})"
        ) from error
    return made if action.nargs else made[0]


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
        if "stamps" in config:  # caveats, as they were called before
            config["caveats"] = config.pop("stamps")
        for name, value in facts.items():
            if config.get(name) != value:
                raise ValueError(
                    f"{folder}: was started with {name} {config.get(name)}, found {value}: start "
                    "another run with another --out"
                )
        return _with_changes(path, config, args)
    if path.exists():
        if not args.overwrite:
            raise ValueError(
                f"{folder}: holds a run already: go on with it (--resume), replace it "
                "(--overwrite) or choose another folder (--out)"
            )
        _check_not_read(args)
        # By name, as --out may hold what is no run's; config.json last, as it tells of the rest.
        for part in (part for name in WRITTEN for part in folder.glob(name)):
            storage.retried(*((shutil.rmtree, part) if part.is_dir() else (part.unlink,)))
        storage.retried(path.unlink)
    flags = {key: _as_flag(value) for key, value in vars(args).items() if key not in NOT_RECALLED}
    config = {**provenance.provenance(), **facts, "flags": flags}
    storage.write_json(path, config)
    return storage.read_json(path)


def _check_not_read(args):
    """Raise a ValueError if a run that is to be replaced is, or holds, one that is to be read."""
    for name in ("teacher", "initial_weights", "versus", "ceiling"):
        given = getattr(args, name, None) or []
        for run in given if isinstance(given, list) else [given]:
            if Path(run).resolve().is_relative_to(args.out.resolve()):
                raise ValueError(
                    f"--{name.replace('_', '-')} {run}: is in {args.out}, which --overwrite "
                    "deletes: choose another --out"
                )


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
        storage.retried(old.unlink)


def load_state(folder: Path) -> tuple[dict[str, np.ndarray], dict] | None:
    """Return (arrays, record) of the newest readable state, or None when there is none."""
    for path in states(folder):
        with contextlib.suppress(ValueError):
            return read_state(path)
    return None


def states(folder: Path) -> list[Path]:
    """Return the files of all states of a run, the newest first."""
    return sorted((Path(folder) / "state").glob("epoch-*.npz"), reverse=True)


def read_state(path: Path) -> tuple[dict[str, np.ndarray], dict]:
    """Return (arrays, record) of a state.

    Raises:
        ValueError: it is damaged (every member of the archive has a checksum); names the file.
    """
    try:
        stored = storage.read_arrays(path)
        record = json.loads(stored.pop("record").tobytes())
    except storage.UNREADABLE as error:
        reason = str(error) if str(path) in str(error) else f"{path}: no record in it"
        raise ValueError(reason) from error
    return {name.removeprefix("array/"): array for name, array in stored.items()}, record


def _with_changes(path, config, args):
    """Return a configuration with the flags that were changed on resuming, and write it."""
    flags = config.get("flags", {})
    changed = {
        name: _as_flag(getattr(args, name))
        for name in CHANGEABLE
        if name in flags and _as_flag(getattr(args, name, None)) != flags[name]
    }
    finished = (path.parent / "metrics.json").exists() and "epochs" not in changed
    if finished and "learning_rate" in changed:
        raise ValueError(
            f"{path.parent}: is finished, so that no epoch is left for --learning-rate "
            f"{changed['learning_rate']}: start another run with another --out"
        )
    if changed.keys() & {"learning_rate", "epochs"}:
        config["command"] = f"{config['command']}; {provenance.command_line()}"
    if "epochs" in changed:  # first, so that a kill leaves a run that can go on, to either end
        for name in MEASURED:
            storage.retried((path.parent / name).unlink, missing_ok=True)
    if changed:
        flags.update(changed)
        storage.write_json(path, config)
    return config


def _as_flag(value):
    """Return a flag's value as JSON keeps it."""
    return json.loads(json.dumps(value, default=storage.plain))
