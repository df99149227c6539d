"""The look that all figures share, and how they are saved."""

import itertools
import textwrap
import warnings
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from common.labels import CLASS_NAMES
from common.runs import storage

DPI = 150
CHARACTER = 0.6  # of its size, the width of one on average
TITLE_SIZE = 10.8  # points
OVER_FACE = 0.8  # of a face is hidden where the map drawn over it is highest
LINE = 1.33  # of its size, the height of a line of text
SOURCE_SIZE = 6  # points; the line below a figure that says what made it

# Okabe and Ito's colours, told apart by colour-blind readers too; one for each class.
CLASS_COLOURS = dict(
    zip(
        CLASS_NAMES,
        ("#D55E00", "#009E73", "#CC79A7", "#E69F00", "#0072B2", "#56B4E9", "#666666"),
        strict=True,
    )
)
TRAINING, VALIDATION, ACCENT = "#0072B2", "#D55E00", "#009E73"
SERIES = (TRAINING, VALIDATION, ACCENT, "#CC79A7", "#E69F00")  # of several things alike

matplotlib.rcParams.update(
    {
        "font.size": 9,
        "axes.titlesize": 10,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": False,
        "legend.framealpha": 0.8,  # it may lie over a curve
        "legend.edgecolor": "none",
        "image.cmap": "gray",
        "savefig.dpi": DPI,
    }
)


def new_figure(width: float, height: float) -> Figure:
    """Return an empty Figure of that many inches whose parts make room for each other."""
    return Figure(figsize=(width, height), layout="constrained")


def title(figure: Figure, text: str, *, size: float = TITLE_SIZE, **options: Any) -> None:
    """Write the title of a Figure, which grows by the lines that its width asks for."""
    lines = [part for line in text.splitlines() for part in _wrapped(figure, line, size)]
    _make_room(figure, len(lines) - len(text.splitlines()), size)
    # A name may hold a $.
    figure.suptitle("\n".join(lines), fontsize=size, parse_math=False, **options)


def _wrapped(figure, text, size):
    """Return the lines of a text as wide as a figure."""
    return textwrap.wrap(text, int(72 * figure.get_figwidth() / (CHARACTER * size)))


def _make_room(figure, lines, size):
    """Make a figure higher by so many lines of a text."""
    figure.set_figheight(figure.get_figheight() + lines * LINE * size / 72)


def coloured(things: Iterable) -> Iterator[tuple[Any, str]]:
    """Return each of several things alike with a colour: of its own, as far as there are enough."""
    return zip(things, itertools.cycle(SERIES), strict=False)


def draw_shares(
    axes: Axes, places: np.ndarray, shares: np.ndarray, errors: np.ndarray, name: str, colour: str
) -> None:
    """Draw shares in [0, 1] as dots on a curve in a band of one standard error."""
    axes.plot(places, shares, "o-", color=colour, markersize=3.5, label=name)
    low, high = np.clip([shares - errors, shares + errors], 0, 1)
    axes.fill_between(places, low, high, color=colour, alpha=0.18, lw=0)


def show_face(axes: Axes, image: np.ndarray, title: str = "", *, size: float = 8) -> None:
    """Draw one grey image, uint8 or float in [0, 1], without axes."""
    axes.imshow(image, cmap="gray", vmin=0, vmax=255 if image.dtype.kind == "u" else 1)
    axes.set_axis_off()
    if title:
        axes.set_title(title, fontsize=size)


def name_row(axes: Axes, name: str, *, left: float = 0.08, **options: Any) -> None:
    """Write the name of a row of tiles at the left of its first; options are those of a text."""
    axes.text(-left, 0.5, name, transform=axes.transAxes, ha="right", va="center", **options)


def show_row(
    row: Sequence[Axes], name: str, images: np.ndarray, captions: Sequence[str] = ()
) -> None:
    """Draw grey images into a row of axes, with the row's name at its left."""
    name_row(row[0], name, fontsize=8)
    for axes, image, caption in zip(row, images, captions or [""] * len(row), strict=True):
        show_face(axes, image, caption)


def show_maps(
    row: Sequence[Axes],
    name: str,
    maps: np.ndarray,
    colours: str,
    low: float,
    high: float,
    *,
    faces: Sequence[np.ndarray] | np.ndarray = (),
) -> AxesImage:
    """Draw maps in colours into a row of axes with its name; return one for a colour bar.

    Where there are `faces`, grey ones in [0, 1] or uint8, each shines through as far as its map is
    low.
    """
    name_row(row[0], name, fontsize=8)
    for place, (axes, values) in enumerate(zip(row, maps, strict=True)):
        alpha = None
        if len(faces):
            show_face(axes, faces[place])
            alpha = OVER_FACE * np.sqrt(np.clip((values - low) / (high - low), 0, 1))
        drawn = axes.imshow(values, cmap=colours, vmin=low, vmax=high, alpha=alpha)
        axes.set_axis_off()
    return drawn


def save(figure: Figure, path: Path, *, source: str) -> None:
    """Write a Figure as PNG, atomically, with its source below it: run and command, one line."""
    source = source.encode("utf-8", "backslashreplace").decode()  # names that are no text
    lines = _wrapped(figure, source, SOURCE_SIZE)
    _make_room(figure, len(lines) - 1, SOURCE_SIZE)
    figure.supxlabel(
        "\n".join(lines),
        fontsize=SOURCE_SIZE,
        color="#888888",
        x=0.995,
        ha="right",
        parse_math=False,  # a command may hold a $
    )
    with storage.atomic_write(path) as temporary, warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # a name in another script
        figure.savefig(temporary, format="png", metadata={"Description": source})
