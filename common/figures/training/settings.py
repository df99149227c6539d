"""Accuracy by epoch and in the end, by what was varied."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from common.figures import style
from common.figures.training.curves import curve

TITLE = "Runs by what was varied"
CAPTION = (
    "Left: validation accuracy by epoch, a line a run. Right: the mean of the runs with its 95 % "
    "interval (dot), and what they say together with Wilson's (diamond)."
)


@dataclass(frozen=True)
class Setting:
    """Runs that differ in nothing but what repeats them."""

    name: str
    folder: Path  # that holds them, or of the one run
    histories: list[list[dict]]  # rows of `history.csv` of each
    row: dict[str, Any]  # of the table


def table(result: Sequence[Setting]) -> list[dict]:
    """Return one row a setting."""
    return [setting.row for setting in result]


def sentences(result: Sequence[Setting]) -> list[str]:
    """Return what each setting scores, and whether it differs from the first."""
    said = []
    for setting in result:
        row, runs = setting.row, f"{len(setting.histories)} runs"
        runs = "one run" if len(setting.histories) == 1 else runs
        if row["accuracy"] is None:
            said.append(f"{setting.name}: {runs}, no validation score.")
            continue
        line = f"{setting.name}: validation accuracy {_interval(row, 'accuracy', '')}, {runs}"
        if row["together"] is not None and len(setting.histories) > 1:
            line += f"; together {_interval(row, 'together', 'together ')}, n = {row['n']:,}"
        if row["difference"] is not None:
            low, high = row["difference 95 % low"], row["difference 95 % high"]
            apart = low > 0 or high < 0
            line += (
                f"; {100 * row['difference']:+.1f} points [{100 * low:+.1f}, {100 * high:+.1f}] "
                f"from {result[0].name}, in {row['pairs']} pair{'s' * (row['pairs'] > 1)}"
                + ("" if apart else ", which may be chance")
            )
        said.append(f"{line}.")
    return said


def draw(result: Sequence[Setting]) -> Figure:
    """Return curves of all runs, and the score of each setting."""
    figure = style.new_figure(10, max(3.6, 0.35 * len(result) + 1.5))
    left, right = figure.subplots(1, 2, width_ratios=(1.4, 1))
    colours = list(style.CLASS_COLOURS.values())
    scored = all("validation_accuracy" in setting.histories[0][0] for setting in result)
    quantity = "validation_accuracy" if scored else "accuracy"
    for place, setting in enumerate(result):
        colour = colours[place] if place < len(colours) else "#999999"
        for history in setting.histories:
            label = setting.name if history is setting.histories[0] else ""
            curve(left, history, quantity, label, colour, alpha=0.7)
        for key, start, shift, marker in (
            ("accuracy", "", -0.12, "o"),
            ("together", "together ", 0.12, "D"),
        ):
            value = setting.row[key]
            if value is None or (start and len(setting.histories) == 1):
                continue
            low, high = setting.row[f"{start}95 % low"], setting.row[f"{start}95 % high"]
            lengths = np.abs([[value - low], [high - value]])
            right.errorbar(value, place + shift, xerr=lengths, fmt=marker, color=colour, capsize=3)
    left.set(xlabel="epoch", ylabel=quantity.replace("_", " "))
    left.xaxis.get_major_locator().set_params(integer=True)
    left.legend(fontsize=7)
    right.set_yticks(range(len(result)), [setting.name for setting in result])
    right.set(xlabel="validation accuracy", ylim=(len(result) - 0.5, -0.5))
    return figure


def _interval(row, key, start):
    return f"{row[key]:.3f} [{row[f'{start}95 % low']:.3f}, {row[f'{start}95 % high']:.3f}]"
