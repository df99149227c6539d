"""The stages that lead to the report: which are finished, and running those that are not."""

import os
import shlex
import subprocess
import sys
import time
from dataclasses import dataclass
from fnmatch import filter as matching
from pathlib import Path

from common import records
from common.runs import provenance, storage

RECORD = "stage.json"
ENVIRONMENT = {"PYTHONUNBUFFERED": "1"}  # a log that can be followed


@dataclass(frozen=True)
class Stage:
    """One script with its flags, and what it makes of what."""

    name: str
    folder: Path  # that it writes
    arguments: list  # script and flags, without --out
    files: list  # patterns of names; each must match something that it wrote
    optional: tuple = ()  # patterns that it may leave out for now
    reads: tuple = ()  # run folders
    where: tuple = ()  # flags that only say where something is, and change no result
    trains: bool = False  # makes a run, which can be resumed

    @property
    def argv(self):
        """The script with the flags that decide what comes out, as a list of strings."""
        return [*self.arguments, "--out", str(self.folder)]

    @property
    def command(self):
        """The shell command, as a person would type it."""
        return shlex.join(["python", *self.argv, *self.where])


def finished(stage):
    """Return the record of a finished stage, or None.

    It is finished if it was run with the same flags on runs that have the same weights today, and
    all that it wrote is still there.
    """
    try:
        record = storage.read_json(stage.folder / RECORD)
        same = record["argv"] == stage.argv and record["weights"] == _weights(_watched(stage))
        there = all((stage.folder / name).is_file() for name in record["files"])
        complete = {"command", "printed"} <= record.keys()
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    return record if same and there and complete else None


def waits_for(stage):
    """Return the names of the run folders that a stage reads and that are not finished."""
    waits = []
    for run in stage.reads:
        try:
            records.read(run)
        except ValueError:
            waits.append(str(run))
    return waits


def run_all(stages, logs):
    """Run the stages that are not finished, saying how each one went in one line.

    A stage whose runs are missing is passed over. What a script prints goes to `logs`/NAME.log,
    its warnings and errors to `logs`/NAME.errors.log.

    Args:
        stages: list of `Stage`, in an order in which each finds what it reads.
        logs: folder.

    Returns:
        dictionary: name of a stage that failed -> the last line of its error.
    """
    failures = {}
    for number, stage in enumerate(stages, 1):
        print(f"[{number}/{len(stages)}] {stage.name}: ", end="", flush=True)
        record = finished(stage)
        if record and not _missing(stage.optional, record["files"]):
            print("finished before")
        elif unfinished := waits_for(stage):
            print(f"waits for {', '.join(unfinished)}")
        else:
            start = time.monotonic()
            failure = _run(stage, logs)
            if failure:
                failures[stage.name] = failure
            print(failure or "done", f"({time.monotonic() - start:.0f} s)", flush=True)
    return failures


def _run(stage, logs):
    """Run a stage and record it; return the last line of its error, or an empty string."""
    start, facts = time.monotonic(), provenance.provenance()
    record = stage.folder / RECORD
    record.unlink(missing_ok=True)
    begun = stage.trains and (stage.folder / "config.json").exists()
    weights = _weights(stage.reads)
    before = _written(stage.folder)
    script, *flags = [*stage.argv, *stage.where]
    logged, complained = (logs / f"{stage.name}{end}" for end in (".log", ".errors.log"))
    with logged.open("wb") as output, complained.open("wb") as errors:
        result = subprocess.run(
            [sys.executable, provenance.PROJECT / script, *flags, *(["--resume"] if begun else [])],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=errors,
            env=os.environ | ENVIRONMENT,
            check=False,
        )
    if result.returncode:
        said = [line.strip() for line in _lines(complained) if line.strip()]
        return said[-1] if said else f"ended with exit status {result.returncode}"
    after = _written(stage.folder)
    files = sorted(name for name in after if after[name] != before.get(name))
    kept = after if stage.trains else files  # a run that was all but finished writes little
    if missing := _missing(stage.files, kept):
        return f"expected it to write {missing[0]} to {stage.folder}, found no such file"
    if stage.trains:
        weights |= _weights([stage.folder])
    made = {
        **facts,
        "command": stage.command,
        "argv": stage.argv,
        "weights": weights,
        "files": sorted(kept),
        "printed": _lines(logged),
        "seconds": round(time.monotonic() - start, 1),
    }
    storage.write_json(record, made)
    return ""


def _watched(stage):
    """Return the run folders that a stage reads, and the one that it makes."""
    return [*stage.reads, *([stage.folder] if stage.trains else [])]


def _weights(folders):
    """Return the SHA-256 of the weights of each run."""
    return {str(folder): records.read(folder).weights for folder in folders}


def _missing(patterns, names):
    return [pattern for pattern in patterns if not matching(names, pattern)]


def _lines(path):
    return path.read_text(encoding="utf-8", errors="replace").splitlines()


def _written(folder):
    """Return when each file directly in a folder was written."""
    if not folder.is_dir():
        return {}
    return {path.name: path.stat().st_mtime_ns for path in folder.iterdir() if path.is_file()}
