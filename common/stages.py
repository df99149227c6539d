"""The stages that lead to the report: which are finished, and running those that are not."""

import os
import shlex
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from common import records, runs

RECORD = "stage.json"
ENVIRONMENT = {"PYTHONUNBUFFERED": "1"}  # a log that can be followed


@dataclass(frozen=True)
class Stage:
    """One script with its flags, and what it makes of what."""

    name: str
    folder: Path  # that it writes
    arguments: tuple  # script and flags, without --out
    files: tuple  # patterns of names; each must match something that it wrote
    reads: tuple = ()  # run folders
    trains: bool = False  # makes a run, which can be resumed
    where: tuple = ()  # flags that only say where something is, and change no result

    @property
    def argv(self):
        """The script with the flags that decide what comes out, as a list of strings."""
        return [*map(str, self.arguments), "--out", str(self.folder)]

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
        record = runs.read_json(stage.folder / RECORD)
        same = record["argv"] == stage.argv and record["weights"] == _weights(stage)
        there = all((stage.folder / name).is_file() for name in record["files"])
    except (ValueError, KeyError, TypeError):
        return None
    return record if same and there else None


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
        if finished(stage):
            print("finished before")
        elif missing := [str(run) for run in stage.reads if not _is_finished(run)]:
            print(f"waits for {', '.join(missing)}")
        else:
            start = time.monotonic()
            failure = _run(stage, logs)
            if failure:
                failures[stage.name] = failure
            print(failure or "done", f"({time.monotonic() - start:.0f} s)", flush=True)
    return failures


def _run(stage, logs):
    """Run a stage and record it; return the last line of its error, or an empty string."""
    start = time.monotonic()
    record = stage.folder / RECORD
    record.unlink(missing_ok=True)
    begun = stage.trains and (stage.folder / "config.json").exists()
    before = _written(stage.folder)
    script, *flags = [*stage.argv, *stage.where]
    logged, complained = (logs / f"{stage.name}{end}" for end in (".log", ".errors.log"))
    with logged.open("wb") as output, complained.open("wb") as errors:
        result = subprocess.run(
            [sys.executable, runs.PROJECT / script, *flags, *(["--resume"] if begun else [])],
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
    for pattern in stage.files:
        if not any(Path(name).match(pattern) for name in kept):
            return f"expected it to write {pattern} to {stage.folder}, found no such file"
    made = {
        **runs.provenance(),
        "command": stage.command,
        "argv": stage.argv,
        "weights": _weights(stage),
        "files": sorted(kept),
        "printed": _lines(logged),
        "seconds": round(time.monotonic() - start, 1),
    }
    runs.write_json(record, made)
    return ""


def _weights(stage):
    """Return the SHA-256 of the weights of each run that a stage reads, or makes."""
    folders = (stage.folder,) if stage.trains else stage.reads
    return {str(folder): records.read(folder).weights for folder in folders}


def _is_finished(run):
    try:
        records.read(run)
    except ValueError:
        return False
    return True


def _lines(path):
    return path.read_text(encoding="utf-8", errors="replace").splitlines()


def _written(folder):
    """Return when each file directly in a folder was written."""
    if not folder.is_dir():
        return {}
    return {path.name: path.stat().st_mtime_ns for path in folder.iterdir() if path.is_file()}
