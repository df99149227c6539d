"""A hand over the mouth: how a map changes when what it points at is hidden."""

from dataclasses import dataclass

import numpy as np
from keras import Model
from numpy import ndarray
from scipy import special

from common.attribution import engine, maps, registry
from common.data import pixels
from common.labels import IMAGE_SIZE

# Pixels of a 48x48 face of FER-2013: four fingers across the mouth, one below the other.
TOP, FINGER, FINGERS = 30, 4, 4
LEFT, RIGHT = 9, 39
SKIN = np.s_[24:31, 14:34]  # nose and cheeks, whose brightness the hand takes
EDGE = 0.4  # of the brightness, that a finger loses towards its edge


@dataclass(frozen=True)
class Covered:
    """Faces without and with a hand over the mouth; pairs are arrays (2, n, ...) in that order."""

    run: str  # folder of the model
    method: str
    smoothing: float  # pixels
    images: list[int]  # numbers of the n images
    labels: ndarray  # (n,), the true classes
    classes: ndarray  # (n,), that the maps of both explain: the label without the hand
    faces: ndarray  # (2, n, 48, 48) in [0, 1]
    probabilities: ndarray  # (2, n, 7)
    importances: ndarray  # (2, n, 48, 48)
    hand: ndarray  # bool (48, 48), the pixels under it

    def shares(self) -> ndarray:
        """Return the share of each map's importance under the hand, (2, n), 0 of a blank map."""
        totals = self.importances.sum(axis=(2, 3))
        return self.importances[..., self.hand].sum(axis=-1) / np.where(totals > 0, totals, 1)

    def shown(self, which: int) -> ndarray:
        """Return the maps without (0) or with (1) the hand as they are drawn, each in [0, 1]."""
        return maps.normalised(self.importances[which])


def draw_hand(images: ndarray) -> tuple[ndarray, ndarray]:
    """Return images (n, 48, 48, 1) in [0, 1] with a hand over the mouth, and its pixels, bool."""
    rows, columns = np.mgrid[:IMAGE_SIZE, :IMAGE_SIZE] + 0.5
    place = (rows - TOP) / FINGER
    across = 2 * (place - np.floor(place)) - 1  # -1 at the upper edge of a finger, 1 at the lower
    short = 2.0 * (np.floor(place) % 3 == 0)  # first and last finger are shorter
    ends = np.minimum(columns - LEFT - short, RIGHT - short - columns) - across**2
    inside = (place >= 0) & (place < FINGERS)
    cover = np.where(inside, np.clip(ends + 0.5, 0, 1), 0)[..., np.newaxis]
    skin = np.median(images[:, *SKIN], axis=(1, 2), keepdims=True)
    shaded = skin * (1 - EDGE * across[..., np.newaxis] ** 4)
    covered = (1 - cover) * images + cover * shaded
    return covered.astype(np.float32), cover[..., 0] >= 0.5


def cover_mouths(
    model: Model,
    images: ndarray,
    labels: ndarray,
    options: engine.Options,
    *,
    run: str,
    method: str,
    numbers: list[int],
) -> Covered:
    """Return the maps of images, uint8 (n, 48, 48), without and with a hand over the mouth.

    Model and options are as `engine` says; `run` (folder of the model) and `numbers` (of the
    images) are noted in the result.
    """
    bare = pixels.to_inputs(images)
    covered, hand = draw_hand(bare)
    both = (bare, covered)
    probabilities = np.array(
        [special.softmax(engine.logits(model, inputs), axis=1) for inputs in both]
    )
    classes = probabilities[0].argmax(axis=1)
    attribute = registry.load(method).attribute
    importances = np.array(
        [
            maps.importance(method, attribute(model, inputs, classes, options), options.smoothing)
            for inputs in both
        ]
    )
    return Covered(
        run=run,
        method=method,
        smoothing=options.smoothing,
        images=list(numbers),
        labels=labels,
        classes=classes,
        faces=np.array(both)[..., 0],
        probabilities=probabilities,
        importances=importances,
        hand=hand,
    )
