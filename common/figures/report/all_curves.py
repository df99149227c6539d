"""Accuracy of several networks against the size of the perturbation."""

import numpy as np
from matplotlib.figure import Figure

from common.figures import style

TITLE = "Accuracy of all networks under attack"
CAPTION = (
    "PGD of 10 steps, the largest change of a pixel in grey levels of 255; the same faces for all, "
    "each expression weighted by its share; band: one standard error."
)
TOLD = 2  # grey levels, of the sentence

NUMBERS = ("size_255", "all", "standard_error")

Tables = dict[str, list[dict]]  # by name of the network: a row a size with these `NUMBERS`


def table(result: Tables) -> list[dict]:
    """Return a row a network: its accuracy at each size."""
    return [
        {"network": name} | {f"{row['size_255']:g}/255": row["all"] for row in rows}
        for name, rows in result.items()
    ]


def sentences(result: Tables) -> list[str]:
    """Return what a perturbation too small to see leaves of each network."""
    left = {
        name: row["all"] for name, rows in result.items() for row in rows if row["size_255"] == TOLD
    }
    named = ", ".join(f"{name} {share:.2f}" for name, share in left.items())
    return [f"Recognised in spite of PGD of {TOLD}/255: {named}."] if left else []


def draw(result: Tables) -> Figure:
    """Return a curve a network."""
    figure = style.new_figure(7.5, 4.2)
    axes = figure.subplots()
    for (name, rows), colour in style.coloured(result.items()):
        sizes, shares, errors = np.array([[row[column] for column in NUMBERS] for row in rows]).T
        axes.plot(sizes, shares, "o-", color=colour, markersize=3.5, label=name)
        axes.fill_between(sizes, shares - errors, shares + errors, color=colour, alpha=0.18, lw=0)
    axes.set(xlabel="size of the perturbation / 255", ylabel="accuracy", ylim=(-0.03, 1.03))
    axes.grid(alpha=0.25)
    axes.legend()
    return figure
