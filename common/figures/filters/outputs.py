"""What the filters of a layer put out for one image."""

from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from common.figures.filters import sheet
from common.labels import CLASS_NAMES

CAPTION = "One tile a filter, for one held-out image; red is above zero, blue below."


@dataclass(frozen=True, eq=False)
class Outputs:
    """What filters of a layer put out for a validation image."""

    layer: str
    number: int  # of the image
    label: int  # code of its class
    image: np.ndarray  # float32 (48, 48) in [0, 1]
    units: np.ndarray  # int64 (n,), which filters
    maps: np.ndarray  # float32 (n, rows, columns)


def title(result: Outputs) -> str:
    """Return the title on the page."""
    return f"What {result.layer} puts out"


def draw(result: Outputs) -> Figure:
    """Return a sheet with the image and the map of each filter."""
    return sheet.contact_sheet(
        result.maps,
        sheet.numbered(result.units, np.abs(result.maps).max(axis=(1, 2))),
        title=f"What {result.layer} puts out for validation image {result.number} "
        f"({CLASS_NAMES[result.label]})\n"
        "filter: largest absolute output; red above 0, blue below, each on its own scale",
        signed=True,
        reference=(result.image, f"image {result.number}"),
    )


def arrays(result: Outputs) -> dict[str, np.ndarray]:
    """Return the image, the filters and their maps."""
    return {"image": result.image, "units": result.units, "maps": result.maps}


def sentences(result: Outputs) -> list[str]:
    """Return how many outputs and filters are active, and which filter most."""
    maps = result.maps
    means = maps.mean(axis=(1, 2))
    return [
        f"{result.layer} on image {result.number} ({CLASS_NAMES[result.label]}): "
        f"{np.mean(maps > 0):.0%} of the outputs are above 0; "
        f"{np.sum(maps.max(axis=(1, 2)) <= 0)} of {len(maps)} filters stay below it; filter "
        f"{result.units[means.argmax()]} answers most (mean {means.max():.2f})."
    ]
