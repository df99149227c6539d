"""What is varied, and the runs that follow from it.

Each combination of values is a run in a folder of its own, `SETTING/REPEAT`: what repeats a run,
such as its seed, makes no setting of its own, so that the folder of a setting holds runs to be
averaged.
"""

import argparse
import itertools
import re
import runpy
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from common.models import registry
from common.runs import provenance
from common.sweep.stages import Stage

REPEATS = ("seed", "split-seed", "fold")  # flags that repeat a run and make no other setting
OWN = ("out", "resume", "overwrite")  # flags that no run is given by hand
SCRIPTS = ("train_cnn.py", "train_dnn.py", "semi_supervised.py")


@dataclass(frozen=True)
class Unit:
    """One run of a sweep."""

    stage: Stage
    setting: dict[str, str]  # varied flag -> value, without those that repeat
    repeat: dict[str, str]  # the others


def units(
    script: str, vary: Sequence[tuple[str, Sequence[str]]], flags: Sequence[str], out: Path
) -> list[Unit]:
    """Return a `Unit` for every combination of values, those of the last flag changing fastest.

    Args:
        script: one of `SCRIPTS`.
        vary: (flag, values) with or without its hyphens, each flag once.
        flags: of all runs.
        out: folder above those of the runs.

    Raises:
        ValueError: no such script, a flag that is varied twice or given as well, or values that
            would share a folder.
        SystemExit: the script does not know such flags; it has said so.
    """
    if script not in SCRIPTS:
        raise ValueError(f"{script}: expected a script that trains: {', '.join(SCRIPTS)}")
    names = [name.lstrip("-").replace("_", "-") for name, _ in vary]
    fixed = {word.partition("=")[0].lstrip("-") for word in flags if word.startswith("--")}
    for name in names:
        if names.count(name) > 1 or name in {*fixed, *OWN}:
            raise ValueError(f"--vary {name}: expected a flag that stands nowhere else, found two")
    if fixed & set(OWN):
        raise ValueError(f"--{min(fixed & set(OWN))}: expected flags of training alone after --")
    made = []
    for combination in itertools.product(*(values for _, values in vary)):
        chosen = dict(zip(names, combination, strict=True))
        repeat = {name: chosen.pop(name) for name in names if name in REPEATS}
        parts = [part for part in map(_folder, (chosen, repeat)) if part] or ["run"]
        pairs = ((f"--{name}", value) for name, value in (chosen | repeat).items())
        stage = Stage(
            "/".join(parts),
            out.joinpath(*parts),
            [script, *flags, *itertools.chain(*pairs)],
            trains=True,
        )
        parse(stage)
        made.append(Unit(stage, chosen, repeat))
    folders = [unit.stage.folder for unit in made]
    twice = [folder for folder in folders if folders.count(folder) > 1]
    if twice:
        raise ValueError(f"{twice[0]}: expected values that differ by letters or digits, found two")
    return made


def trainer(architecture: str) -> list[str]:
    """Return the script that trains a network, and the flag it needs for it."""
    if architecture == "dnn":
        return ["train_dnn.py"]
    convolutional = registry.ARCHITECTURES[architecture].convolutional
    return ["train_cnn.py" if convolutional else "train_dnn.py", "--architecture", architecture]


def parse(stage: Stage) -> argparse.Namespace:
    """Return the flags of a run as its script understands them; bad ones end in SystemExit."""
    script, *flags = stage.arguments
    return _parser(script).parse_args([*flags, "--out", str(stage.folder)])


@cache
def _parser(script):
    options = runpy.run_path(str(provenance.PROJECT / script))["build_parser"]()
    options.prog = script
    return options


def _folder(values):
    """Return a folder's name for varied values, for example "augmentation-strong_epochs-20"."""
    text = "_".join(f"{name}-{value}" for name, value in values.items())
    return re.sub(r"[^\w.+-]+", "-", text)
