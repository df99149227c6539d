"""The images that excite the filters of a layer: the last snapshot of an `Ascent`."""

import numpy as np
from matplotlib.figure import Figure

from common.figures.filters import sheet

CAPTION = "Each picture grew from white noise; below it the filter's number and its final loss."
IDLE = 0.005  # a filter whose activation stays below this reads 0.00 under its image


def title(result) -> str:
    """Return the title on the page."""
    return f"What excites the filters of {result.layer}"


def draw(result) -> Figure:
    """Return a sheet with the image of each filter."""
    kind = "regularised" if result.regularised else "plain"
    return sheet.contact_sheet(
        result.images[-1],
        sheet.numbered(result.units, result.activations[-1]),
        title=f"{result.layer}: {kind} ascent, step {result.steps[-1]}\n"
        "filter: loss, the mean activation of the filter on its image",
    )


def arrays(result) -> dict[str, np.ndarray]:
    """Return the filters, their images and their losses."""
    return {"units": result.units, "images": result.images[-1], "losses": result.activations[-1]}


def sentences(result) -> list[str]:
    """Return by how much activations rose since the first snapshot, and how fine images are."""
    units, first, last = result.units, result.activations[0], result.activations[-1]
    rise = last - first
    idle = ", ".join(map(str, units[last < IDLE]))
    return [
        f"{result.layer}: by step {result.steps[-1]} the mean activation of the median filter "
        f"rose from {np.median(first):.2f} to {np.median(last):.2f}; filter "
        f"{units[rise.argmax()]} gained most ({rise.max():.2f}), filter "
        f"{units[rise.argmin()]} least ({rise.min():.2f}). Filters that nothing excites: "
        f"{idle or 'none'}.",
        f"{result.layer}: waves across an image that carry most power, median filter: "
        f"{np.median(result.frequencies):.0f}.",
    ]
