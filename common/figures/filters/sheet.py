"""Sheets of small images with captions, readable with 256 of them."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from common.figures import style

GAP = 0.06  # of a tile's width, between two tiles
TILE = 0.78  # inches, width of a tile and its gap: 110 pixels of the file for 48 of the image
SMALL = 6  # points, captions
LINE = 0.11  # inches, height of a line of captions
SIGNED = {"cmap": "RdBu_r", "vmin": -1, "vmax": 1}
GREY = {"cmap": "gray", "vmin": 0, "vmax": 1}


def contact_sheet(
    tiles: np.ndarray,
    captions: Sequence[str],
    *,
    title: str,
    columns: int | None = None,
    tile: float = TILE,
    signed: bool = False,
    reference: tuple[np.ndarray, str] | None = None,
) -> Figure:
    """Return a sheet of images, float (n, rows, columns) in [0, 1], each with its caption below.

    All captions have the same number of lines; a tile is so many inches wide. If `signed`, each
    tile is drawn on its own scale: 0 white, positive red, negative blue. A `reference` (image in
    [0, 1], caption) is a grey tile before the others.
    """
    drawn = [(image, caption, signed) for image, caption in zip(tiles, captions, strict=True)]
    if reference is not None:
        drawn.insert(0, (*reference, False))
    columns = columns or columns_for(len(drawn))
    rows = -(-len(drawn) // columns)
    lines = 1 + max(caption.count("\n") for _, caption, _ in drawn)
    figure, axes, down = canvas(columns, rows, tile=tile, lines=lines, title=title)
    for number, (image, caption, is_signed) in enumerate(drawn):
        row, column = divmod(number, columns)
        if is_signed:
            image = image / max(np.abs(image).max(), 1e-12)
        draw_tile(axes, image, column, row * down, **(SIGNED if is_signed else GREY))
        draw_caption(axes, caption, column, row * down + 1)
    return figure


def numbered(units: np.ndarray, values: np.ndarray) -> list[str]:
    """Return a caption for each filter: its number and a value of it."""
    rounded = np.round(values, 2) + 0.0  # so that -0.001 reads 0.00
    return [f"{unit}: {value:.2f}" for unit, value in zip(units, rounded, strict=True)]


def columns_for(count: int) -> int:
    """Return the tiles in a row of a sheet as wide as high or wider, with few places left empty."""
    square = int(np.ceil(count**0.5))
    return min(range(square, int(1.6 * square) + 1), key=lambda columns: -count % columns)


def canvas(
    columns: float, rows: int, *, tile: float, lines: int, title: str
) -> tuple[Figure, Axes, float]:
    """Return (figure, axes, height of a row in tiles): axes whose unit is the width of a tile."""
    down, inches = 1 + lines * LINE / tile, max(columns * tile, 4.5) + 0.1
    figure = style.new_figure(inches, rows * down * tile + 0.15 * len(title.splitlines()) + 0.25)
    style.title(figure, title, size=9)
    axes = figure.add_subplot()
    axes.set(xlim=(0, columns - GAP), ylim=(rows * down, 0), aspect="equal", autoscale_on=False)
    axes.set_axis_off()
    return figure, axes, down


def draw_tile(axes: Axes, image: np.ndarray, left: float, top: float, **colours):
    """Draw an image; its left and top in tiles, its colours `GREY` or `SIGNED`."""
    side = 1 - GAP
    extent = (left, left + side, top + side, top)
    axes.imshow(image, extent=extent, aspect="equal", interpolation="nearest", **colours)


def draw_caption(axes: Axes, text: str, left: float, top: float):
    """Write a caption below the tile that ends at `top`."""
    middle = left + (1 - GAP) / 2
    axes.text(middle, top - GAP / 2, text, fontsize=SMALL, ha="center", va="top", linespacing=1)
