"""Faces and perturbations as small pictures with what a model reads in them."""

import numpy as np
from matplotlib.axes import Axes

from common.figures import style
from common.labels import CLASS_NAMES

RIGHT, WRONG = "#00734F", "#B33A00"  # the colours of a reading: the wanted class, another one
DISPLAY_QUANTILE = 0.995  # of the perturbations: one pixel must not flatten all others


def show_reading(
    axes: Axes, image: np.ndarray, probabilities: np.ndarray, wanted: int, before: str
) -> None:
    """Draw a face with the class it is read as, green where that is `wanted`, and how surely."""
    code = int(probabilities.argmax())
    style.show_face(axes, image, f"{before}{CLASS_NAMES[code]} {probabilities[code]:.2f}", size=8)
    axes.title.set_color(RIGHT if code == wanted else WRONG)


def reading(before: str, probabilities: np.ndarray) -> dict[str, str]:
    """Return the columns of a reading: class and confidence."""
    return {
        f"{before}read_as": CLASS_NAMES[probabilities.argmax()],
        f"{before}confidence": f"{probabilities.max():.4f}",
    }


def magnification(perturbations: np.ndarray) -> float:
    """Return the factor that makes all but a few of the largest fill the greys, or 0."""
    sizes = np.abs(perturbations)
    large = np.quantile(sizes, DISPLAY_QUANTILE) or sizes.max()
    return 0.5 / large if large > 0 else 0.0
