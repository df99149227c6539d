"""Run folders: files that are written whole or not at all, and read without executing anything.

A run folder `outputs/<name>/` holds `config.json` (how it was made), `split.npz`, `history.csv`,
`metrics.json`, `model.keras` (the best epoch), `state/` (to resume), figures and CSVs.
"""

import csv
import errno
import hashlib
import io
import json
import math
import os
import tempfile
import time
import tokenize
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import numpy as np

from common.runs import schema

FULL = (errno.ENOSPC, errno.EDQUOT)  # what a full disk says
WAITS = (0.1, 0.2, 0.4, 0.8, 1.6, 3.2) if os.name == "nt" else ()  # seconds; see `retried`
MAX_UNPACKED = 128 * 1024**2  # bytes of arrays in an npz file, which may be many times smaller
MAX_ARRAYS = 10_000  # in an npz file
MAX_ENTRY_BYTES = 400  # of one file in the directory of an archive, with an honest name
UNREADABLE = (  # what NumPy and zipfile raise on a damaged or foreign file
    OSError,
    ValueError,
    KeyError,
    TypeError,
    EOFError,
    SyntaxError,
    tokenize.TokenError,
    RecursionError,
    MemoryError,
    OverflowError,
    RuntimeError,  # an encrypted zip
    NotImplementedError,  # a compression that Python does not know
    zipfile.BadZipFile,
    zlib.error,
)


@contextmanager
def atomic_write(path: Path | str) -> Iterator[Path]:
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
        try:
            retried(temporary.replace, path)
        except PermissionError as error:
            said = "another program has the file open, or it may not be written"
            raise PermissionError(error.errno, said, str(path)) from error
    except BaseException as error:
        with suppress(PermissionError):
            temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno in FULL:
            raise OSError(error.errno, os.strerror(error.errno), str(path)) from error
        raise


def retried(operation: Callable, *args: Any, **kwargs: Any) -> None:
    """Rename or delete a file, on Windows also one that another program opens for a moment.

    There a spreadsheet, a virus scanner or the client of a cloud folder keeps others from it.
    """
    for wait in WAITS:
        try:
            operation(*args, **kwargs)
        except PermissionError:
            time.sleep(wait)
        else:
            return
    operation(*args, **kwargs)


def write_text(path: Path | str, text: str) -> None:
    """Write `text` as UTF-8 to `path`, atomically."""
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def write_json(path: Path | str, value: Any) -> None:
    """Write `value` as indented JSON to `path`, atomically."""
    write_text(path, json.dumps(value, indent=2, default=plain) + "\n")


def read_json(path: Path | str) -> dict:
    """Return the dictionary in a JSON file.

    Raises:
        ValueError: the file is missing or holds no JSON object, or a value of it is not what the
            name of the file asks for (`schema.BY_NAME`); the message names it.
    """
    try:
        value = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(f"{path}: expected a JSON file of a run, found none ({error})") from error
    if not isinstance(value, dict):
        raise ValueError(f"{path}: expected a JSON object, found a {type(value).__name__}")
    schema.check_json(path, value)
    return value


def write_arrays(path: Path | str, **arrays: Any) -> None:
    """Write named arrays as a compressed .npz, atomically."""
    with atomic_write(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, **arrays)


def write_table(path: Path | str, rows: list[dict]) -> None:
    """Write a list of dictionaries with the same keys as CSV, atomically."""
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, text.getvalue())


def sha256(path: Path | str) -> str:
    """Return the hex SHA-256 of a file."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_writable(folder: Path | str) -> Path:
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


def plain(value: Any) -> Any:
    """Return NumPy numbers and arrays, and paths, as JSON can hold them."""
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")


def read_arrays(path: Path | str, *, limit: int = MAX_UNPACKED) -> dict[str, np.ndarray]:
    """Return the arrays of an npz file by name, each one checked against its CRC.

    What the file would take is counted before any of it is unpacked.

    Args:
        path: of the file.
        limit: bytes of all arrays together, unless the file itself is as large.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is damaged, no npz file, or takes more; one line that names it.
    """
    try:
        with open(path, "rb") as file:
            check_directory(file, MAX_ARRAYS)
            with zipfile.ZipFile(file) as archive:
                _check_sizes(archive, max(limit, os.fstat(file.fileno()).st_size))
                return {
                    info.filename.removesuffix(".npy"): _read_array(archive, info)
                    for info in archive.infolist()
                }
    except FileNotFoundError:
        raise
    except UNREADABLE as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise ValueError(
            f"{path}: expected arrays in an npz file, found it damaged or something else ({reason})"
        ) from error


def check_directory(stream: IO[bytes], most: int) -> None:
    """Refuse a zip archive with too many files, before Python makes an object of each.

    Args:
        stream: of the archive, with a way back; it is left at its start.
        most: files.

    Raises:
        ValueError: there are more.
        zipfile.BadZipFile: it is no zip archive.
    """
    end = zipfile._EndRecData(stream)  # type: ignore[attr-defined]  # as ZipFile itself finds it
    if not end:
        raise zipfile.BadZipFile("File is not a zip file")
    size, location = end[zipfile._ECD_SIZE], end[zipfile._ECD_LOCATION]  # type: ignore[attr-defined]
    too_many = size > most * MAX_ENTRY_BYTES
    if not too_many:
        stream.seek(max(0, location - size - 76))  # 76 bytes more in the form for large archives
        too_many = stream.read(size + 76).count(b"PK\x01\x02") > most
    if too_many:
        raise ValueError(f"expected at most {most:,} files in the archive, found more")
    stream.seek(0)


def _check_sizes(archive, limit):
    """Refuse an archive that is packed in a slow way, or takes more than `limit` bytes."""
    infos = archive.infolist()
    if any(info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) for info in infos):
        raise ValueError("expected arrays packed by NumPy, found another compression")
    total = sum(info.file_size for info in infos)
    if total > limit:
        raise ValueError(f"expected at most {limit:,} bytes of arrays, found {total:,}")


def _read_array(archive, info):
    """Return one array; refuse one whose header promises another size than the archive has."""
    with archive.open(info) as stream:
        version = np.lib.format.read_magic(stream)
        if version == (1, 0):
            shape, _, dtype = np.lib.format.read_array_header_1_0(stream)
        else:
            shape, _, dtype = np.lib.format.read_array_header_2_0(stream)
        size = math.prod(shape) * dtype.itemsize
        empty = not math.prod(shape) or not dtype.itemsize
        if dtype.hasobject or (empty and max(shape, default=0) > schema.MAX_ROWS):
            raise ValueError(f"{info.filename}: expected an array of numbers or text")
        if size != info.file_size - stream.tell():
            raise ValueError(f"{info.filename}: expected an array of {size:,} bytes, found others")
    with archive.open(info) as stream:
        return np.lib.format.read_array(stream, allow_pickle=False)
