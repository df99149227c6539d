"""What maps show: importance, masked images, means over many faces, shares of the face's regions.

Two kinds of map need telling apart (`importance` does). A *sensitivity* says how much a pixel
could change the logit: its size matters. A *contribution* says how much it did add: what is
negative speaks against the class.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy import ndimage
from tqdm import tqdm

from common.attribution import registry
from common.data import pixels
from common.labels import CLASS_NAMES, NUM_CLASSES

# Rows of a 48x48 face of FER-2013, where the average face has these features.
REGIONS = {"forehead": (0, 11), "brows and eyes": (11, 24), "nose": (24, 32), "mouth": (32, 44)}


def importance(name: str, maps: np.ndarray, smoothing: float = 0) -> np.ndarray:
    """Return how much each pixel matters by the maps of a method, (n, h, w), never negative.

    Of a sensitivity the size is taken, of a contribution what speaks for the class. That is
    averaged over its surroundings with a Gaussian of `smoothing` pixels of deviation: a single
    pixel decides nothing, features such as an eye do, and maps are more faithful at their scale.
    """
    sizes = np.maximum(maps, 0) if registry.method(name).contribution else np.abs(maps)
    if not smoothing:
        return sizes
    return ndimage.gaussian_filter(sizes, (0, smoothing, smoothing), mode="nearest")


def normalised(maps: np.ndarray, *, percentile: float = 100.0) -> np.ndarray:
    """Return each map divided by its maximum, in [0, 1]; an all-zero map stays zero.

    Maps are (n, h, w), never negative. Below 100, `percentile` stands for the maximum and what is
    above is clipped, so that one pixel cannot darken the rest; where it is 0 the maximum is taken.
    """
    highest = np.max(maps, axis=(1, 2), keepdims=True)
    scale = np.percentile(maps, percentile, axis=(1, 2), keepdims=True)
    scale = np.where(scale > 0, scale, highest)
    scale = np.where(scale > 0, scale, 1)
    return np.minimum(maps, scale) / scale


def mask_unimportant(
    images: np.ndarray, importances: np.ndarray, *, keep: float = 0.3
) -> np.ndarray:
    """Return the images, float32 (n, h, w), with unimportant pixels replaced by their mean.

    The share `keep` of the pixels, above 0 and at most 1, is kept, but none without `importance`.
    """
    if not 0 < keep <= 1:
        raise ValueError(f"expected a share of pixels above 0 and at most 1, found {keep}")
    images = np.asarray(images, np.float32).reshape(np.shape(importances))
    threshold = np.quantile(importances, 1 - keep, axis=(1, 2), keepdims=True)
    kept = (importances >= threshold) & (importances > 0)
    return np.where(kept, images, images.mean(axis=(1, 2), keepdims=True))


def zero_share(maps: np.ndarray) -> float:
    """Return the share of maps that are zero everywhere, 0 where there are no maps."""
    return float(np.mean(~np.any(maps, axis=(1, 2)))) if len(maps) else 0.0


def mean_map(importances: np.ndarray) -> np.ndarray:
    """Return the mean of maps after each is scaled to the sum 1, so that every face counts alike.

    The sum of the mean is 1, or 0 when all maps are zero; all-zero maps are left out.
    """
    totals = importances.sum(axis=(1, 2), dtype=np.float64)
    if not totals.any():
        return np.zeros(importances.shape[1:])
    return np.mean(importances[totals > 0] / totals[totals > 0, np.newaxis, np.newaxis], axis=0)


def region_shares(importance_map: np.ndarray) -> dict[str, tuple[float, float]]:
    """Return {region: (share of the importance, share of the area)} of one map (h, w).

    The shares of an all-zero map are 0.
    """
    total = importance_map.sum() or 1.0
    return {
        name: (
            float(importance_map[top:bottom].sum() / total),
            (bottom - top) / len(importance_map),
        )
        for name, (top, bottom) in REGIONS.items()
    }


@dataclass(frozen=True)
class MeanMaps:
    """Where a model looks for each emotion."""

    run: str  # folder of the model
    method: str
    counts: list[int]  # images of each emotion
    mean_faces: np.ndarray  # (7, h, w) in [0, 1]
    maps: np.ndarray  # (7, h, w), of `mean_map`
    blank: float = 0.0  # share of all maps that are zero everywhere
    smoothing: float = 0.0  # pixels, of each map
    regions: dict[str, tuple[int, int]] = field(default_factory=REGIONS.copy)

    def shares(self) -> dict[str, dict[str, tuple[float, float]]]:
        """Return for each emotion, by name, the `region_shares` of its mean map."""
        return {name: region_shares(one) for name, one in zip(CLASS_NAMES, self.maps, strict=True)}

    def overall_shares(self) -> dict[str, tuple[float, float]]:
        """Return the `region_shares` of the mean of all emotions."""
        return region_shares(self.maps.mean(axis=0))


def mean_maps(
    model: Any,
    images: np.ndarray,
    labels: np.ndarray,
    options: Any,
    *,
    run: str,
    method: str,
    faces_per_class: int,
) -> MeanMaps:
    """Return the mean map of each emotion over its first `faces_per_class` images.

    The images are uint8 (n, 48, 48); their labels, of which none of the seven may be missing, are
    the classes explained. Model and options are as `engine` says; `run` is the model's folder.
    """
    attribute = registry.load(method).attribute
    counts, mean_faces, means, blank = [], [], [], 0.0
    for code in tqdm(range(NUM_CLASSES), desc="mean maps", unit=" emotions", delay=2, disable=None):
        chosen = np.flatnonzero(labels == code)[:faces_per_class]
        inputs = pixels.to_inputs(images[chosen])
        maps = attribute(model, inputs, labels[chosen], options)
        counts.append(len(chosen))
        mean_faces.append(inputs.mean(axis=0)[..., 0])
        means.append(mean_map(importance(method, maps, options.smoothing)))
        blank += zero_share(maps) * len(chosen)
    return MeanMaps(
        run,
        method,
        counts,
        np.array(mean_faces),
        np.array(means),
        blank=blank / sum(counts),
        smoothing=options.smoothing,
    )
