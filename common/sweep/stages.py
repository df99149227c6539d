"""Scripts with their flags: which are finished, and bringing those to an end that are not."""

import contextlib
import functools
import itertools
import os
import shlex
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from common import outputs
from common.data import loading
from common.runs import provenance, records
from common.sweep import leash

ENVIRONMENT = {"PYTHONUNBUFFERED": "1", "PYTHONIOENCODING": "utf-8"}  # a log one can follow
STOPPED = threading.Event()  # this process is about to end
HELD: set[IO] = set()  # each script waits for this process to let go of one of them (see `leash`)
KILLED = "killed by signal"  # how the failure of a script begins that was
# Flags that change no result, with how many values each has. A run says which data it is of.
PLACES = {"--out": 1, "--resume": 0, "--data": 1}


@dataclass(frozen=True)
class Stage:
    """One script with its flags, and what it makes of what."""

    name: str
    folder: Path  # that it writes
    arguments: list[str]  # script and flags, without --out
    reads: tuple[Path, ...] = ()  # run folders
    trains: bool = False  # makes a run, which can be resumed

    @property
    def words(self) -> list[str]:
        """Script and all flags."""
        return [*self.arguments, "--out", str(self.folder)]

    @property
    def command(self) -> str:
        """The shell command, as a person would type it."""
        return provenance.typed("python", *self.words)


def manifest(stage: Stage) -> dict:
    """Return the manifest of a stage.

    A ValueError says that it is not finished, or was made with other flags or of other weights
    than those of today.
    """
    made = outputs.read(stage.folder)
    if _flags(made["command"]) != _flags(stage.command):
        raise ValueError(f"{stage.folder} was made with other flags: {made['command']}.")
    if stage.trains:
        trained = records.read(stage.folder)
        before, now = _data(made["command"]), _data(stage.command)
        if before != now and trained.data_hash != _data_hash(now):
            raise ValueError(f"{stage.folder} was made of other data: {made['command']}.")
    known = {run["folder"]: run["weights"] for run in made["runs"]}
    watched = known.keys() | (set() if stage.trains else {str(run) for run in stage.reads})
    for run in sorted(watched - {str(stage.folder)}):
        if known.get(run) != outputs.identity(run)["weights"]:
            raise ValueError(f"{stage.folder} was made of other weights than {run} has now.")
    return made


def waits_for(stage: Stage) -> list[str]:
    """Return the names of the run folders that a stage reads and that are not finished."""
    waits = []
    for run in stage.reads:
        try:
            records.read(run)
        except ValueError:
            waits.append(str(run))
    return waits


def run_all(stages: Iterable[Stage], logs: Path) -> dict[str, str]:
    """Run the stages that are not finished, saying how each one went in one line.

    A stage whose runs are missing is passed over; one that left something out is run again. What a
    script prints goes to `logs`/NAME.log, its warnings and errors to `logs`/NAME.errors.log.
    Returns the name of each stage that failed -> the last line of its error.
    """
    failures = {}
    stages = list(stages)
    for number, stage in enumerate(stages, 1):
        print(f"[{number}/{len(stages)}] {stage.name}: ", end="", flush=True)
        if is_finished(stage, without_gaps=True):
            print("finished before")
        elif unfinished := waits_for(stage):
            print(f"waits for {', '.join(unfinished)}")
        else:
            start = time.monotonic()
            failure = finish(stage, logs)
            if failure:
                failures[stage.name] = failure
            print(failure or "done", f"({time.monotonic() - start:.0f} s)", flush=True)
    return failures


def is_finished(stage: Stage, *, without_gaps: bool = False) -> bool:
    """Return whether a stage is finished, with the flags and weights of today."""
    try:
        return not (manifest(stage)["gaps"] and without_gaps)
    except ValueError:
        return False


def finish(stage: Stage, logs: Path, environment: Mapping[str, str] | None = None) -> str:
    """Run a stage to its end; return the last line of its error, or an empty string.

    A run that has begun goes on. The script ends with this process, however that ends.

    Args:
        stage: to run.
        logs: folder of NAME.log and NAME.errors.log.
        environment: variables for the script beside those of this process.
    """
    begun = stage.trains and (stage.folder / "config.json").exists()
    script, *flags = stage.words
    logged, complained = (logs / f"{stage.name}{end}" for end in (".log", ".errors.log"))
    logged.parent.mkdir(parents=True, exist_ok=True)
    command = [leash.__file__, str(provenance.PROJECT / script), *flags]
    with logged.open("wb") as output, complained.open("wb") as errors, _leash() as pipe:
        result = subprocess.run(
            [sys.executable, *command, *(["--resume"] if begun else [])],
            stdin=pipe,
            stdout=output,
            stderr=errors,
            env=os.environ | ENVIRONMENT | dict(environment or {}),
            check=False,
        )
    if result.returncode < 0:
        return f"{KILLED} {-result.returncode}"
    if result.returncode:
        lines = complained.read_text(encoding="utf-8", errors="replace").splitlines()
        said = [line.strip() for line in lines if line.strip()]
        return said[-1] if said else f"ended with exit status {result.returncode}"
    try:
        manifest(stage)
    except ValueError as error:
        return str(error)
    return ""


def let_go() -> None:
    """End all scripts that `finish` is running, before this process ends itself."""
    STOPPED.set()
    for held in list(HELD):
        held.close()


@contextlib.contextmanager
def _leash():
    """Yield the end of a pipe whose other end is held until `let_go`, or the block ends."""
    reading, holding = os.pipe()
    with open(reading, "rb") as pipe, open(holding, "wb") as held:
        HELD.add(held)
        if STOPPED.is_set():
            held.close()
        try:
            yield pipe
        finally:
            HELD.discard(held)


def _data(command):
    """Return the last value of --data in a command, None without one."""
    words = shlex.split(command)
    given = [after for flag, after in itertools.pairwise(words) if flag == "--data"]
    return given[-1] if given else None


@functools.cache
def _data_hash(place):
    """Return the hash of the data at a place, None where there are none."""
    try:
        return loading.load(place).data_hash
    except (ValueError, OSError):
        return None


def _flags(command):
    """Return the words of a command that decide what comes out of a stage, sorted flag by flag."""
    words = iter(shlex.split(command)[1:])
    kept: list[list[str]] = [[]]
    for word in words:
        if word in PLACES:
            for _ in range(PLACES[word]):
                next(words, None)
        elif word.startswith("--"):
            kept.append([word])
        else:
            kept[-1].append(word)
    return sorted(kept)
