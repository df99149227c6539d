"""Run folders: atomic files, provenance, and the state from which a killed run goes on.

A run folder `outputs/<name>/` holds `config.json` (how it was made), `split.npz`, `history.csv`,
`metrics.json`, `model.keras` (the best epoch), `state/` (to resume), figures and CSVs.
"""

import csv
import hashlib
import importlib.metadata
import io
import json
import os
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from contextlib import contextmanager
from pathlib import Path

import numpy as np

PROJECT = Path(__file__).resolve().parents[1]
PACKAGES = ("tensorflow", "tensorflow-cpu", "keras", "numpy")
WRITTEN = (  # by a run beside config.json, what follows from others first
    *("comparison.*", "ledger.*", "pseudo_labels.csv", "submission.csv", "curves.png"),
    *("metrics.json", "predictions.npz", "model.keras", "history.csv", "state", "tensorboard"),
    *("teacher_probabilities.npz", "hidden.npz", "split.npz", "teacher", "round-*"),
)
NOT_RECALLED = ("out", "resume", "overwrite")
GENERATIONS = 2  # states kept: a kill while the newest is written leaves the one before


@contextmanager
def atomic_write(path):
    """Yield a temporary path beside `path` that takes its name when the block succeeds.

    The file is flushed to disk before the rename, so that a reader (or the next start after a
    power cut) finds the old content or the new, never half of it. On any error nothing is left.

    Args:
        path: where the finished file goes; its folder is made when missing.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(
        dir=path.parent, prefix=f".{path.stem}.", suffix=f".tmp{path.suffix}"
    )
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o644)
        with temporary.open("rb+") as written:
            os.fsync(written.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_text(path, text):
    """Write `text` as UTF-8 to `path`, atomically."""
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path, value):
    """Write `value` as indented JSON to `path`, atomically."""
    write_text(path, json.dumps(value, indent=2, default=_plain) + "\n")


def read_json(path):
    """Return the dictionary in a JSON file.

    Raises:
        ValueError: the file is missing or holds no JSON object; the message names it.
    """
    try:
        value = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(f"{path}: expected a JSON file of a run, found none ({error})") from error
    if not isinstance(value, dict):
        raise ValueError(f"{path}: expected a JSON object, found a {type(value).__name__}")
    return value


def write_arrays(path, **arrays):
    """Write named arrays as a compressed .npz, atomically."""
    with atomic_write(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, **arrays)


def write_table(path, rows):
    """Write a list of dictionaries with the same keys as CSV, atomically."""
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, text.getvalue())


def sha256(path):
    """Return the hex SHA-256 of a file."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def command_line(argv=None):
    """Return the shell command that started this script, as a person would type it."""
    argv = sys.argv[1:] if argv is None else argv
    module = getattr(sys.modules["__main__"].__spec__, "name", "")
    script = Path(sys.argv[0]).name
    start = ["-m", module] if module.startswith(("benchmarks.", "experiments.")) else [script]
    return shlex.join(["python", *start, *map(str, argv)])


def provenance(argv=None):
    """Return what a figure needs to be made again: command, versions, commit, machine, time."""
    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {
        "command": command_line(argv),
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "versions": versions,
        "git_commit": _git_commit(),
        "machine": {
            "system": f"{platform.system()} {platform.machine()}",
            "processor": _processor(),
            "cpus": len(os.sched_getaffinity(0))
            if hasattr(os, "sched_getaffinity")
            else os.cpu_count(),
        },
    }


def check_writable(folder):
    """Make `folder` and check that files can be written there, before any work is done.

    Raises:
        ValueError: it cannot be made or written; the message says why and what to do.
    """
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"\0" * 4096)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise ValueError(
            f"{folder}: expected a folder to write to, found {error.strerror}: choose another --out"
        ) from error
    return folder


def recall_flags(args, parser):
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
    flags = read_json(path).get("flags", {})
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


def begin(args, **facts):
    """Make the run folder `args.out` and write its `config.json`; keep both when resuming.

    Args:
        args: of argparse, with `out`, `resume` and `overwrite`.
        facts: more to record: architecture, data hash, ...

    Returns:
        dictionary: the configuration as it is on disk.

    Raises:
        ValueError: the folder holds a run already, or cannot be written, or the run that is
            resumed was started on something else.
    """
    folder = check_writable(args.out)
    path = folder / "config.json"
    if args.resume:
        for leftover in folder.rglob(".*.tmp*"):  # of `atomic_write`, when a kill came in between
            leftover.unlink()
        config = read_json(path)
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
    config = {**provenance(), **facts, "flags": flags}
    write_json(path, config)
    return read_json(path)


def save_state(folder, epoch, arrays, record):
    """Write the state after `epoch` finished epochs, and drop all but the newest generations.

    Args:
        folder: the run folder.
        epoch: how many epochs are finished.
        arrays: dictionary of name -> array.
        record: anything JSON can hold (history, best so far, ...).
    """
    states = Path(folder) / "state"
    packed = np.frombuffer(json.dumps(record, default=_plain).encode(), np.uint8)
    with atomic_write(states / f"epoch-{epoch:05d}.npz") as temporary, temporary.open("wb") as file:
        np.savez(file, record=packed, **{f"array/{name}": array for name, array in arrays.items()})
    for old in sorted(states.glob("epoch-*.npz"))[:-GENERATIONS]:
        old.unlink()


def load_state(folder):
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
    return json.loads(json.dumps(value, default=_plain))


def _plain(value):
    """Return NumPy numbers and arrays, and paths, as JSON can hold them."""
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")


def _git_commit():
    """Return the commit of the project, with '+changes' when files differ, or None without git."""
    try:
        result = subprocess.run(
            ["git", "describe", "--always", "--abbrev=12", "--dirty=+changes", "--exclude=*"],
            cwd=PROJECT,
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return result.stdout.strip()


def _processor():
    """Return the processor's name."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor()
