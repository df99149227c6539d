"""What a result needs to be made again: command, versions, commit, machine, time."""

import importlib.metadata
import os
import platform
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePath

PROJECT = Path(__file__).resolve().parents[2]
PACKAGES = ("tensorflow", "tensorflow-cpu", "keras", "numpy")


def command_line(argv: Sequence[str] | None = None) -> str:
    """Return the shell command that started this script, as a person would type it."""
    argv = sys.argv[1:] if argv is None else argv
    module = getattr(sys.modules["__main__"].__spec__, "name", "").removesuffix(".__main__")
    script = Path(sys.argv[0]).name
    start = ["-m", module] if module.startswith(("benchmarks.", "experiments.")) else [script]
    return shlex.join(["python", *start, *map(str, argv)])


def typed(*words: PurePath | str) -> str:
    """Return a command line to paste into the shells of Linux and macOS, cmd and PowerShell.

    Paths get forward slashes, which all systems take.
    """
    texts = (word.as_posix() if isinstance(word, PurePath) else word for word in words)
    return " ".join(map(_quoted, texts))


def continued(script: str, models: Iterable[Path | str], data: Path | str | None) -> str:
    """Return the command that goes on with the same models and data in another script."""
    place = ("--data", Path(data)) if data else ()
    return typed("python", script, "--model", *map(Path, models), *place)


def _quoted(word):
    """Return a word as every shell takes it; one that no quotes suit everywhere, as POSIX does."""
    if re.fullmatch(r"[\w./:=+,@-]+", word):
        return word
    return shlex.quote(word) if re.search(r'["$`\\!%]', word) else f'"{word}"'


def provenance(argv: Sequence[str] | None = None) -> dict:
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


def machine_name(machine: Mapping) -> str:
    """Return a machine of `provenance` in words, for example "2 x AMD EPYC"."""
    return f"{machine['cpus']} x {machine['processor']}"


def _git_commit():
    """Return the commit of the project, with '+changes' when files differ, or None without git."""
    if not (PROJECT / ".git").exists():  # unpacked, perhaps inside another repository
        return None
    try:
        result = subprocess.run(
            ["git", "describe", "--always", "--abbrev=12", "--dirty=+changes", "--exclude=*"],
            cwd=PROJECT,
            stdin=subprocess.DEVNULL,
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
