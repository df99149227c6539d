"""The faces that a model mistakes with the most confidence."""

from matplotlib.figure import Figure

from common import comparison
from common.figures.confusion import pages
from common.labels import CLASS_NAMES

TITLE = "The most confident mistakes"
CAPTION = "Above each face: true → predicted."


def draw(result: comparison.Evaluation) -> Figure:
    """Return a page of the most confident mistakes."""

    def caption(image):
        true, predicted = CLASS_NAMES[result.labels[image]], CLASS_NAMES[result.predictions[image]]
        return f"{true} → {predicted}\n{result.confidences[image]:.2f}, image {image}"

    title = (
        f"{result.name}: the most confident of {len(result.mistakes):,} mistakes (true → predicted)"
    )
    section = pages.section(result, "", result.mistakes, result.faces, caption)
    return pages.face_page([section], title=title)
