"""Accuracy of several networks against the size of the perturbation."""

from dataclasses import dataclass

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


@dataclass(frozen=True)
class Curves:
    """What became of the same faces under attack."""

    faces: int
    networks: dict[str, list[dict]]  # by name: a row a size with these `NUMBERS`


def title(result: Curves) -> str:
    """Return the title with the number of faces."""
    return f"{TITLE}, {result.faces} faces"


def table(result: Curves) -> list[dict]:
    """Return a row a network: its accuracy at each size, and one standard error."""
    return [
        {"network": name} | {f"{row['size_255']:g}/255": _share(row) for row in rows}
        for name, rows in result.networks.items()
    ]


def sentences(result: Curves) -> list[str]:
    """Return what a perturbation too small to see leaves of each network."""
    left = [
        f"{name} {_share(row)}"
        for name, rows in result.networks.items()
        for row in rows
        if row["size_255"] == TOLD
    ]
    start = f"Recognised of {result.faces} faces in spite of PGD of {TOLD}/255, with one standard"
    return [f"{start} error: {', '.join(left)}."] if left else []


def draw(result: Curves) -> Figure:
    """Return a curve a network."""
    figure = style.new_figure(7.5, 4.2)
    axes = figure.subplots()
    for (name, rows), colour in style.coloured(result.networks.items()):
        sizes, shares, errors = np.array([[row[column] for column in NUMBERS] for row in rows]).T
        style.draw_shares(axes, sizes, shares, errors, name, colour)
    axes.set(xlabel="size of the perturbation / 255", ylabel="accuracy", ylim=(-0.03, 1.03))
    axes.grid(alpha=0.25)
    axes.legend()
    return figure


def _share(row):
    return f"{row['all']:.2f} ± {row['standard_error']:.2f}"
