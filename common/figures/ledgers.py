"""Pseudo-labels: how many, and how many of them right."""

import numpy as np

from common import metrics
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


def self_training(table, network):
    """Return accuracy by share of removed labels, and what self-training adds, seed by seed.

    Args:
        table: DataFrame with a row a fraction and seed: "unlabelled", "seed", "baseline",
            "self-training", "all labels" (accuracies) and "difference", "n".
        network: what was trained, for the title.
    """
    figure = style.new_figure(9, 3.8)
    left, right = figure.subplots(1, 2)
    fractions = sorted(table["unlabelled"].unique())
    places = np.arange(len(fractions))
    kinds = {
        "all labels": (style.ACCENT, "s"),
        "self-training": (style.VALIDATION, "o"),
        "baseline": (style.TRAINING, "^"),
    }
    for kind, (colour, marker) in kinds.items():
        means = table.groupby("unlabelled")[kind].mean()
        left.plot(places, [means[x] for x in fractions], color=colour, label=kind)
        left.plot(
            np.searchsorted(fractions, table["unlabelled"]),
            table[kind],
            marker,
            color=colour,
            alpha=0.5,
        )
    left.set(ylabel=f"validation accuracy, n = {table['n'].iloc[0]:,}")
    left.legend()
    right.axhline(0, color="#888888", linewidth=1)
    for place, fraction in zip(places, fractions, strict=True):
        points = 100 * table.loc[table["unlabelled"] == fraction, "difference"].to_numpy()
        right.plot(np.full(len(points), place), points, "o", color=style.VALIDATION, alpha=0.5)
        if len(points) > 1:
            mean, half = metrics.mean_interval(points)
            right.errorbar(place + 0.12, mean, yerr=half, fmt="D", color="black", capsize=3)
    right.set(ylabel="self-training minus baseline, points")
    for axes in (left, right):
        axes.set_xticks(places, [f"{fraction:.0%}" for fraction in fractions])
        axes.set(xlabel="labels removed", xlim=(-0.4, len(fractions) - 0.6))
    seeds = table["seed"].nunique()
    figure.suptitle(
        f"{network}, {seeds} seed{'s' * (seeds > 1)}; lines and diamonds: means (95 % intervals)"
    )
    return figure


def _share_right(row):
    if not row["pseudo_labels"]:
        return "none"
    return f"{row['precision']:.0%}\nof {row['pseudo_labels']:,}"
