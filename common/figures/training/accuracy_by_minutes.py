"""Validation accuracy by minutes of training."""

import numpy as np
from matplotlib.figure import Figure

from common.figures import style

TITLE = "Minutes of training to reach a validation accuracy"
CAPTION = "The solid line is the best so far."


def draw(histories: dict[str, list[dict]]) -> Figure:
    """Return a line for each run, of "minutes" and "validation_accuracy"."""
    figure = style.new_figure(6, 3.8)
    axes = figure.subplots()
    for (name, history), colour in style.coloured(histories.items()):
        minutes = [row["minutes"] for row in history]
        accuracy = [row["validation_accuracy"] for row in history]
        axes.plot(minutes, accuracy, color=colour, alpha=0.3)
        axes.plot(minutes, np.maximum.accumulate(accuracy), color=colour, label=name)
        axes.annotate(f"{max(accuracy):.3f}", (minutes[-1], max(accuracy)), fontsize=7)
    axes.set(xlabel="minutes of training", ylabel="validation accuracy")
    axes.legend(loc="lower right")
    return figure
