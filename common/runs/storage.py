"""Run folders: atomic files, provenance, and the state from which a killed run goes on.

A run folder `outputs/<name>/` holds `config.json` (how it was made), `split.npz`, `history.csv`,
`metrics.json`, `model.keras` (the best epoch), `state/` (to resume), figures and CSVs.
"""

import csv
import hashlib
import io
import json
import os
import tempfile
from contextlib import contextmanager
from pathlib import Path

import numpy as np


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
    write_text(path, json.dumps(value, indent=2, default=plain) + "\n")


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


def plain(value):
    """Return NumPy numbers and arrays, and paths, as JSON can hold them."""
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")


def read_arrays(path):
    """Return the arrays of an npz file by name, each one checked against its CRC."""
    with open(path, "rb") as file, np.load(file, allow_pickle=False) as stored:
        return {name: stored[name] for name in stored.files}
