"""Scores of finished runs by what was varied, with intervals, paired where runs can be."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from common import metrics
from common.figures.training.settings import Setting
from common.runs import records
from common.sweep.plan import Unit


def each(units: Sequence[Unit], failures: dict[str, str]) -> list[dict]:
    """Return one row a run: what was varied, its scores, and why it failed if it did."""
    rows = []
    for unit in units:
        row: dict[str, Any] = {**unit.setting, **unit.repeat, "folder": str(unit.stage.folder)}
        failure = failures.get(unit.stage.name, "")
        measured = {} if failure else records.read(unit.stage.folder).metrics
        low, high = measured.get("interval_95", (None, None))
        row |= {"accuracy": measured.get("accuracy"), "95 % low": low, "95 % high": high}
        known = ("n", "best_epoch", "epochs", "seconds_per_epoch", "model_sha256")
        rows.append(row | {name: measured.get(name) for name in known} | {"failure": failure})
    return rows


def settings(finished: Sequence[Unit]) -> list[Setting]:
    """Return the settings of finished runs, with their scores.

    The interval of a mean over repeats is Student's, that of a single run Wilson's. Differences are
    from the first setting, over the repeats that both have: Student's of these pairs, or
    Newcombe's over the images for a single one. What the runs of a setting say together (averaged,
    or fold by fold) is scored on each row that was held out once, with Wilson's interval.
    """
    groups: dict[str, list[Unit]] = {}
    for unit in finished:
        name = ", ".join(f"{flag} {value}" for flag, value in unit.setting.items())
        groups.setdefault(name or "all runs", []).append(unit)
    first = next(iter(groups.values()), [])
    made = []
    for name, group in groups.items():
        histories = [records.load_history(unit.stage.folder) for unit in group]
        folder = group[0].stage.folder.parent
        if not group[0].repeat:
            folder = group[0].stage.folder
        if all(records.is_scored(unit.stage.folder) for unit in [*first, *group]):
            scores = _mean(group) | (_difference(first, group) if group is not first else {})
            scores |= _together(group)
        else:
            scores = {}
        row = group[0].setting | {"runs": len(group)} | {key: scores.get(key) for key in COLUMNS}
        made.append(Setting(name, folder, histories, row))
    return made


COLUMNS = (
    *("accuracy", "95 % low", "95 % high"),
    *("pairs", "difference", "difference 95 % low", "difference 95 % high"),
    *("together", "together 95 % low", "together 95 % high", "n"),
)


def _mean(group):
    """Return the mean accuracy of runs with its interval."""
    measured = [records.read(unit.stage.folder).metrics for unit in group]
    values = np.array([run["accuracy"] for run in measured])
    low, high = measured[0]["interval_95"]
    if len(values) > 1:
        mean, half = metrics.mean_interval(values)
        low, high = mean - half, mean + half
    return {"accuracy": float(values.mean()), "95 % low": low, "95 % high": high}


def _difference(first, group):
    """Return how much better runs are than the first ones with the same repeats."""
    repeats = [unit.repeat for unit in first]
    pairs = [
        (unit.stage.folder, first[repeats.index(unit.repeat)].stage.folder)
        for unit in group
        if unit.repeat in repeats
    ]
    try:
        answers = [records.load_together(pair) for pair in pairs]
    except ValueError:  # other rows: a difference would be one of rows, too
        return {}
    if not pairs:
        return {}
    right = [probabilities.argmax(axis=2) == labels for _, labels, probabilities in answers]
    if len(pairs) == 1:
        mean, low, high = metrics.difference_interval(*right[0])
    else:
        gains = np.array([ours.mean() - theirs.mean() for ours, theirs in right])
        mean, half = metrics.mean_interval(gains)
        low, high = mean - half, mean + half
    names = ("difference", "difference 95 % low", "difference 95 % high")
    return {"pairs": len(pairs)} | dict(zip(names, (mean, low, high), strict=True))


def _together(group):
    """Return the accuracy of what runs say together, with its interval."""
    try:
        _, labels, (probabilities,) = records.load_models([[u.stage.folder for u in group]])
    except ValueError:  # rows that overlap in part, as with other values of --split-seed
        return {}
    right = int((probabilities.argmax(axis=1) == labels).sum())
    low, high = metrics.wilson_interval(right, len(labels))
    return {
        "together": right / len(labels),
        "together 95 % low": low,
        "together 95 % high": high,
        "n": len(labels),
    }
