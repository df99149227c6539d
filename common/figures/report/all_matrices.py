"""The confusion matrices of several networks, and what each recognises of each expression."""

import numpy as np
from matplotlib.figure import Figure

from common import comparison
from common.figures import style
from common.figures.confusion import matrix
from common.labels import CLASS_NAMES, NUM_CLASSES

TITLE = "Confusion of all networks"
CAPTION = (
    "Row: the true expression; column: the predicted; fractions of each row. Below, the diagonals "
    "on one axis, with 95 % intervals."
)
A_ROW = 3  # matrices

Evaluations = dict[str, comparison.Evaluation]  # by name of the network, all of the same rows


def table(result: Evaluations) -> list[dict]:
    """Return a row a network: accuracy with interval, macro F1, and recall by expression."""
    rows = []
    for name, evaluation in result.items():
        accuracy, macro_f1 = evaluation.summary[:2]
        row = {"network": name, "accuracy": accuracy["value"]}
        row |= {f"accuracy {end}": accuracy[end] for end in ("95 % low", "95 % high")}
        row |= {"macro F1": macro_f1["value"]}
        rows.append(row | {score["class"]: score["recall"] for score in evaluation.scores})
    return rows


def sentences(result: Evaluations) -> list[str]:
    """Return of which expression the networks differ most, and least."""
    recall = np.array([[score["recall"] for score in one.scores] for one in result.values()])
    names = list(result)
    said = [f"All are asked about the same {len(result[names[0]].labels):,} validation images."]
    for word, code in zip(
        ("most", "least"), np.argsort(np.ptp(recall, axis=0))[[-1, 0]], strict=True
    ):
        low, high = (pick(recall[:, code]) for pick in (np.argmin, np.argmax))
        said.append(
            f"They differ {word} in {CLASS_NAMES[code]}: {recall[low, code]:.2f} recognised by the "
            f"{names[low]}, {recall[high, code]:.2f} by the {names[high]}."
        )
    return said


def draw(result: Evaluations) -> Figure:
    """Return a matrix a network, and the recall of all by expression."""
    lines = -(-len(result) // A_ROW)
    figure = style.new_figure(11, 3.7 * lines + 3)
    top, bottom = figure.subfigures(2, 1, height_ratios=(3.7 * lines, 3), squeeze=False)[:, 0]
    panels = top.subplots(lines, A_ROW, squeeze=False).ravel()
    for axes in panels[len(result) :]:
        axes.set_axis_off()
    for axes, (name, evaluation) in zip(panels, result.items(), strict=False):
        matrix.draw_cells(axes, evaluation.counts, size=7)
        axes.set_xticks(range(NUM_CLASSES), CLASS_NAMES, rotation=45, ha="right")
        axes.set_yticks(range(NUM_CLASSES), CLASS_NAMES)
        axes.tick_params(labelsize=8)
        axes.set_title(f"{name}\n{evaluation.accuracy}", fontsize=9)
    axes = bottom.subplots()
    for place, ((name, evaluation), colour) in enumerate(style.coloured(result.items())):
        recall, low, high = (
            np.array([score[column] for score in evaluation.scores])
            for column in ("recall", "recall 95 % low", "recall 95 % high")
        )
        axes.errorbar(
            np.arange(NUM_CLASSES) + 0.12 * (place - (len(result) - 1) / 2),
            recall,
            yerr=(recall - low, high - recall),
            fmt="o",
            color=colour,
            label=name,
        )
    axes.set_xticks(range(NUM_CLASSES), CLASS_NAMES)
    axes.set(ylabel="recognised, of the faces of the class", ylim=(0, 1))
    axes.grid(axis="y", alpha=0.25)
    axes.legend(ncols=len(result), loc="lower center", bbox_to_anchor=(0.5, 1))
    return figure
