"""How images grew, as an animated GIF."""

from pathlib import Path

import numpy as np
from PIL import Image

from common.figures.filters import sheet
from common.runs import storage

FRAME, LAST_FRAME = 80, 1500  # milliseconds
GREYS = 32  # the eye tells no more of them apart in noise, and the file is half as large
LARGE = 64  # images up to which each is drawn at twice its size


def save(images: np.ndarray, path: Path, *, columns: int | None = None):
    """Write how a sheet of images, float (frames, n, 48, 48) in [0, 1], grew as an animated GIF.

    There are as many tiles in a row as in `sheet.contact_sheet` unless said otherwise.
    """
    _, count, size, _ = images.shape
    columns = columns or sheet.columns_for(count)
    rows, step, scale = -(-count // columns), size + 2, 2 if count <= LARGE else 1
    frames = []
    for tiles in images:
        pixels = np.full((rows * step, columns * step), 255, np.uint8)
        for number, tile in enumerate(tiles):
            row, column = divmod(number, columns)
            top, left = row * step + 1, column * step + 1
            greys = np.rint(tile * (GREYS - 1)) * (255 / (GREYS - 1))
            pixels[top : top + size, left : left + size] = np.rint(greys)
        frames.append(Image.fromarray(pixels.repeat(scale, axis=0).repeat(scale, axis=1)))
    with storage.atomic_write(path) as temporary:
        frames[0].save(
            temporary,
            format="GIF",
            save_all=True,
            append_images=frames[1:],
            duration=[FRAME] * (len(frames) - 1) + [LAST_FRAME],
            loop=0,
        )
