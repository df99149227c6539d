"""The same faces and their maps without and with a hand over the mouth."""

import numpy as np
from matplotlib.figure import Figure

from common import metrics
from common.attribution import registry
from common.figures import style
from common.figures.saliency.explained_faces import HEAT
from common.labels import CLASS_NAMES

TITLE = "A hand over the mouth"
CAPTION = (
    "The same faces without and with a drawn hand over the mouth, and the map of each. Both maps "
    "explain the label of the face without it; in brackets its probability where it is lost."
)
COLUMNS = ()


def table(result) -> list[dict]:
    """Return a row for each face; `result` is an `attribution.covering.Covered`."""
    shares = result.shares()
    return [
        {
            "image": number,
            "label": CLASS_NAMES[result.labels[place]],
            "predicted": CLASS_NAMES[code],
            "probability": f"{result.probabilities[0, place, code]:.4f}",
            "predicted_with_hand": CLASS_NAMES[result.probabilities[1, place].argmax()],
            "probability_with_hand": f"{result.probabilities[1, place, code]:.4f}",
            "share_under_hand": f"{shares[0, place]:.4f}",
            "share_under_hand_with_hand": f"{shares[1, place]:.4f}",
        }
        for place, (number, code) in enumerate(zip(result.images, result.classes, strict=True))
    ]


def arrays(result) -> dict[str, np.ndarray]:
    """Return faces, maps and what the model says, without and with the hand."""
    return {
        "images": np.array(result.images),
        "classes": result.classes,
        "faces": result.faces,
        "importances": result.importances,
        "probabilities": result.probabilities,
        "hand": result.hand,
    }


def sentences(result) -> list[str]:
    """Return how much of the maps lies under the hand, and how often it changes the label."""
    n, shares = len(result.images), result.shares()
    changed = int((result.probabilities[1].argmax(axis=1) != result.classes).sum())
    low, high = metrics.wilson_interval(changed, n)
    said = f"{registry.method(result.method).title}, {n} validation faces: "
    if n > 1:
        (mean, half), (less, change) = map(
            metrics.mean_interval, (shares[0], shares[0] - shares[1])
        )
        said += (
            f"the {result.hand.mean():.0%} of the pixels that a hand over the mouth covers have "
            f"{mean:.0%} [{mean - half:.0%}, {mean + half:.0%}] of the importance without it and "
            f"{shares[1].mean():.0%} with it, {100 * less:.0f} points less "
            f"[{100 * (less - change):.0f}, {100 * (less + change):.0f}]; "
        )
    return [f"{said}it changes the label of {changed} faces ({low:.0%} to {high:.0%})."]


def shown(result) -> list[int]:
    """Return the place of one face for each label, the first that the model reads right."""
    right = result.classes == result.labels
    places = [np.flatnonzero(right & (result.labels == code)) for code in range(len(CLASS_NAMES))]
    return [int(found[0]) for found in places if len(found)] or [0]


def draw(result) -> Figure:
    """Return four rows: the faces, their maps, the faces with a hand, their maps."""
    places = shown(result)
    figure = style.new_figure(max(1.4 * len(places) + 1.7, 5), 6.6)
    grid = figure.subplots(4, len(places), squeeze=False)
    for which, name in enumerate(("face", "with a hand")):
        captions = [
            _caption(result.probabilities[which, place], result.classes[place]) for place in places
        ]
        faces = result.faces[which, places]
        style.show_row(grid[2 * which], name, faces, captions)
        values = result.shown(which)[places]
        drawn = style.show_maps(grid[2 * which + 1], "its map", values, HEAT, 0, 1, faces=faces)
    bar = figure.colorbar(drawn, ax=grid.ravel().tolist(), shrink=0.5, aspect=25)
    bar.set_label("importance, as a share of the map's highest")
    made = registry.describe(result.method, result.smoothing)
    style.title(figure, f"A hand over the mouth, {result.run}: maps by {made}")
    return figure


def _caption(probabilities, code):
    """Return what the model says, and how sure it is of the class that is explained."""
    label = int(probabilities.argmax())
    said = f"{CLASS_NAMES[label]} {probabilities[label]:.2f}"
    return said if label == code else f"{said}\n({CLASS_NAMES[code]} {probabilities[code]:.2f})"
