"""A face of each emotion made to be read as each other."""

import numpy as np
from matplotlib.figure import Figure

from common.figures import style
from common.figures.adversarial import tiles
from common.labels import CLASS_NAMES, NUM_CLASSES

TITLE = "Any expression into any other"
CAPTION = "Row: the face; column: the target."
COLUMNS = ()


def draw(result) -> Figure:
    """Return two sheets of `outcomes.Targets`: attacked faces, class by class, perturbations."""
    labels, setting = result.labels, result.setting
    perturbations = result.images - result.originals[:, np.newaxis]
    factor = tiles.magnification(perturbations)
    figure = style.new_figure(15, 1.13 * len(labels) + 0.9)
    left, right = np.asarray(figure.subfigures(1, 2, wspace=0.02))
    left.suptitle("what the model reads (green: the target)", fontsize=10)
    right.suptitle(f"the perturbations, magnified x {factor:,.0f}", fontsize=10)
    faces, marks = (
        half.subplots(len(labels), NUM_CLASSES, squeeze=False) for half in (left, right)
    )
    for (row, column), axes in np.ndenumerate(faces):
        head = f"to {CLASS_NAMES[column]}\n" if row == 0 else ""
        image, mark = result.images[row, column], marks[row, column]
        probabilities = result.readings[row, column]
        style.show_face(mark, 0.5 + factor * perturbations[row, column], head, size=8)
        if column == labels[row]:
            style.show_face(axes, image, f"{head}unchanged {probabilities[column]:.2f}", size=8)
        else:
            tiles.show_reading(axes, image, probabilities, column, head)
        if column == 0:
            for tile in (axes, mark):
                style.name_row(tile, CLASS_NAMES[labels[row]], left=0.12, rotation=90)
    style.title(
        figure,
        f"Any emotion (row) into any other (column) for {setting.model}: PGD, perturbations of "
        f"{setting.size}",
    )
    return figure


def table(result) -> list[dict]:
    """Return a row for each pair of true class and target."""
    return [
        {
            "image": result.numbers[row],
            "true": CLASS_NAMES[label],
            "target": CLASS_NAMES[code],
            **tiles.reading("", result.readings[row, code]),
            **tiles.reading("in_8_bits_", result.rounded[row, code]),
        }
        for row, label in enumerate(result.labels)
        for code in range(NUM_CLASSES)
        if code != label
    ]


def arrays(result) -> dict[str, np.ndarray]:
    """Return everything that was drawn."""
    return {
        "numbers": result.numbers,
        "labels": result.labels,
        "originals": result.originals,
        "images": result.images,
        "probabilities": result.readings,
        "probabilities_in_8_bits": result.rounded,
    }


def sentences(result) -> list[str]:
    """Return how many pairs were reached, and which were not."""
    pairs = table(result)
    missed = [
        f"{pair['true']} as {pair['target']}" for pair in pairs if pair["read_as"] != pair["target"]
    ]
    kept = sum(pair["in_8_bits_read_as"] == pair["target"] for pair in pairs)
    of_target = np.diagonal(result.readings, axis1=1, axis2=2)  # (r, 7)
    others = result.labels[:, np.newaxis] != np.arange(NUM_CLASSES)
    return [
        f"Any emotion into any other within {result.setting.size}: {len(pairs) - len(missed)} of "
        f"{len(pairs)} pairs reached ({kept} once rounded to 8 bits), the target's median "
        f"confidence is {np.median(of_target[others]):.2f}; missed: {', '.join(missed) or 'none'}."
    ]
