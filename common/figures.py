"""Every Matplotlib line of the project: each function draws and returns a Figure."""

import matplotlib

matplotlib.use("Agg")

from matplotlib.figure import Figure  # noqa: E402


def learning_curves(history, *, title):
    """Return loss and accuracy by epoch, training and validation, with the best epoch marked.

    Args:
        history: list of rows of `history.csv`.
        title: above the figure.
    """
    figure = Figure(figsize=(10, 4), layout="constrained")
    epochs = [row["epoch"] for row in history]
    best = max(history, key=lambda row: row["validation_accuracy"])
    for axes, quantity in zip(figure.subplots(1, 2), ("loss", "accuracy"), strict=True):
        axes.plot(epochs, [row[quantity] for row in history], label="training")
        axes.plot(epochs, [row[f"validation_{quantity}"] for row in history], label="validation")
        axes.axvline(best["epoch"], color="grey", linestyle=":", label=f"best: {best['epoch']}")
        axes.set(xlabel="epoch", ylabel=quantity)
        axes.legend()
    figure.suptitle(title)
    return figure
