"""What a script writes into its folder and says about it: files, sentences, and manifest.json.

A result is added under one name: its figure becomes NAME.png, its table NAME.csv, its arrays
NAME.npz, and its sentences are printed. `manifest.json` records each of them with title and
caption, and which command, runs and weights made them. Before the first file of an earlier time is
replaced it says that the output is unfinished, and only `finish` says otherwise: nobody can take a
mixture of old and new files for a result.
"""

import contextlib
import time
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from common.runs import lock, provenance, storage

MANIFEST = "manifest.json"
OBSERVATIONS = "observations.txt"
PARTS = {  # of a manifest, and what each entry of theirs says
    "runs": {"folder", "seed", "data_hash", "weights"},
    "outputs": {"name", "files", "sentences"},
    "gaps": {"name", "title", "reason"},
}


class Output:
    """Writes the results of one script into one folder.

    Attributes:
        folder: that is written.
        source: one line, the runs and the command, as it stands below each figure.
        record: what `manifest.json` holds: provenance; "runs" (folder, seed, data_hash, weights
            of each); "outputs" (name, title, caption, files, columns, sentences of each);
            "gaps" (name, title, reason of what could not be made); "stale" (files of an earlier
            time that `finish` deletes); "finished" and "seconds".
    """

    def __init__(
        self, folder, *, study=None, argv=None, command=None, models=(), run=None, spent=0.0
    ):
        """Check that the folder can be written; nothing in it is touched yet.

        Args:
            folder: made when missing.
            study: name of the manifest and of the sentences, if other outputs share the folder.
            argv: flags of the script, by default those that it was started with.
            command: shell command that a person would type to make the same, if not the present
                one.
            models: run folders that the results are of.
            run: configuration of the run that the folder is of, whose provenance holds.
            spent: seconds that it took before.

        Raises:
            ValueError: the folder cannot be written, another process writes to it, or it holds a
                run or the results of another script, which these would replace.
        """
        self.folder = storage.check_writable(folder)
        alone = run is None and not study
        if alone and (self.folder / "config.json").exists():
            raise ValueError(f"{folder}: holds a run, which stays as it is: choose another --out")
        self._manifest = f"{study}.json" if study else MANIFEST
        self._observations = f"{study}.txt" if study else OBSERVATIONS
        self._start = time.monotonic() - spent
        try:
            before = _load(self.folder / self._manifest)
        except ValueError:
            before = None
        made = provenance.provenance(argv)
        made |= {fact: run[fact] for fact in made if fact in (run or {})}
        if command is not None:
            made["command"] = command
        if alone and before and _script(before["command"]) != _script(made["command"]):
            raise ValueError(
                f"{folder}: holds the results of {_script(before['command'])}, which stay as they "
                "are: choose another --out"
            )
        lock.acquire(self.folder)
        self._old_files = _files(before) | set(before["stale"]) if before else set()
        self.record = made | {"outputs": [], "gaps": [], "finished": False}
        self.name_runs(models)

    def name_runs(self, models: Iterable[Path | str]) -> None:
        """Record which run folders the results are of, from here on."""
        self.record["runs"] = [identity(run) for run in models]
        named = ", ".join(run["folder"] for run in self.record["runs"])
        self.source = f"{named}: {self.record['command']}" if named else self.record["command"]

    def add(
        self,
        name,
        *,
        title="",
        caption="",
        figure=None,
        table=None,
        arrays=None,
        sentences=(),
        columns=None,
    ):
        """Write a result and print its sentences.

        Args:
            name: of its files, without an end.
            title: of figure and table on the page; what has none is not shown there.
            caption: how to read the figure.
            figure: a Matplotlib Figure, written with `source` below it.
            table: list of dictionaries with the same keys, or a DataFrame; numbers that are no
                whole numbers are written with six digits, missing ones as nothing. One without
                rows is not written.
            arrays: dictionary of name -> array.
            sentences: what the result says.
            columns: of the table that the page shows; all unless named, () for none.
        """
        self._forget(name)
        entry = self._entry(name)
        entry |= {"title": title, "caption": caption, "sentences": list(sentences)}
        if columns is not None:
            entry["columns"] = list(columns)
        if table is not None and len(table):
            path = self.file(f"{name}.csv", entry=entry, kind="table")
            storage.write_table(path, _rows(table))
        if arrays is not None:
            storage.write_arrays(self.file(f"{name}.npz", entry=entry, kind="arrays"), **arrays)
        if figure is not None:
            from common.figures import style

            path = self.file(f"{name}.png", entry=entry, kind="figure")
            style.save(figure, path, source=self.source)
        self._write()
        for sentence in entry["sentences"]:
            print(sentence)

    def show(self, name: str, view: ModuleType, result: Any, **options: Any) -> None:
        """Write a result as a module of `figures` shows it.

        Args:
            name: of its files.
            view: a module with TITLE or title(result), perhaps CAPTION and COLUMNS, and any of
                draw(result), table(result), arrays(result) and sentences(result).
            result: what they take.
            options: for `add`, in place of what the module says.
        """
        made = {
            keyword: getattr(view, function)(result)
            for keyword, function in (
                ("title", "title"),
                ("figure", "draw"),
                ("table", "table"),
                ("arrays", "arrays"),
                ("sentences", "sentences"),
            )
            if hasattr(view, function) and keyword not in options
        }
        said = {
            keyword: getattr(view, keyword.upper())
            for keyword in ("title", "caption", "columns")
            if hasattr(view, keyword.upper())
        }
        self.add(name, **said | made | options)

    def file(self, name: str, *, entry: dict | None = None, kind: str = "other") -> Path:
        """Return the path of a file that the caller writes now, and record it.

        Args:
            name: of the file, with its end; it may lie in a folder of its own.
            entry: internal.
            kind: "figure" (PNG or GIF), "table", "arrays" or "other".
        """
        entry = self._entry(name) if entry is None else entry
        entry["files"][kind] = name
        self._write()
        return self.folder / name

    def say(self, *sentences: str) -> None:
        """Print sentences that belong to no single result, and record them."""
        said = self._entry("")["sentences"]
        said += [sentence for sentence in sentences if sentence not in said]
        for sentence in sentences:
            print(sentence)

    def miss(self, name: str, title: str, reason: str) -> None:
        """Record a result that could not be made, and say why."""
        self._forget(name)
        self.record["gaps"].append({"name": name, "title": title, "reason": reason})
        print(f"{title}: left out. {reason}")

    def finish(self, following: str = "") -> None:
        """Write all sentences and the finished manifest, delete what an earlier time left.

        Args:
            following: last line to print, what to do next.
        """
        self._forget(self._observations)
        said = [line for entry in self.record["outputs"] for line in entry["sentences"]]
        if said:
            path = self.file(self._observations)
            storage.write_text(path, "\n".join(said) + "\n")
        for name in self._old_files - _files(self.record):
            if _is_inside(self.folder, name):
                with contextlib.suppress(OSError, ValueError):  # gone, a folder, or no name
                    (self.folder / name).unlink()
        self._old_files = set()
        self.record["finished"] = True
        self._write()
        lock.release(self.folder)
        names = sorted(_files(self.record))
        print(f"Wrote {', '.join(names)} and {self._manifest} to {self.folder}.")
        if following:
            print(following)

    def _entry(self, name):
        """Return the record of a result, made where there is none."""
        self.record["finished"] = False
        for entry in self.record["outputs"]:
            if entry["name"] == name:
                return entry
        self.record["outputs"].append({"name": name, "files": {}, "sentences": []})
        return self.record["outputs"][-1]

    def _forget(self, name):
        """Drop the result or gap of that name; files of it that are not written again will go."""
        self._old_files |= _files(self.record)
        for part in ("outputs", "gaps"):
            self.record[part] = [entry for entry in self.record[part] if entry["name"] != name]

    def _write(self):
        self.record["stale"] = sorted(self._old_files - _files(self.record))
        self.record["seconds"] = round(time.monotonic() - self._start, 1)
        storage.write_json(self.folder / self._manifest, self.record)


def read(folder: Path | str, manifest: str = MANIFEST) -> dict:
    """Return the manifest of a folder whose output is finished.

    Raises:
        ValueError: there is none, it is not finished, or a file that it names is not beside it.
    """
    path = Path(folder) / manifest
    record = _load(path)
    if not record["finished"]:
        raise ValueError(f"{path}: the output is unfinished: run again {record['command']}")
    for name in sorted(_files(record)):
        if not (_is_inside(path.parent, name) and (path.parent / name).is_file()):
            raise ValueError(f"{path}: expected the file {name} beside it, found none")
    return record


def identity(run: Path | str) -> dict:
    """Return which run this is: folder, seed, data hash, and SHA-256 of the weights."""
    run = Path(run)
    config = storage.read_json(run / "config.json")
    weights = run / "model.keras"
    return {
        "folder": str(run),
        "seed": config.get("flags", {}).get("seed"),
        "data_hash": config.get("data_hash"),
        "weights": storage.sha256(weights) if weights.is_file() else None,
    }


def duration(seconds: float) -> str:
    """Return "2 h 05 min", "7 min" or "40 s"."""
    minutes = round(seconds / 60)
    if minutes >= 60:
        return f"{minutes // 60} h {minutes % 60:02d} min"
    return f"{minutes} min" if seconds >= 90 else f"{seconds:.0f} s"


def _load(path):
    """Return a manifest, finished or not; raise a ValueError where there is none."""
    record = storage.read_json(path)
    try:
        whole = "finished" in record and all(
            keys <= item.keys() for part, keys in PARTS.items() for item in record[part]
        )
        texts = [record["command"], *_files(record), *record.setdefault("stale", [])]
    except (KeyError, TypeError, AttributeError):
        whole = False
    if not whole or not all(isinstance(text, str) for text in texts):
        raise ValueError(f"{path}: expected the manifest of an output, found something else")
    return record


def _script(command):
    """Return the script of a command, or its module."""
    return next((word for word in command.split()[1:] if word != "-m"), command)


def _files(record):
    """Return the names of all files of a manifest."""
    return {name for entry in record["outputs"] for name in entry["files"].values()}


def _is_inside(folder, name):
    """Return whether a name, which may be anything, is one of a file in a folder or below it."""
    try:
        return (folder / name).parent.resolve().is_relative_to(folder.resolve())
    except (OSError, ValueError, RuntimeError):  # no name of a file, or links in a circle
        return False


def _rows(table):
    """Return a table as a list of dictionaries of what stands in the CSV."""
    if not isinstance(table, list):
        table = table.astype(object).where(table.notna(), None).to_dict("records")
    return [{key: _cell(value) for key, value in row.items()} for row in table]


def _cell(value):
    """Return a number as text, None where it is missing, and what is no number as it is."""
    if not isinstance(value, float | np.floating):
        return value
    if np.isnan(value):
        return None
    return f"{value:.0f}" if value.is_integer() else f"{value:.6g}"
