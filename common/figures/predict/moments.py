"""The faces of a video at the moments when each expression was strongest."""

import numpy as np
from matplotlib.figure import Figure

from common.data.tracks import Footage
from common.figures import style
from common.figures.predict import timeline
from common.labels import CLASS_NAMES

TITLE = "The most expressive moments of a video"
CAPTION = (
    "For each face and expression the moment at which its smoothed probability was highest. Empty: "
    "it was never the most probable one."
)


def draw(footage: Footage) -> Figure:
    """Return a row a face, a column an expression."""
    shown = timeline.longest(footage)
    figure = style.new_figure(1.35 * len(CLASS_NAMES) + 0.8, 1.75 * len(shown) + 0.8)
    grid = figure.subplots(len(shown), len(CLASS_NAMES), squeeze=False)
    for row, track in zip(grid, shown, strict=True):
        style.name_row(row[0], f"face {track.number}", fontsize=8)
        for code, (axes, name) in enumerate(zip(row, CLASS_NAMES, strict=True)):
            axes.set_axis_off()
            moment = track.moments.get(code)
            axes.set_title(name if moment is None else _caption(name, moment), fontsize=8)
            if moment is not None:
                axes.imshow(moment.crop)
            else:
                axes.imshow(np.full((1, 1, 3), 244, np.uint8))
    style.title(figure, f"{footage.name}, {footage.model}{timeline.left_out(footage)}")
    return figure


def _caption(name, moment):
    return f"{name} {moment.probability:.2f}\n{moment.seconds:.1f} s"
