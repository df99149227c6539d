"""How far runs are, and how long the others take."""

import statistics
from collections.abc import Sequence
from pathlib import Path

from common import outputs
from common.runs import records, storage
from common.sweep import plan
from common.sweep.stages import Stage


def epochs_of(stage: Stage) -> int:
    """Return how many epochs a run takes, with those of its teacher and of earlier students."""
    args = plan.parse(stage)
    students = getattr(args, "rounds", 0)
    trained = students + (students > 0 and args.teacher is None)
    return args.epochs * max(trained, 1)


def seconds(stage: Stage) -> list[float]:
    """Return the seconds of each finished epoch of a run, as far as its folder is to be seen."""
    histories = [*stage.folder.glob("history.csv"), *stage.folder.glob("*/history.csv")]
    found = []
    for path in histories:
        try:
            found += [row["seconds"] for row in records.load_history(path.parent)]
        except ValueError:  # one that is being replaced
            continue
    return found


def left(unfinished: Sequence[Stage], at_once: int, guess: float | None = None) -> float | None:
    """Return after how many seconds runs will be finished, or None where nothing tells.

    Args:
        unfinished: runs that are under way or wait.
        at_once: how many are under way together.
        guess: seconds an epoch, where none of these runs has finished one.
    """
    done = [seconds(stage) for stage in unfinished]
    known = [statistics.median(values) for values in done if values]
    usual = statistics.median(known) if known else guess
    if usual is None:
        return None
    each = [
        max(epochs_of(stage) - len(values), 0) * (statistics.median(values) if values else usual)
        for stage, values in zip(unfinished, done, strict=True)
    ]
    return max(sum(each) / max(at_once, 1), max(each, default=0))


def earlier(stage: Stage, folders: Sequence[Path]) -> tuple[float, Path] | None:
    """Return (seconds an epoch, run folder) of a finished run like this one, or None.

    It must be of the same network on data of the same name.

    Args:
        stage: to compare with.
        folders: that hold run folders, the first one counting most.
    """
    args = plan.parse(stage)
    for run in (config.parent for folder in folders for config in folder.glob("*/config.json")):
        try:
            config = storage.read_json(run / "config.json")
            pace = storage.read_json(run / "metrics.json")["seconds_per_epoch"]
        except (ValueError, KeyError):
            continue
        same = config.get("architecture") == getattr(args, "architecture", "dnn")
        if same and config.get("flags", {}).get("data") == args.data:
            return pace, run
    return None


def describe(done: int, failed: int, total: int, running: Sequence[Stage], time: float | None):
    """Return how far all runs are, in one line."""
    far = [f"{stage.name} {len(seconds(stage))}/{epochs_of(stage)}" for stage in running[:6]]
    more = [f"and {len(running) - 6} more"] if len(running) > 6 else []
    parts = [f"{done} of {total} runs finished" + (f", {failed} failed" if failed else "")]
    if far:
        parts.append(f"epochs: {', '.join([*far, *more])}")
    if time is not None:
        parts.append(f"about {outputs.duration(time)} left")
    return "; ".join(parts)
