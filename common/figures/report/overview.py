"""Finished figures side by side on one sheet."""

from pathlib import Path

import matplotlib.image
from matplotlib.figure import Figure

MARGIN = 0.02  # between pictures, in widths of the sheet


def sheet(rows: list[list[Path]], *, width: float = 12) -> Figure:
    """Return PNG files in rows that are all equally wide, `width` inches, each in its shape."""
    pictures = [[matplotlib.image.imread(path) for path in row] for row in rows]
    shapes = [[image.shape[1] / image.shape[0] for image in row] for row in pictures]
    room = [1 - MARGIN * (len(row) + 1) for row in rows]
    heights = [part / sum(shape) for part, shape in zip(room, shapes, strict=True)]
    total = sum(heights) + MARGIN * (len(rows) + 1)  # in widths of the sheet
    figure = Figure(figsize=(width, width * total))
    top = total
    for images, ratios, height in zip(pictures, shapes, heights, strict=True):
        top -= MARGIN + height
        left = MARGIN
        for image, ratio in zip(images, ratios, strict=True):
            axes = figure.add_axes((left, top / total, ratio * height, height / total))
            axes.imshow(image, aspect="auto", interpolation="antialiased")
            axes.set_axis_off()
            left += ratio * height + MARGIN
    return figure
