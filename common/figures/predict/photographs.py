"""A photograph with the faces found in it, and what a model says about each."""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from common.figures import style
from common.labels import CLASS_NAMES

TITLE = "The faces in a photograph"
CAPTION = "Beside each face, as the model sees it, the probability of every expression."
MAX_FACES = 24  # drawn in one figure
FACES_HIGH = 4  # rows of faces beside the photograph
PHOTO_SIZE = (7.5, 4.4)  # inches: the greatest width, the least height
CELL_SIZE = (3.4, 1.5)  # inches of a face and its bars
MAX_SIDE = 1600  # pixels of the photograph as drawn
LONGEST = 100  # bytes of a name


@dataclass(frozen=True, eq=False)
class Photograph:
    """A photograph, its faces, and what a model says of them."""

    file: Path
    colours: np.ndarray  # uint8 (height, width, 3)
    frames: np.ndarray  # int (n, 4), left, top, width, height in pixels; at least one
    faces: np.ndarray  # uint8 (n, 48, 48)
    probabilities: np.ndarray  # (n, 7)
    model: str  # its name
    scale: int = 1  # of the file's pixels that make one of `colours`, along each axis

    @property
    def path(self) -> str:
        """The file as text; bytes that are none are escaped."""
        return os.fsencode(self.file).decode("utf-8", "backslashreplace")

    @property
    def stem(self) -> str:
        """The name of the file without its end, as any file system takes it."""
        stem = Path(self.path).stem.replace("\\", "_")
        return stem.encode()[:LONGEST].decode("utf-8", "ignore")


def rows(photo: Photograph) -> list[dict]:
    """Return a row of photos.csv for each face."""
    return [
        {
            "file": photo.path,
            "face": face,
            **dict(zip(("left", "top", "width", "height"), frame * photo.scale, strict=True)),
            **{name: f"{p:.6f}" for name, p in zip(CLASS_NAMES, row, strict=True)},
            "label": CLASS_NAMES[row.argmax()],
        }
        for face, (frame, row) in enumerate(
            zip(photo.frames, photo.probabilities, strict=True), start=1
        )
    ]


def sentences(photo: Photograph) -> list[str]:
    """Return the most probable label of each face."""
    return [
        f"{photo.path}, face {face}: {CLASS_NAMES[row.argmax()]} {row.max():.2f}"
        for face, row in enumerate(photo.probabilities, start=1)
    ]


def draw(photo: Photograph) -> Figure:
    """Return the photograph with a numbered frame around each face, and bars of probabilities.

    Beside the bars stands each face as the model sees it. Only the first `MAX_FACES` are drawn.
    """
    count = min(len(photo.frames), MAX_FACES)
    across = -(-count // FACES_HIGH)
    high = -(-count // across)
    height, width = photo.colours.shape[:2]
    tall = max(PHOTO_SIZE[1], high * CELL_SIZE[1])
    wide = min(max(tall * width / height, tall / 2), PHOTO_SIZE[0])
    beside = across * CELL_SIZE[0] if count > 1 else CELL_SIZE[0] / 1.4
    figure = style.new_figure(wide + beside, tall + 0.5)
    left, right = np.asarray(figure.subfigures(1, 2, width_ratios=[wide, beside]))
    labels = np.argmax(photo.probabilities, axis=1)

    axes = left.subplots()
    step = max(1, max(height, width) // MAX_SIDE)
    axes.imshow(photo.colours[::step, ::step], extent=(0, width, height, 0))
    axes.set_axis_off()
    for number, (frame, label) in enumerate(
        zip(photo.frames[:count], labels, strict=False), start=1
    ):
        _mark(axes, frame, number, list(style.CLASS_COLOURS.values())[label])

    # A single face stands above its bars, several stand beside theirs.
    if count == 1:
        cells = right.subplots(2, 1, height_ratios=[1.2, 1]).reshape(1, 2)
    else:
        cells = right.subplots(high, 2 * across, squeeze=False, width_ratios=[1, 1.25] * across)
    for axes in cells.flat:
        axes.set_axis_off()
    for index in range(count):
        row, column = index % high, index // high * 2
        style.show_face(cells[row, column], photo.faces[index], f"face {index + 1}")
        _bars(cells[row, column + 1], photo.probabilities[index])
    left_out = len(photo.frames) - count
    title = f"{Path(photo.path).name}, {photo.model}"
    title += f" ({left_out} more faces not shown)" if left_out else ""
    style.title(figure, title)
    return figure


def _mark(axes: Axes, frame: np.ndarray, number: int, colour: str) -> None:
    """Draw a frame with its number, readable on light and on dark."""
    x, y, width, height = frame
    for line, shade in ((4, "white"), (2, colour)):
        axes.add_patch(
            Rectangle((x, y), width, height, fill=False, linewidth=line, edgecolor=shade)
        )
    axes.annotate(
        str(number),
        (x, y),
        ha="center",
        va="center",
        color="white",
        fontweight="bold",
        bbox={"boxstyle": "round", "facecolor": colour, "edgecolor": "white"},
    )


def _bars(axes: Axes, probabilities: np.ndarray) -> None:
    """Draw seven probabilities as bars with their names; the most probable one in bold."""
    axes.set_axis_on()
    bars = axes.barh(CLASS_NAMES, probabilities, color=list(style.CLASS_COLOURS.values()))
    axes.bar_label(bars, [f"{value:.2f}" for value in probabilities], padding=2, fontsize=7)
    axes.set(xlim=(0, 1.2), xticks=[])
    axes.invert_yaxis()
    axes.tick_params(axis="y", length=0, labelsize=7)
    axes.spines["bottom"].set_visible(False)
    axes.get_yticklabels()[int(np.argmax(probabilities))].set_fontweight("bold")
