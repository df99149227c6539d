"""Pseudo-labels: how many, and how many of them right."""

import numpy as np

from common.figures import style
from common.labels import CLASS_NAMES


def pseudo_labels(ledger, stamps=()):
    """Return pseudo-labels by class and round, the right ones solid, with the share of right ones.

    Args:
        ledger: rows of `selftraining.ledger`, of one or more rounds.
        stamps: sentences that qualify the result, written above.
    """
    rounds = sorted({row["round"] for row in ledger})
    figure = style.new_figure(9, 1 + 2.6 * len(rounds))
    panels = np.atleast_1d(figure.subplots(len(rounds), 1, sharex=True))
    for axes, number in zip(panels, rounds, strict=True):
        rows = {row["class"]: row for row in ledger if row["round"] == number}
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
    if stamps:
        figure.suptitle("; ".join(stamps), fontsize=8, color="#D55E00")
    return figure


def _share_right(row):
    if not row["pseudo_labels"]:
        return "none"
    return f"{row['precision']:.0%}\nof {row['pseudo_labels']:,}"
