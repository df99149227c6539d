"""How far a model's confidence can be trusted: a reliability diagram."""

import numpy as np
from matplotlib.figure import Figure

from common import comparison, metrics
from common.figures import style

TITLE = "How far to trust the confidence"
CAPTION = "On the diagonal a confidence is right just as often as it says."


def sentences(result: comparison.Evaluation) -> list[str]:
    """Return the confidence and its calibration in one sentence."""
    error = result.summary[-1]["value"]
    return [
        f"The mean confidence is {result.confidences.mean():.3f}, the expected calibration error "
        f"{error:.3f}."
    ]


def draw(result: comparison.Evaluation) -> Figure:
    """Return accuracy against confidence, and below it how many rows have which confidence."""
    error, bins = result.calibration
    likelihood = metrics.negative_log_likelihood(result.probabilities, result.labels)
    figure = style.new_figure(6.4, 6.4)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    filled = bins["count"] > 0
    confidence, accuracy, low, high, count = (
        bins[name][filled] for name in ("confidence", "accuracy", "low", "high", "count")
    )
    width = 1 / len(filled)
    left = np.flatnonzero(filled) * width

    upper.bar(left, accuracy, width, align="edge", color="#d6e4f0", edgecolor="white")
    upper.plot([0, 1], [0, 1], color="#555555", linestyle="--", linewidth=1, label="calibrated")
    upper.errorbar(
        confidence,
        accuracy,
        yerr=np.maximum([accuracy - low, high - accuracy], 0),
        fmt="o",
        color=style.TRAINING,
        markersize=4,
        linewidth=1,
        label="accuracy at the mean confidence of a bin, 95 % interval",
    )
    upper.set(xlim=(0, 1), ylim=(0, 1), ylabel="accuracy", title=result.headline)
    upper.legend(loc="upper left")
    text = (
        f"mean confidence {result.confidences.mean():.3f}\n"
        f"expected calibration error {error:.3f}\n"
        f"negative log-likelihood {likelihood:.3f}"
    )
    upper.text(0.98, 0.03, text, transform=upper.transAxes, ha="right", va="bottom")

    lower.bar(left, count, width, align="edge", color="#888888", edgecolor="white")
    for x, number in zip(left, count, strict=True):
        lower.text(x + width / 2, number, f"{number:,}", ha="center", va="bottom", fontsize=6.5)
    lower.margins(y=0.18)
    lower.yaxis.set_major_formatter("{x:,.0f}")
    lower.set(xlabel="confidence (largest probability)", ylabel="faces")
    return figure
