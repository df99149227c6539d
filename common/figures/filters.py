"""What filters see: sheets of images with one tile a filter, faces beside them, and animations."""

import numpy as np
from PIL import Image

from common.figures import style
from common.runs import storage

GAP = 0.06  # of a tile's width, between two tiles
TILE = 0.78  # inches, width of a tile and its gap: 110 pixels of the file for 48 of the image
SMALL = 6  # points, captions
LINE = 0.11  # inches, height of a line of captions
HOLD = 1500  # milliseconds that an animation rests on its last frame
SIGNED = {"cmap": "RdBu_r", "vmin": -1, "vmax": 1}
GREY = {"cmap": "gray", "vmin": 0, "vmax": 1}


def contact_sheet(tiles, captions, *, title, columns=None, tile=TILE, signed=False, reference=None):
    """Return a sheet of images, one tile a filter with its caption below; readable with 256.

    Args:
        tiles: float (n, rows, columns), in [0, 1] unless `signed`.
        captions: n short texts, all of the same number of lines.
        title: above the sheet.
        columns: tiles in a row; by default a sheet that is a little wider than high.
        tile: inches, width of a tile.
        signed: draw each tile on its own scale: 0 white, positive red, negative blue.
        reference: (image in [0, 1], caption), a grey tile before the others.
    """
    drawn = [(image, caption, signed) for image, caption in zip(tiles, captions, strict=True)]
    if reference is not None:
        drawn.insert(0, (*reference, False))
    columns = columns or _columns(len(drawn))
    rows = -(-len(drawn) // columns)
    lines = 1 + max(caption.count("\n") for _, caption, _ in drawn)
    figure, axes, down = _canvas(columns, rows, tile=tile, lines=lines, title=title)
    for number, (image, caption, is_signed) in enumerate(drawn):
        row, column = divmod(number, columns)
        if is_signed:
            image = image / max(np.abs(image).max(), 1e-12)
        _draw(axes, image, column, row * down, **(SIGNED if is_signed else GREY))
        _caption(axes, caption, column, row * down + 1)
    return figure


def numbered(units, values):
    """Return a caption for each filter: its number and a value of it."""
    rounded = np.round(values, 2) + 0.0  # so that -0.001 reads 0.00
    return [f"{unit}: {value:.2f}" for unit, value in zip(units, rounded, strict=True)]


def top_faces(pictures, faces, marks, captions, *, title):
    """Return for each filter its picture and, to its right, the faces that excite it the most.

    Args:
        pictures: float (n, 48, 48) in [0, 1], made by ascent.
        faces: (n, k, 48, 48) in [0, 1], the strongest first.
        marks: float (n, k, 2), row and column of the face, 0 to 1, where a ring is drawn.
        captions: n short texts.
        title: above the figure.
    """
    count, shown = faces.shape[:2]
    width = shown + 1.5  # the picture, the faces, and a gap to the next block
    blocks = max(1, min(count, round((1.6 * count / width) ** 0.5)))  # wider than high
    rows = -(-count // blocks)
    figure, axes, down = _canvas(blocks * width - 0.5, rows, tile=TILE * 0.7, lines=1, title=title)
    for number in range(count):
        block, row = divmod(number, rows)
        left, top = block * width, row * down
        _draw(axes, pictures[number], left, top, **GREY)
        _caption(axes, captions[number], left, top + 1)
        for place in range(shown):
            _draw(axes, faces[number, place], left + place + 1, top, **GREY)
        side = 1 - GAP
        axes.plot(
            left + 1 + np.arange(shown) + side * marks[number, :, 1],
            top + side * marks[number, :, 0],
            "o",
            markersize=6,
            markerfacecolor="none",
            markeredgecolor=style.VALIDATION,
            markeredgewidth=0.8,
        )
    return figure


def save_animation(images, path, *, columns=None, milliseconds=80):
    """Write how a sheet of images grew as an animated GIF, atomically.

    Args:
        images: float (frames, n, 48, 48) in [0, 1].
        path: ends in `.gif`.
        columns: tiles in a row; by default as in `contact_sheet`.
        milliseconds: of a frame.
    """
    _, count, size, _ = images.shape
    columns = columns or _columns(count)
    rows, step, scale = -(-count // columns), size + 2, 2 if count <= 64 else 1
    frames = []
    for tiles in images:
        sheet = np.full((rows * step, columns * step), 255, np.uint8)
        for number, tile in enumerate(tiles):
            row, column = divmod(number, columns)
            top, left = row * step + 1, column * step + 1
            sheet[top : top + size, left : left + size] = np.rint(tile * 255)
        frames.append(Image.fromarray(sheet.repeat(scale, axis=0).repeat(scale, axis=1)))
    durations = [milliseconds] * (len(frames) - 1) + [HOLD]
    with storage.atomic_write(path) as temporary:
        frames[0].save(
            temporary,
            format="GIF",
            save_all=True,
            append_images=frames[1:],
            duration=durations,
            loop=0,
        )


def _columns(count):
    """Return the tiles in a row of a sheet as wide as high or wider, with few places left empty."""
    square = int(np.ceil(count**0.5))
    return min(range(square, int(1.6 * square) + 1), key=lambda columns: -count % columns)


def _canvas(columns, rows, *, tile, lines, title):
    """Return (figure, axes, height of a row in tiles): axes whose unit is the width of a tile."""
    down = 1 + lines * LINE / tile
    figure = style.new_figure(max(columns * tile, 4.5) + 0.1, rows * down * tile + 0.55)
    figure.suptitle(title, fontsize=9)
    axes = figure.add_subplot()
    axes.set(xlim=(0, columns - GAP), ylim=(rows * down, 0), aspect="equal", autoscale_on=False)
    axes.set_axis_off()
    return figure, axes, down


def _draw(axes, image, left, top, **colours):
    side = 1 - GAP
    extent = (left, left + side, top + side, top)
    axes.imshow(image, extent=extent, aspect="equal", interpolation="nearest", **colours)


def _caption(axes, text, left, top):
    middle = left + (1 - GAP) / 2
    axes.text(middle, top - GAP / 2, text, fontsize=SMALL, ha="center", va="top", linespacing=1)
