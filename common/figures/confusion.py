"""What a classifier takes for what: the matrix, its calibration, and pages of faces."""

import numpy as np

from common.figures import style
from common.labels import CLASS_NAMES, NUM_CLASSES

MAP = "Blues"  # darkness grows with the fraction, so that a print in grey says the same
WHITE_FROM = 0.7  # fraction from which white text stands out more than black
FACE, LINE, HEADING = 1.0, 0.13, 0.3  # inches: a face, a line of its caption, a heading


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
    figure = style.new_figure(6.4, 6.4)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    filled = bins["count"] > 0
    confidence, accuracy, low, high, count = (
        bins[name][filled] for name in ("confidence", "accuracy", "low", "high", "count")
    )
    width = 1 / len(filled)
    left = np.flatnonzero(filled) * width

    upper.bar(left, accuracy, width, align="edge", color="#d6e4f0", edgecolor="white")
    upper.plot([0, 1], [0, 1], color="#555555", linestyle="--", linewidth=1, label="calibrated")
    upper.errorbar(
        confidence,
        accuracy,
        yerr=np.maximum([accuracy - low, high - accuracy], 0),
        fmt="o",
        color=style.TRAINING,
        markersize=4,
        linewidth=1,
        label="accuracy at the mean confidence of a bin, 95 % interval",
    )
    upper.set(xlim=(0, 1), ylim=(0, 1), ylabel="accuracy", title=title)
    upper.legend(loc="upper left")
    upper.text(0.98, 0.03, text, transform=upper.transAxes, ha="right", va="bottom")

    lower.bar(left, count, width, align="edge", color="#888888", edgecolor="white")
    for x, number in zip(left, count, strict=True):
        lower.text(x + width / 2, number, f"{number:,}", ha="center", va="bottom", fontsize=6.5)
    lower.margins(y=0.18)
    lower.yaxis.set_major_formatter("{x:,.0f}")
    lower.set(xlabel="confidence (largest probability)", ylabel="faces")
    return figure


def face_page(sections, *, columns, title):
    """Return a page of faces with a caption each, in sections.

    Args:
        sections: list of (heading, images, captions): a str that may be empty, uint8 (k, 48, 48),
            and k str. A section without faces shows its heading alone.
        columns: faces in a row.
        title: above the figure.
    """
    rows = [-(-len(images) // columns) for _, images, _ in sections]
    heights = [
        number * (FACE + LINE * len("".join(captions[:1]).splitlines())) + HEADING
        for number, (_, _, captions) in zip(rows, sections, strict=True)
    ]
    figure = style.new_figure(columns * FACE, sum(heights) + 2 * HEADING)
    figure.suptitle(title, fontsize=11)
    parts = figure.subfigures(len(sections), 1, height_ratios=heights, squeeze=False)[:, 0]
    for part, number, (heading, images, captions) in zip(parts, rows, sections, strict=True):
        part.suptitle(heading, x=0.005, ha="left", fontsize=9, fontweight="bold")
        panels = part.subplots(max(number, 1), columns, squeeze=False).ravel()
        for axes in panels[len(images) :]:
            axes.set_axis_off()
        for axes, image, caption in zip(panels, images, captions, strict=False):
            style.show_face(axes, image, caption, size=6.5)
    return figure


def _with_totals(totals):
    """Return the class names, each with a number below it."""
    return [f"{name}\n{total:,}" for name, total in zip(CLASS_NAMES, totals, strict=True)]
