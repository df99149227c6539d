"""Loss and accuracy by epoch, and what they say."""

from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from common.figures import style

TITLE = "Loss and accuracy by epoch"
CAPTION = "The dotted line marks the epoch that is kept."
RISE = 0.01  # of the validation loss that counts as one


@dataclass(frozen=True)
class TrainedRun:
    """A network that was trained and measured."""

    name: str  # of the network, as a title calls it
    history: list[dict]  # rows of `history.csv`, one an epoch
    metrics: dict[str, Any]  # what `metrics.json` holds

    @property
    def score(self) -> str:
        """The validation accuracy with its interval, for people."""
        if "accuracy" not in self.metrics:
            return f"{self.name}: {self.metrics['note']}, no validation score"
        low, high = self.metrics["interval_95"]
        return (
            f"{self.name}: validation accuracy {self.metrics['accuracy']:.3f} "
            f"[{low:.3f}, {high:.3f}], n = {self.metrics['n']:,}"
        )


def sentences(run: TrainedRun) -> list[str]:
    """Return what the curves of a run say."""
    history = run.history
    kept = history[run.metrics["best_epoch"] - 1]
    said = [
        f"{run.score}.",
        f"Epoch {kept['epoch']} of {len(history)} is kept; on the training images, as augmented "
        f"and with dropout on, {kept['accuracy']:.3f} of the answers are the class that was "
        "taught.",
        f"All epochs together took {sum(row['seconds'] for row in history) / 60:,.1f} minutes.",
    ]
    if "validation_loss" in history[0]:
        lowest = min(history, key=lambda row: row["validation_loss"])
        last = history[-1]["validation_loss"]
        risen = last > lowest["validation_loss"] + RISE
        end = "from there it rises, which is overfitting" if risen else "it does not rise again"
        said.insert(
            2,
            f"The validation loss is lowest at epoch {lowest['epoch']} "
            f"({lowest['validation_loss']:.3f}) and ends at {last:.3f}: {end}.",
        )
    if "pgd_accuracy" in kept:
        left = f"{kept['pgd_accuracy']:.3f}"
        said.append(
            f"At that epoch, of the attacked validation images {left} are recognised in spite of "
            "PGD."
        )
    return said


def draw(run: TrainedRun) -> Figure:
    """Return loss and accuracy, training and validation, with the epoch kept marked."""
    figure = style.new_figure(9, 3.6)
    best = run.history[run.metrics["best_epoch"] - 1]
    scored = "validation_accuracy" in best
    for axes, quantity in zip(figure.subplots(1, 2), ("loss", "accuracy"), strict=True):
        curve(axes, run.history, quantity, "training", style.TRAINING)
        shown = f"validation_{quantity}" if scored else quantity
        if scored:
            curve(axes, run.history, shown, "validation", style.VALIDATION)
        axes.axvline(best["epoch"], color="#888888", linestyle=":", linewidth=1)
        if quantity == "accuracy" and "pgd_accuracy" in best:
            curve(axes, run.history, "pgd_accuracy", "validation, under PGD", style.ACCENT)
        axes.plot(
            best["epoch"],
            best[shown],
            "o",
            color=style.VALIDATION if scored else style.TRAINING,
            label=f"kept: epoch {best['epoch']}, {best[shown]:.3f}",
        )
        axes.set(xlabel="epoch", ylabel=quantity)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.legend()
    style.title(figure, run.score)
    return figure


def curve(axes: Axes, history: list[dict], quantity: str, label: str, colour: str, **options: Any):
    """Draw one column of a history by epoch; options are Matplotlib's for a line."""
    epochs, values = zip(*((row["epoch"], row[quantity]) for row in history), strict=True)
    axes.plot(epochs, values, label=label, color=colour, **options)
