"""What filters see: sheets of images with one tile a filter, faces beside them, and animations."""

import numpy as np
from PIL import Image

from common import runs
from common.figures import style

TILE = 0.78  # inches, width of a tile; 117 pixels of the file for 48 of the image
CAPTION = 0.13  # inches, height of a line below a tile
SMALL = 6  # points


def contact_sheet(tiles, captions, *, title, columns=None, signed=False):
    """Return a sheet of images, one tile a filter with its caption below; readable with 256.

    Args:
        tiles: (n, rows, columns), in [0, 1] unless `signed`.
        captions: n short texts.
        title: above the sheet.
        columns: how many tiles a row; by default about square.
        signed: draw each tile on its own scale with 0 in white, negative blue and positive red.
    """
    count = len(tiles)
    columns = min(count, columns or _columns(count))
    rows = -(-count // columns)
    width, height = max(columns * TILE, 4), rows * (TILE + CAPTION) + 0.5
    figure = style.new_figure(width, height)
    figure.suptitle(title, fontsize=9)
    grid = figure.subplots(rows, columns, squeeze=False)
    figure.get_layout_engine().set(w_pad=0.01, h_pad=0.01, wspace=0.02, hspace=0.02)
    for axes in grid.flat:
        axes.set_axis_off()
    for axes, tile, caption in zip(grid.flat, tiles, captions, strict=False):
        limit = max(np.abs(tile).max(), 1e-12) if signed else 1
        axes.imshow(tile, cmap="RdBu_r" if signed else "gray", vmin=-limit * signed, vmax=limit)
        axes.set_title(caption, fontsize=SMALL, y=-0.02, va="top", pad=0)
    return figure


