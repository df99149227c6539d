"""The images that excite the logit of each emotion the most."""

from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from common.figures.filters import sheet
from common.labels import CLASS_NAMES

TITLE = "The image that excites each expression most (bonus 2.2)"
CAPTION = "Ascent on the logits, each row from another noise."
TILE = 1.3  # inches


@dataclass(frozen=True, eq=False)
class ClassImages:
    """Images made for classes, the same classes again for each noise."""

    columns: int  # classes of each noise
    classes: np.ndarray  # int64 (n,), code of the class of each image
    images: np.ndarray  # float32 (n, 48, 48) in [0, 1]
    logits: np.ndarray  # float32 (n,), of that class
    probabilities: np.ndarray  # float32 (n, 7), of all


def draw(result: ClassImages) -> Figure:
    """Return a sheet with a column for each class and a row for each noise."""
    confidences = result.probabilities[np.arange(len(result.classes)), result.classes]
    return sheet.contact_sheet(
        result.images,
        [
            f"{CLASS_NAMES[code]} {confidence:.1%}\nlogit {logit:.1f}"
            for code, confidence, logit in zip(
                result.classes, confidences, result.logits, strict=True
            )
        ],
        title="What excites each emotion's logit most, and the model's confidence in it\n"
        "each row from another noise",
        columns=result.columns,
        tile=TILE,
    )


def arrays(result: ClassImages) -> dict[str, np.ndarray]:
    """Return the classes, their images, and the model's answers."""
    return {name: value for name, value in vars(result).items() if name != "columns"}


def sentences(result: ClassImages) -> list[str]:
    """Return how sure the model is of each class, and how alike the images of one class are."""
    said = []
    for code in result.classes[: result.columns]:
        own = result.classes == code
        confidences = result.probabilities[own, code]
        first, second = result.probabilities[own].mean(axis=0).argsort()[:-3:-1]
        said.append(
            f"{CLASS_NAMES[code]}: confidence {confidences.min():.1%} to {confidences.max():.1%}, "
            f"mean logit {result.logits[own].mean():.1f}; the likeliest other emotion is "
            f"{CLASS_NAMES[second if first == code else first]}."
        )
    likeness = np.corrcoef(result.images.reshape(len(result.images), -1))
    different = result.classes[:, np.newaxis] != result.classes
    same = ~different & ~np.eye(len(different), dtype=bool)
    if same.any() and different.any():
        said.append(
            f"Images of one class from different noise correlate {likeness[same].mean():.2f}, "
            f"images of different classes {likeness[different].mean():.2f}."
        )
    return said
