"""The confusion matrix, and in sentences what it shows."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from common import comparison, metrics
from common.figures import style
from common.labels import CLASS_NAMES, NUM_CLASSES

TITLE = "Confusion matrix"
CAPTION = "Row: the true expression; column: the predicted."
MAP = "Blues"  # darkness grows with the fraction, so that a print in grey says the same
WHITE_FROM = 0.7  # fraction from which white text stands out more than black


def arrays(result: comparison.Evaluation) -> dict[str, np.ndarray]:
    """Return all that the figures of an evaluation draw, images apart."""
    _, bins = result.calibration
    drawn = {
        "counts": result.counts,
        "fractions": metrics.row_fractions(result.counts),
        "rows": result.rows,
        "labels": result.labels,
        "probabilities": result.probabilities,
        "mistakes": result.mistakes,
        "hits": result.hits,
        **{f"calibration_{name}": values for name, values in bins.items()},
    }
    if isinstance(result, comparison.PairedEvaluation):
        drawn["other_probabilities"] = result.other.probabilities
        drawn["only_model_right"], drawn["only_other_right"] = result.differences
    return drawn


def sentences(result: comparison.Evaluation) -> list[str]:
    """Return the scores of all rows in one sentence, then what the matrix shows."""
    macro_f1, balanced = (row["value"] for row in result.summary[1:3])
    return [
        f"{result.name} on {len(result.labels):,} {result.what}: {result.accuracy}, macro F1 "
        f"{macro_f1:.3f}, balanced accuracy {balanced:.3f}. {result.caveat}",
        *observations(result.counts),
    ]


def draw(result: comparison.Evaluation) -> Figure:
    """Return a matrix with the fraction of its row and the count in every cell."""
    counts = result.counts
    figure = style.new_figure(7.2, 6.6)
    axes = figure.subplots()
    shown = draw_cells(axes, counts, size=12, counted=7.5)
    places = range(NUM_CLASSES)
    axes.set_xticks(places, _with_totals(counts.sum(axis=0)))
    axes.set_yticks(places, _with_totals(counts.sum(axis=1)))
    axes.set(xlabel="predicted (and how often)", ylabel="true (and how many faces)")
    axes.set_xticks(np.arange(NUM_CLASSES + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(NUM_CLASSES + 1) - 0.5, minor=True)
    axes.grid(which="minor", color="white", linewidth=1.5)
    axes.tick_params(which="minor", length=0)
    bar = figure.colorbar(shown, ax=axes, shrink=0.8, pad=0.02)
    bar.set_label("fraction of the faces of the true class")
    bar.outline.set_visible(False)
    axes.set_title(result.headline)
    return figure


def observations(counts: np.ndarray, *, mistaken: float = 0.10, rare: float = 0.02) -> list[str]:
    """Return what a confusion matrix (7, 7), a row for each true class, shows, as sentences.

    Fractions are of a true class's rows, rounded to two decimals first, so that every sentence
    agrees with what the figure prints. Named are the two best and the three weakest classes (as
    far as they are above and below the median; ties are named together), every mistake from the
    fraction `mistaken` on, and the classes that are hardly ever (`rare`) predicted wrongly, at most
    one true class excepted.
    """
    fractions = np.round(metrics.row_fractions(counts), 2)
    present = np.flatnonzero(counts.sum(axis=1)).tolist()
    if not present:
        return ["There are no faces to observe."]
    said = [
        f"There are no faces labelled {CLASS_NAMES[code]}."
        for code in range(NUM_CLASSES)
        if code not in present
    ]
    said += _recall_sentences({code: fractions[code, code] for code in present})

    mistakes = []
    for code in present:
        others = [
            other
            for other in np.argsort(-fractions[code], kind="stable")
            if other != code and fractions[code, other] >= mistaken
        ]
        if others:
            named = _listed(
                f"{CLASS_NAMES[other]} ({fractions[code, other]:.2f})" for other in others
            )
            mistakes.append(f"Faces labelled {CLASS_NAMES[code]} are mistaken for {named}.")
    said += mistakes or [
        f"No expression is mistaken for another in {mistaken:.2f} or more of its faces."
    ]

    for code, name in enumerate(CLASS_NAMES):
        wrong = sorted((fractions[other, code], other) for other in present if other != code)
        hardly = f"Hardly any face is wrongly predicted as {name} (at most"
        if not counts[:, code].sum():
            said.append(f"No face is predicted as {name}.")
        elif wrong and wrong[-1][0] <= rare:
            said.append(f"{hardly} {wrong[-1][0]:.2f} of any other expression).")
        elif len(wrong) > 1 and wrong[-2][0] <= rare and wrong[-1][0] < mistaken:
            (most, _), (more, other) = wrong[-2:]
            exception = f"but {more:.2f} of {CLASS_NAMES[other]}"
            said.append(f"{hardly} {most:.2f} of any other expression, {exception}).")
    return said


def _recall_sentences(recall: dict[int, float]) -> list[str]:
    """Return the sentences on the best and weakest classes, from {code: recall}."""
    ranked = sorted(recall.values())
    if ranked[0] == ranked[-1]:
        named = _listed(CLASS_NAMES[code] for code in recall)
        return [f"The fraction recognised is {ranked[0]:.2f} for {named}."]
    median = np.median(ranked)
    second, third = ranked[-2], ranked[min(3, len(ranked)) - 1]
    best = [code for code in recall if recall[code] >= second and recall[code] > median]
    weakest = [code for code in recall if recall[code] <= third and recall[code] < median]
    best.sort(key=recall.__getitem__, reverse=True)
    weakest.sort(key=recall.__getitem__)
    said = []
    for word, codes in (("best", best), ("least", weakest)):
        if codes:
            named = _listed(f"{CLASS_NAMES[code]} ({recall[code]:.2f})" for code in codes)
            verb = "expression is" if len(codes) == 1 else "expressions are"
            said.append(f"The {word} recognised {verb} {named}.")
    return said


def _listed(items: Iterable[str]) -> str:
    """Return 'a', 'a and b' or 'a, b and c'."""
    *most, last = items
    return f"{', '.join(most)} and {last}" if most else last


def _with_totals(totals: np.ndarray) -> list[str]:
    """Return the class names, each with a number below it."""
    return [f"{name}\n{total:,}" for name, total in zip(CLASS_NAMES, totals, strict=True)]


def draw_cells(
    axes: Axes, counts: np.ndarray, *, size: float, counted: float | None = None
) -> AxesImage:
    """Draw a matrix with the fraction of its row in every cell, "-" in a row without faces.

    Args:
        axes: to draw on.
        counts: (7, 7).
        size: of the fractions, in points.
        counted: size of the counts below them, None for no counts.
    """
    fractions = metrics.row_fractions(counts)
    for (row, column), count in np.ndenumerate(counts):
        colour = "white" if fractions[row, column] >= WHITE_FROM else "black"
        centred: dict[str, Any] = {"ha": "center", "va": "center", "color": colour}
        said = f"{fractions[row, column]:.2f}" if counts[row].any() else "-"
        weight = "bold" if counted and row == column else "normal"
        above = 0.1 if counted else 0
        axes.text(column, row - above, said, fontsize=size, fontweight=weight, **centred)
        if counted:
            axes.text(column, row + 0.27, f"{count:,}", fontsize=counted, **centred)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    return axes.imshow(fractions, cmap=MAP, vmin=0, vmax=1)
