"""Faces beside the maps of several methods, and what is left of them without unimportant parts."""

from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from common.attribution import registry
from common.figures import style
from common.labels import CLASS_NAMES

TITLE = "Saliency maps"
CAPTION = "The face, what drives the decision, and the face with all else masked."

PAGE = 8  # faces a page
HEAT = "inferno"


@dataclass(frozen=True)
class ExplainedFaces:
    """The maps of n faces; dictionaries are of method -> (n, 48, 48)."""

    run: str  # folder of the model
    images: list[int]  # their numbers
    faces: np.ndarray  # uint8 (n, 48, 48)
    labels: np.ndarray  # (n,), the true classes
    probabilities: np.ndarray  # (n, 7), the model's
    classes: np.ndarray  # (n,), that the maps explain
    maps: dict[str, np.ndarray]  # as the methods returned them
    shown: dict[str, np.ndarray]  # in [0, 1], as they are drawn
    masked: dict[str, np.ndarray]  # in [0, 1], the faces without what is unimportant
    areas: dict[str, np.ndarray] | None = None  # of `faithfulness`, method or "random" -> (2, n)
    completeness_error: float | None = None  # largest one of integrated gradients
    smoothing: float = 0.0  # pixels, of what is drawn


def arrays(result: ExplainedFaces) -> dict[str, np.ndarray]:
    """Return everything that is drawn."""
    return {
        "images": np.array(result.images),
        "faces": result.faces,
        "labels": result.labels,
        "probabilities": result.probabilities,
        "targets": result.classes,
        **{f"map_{name}": maps for name, maps in result.maps.items()},
        **{f"shown_{name}": maps for name, maps in result.shown.items()},
        **{f"masked_{name}": faces for name, faces in result.masked.items()},
    }


def sentences(result: ExplainedFaces) -> list[str]:
    """Return what the model says of each face, and what is odd about the maps."""
    lines = [
        f"{caption.replace(chr(10), ', ')}; the maps explain {CLASS_NAMES[code]}."
        for caption, code in zip(_captions(result), result.classes, strict=True)
    ]
    blank = ", ".join(
        f"{registry.method(name).title} {np.mean(~maps.any(axis=(1, 2))):.0%}"
        for name, maps in result.maps.items()
    )
    lines.append(f"Maps by {_named(result)}.")
    lines.append(f"Blank maps, zero everywhere: {blank} of the {len(result.faces)} images.")
    if result.completeness_error is not None:
        lines.append(
            "Integrated gradients add up to the change of the logit from a flat grey image, but "
            f"for {result.completeness_error:.1%} at most."
        )
    return lines


def pages(result: ExplainedFaces) -> int:
    """Return how many pages `draw` makes of the faces."""
    return -(-len(result.faces) // PAGE)


def draw(result: ExplainedFaces, page: int = 0) -> Figure:
    """Return a page of `PAGE` faces: a column each, two rows a method below them."""
    part = slice(page * PAGE, (page + 1) * PAGE)
    faces, methods = result.faces[part], list(result.maps)
    rows, columns = 1 + 2 * len(methods), len(faces)
    noted = len(methods) if result.areas else 0
    figure = style.new_figure(max(1.4 * columns + 1.7, 5), 1.42 * rows + 0.32 * noted + 0.7)
    grid = figure.subplots(rows, columns, squeeze=False)
    style.show_row(grid[0], "original", faces, _captions(result)[part])
    for name, above, below in zip(methods, grid[1::2], grid[2::2], strict=True):
        title = registry.method(name).title.replace(" ", "\n", 1)
        style.show_row(below, f"{title}\nmasked", result.masked[name][part])
        heading = f"{title}\nheat-map" + "\n\n(in brackets:\nmasking at\nrandom)" * bool(noted)
        shown = result.shown[name][part]
        drawn = style.show_maps(above, heading, shown, HEAT, 0, 1, faces=faces)
        for axes, note in zip(above, _notes(result, name)[part], strict=False):
            axes.set_title(note, fontsize=6.5)
    bar = figure.colorbar(drawn, ax=grid.ravel().tolist(), shrink=min(1.0, 3 / rows), aspect=25)
    bar.set_label("importance, as a share of the map's highest")
    style.title(figure, f"What drives the decisions of {result.run}: {_named(result)}")
    return figure


def _captions(result):
    return [
        f"image {number}: {CLASS_NAMES[code]}\n"
        f"predicted {CLASS_NAMES[answer.argmax()]} {answer.max():.2f}"
        for number, code, answer in zip(
            result.images, result.labels, result.probabilities, strict=True
        )
    ]


def _named(result):
    """Return which methods made the maps, and how far they are smoothed."""
    *others, last = result.maps
    titles = [registry.method(name).title for name in others]
    return ", ".join([*titles, registry.describe(last, result.smoothing)])


def _notes(result, name):
    if result.areas is None:
        return []
    return [
        f"deletion {less:.2f} ({random_less:.2f})\ninsertion {more:.2f} ({random_more:.2f})"
        for less, more, random_less, random_more in zip(
            *result.areas[name], *result.areas["random"], strict=True
        )
    ]
