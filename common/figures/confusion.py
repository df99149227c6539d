"""What a classifier takes for what: the matrix, its calibration, and pages of faces."""

import numpy as np

from common.figures import style
from common.labels import CLASS_NAMES, NUM_CLASSES

MAP = "Blues"  # darkness grows with the fraction, so that a print in grey says the same
WHITE_FROM = 0.5  # fraction from which a cell is dark enough for white text
FACE_WIDTH, FACE_HEIGHT = 0.95, 1.25  # inches of one face and its caption
HEADING_HEIGHT = 0.35  # inches


def matrix(counts, fractions, *, title):
    """Return a confusion matrix with the fraction of its row and the count in every cell.

    Args:
        counts: int (7, 7), rows the true class, columns the predicted one.
        fractions: float (7, 7), counts divided by the sum of their row.
        title: above the figure.
    """
    figure = style.new_figure(7.2, 6.6)
    axes = figure.subplots()
    shown = axes.imshow(fractions, cmap=MAP, vmin=0, vmax=1)
    for (row, column), count in np.ndenumerate(counts):
        fraction = fractions[row, column]
        colour = "white" if fraction >= WHITE_FROM else "black"
        has_rows = counts[row].any()
        axes.text(
            column,
            row - 0.1,
            f"{fraction:.2f}" if has_rows else "-",
            ha="center",
            va="center",
            color=colour,
            fontsize=12,
            fontweight="bold" if row == column else "normal",
        )
        axes.text(
            column, row + 0.27, f"{count:,}", ha="center", va="center", color=colour, fontsize=7.5
        )
    places = range(NUM_CLASSES)
    axes.set_xticks(places, _with_totals(counts.sum(axis=0)))
    axes.set_yticks(places, _with_totals(counts.sum(axis=1)))
    axes.set(xlabel="predicted (and how often)", ylabel="true (and how many faces)")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_xticks(np.arange(NUM_CLASSES + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(NUM_CLASSES + 1) - 0.5, minor=True)
    axes.grid(which="minor", color="white", linewidth=1.5)
    axes.tick_params(which="minor", length=0)
    bar = figure.colorbar(shown, ax=axes, shrink=0.8, pad=0.02)
    bar.set_label("fraction of the faces of the true class")
    bar.outline.set_visible(False)
    axes.set_title(title)
    return figure


def reliability(bins, *, text, title):
    """Return accuracy against confidence, and below it how many rows have which confidence.

    Args:
        bins: arrays (bins,) "confidence", "accuracy", "low", "high" (the interval of the accuracy)
            and "count", for bins of equal width; nan where a bin is empty.
        text: written into the upper panel.
        title: above the figure.
    """
    figure = style.new_figure(5.2, 6)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    filled = bins["count"] > 0
    borders = np.linspace(0, 1, len(filled) + 1)
    left, width = borders[:-1], 1 / len(filled)

    upper.bar(
        left[filled],
        bins["accuracy"][filled],
        width,
        align="edge",
        color="#c6dbef",
        edgecolor="white",
        label="accuracy of the rows in the bin",
    )
    upper.plot(
        [0, 1], [0, 1], color="#555555", linestyle="--", linewidth=1, label="as it should be"
    )
    middle = bins["confidence"][filled]
    upper.vlines(
        middle, bins["low"][filled], bins["high"][filled], color=style.TRAINING, linewidth=1
    )
    upper.plot(
        middle,
        bins["accuracy"][filled],
        "o",
        color=style.TRAINING,
        markersize=4,
        label="the same at the mean confidence, 95 % interval",
    )
    upper.set(xlim=(0, 1), ylim=(0, 1), ylabel="accuracy", title=title)
    upper.legend(loc="upper left", fontsize=7.5)
    upper.text(0.98, 0.03, text, transform=upper.transAxes, ha="right", va="bottom", fontsize=8)

    lower.bar(left, bins["count"], width, align="edge", color="#888888", edgecolor="white")
    for x, count in zip(left[filled], bins["count"][filled], strict=True):
        lower.text(x + width / 2, count, f"{count:,}", ha="center", va="bottom", fontsize=6)
    lower.margins(y=0.18)
    lower.set(xlabel="confidence (largest probability)", ylabel="faces")
    return figure


def face_page(sections, *, columns, title):
    """Return a page of faces with a caption each, in sections.

    Args:
        sections: list of (heading, images, captions): a str that may be empty, uint8 (k, 48, 48),
            and k str. A section without faces shows its heading alone.
        columns: faces in a line.
        title: above the figure.
    """
    lines = [max(1, -(-len(images) // columns)) for _, images, _ in sections]
    heights = [
        count * FACE_HEIGHT + bool(heading) * HEADING_HEIGHT
        for count, (heading, _, _) in zip(lines, sections, strict=True)
    ]
    figure = style.new_figure(columns * FACE_WIDTH, sum(heights) + 0.6)
    figure.suptitle(title)
    parts = figure.subfigures(len(sections), 1, height_ratios=heights, squeeze=False)[:, 0]
    for part, count, (heading, images, captions) in zip(parts, lines, sections, strict=True):
        if heading:
            part.suptitle(heading, x=0.01, ha="left", fontsize=9, fontweight="bold")
        panels = part.subplots(count, columns, squeeze=False).ravel()
        for axes in panels[len(images) :]:
            axes.set_axis_off()
        for axes, image, caption in zip(panels, images, captions, strict=False):
            style.show_face(axes, image, caption, size=6.5)
    return figure


def _with_totals(totals):
    """Return the class names, each with a number below it."""
    return [f"{name}\n{total:,}" for name, total in zip(CLASS_NAMES, totals, strict=True)]
