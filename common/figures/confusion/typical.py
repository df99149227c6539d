"""The faces of each class that a model recognises with the most confidence."""

import numpy as np
from matplotlib.figure import Figure

from common import comparison
from common.figures.confusion import pages
from common.labels import CLASS_NAMES

TITLE = "The faces recognised with the highest confidence"
CAPTION = "Class by class."


def draw(result: comparison.Evaluation) -> Figure:
    """Return a page with a row of faces for each class that is shown."""
    hits, counts = result.hits, result.counts
    sections = [
        pages.section(
            result,
            f"{CLASS_NAMES[code]}: {counts[code, code]:,} of {counts[code].sum():,} right",
            hits[result.labels[hits] == code],
            pages.COLUMNS,
            lambda image: f"{result.confidences[image]:.2f}, image {image}",
        )
        for code in np.intersect1d(result.labels, result.classes)
    ]
    title = f"{result.name}: the faces recognised with the highest confidence"
    return pages.face_page(sections, title=title)
