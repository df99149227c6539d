"""Training runs of a study: each to its end, none twice."""

import shlex
import subprocess
import sys
from pathlib import Path

from common import outputs
from common.runs import provenance, storage


def finish(script: str, folder: Path, flags: list[str]) -> Path:
    """Return the run folder of a script after its end, to which it is brought if it has to be.

    A ValueError says that the folder holds a run that another command started.
    """
    start = [script, "--out", str(folder), *flags]
    started = (folder / "config.json").exists()
    if started:
        recorded = storage.read_json(folder / "config.json").get("command")
        if recorded != shlex.join(["python", *start]):
            raise ValueError(
                f"{folder}: expected a run of {shlex.join(['python', *start])}, found one of "
                f"{recorded}: choose another --out"
            )
    try:
        outputs.read(folder)
    except ValueError:
        command = [script, "--out", str(folder), "--resume"] if started else start
        print(shlex.join(["python", *command]), flush=True)
        subprocess.run([sys.executable, *command], cwd=provenance.PROJECT, check=True)
    return folder
