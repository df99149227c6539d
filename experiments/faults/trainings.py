"""Trainings that are killed at random moments, or whose disk fills up, and then go on."""

import ctypes
import os
import resource
import runpy
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from common.runs import provenance, storage
from experiments.faults import same
from experiments.faults.outcomes import PATIENCE, Outcome

SIGNALS = {
    "-9": signal.SIGKILL,
    "-TERM": signal.SIGTERM,
    "-INT": signal.SIGINT,
    "-HUP": signal.SIGHUP,
}
TRAININGS: dict[str, list[str]] = {  # name -> script and flags; {first} is the run of the first
    "train_dnn.py": ["train_dnn.py", "--epochs", "2"],
    "semi_supervised.py": ["semi_supervised.py", "--architecture", "dnn", "--epochs", "1"],
    "train_cnn.py": ["train_cnn.py", "--architecture", "compact", "--epochs", "2"],
    "train_dnn.py, grown": ["train_dnn.py", "--recipe", "report", "--epochs", "2"],
    "train_dnn.py, taught": ["train_dnn.py", "--recipe", "adamw", "--epochs", "2",
                             "--teacher", "{first}"],
}  # fmt: skip
GROWN = {"train_dnn.py, grown": "1"}  # epochs that it is started with


class Trainings:
    """Makes each training once without a break, then under faults, and compares the two.

    Attributes:
        outcomes: of every fault so far.
    """

    def __init__(self, work: Path, data: Path, first: tuple[Path, float] | None = None):
        """Train in `work` on the table in `data`; `first` is the unbroken first run, if made."""
        self.work, self.data, self.first = work, data, first
        self.outcomes: list[Outcome] = []

    def unbroken(self, name: str) -> tuple[Path, float]:
        """Return the run folder of a training without a break, and how many seconds it took."""
        if self.first and name == next(iter(TRAININGS)):
            return self.first
        folder = self.work / "unbroken"
        arguments = self._arguments(name, folder)
        began = time.monotonic()
        process = Process(arguments, self.work / "unbroken.log")
        if process.wait() != 0:
            raise ValueError(f"{' '.join(arguments)}: {process.said()[-500:]}")
        return folder, time.monotonic() - began

    def _arguments(self, name, folder):
        """Return the arguments of a training into a folder."""
        first = str(self.first[0]) if self.first else ""
        filled = [first if word == "{first}" else word for word in TRAININGS[name]]
        return [*filled, "--data", str(self.data), "--batch-size", "32", "--out", str(folder)]

    def kill(self, name: str, kills: int, generator: np.random.Generator) -> list[Outcome]:
        """Kill a training that many times, each time going on, and compare its end."""
        reference, seconds = self.unbroken(name)
        folder, log = self.work / "killed", self.work / "killed.log"
        shutil.rmtree(folder, ignore_errors=True)
        found: list[Outcome] = []
        while len(found) < kills:
            if _is_finished(folder, name):  # too late: from the start again
                if not self._same(found, reference, folder):
                    break
                shutil.rmtree(folder)
            signal_name = str(generator.choice(list(SIGNALS)))
            before = epochs(folder)
            process = Process(self._next(name, folder), log)
            moment = generator.uniform(0.05, 1) * seconds
            writing = generator.random() < 0.5  # kill it in the middle of a file
            end = time.monotonic() + moment
            while process.lives() and time.monotonic() < end:
                time.sleep(0.002)
            while writing and process.lives() and not any(folder.rglob(".*.tmp*")):
                time.sleep(0.0005)
            if not process.lives():
                if process.status:  # it ended by itself, and not well
                    kind = f"kill {signal_name}, {name.split(',')[0]}"
                    found.append(Outcome(kind, "traceback", process.said()[-300:]))
                continue
            process.send(SIGNALS[signal_name])
            status = process.wait()
            found.append(_after_kill(name, signal_name, status, process, before, epochs(folder)))
            print(f"{name}: {signal_name}, {found[-1].outcome}", flush=True)
        self._finish(name, folder, found, reference)
        return self.outcomes

    def fill(self, name: str, fillings: int, generator: np.random.Generator) -> list[Outcome]:
        """Let the disk fill up under a training, go on with room, and compare its end."""
        reference, _ = self.unbroken(name)
        for number in range(fillings):
            folder = self.work / "filled"
            shutil.rmtree(folder, ignore_errors=True)
            how = FULL[number % len(FULL)]
            size = int(generator.integers(how.least, how.most))
            kind = f"{how.title}, {name.split(',')[0]}"
            process = Process(
                self._arguments(name, folder),
                self.work / "filled.log",
                prepare=lambda how=how, size=size, folder=folder: how.prepare(size, folder),
            )
            status = process.wait()
            said = process.said()
            if status == NO_MOUNT:
                continue
            kept = self.work / "kept"  # what was on the small disk, which is gone
            if kept.exists():
                shutil.rmtree(folder)
                kept.rename(folder)
            lines = [line for line in said.splitlines() if "train_dnn.py: " in line]
            if status == 0:
                found = Outcome(kind, "unharmed")
            elif status == 2 and len(lines) == 1 and str(folder) in lines[0]:
                found = Outcome(kind, "refused")
            else:
                bad = "hang" if status is None else "traceback"
                found = Outcome(kind, bad, f"{size} bytes, status {status}: {said[-600:]}")
            print(f"{kind}, {size:,} bytes: {found.outcome} {lines[-1:]}", flush=True)
            self._finish(name, folder, [found], reference)
        return self.outcomes

    def _next(self, name, folder):
        """Return the arguments that start a training, or go on with it."""
        if not (folder / "config.json").exists():
            arguments = self._arguments(name, folder)
            if name in GROWN:
                arguments[arguments.index("--epochs") + 1] = GROWN[name]
            return arguments
        going_on = [TRAININGS[name][0], "--out", str(folder), "--resume"]
        if name in GROWN:
            going_on += ["--epochs", TRAININGS[name][TRAININGS[name].index("--epochs") + 1]]
        return going_on

    def _finish(self, name, folder, found, reference):
        """Bring a training to its end, and add what became of its faults."""
        for _ in range(2):  # a run that is to grow may need a start first
            process = Process(self._next(name, folder), self.work / "finish.log")
            if process.wait() != 0:
                note = f"{name}: {process.said()[-500:]}"
                self.outcomes += [Outcome(one.kind, "traceback", note) for one in found]
                return
            if name not in GROWN:
                break
        self._same(found, reference, folder)
        self.outcomes += found
        found.clear()

    def _same(self, found, reference, folder):
        """Compare with the unbroken run; on a difference say so of all faults since the start."""
        # Below a figure stands the command, which names the folder; what it shows is in tables.
        different = [name for name in same.differences(reference, folder) if ".png" not in name]
        if different:
            print(f"differs: {different}", flush=True)
            found[:] = [Outcome(one.kind, "wrong result", ", ".join(different)) for one in found]
        return not different


def _is_finished(folder, name):
    """Return whether a training has come to its end, the last one where it is to grow."""
    if not (folder / "metrics.json").exists():
        return False
    words = TRAININGS[name]
    asked = int(words[words.index("--epochs") + 1])
    return storage.read_json(folder / "config.json")["flags"]["epochs"] == asked


def _after_kill(name, signal_name, status, process, before, after):
    """Return what became of one kill."""
    kind = f"kill {signal_name}, {name.split(',')[0]}"
    said = process.said()
    lost = {run: count for run, count in before.items() if after.get(run, 0) < count}
    if status is None:
        return Outcome(kind, "hang", f"{name}, {signal_name}")
    if "Traceback" in said or status == 1:
        shown = said[max(said.find("Traceback") - 200, -600) :][:900]
        return Outcome(kind, "traceback", f"{name}, {signal_name}: {shown}")
    if lost:
        return Outcome(kind, "lost epoch", f"{name}, {signal_name}: {lost} of {before}")
    return Outcome(kind, "unharmed")


def epochs(folder: Path) -> dict[str, int]:
    """Return run folder -> number of finished epochs, of all runs in a folder."""
    counts: dict[str, int] = {}
    for path in folder.rglob("epoch-*.npz"):
        run, count = str(path.parent), int(path.stem.removeprefix("epoch-"))
        counts[run] = max(count, counts.get(run, 0))
    return counts


NO_MOUNT = 77  # exit status where this system lets nobody mount a small disk


class Process:
    """A script in a process of its own, forked so that it need not load TensorFlow again."""

    def __init__(self, arguments, log, *, prepare=None):
        """Start it; all that it says goes to `log`."""
        self.log, self.status = log, None
        sys.stdout.flush()
        self.number = os.fork()
        if self.number == 0:
            os._exit(_run(arguments, log, prepare))
        self.ended = False

    def lives(self):
        """Return whether it still runs."""
        if not self.ended:
            number, status = os.waitpid(self.number, os.WNOHANG)
            if number:
                self.ended, self.status = True, os.waitstatus_to_exitcode(status)
        return not self.ended

    def send(self, kind):
        """Send a signal."""
        os.kill(self.number, kind)

    def wait(self):
        """Return the exit status, or None if it hung and had to be killed."""
        end = time.monotonic() + PATIENCE
        while self.lives():
            if time.monotonic() > end:
                self.send(signal.SIGKILL)
                os.waitpid(self.number, 0)
                self.ended = True
                return None
            time.sleep(0.005)
        return self.status

    def said(self):
        """Return what it said."""
        return Path(self.log).read_text(encoding="utf-8", errors="replace")


def _run(arguments, log, prepare):
    """Run a script as the shell would, and return its exit status."""
    status: object = 0
    try:
        log_file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        for stream in (1, 2):
            os.dup2(log_file, stream)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        for kind in (signal.SIGHUP, signal.SIGTERM):  # which `nohup`, for one, ignores
            signal.signal(kind, signal.SIG_DFL)
        sys.stdout, sys.stderr = sys.__stdout__, sys.__stderr__  # not as the harness has them
        last = prepare() if prepare else None
        sys.argv = [str(provenance.PROJECT / arguments[0]), *arguments[1:]]
        try:
            runpy.run_path(sys.argv[0], run_name="__main__")
        finally:
            if last:
                last()
    except SystemExit as ending:
        status = ending.code or 0
    except KeyboardInterrupt:  # before the script could answer for itself
        status = 130
    except BaseException:
        traceback.print_exc()
        status = 1
    sys.stdout.flush()
    sys.stderr.flush()
    return status if isinstance(status, int) else 1


def _limit_files(size, _):
    """Let no file of this process get larger."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


def _small_disk(size, folder):
    """Mount a small disk on a folder that only this process sees; return what copies it out."""
    library = ctypes.CDLL(None, use_errno=True)
    user, group = os.getuid(), os.getgid()
    new_mounts, new_users = 0x20000, 0x10000000
    if library.unshare(new_mounts | new_users):
        os._exit(NO_MOUNT)
    Path("/proc/self/setgroups").write_text("deny", encoding="ascii")
    Path("/proc/self/uid_map").write_text(f"0 {user} 1", encoding="ascii")
    Path("/proc/self/gid_map").write_text(f"0 {group} 1", encoding="ascii")
    folder.mkdir(parents=True)
    if library.mount(b"none", os.fsencode(folder), b"tmpfs", 0, f"size={size}".encode()):
        os._exit(NO_MOUNT)

    return lambda: shutil.copytree(folder, folder.with_name("kept"), dirs_exist_ok=True)


@dataclass(frozen=True)
class Full:
    """A way in which a disk is full, from `least` to `most` bytes on."""

    title: str
    prepare: Callable[[int, Path], Callable | None]
    least: int
    most: int


FULL = (
    Full("disk full", _small_disk, 200_000, 70_000_000),  # a run of the DNN takes 80 million
    Full("file too large", _limit_files, 10_000, 25_000_000),  # and its state 24 million
)
