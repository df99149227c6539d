"""What two models get right on the same rows, and the faces that only one recognises."""

from matplotlib.figure import Figure

from common import comparison
from common.figures.confusion import pages
from common.labels import CLASS_NAMES

TITLE = "The faces that only one of two models recognises"
CAPTION = "Above each face what the one model says, then what the other says."
COLUMNS = ()


def table(result: comparison.PairedEvaluation) -> list[dict]:
    """Return the paired comparison, over all rows and class by class."""
    other = result.other.predictions
    return comparison.paired_table(result.labels, result.predictions, other)


def sentences(result: comparison.PairedEvaluation) -> list[str]:
    """Return what the table says, in three sentences."""
    return comparison.paired_sentences(
        result.name, result.other.name, table(result), what=result.what
    )


def draw(result: comparison.PairedEvaluation) -> Figure:
    """Return a page of faces that only the one, then only the other model has right."""
    models = result, result.other

    def caption(image):
        answers = (
            f"{CLASS_NAMES[model.predictions[image]]} {model.confidences[image]:.2f}"
            for model in models
        )
        return "\n".join([*answers, f"image {image}"])

    sections = [
        pages.section(
            result,
            f"only {model.name} is right: {len(order):,} faces",
            order,
            result.faces,
            caption,
        )
        for model, order in zip(models, result.differences, strict=True)
    ]
    title = f"Above each face what {result.name} says, then what {result.other.name} says"
    return pages.face_page(sections, title=title)
