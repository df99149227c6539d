"""What self-training adds, by share of removed labels and seed."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from common import metrics
from common.figures import style

TITLE = "Self-training by share of removed labels and seed"
CAPTION = "Right: how much better the student is than its teacher, seed by seed."


@dataclass(frozen=True)
class SelfTraining:
    """Runs with several shares of removed labels and several seeds."""

    network: str  # what was trained, for the title
    # A row a share and seed: "unlabelled", "seed", "baseline", "self-training", "all labels"
    # (accuracies), "difference" and "n".
    table: pd.DataFrame


def draw(result: SelfTraining) -> Figure:
    """Return accuracy by share of removed labels, and what self-training adds, seed by seed."""
    table = result.table
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
    style.title(
        figure,
        f"{result.network}, {seeds} seed{'s' * (seeds > 1)}; "
        "lines and diamonds: means (95 % intervals)",
    )
    return figure
