"""Loss and accuracy by epoch."""

import numpy as np

from common.figures import style


def learning_curves(history, *, title):
    """Return loss and accuracy by epoch, training and validation, with the best epoch marked.

    Args:
        history: rows of `history.csv`, one an epoch.
        title: above the figure.
    """
    figure = style.new_figure(9, 3.6)
    best = max(history, key=lambda row: row["validation_accuracy"])
    for axes, quantity in zip(figure.subplots(1, 2), ("loss", "accuracy"), strict=True):
        _curve(axes, history, quantity, "training", style.TRAINING)
        _curve(axes, history, f"validation_{quantity}", "validation", style.VALIDATION)
        axes.axvline(best["epoch"], color="#888888", linestyle=":", linewidth=1)
        axes.plot(
            best["epoch"],
            best[f"validation_{quantity}"],
            "o",
            color=style.VALIDATION,
            label=f"kept: epoch {best['epoch']}, {best[f'validation_{quantity}']:.3f}",
        )
        axes.set(xlabel="epoch", ylabel=quantity)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.legend()
    figure.suptitle(title)
    return figure


def compared_runs(histories, table):
    """Return several runs side by side: curves, accuracy with intervals, seconds and parameters.

    Args:
        histories: dictionary of name -> rows of `history.csv`.
        table: DataFrame of `comparison.table`, one row a name, in the same order.
    """
    figure = style.new_figure(10, 5.6)
    panels = figure.subplot_mosaic("LLLAAA\nBBSSPP", height_ratios=(2, 1.2))
    colours = dict(zip(histories, (style.TRAINING, style.VALIDATION, style.ACCENT), strict=False))
    for name, history in histories.items():
        for panel, quantity in (("L", "loss"), ("A", "accuracy")):
            axes, colour = panels[panel], colours[name]
            _curve(axes, history, f"validation_{quantity}", f"{name}, validation", colour)
            _curve(axes, history, quantity, f"{name}, training", colour, linestyle="--", alpha=0.6)
            axes.set(xlabel="epoch", ylabel=quantity)
            axes.legend()
    bars = (
        ("B", "validation accuracy", "{:.3f}"),
        ("S", "seconds an epoch", "{:.0f}"),
        ("P", "parameters", "{:,.0f}"),
    )
    for panel, column, form in bars:
        axes, values = panels[panel], table[column]
        drawn = axes.barh(table["model"], values, color=[colours[name] for name in table["model"]])
        if panel == "B":
            lengths = [values - table["95 % low"], table["95 % high"] - values]
            axes.errorbar(values, table["model"], xerr=lengths, fmt="none", ecolor="black")
        axes.bar_label(drawn, [form.format(value) for value in values], padding=14, fontsize=8)
        axes.set_xlim(0, 1.35 * max(values))
        axes.set_xlabel(column)
        axes.invert_yaxis()
    figure.suptitle(
        " and ".join(table["model"]) + f" on the same {table['n'].iloc[0]:,} validation rows"
    )
    return figure


def accuracy_by_minutes(histories):
    """Return validation accuracy by minutes of training, one line a run, the best so far solid.

    Args:
        histories: dictionary of name -> rows with "minutes" and "validation_accuracy".
    """
    figure = style.new_figure(6, 3.8)
    axes = figure.subplots()
    colours = (style.TRAINING, style.VALIDATION, style.ACCENT)
    for (name, history), colour in zip(histories.items(), colours, strict=False):
        minutes = [row["minutes"] for row in history]
        accuracy = [row["validation_accuracy"] for row in history]
        axes.plot(minutes, accuracy, color=colour, alpha=0.3)
        axes.plot(minutes, np.maximum.accumulate(accuracy), color=colour, label=name)
        axes.annotate(f"{max(accuracy):.3f}", (minutes[-1], max(accuracy)), fontsize=7)
    axes.set(xlabel="minutes of training", ylabel="validation accuracy")
    axes.legend(loc="lower right")
    return figure


def _curve(axes, history, quantity, label, colour, **options):
    axes.plot(
        [row["epoch"] for row in history],
        [row[quantity] for row in history],
        label=label,
        color=colour,
        **options,
    )
