"""Pages of faces with a caption each, no picture twice."""

from collections.abc import Callable

import numpy as np
from matplotlib.figure import Figure

from common import comparison
from common.figures import style
from common.labels import IMAGE_SHAPE, IMAGE_SIZE

COLUMNS = 10  # faces in a row of a page
FACE, LINE, HEADING = 1.0, 0.13, 0.3  # inches: a face, a line of its caption, a heading
SAME_PICTURE = 0.9  # 4,000 random pairs of FER-2013 stay below 0.8

Section = tuple[str, np.ndarray, list[str]]  # heading, uint8 (k, 48, 48), k captions


def section(
    result: comparison.Evaluation,
    heading: str,
    order: np.ndarray,
    count: int,
    caption: Callable[[int], str],
) -> Section:
    """Return the first `count` different faces of an order (positions), as a section of a page."""
    chosen = distinct(result.images, order, count)
    return heading, result.images[chosen], [caption(position) for position in chosen]


def distinct(images: np.ndarray, order: np.ndarray, count: int) -> np.ndarray:
    """Return the first `count` of `order` (positions in `images`) that show different pictures.

    FER-2013 holds many pictures more than once, cropped or compressed in another way: two that
    correlate at some shift by more than `SAME_PICTURE` count as one.
    """
    chosen: list[int] = []
    spectra = np.empty((0, IMAGE_SIZE, IMAGE_SIZE // 2 + 1), complex)
    for position in order:
        if len(chosen) == count:
            break
        centred = images[position] - images[position].mean()
        spectrum = np.fft.rfft2(centred / max(np.linalg.norm(centred), 1))
        # The product of spectra is the correlation at every (circular) shift.
        correlations = np.fft.irfft2(spectrum.conj() * spectra, s=IMAGE_SHAPE)
        if correlations.max(initial=0) <= SAME_PICTURE:
            chosen.append(position)
            spectra = np.concatenate([spectra, spectrum[np.newaxis]])
    return np.array(chosen, int)


def face_page(sections: list[Section], *, title: str, columns: int = COLUMNS) -> Figure:
    """Return a page of faces in sections; one without faces shows its heading alone."""
    rows = [-(-len(images) // columns) for _, images, _ in sections]
    heights = [
        number * (FACE + LINE * len("".join(captions[:1]).splitlines())) + HEADING
        for number, (_, _, captions) in zip(rows, sections, strict=True)
    ]
    figure = style.new_figure(columns * FACE, sum(heights) + 2 * HEADING)
    style.title(figure, title, size=11)
    parts = figure.subfigures(len(sections), 1, height_ratios=heights, squeeze=False)[:, 0]
    for part, number, (heading, images, captions) in zip(parts, rows, sections, strict=True):
        part.suptitle(heading, x=0.005, ha="left", fontsize=9, fontweight="bold")
        panels = part.subplots(max(number, 1), columns, squeeze=False).ravel()
        for axes in panels[len(images) :]:
            axes.set_axis_off()
        for axes, image, caption in zip(panels, images, captions, strict=False):
            style.show_face(axes, image, caption, size=6.5)
    return figure
