"""The faces that excite each filter of a layer the most, beside the image that ascent made."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from common.figures import style
from common.figures.filters import sheet
from common.labels import CLASS_NAMES

CAPTION = "Left what each filter grows from noise, then the faces; a ring where it answers most."
TILE = 0.7 * sheet.TILE  # inches


@dataclass(frozen=True, eq=False)
class TopFaces:
    """The validation faces that excite each filter of a layer the most, the strongest first."""

    grown: Any  # the `Ascent` of the n filters, of which the last snapshot is drawn
    found: Any  # their `TopActivations`
    faces: np.ndarray  # float32 (n, k, 48, 48) in [0, 1]
    labels: np.ndarray  # int64 (n, k), of the faces
    searched: int  # how many different faces there were to choose from


def title(result: TopFaces) -> str:
    """Return the title on the page."""
    return f"The faces that excite the filters of {result.grown.layer} the most"


def draw(result: TopFaces) -> Figure:
    """Return for each filter its picture and, to its right, the faces that excite it the most."""
    count, shown = result.labels.shape
    captions = sheet.numbered(result.grown.units, result.found.activations[:, 0])
    width = shown + 1.5  # the picture, the faces, and a gap to the next block
    blocks = max(1, min(count, round((1.6 * count / width) ** 0.5)))  # wider than high
    rows = -(-count // blocks)
    figure, axes, down = sheet.canvas(
        blocks * width - 0.5,
        rows,
        tile=TILE,
        lines=1,
        title=f"{result.grown.layer}: what each filter grows, and the {shown} validation faces "
        "that excite it most (ring: where most)\nfilter: mean activation on the first face",
    )
    side = 1 - sheet.GAP
    for number in range(count):
        block, row = divmod(number, rows)
        left, top = block * width, row * down
        sheet.draw_tile(axes, result.grown.images[-1, number], left, top, **sheet.GREY)
        sheet.draw_caption(axes, captions[number], left, top + 1)
        for place in range(shown):
            sheet.draw_tile(axes, result.faces[number, place], left + place + 1, top, **sheet.GREY)
        marks = result.found.marks[number]
        axes.plot(
            left + 1 + np.arange(shown) + side * marks[:, 1],
            top + side * marks[:, 0],
            "o",
            markersize=6,
            markerfacecolor="none",
            markeredgecolor=style.VALIDATION,
            markeredgewidth=0.8,
        )
    return figure


def arrays(result: TopFaces) -> dict[str, np.ndarray]:
    """Return the filters, their pictures, and the numbers of the faces with their activations."""
    return {
        "units": result.grown.units,
        "pictures": result.grown.images[-1],
        "images": result.found.indices,
        "activations": result.found.activations,
        "places": result.found.places,
        "largest": result.found.largest,
    }


def sentences(result: TopFaces) -> list[str]:
    """Return which filters are never active, and which ones one emotion alone excites."""
    silent = ", ".join(map(str, result.grown.units[result.found.largest <= 0]))
    alike = (result.labels == result.labels[:, :1]).all(axis=1)
    named = ", ".join(
        f"{unit} {CLASS_NAMES[label]}"
        for unit, label in zip(result.grown.units[alike], result.labels[alike, 0], strict=True)
    )
    return [
        f"{result.grown.layer} on {result.searched:,} different validation faces: filters that "
        f"are never active: {silent or 'none'}; whose {result.labels.shape[1]} top faces show one "
        f"emotion: {named or 'none'}."
    ]
