"""Whether two folders hold the same results."""

import csv
import io
import json
from pathlib import Path

import numpy as np

CLOCKS = ("seconds", "minutes", "finished", "started")  # in names of what may differ
RECORDS = ("manifest.json", "config.json")  # commands, versions and times


def differences(first: Path, second: Path) -> list[str]:
    """Return the names of files that are not in both folders, or do not hold the same.

    Arrays and pixels are compared by value, tables and scores without times, weights byte by byte.
    Texts say how long something took, and records which command was typed; both are passed over.
    """
    names = [
        {
            path.relative_to(folder).as_posix()
            for path in folder.rglob("*")
            if path.is_file() and not path.name.startswith(".")
        }
        for folder in (first, second)
    ]
    different = names[0] ^ names[1]
    for name in names[0] & names[1]:
        if _content(first / name) != _content(second / name):
            different.add(name)
    return sorted(different)


def _content(path):
    """Return what of a file must be the same each time."""
    if path.suffix == ".npz":
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        if path.parent.name == "state":
            arrays["record"] = np.array(_timeless(json.loads(arrays["record"].tobytes())))
        return {name: (array.shape, array.tobytes()) for name, array in arrays.items()}
    if path.suffix in (".png", ".gif"):
        from PIL import Image

        with Image.open(path) as image:
            return image.size, image.convert("RGBA").tobytes()
    if path.suffix == ".csv":
        return _timeless(list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8")))))
    if path.suffix == ".json" and path.name not in RECORDS:
        return _timeless(json.loads(path.read_text(encoding="utf-8")))
    return None if path.suffix in (".txt", ".json", ".html", ".log") else path.read_bytes()


def _timeless(value):
    """Return a value as JSON, without what a clock said."""
    if isinstance(value, list):
        return json.dumps([_timeless(item) for item in value])
    if isinstance(value, dict):
        kept = {
            name: _timeless(item)
            for name, item in value.items()
            if not any(clock in name for clock in CLOCKS)
        }
        return json.dumps(kept)
    return json.dumps(value)
