"""Two or three runs side by side, measured on the same images."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from common import comparison
from common.figures import style
from common.figures.training.curves import curve
from common.runs import records

TITLE = "Runs side by side"
CAPTION = "Bars of accuracy have 95 % intervals; all are measured on the same images."
BARS = (  # column of the table, how its numbers are written
    ("validation accuracy", "{:.3f}"),
    ("seconds an epoch", "{:.0f}"),
    ("parameters", "{:,.0f}"),
)


@dataclass(frozen=True)
class ComparedRuns:
    """Runs side by side."""

    histories: dict[str, list[dict]]  # name -> rows of `history.csv`
    scores: pd.DataFrame  # of `comparison.table`, one row a name, in the same order
    said: list[str]  # sentences about pairs of them


def compare(
    named_runs: dict[str, Path], pairs: Sequence[tuple[str, str]], caveats: Sequence[str] = ()
) -> ComparedRuns:
    """Return two or three finished runs, name -> folder, compared.

    Each pair of names is compared image by image, the first minus the second; caveats come before
    all else that is said. A ValueError says that a run is not finished or held out other images.
    """
    said = list(caveats)
    for first, second in pairs:
        said += comparison.sentences(first, named_runs[first], second, named_runs[second])
    histories = {name: records.load_history(run) for name, run in named_runs.items()}
    return ComparedRuns(histories, comparison.table(named_runs), said)


def table(result: ComparedRuns) -> pd.DataFrame:
    """Return one row a run: accuracy with interval, size, time."""
    return result.scores


def sentences(result: ComparedRuns) -> list[str]:
    """Return the caveats, and how the pairs compare."""
    return result.said


def draw(result: ComparedRuns) -> Figure:
    """Return curves, accuracy with intervals, seconds an epoch and parameters of each run."""
    figure, scores = style.new_figure(10, 5.6), result.scores
    panels = figure.subplot_mosaic("LLLAAA\nBBSSPP", height_ratios=(2, 1.2))
    colours = dict(style.coloured(result.histories))
    for name, history in result.histories.items():
        for panel, quantity in (("L", "loss"), ("A", "accuracy")):
            axes, colour = panels[panel], colours[name]
            curve(axes, history, f"validation_{quantity}", f"{name}, validation", colour)
            curve(axes, history, quantity, f"{name}, training", colour, linestyle="--", alpha=0.6)
            axes.set(xlabel="epoch", ylabel=quantity)
            axes.legend()
    for panel, (column, form) in zip("BSP", BARS, strict=True):
        axes, values = panels[panel], scores[column]
        bars = axes.barh(scores["model"], values, color=[colours[name] for name in scores["model"]])
        if panel == "B":
            lengths = [values - scores["95 % low"], scores["95 % high"] - values]
            axes.errorbar(values, scores["model"], xerr=lengths, fmt="none", ecolor="black")
        axes.bar_label(bars, [form.format(value) for value in values], padding=14, fontsize=8)
        axes.set_xlim(0, 1.35 * max(values))
        mixed = panel == "S" and scores["machine"].nunique() > 1
        axes.set_xlabel(column + " (different machines)" * mixed)
        axes.invert_yaxis()
    style.title(
        figure,
        f"{' and '.join(scores['model'])} on the same {scores['n'].iloc[0]:,} validation images",
    )
    return figure
