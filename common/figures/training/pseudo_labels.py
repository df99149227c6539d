"""Pseudo-labels: how many, and how many of them right."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from common.figures import style
from common.labels import CLASS_NAMES

TITLE = "Pseudo-labels of each class"
CAPTION = "How many there are, and how many right."


@dataclass(frozen=True)
class PseudoLabels:
    """What one or more rounds of labelling came to."""

    statistics: list[dict]  # rows of `pseudo_labels.statistics`, of every round
    num_removed: int  # how many labels were removed
    caveats: Sequence[str] = ()  # sentences that qualify the result


def table(result: PseudoLabels) -> list[dict]:
    """Return one row a round and class, and one for all classes."""
    return result.statistics


def sentences(result: PseudoLabels) -> list[str]:
    """Return how many removed labels each round replaced."""
    return [
        f"Round {row['round']}: {row['pseudo_labels']:,} of {result.num_removed:,} removed labels "
        f"replaced, {row['right']:,} of them correctly ({row['precision']:.1%})."
        for row in result.statistics
        if row["class"] == "all"
    ]


def draw(result: PseudoLabels) -> Figure:
    """Return pseudo-labels by class and round, the right ones solid, with the share of those."""
    rounds = sorted({row["round"] for row in result.statistics})
    figure = style.new_figure(9, 1 + 2.6 * len(rounds))
    panels = np.atleast_1d(figure.subplots(len(rounds), 1, sharex=True))
    for axes, number in zip(panels, rounds, strict=True):
        rows = {row["class"]: row for row in result.statistics if row["round"] == number}
        total = rows["all"]
        counts = [rows[name]["pseudo_labels"] for name in CLASS_NAMES]
        right = [rows[name]["right"] for name in CLASS_NAMES]
        colours = [style.CLASS_COLOURS[name] for name in CLASS_NAMES]
        bars = axes.bar(CLASS_NAMES, counts, color=colours, alpha=0.35, label="pseudo-labels")
        axes.bar(CLASS_NAMES, right, color=colours, label="of them right")
        axes.bar_label(bars, [_share_right(rows[name]) for name in CLASS_NAMES], fontsize=7)
        axes.margins(y=0.2)
        axes.set_ylabel("pseudo-labels")
        axes.set_title(
            f"round {number}: {total['right']:,} of {total['pseudo_labels']:,} right "
            f"({total['precision']:.1%}), mean confidence {total['mean_confidence']:.2f}"
        )
    if result.caveats:
        style.title(figure, "; ".join(result.caveats), size=8, color="#D55E00")
    return figure


def _share_right(row):
    if not row["pseudo_labels"]:
        return "none"
    return f"{row['precision']:.0%}\nof {row['pseudo_labels']:,}"
