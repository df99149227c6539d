"""Accuracy against the size of the perturbation, and the smallest that is enough."""

import itertools

import numpy as np
from matplotlib.figure import Figure

from common.attacks.registry import ATTACKS
from common.figures import style
from common.labels import CLASS_NAMES, NUM_CLASSES

TITLE = "Accuracy against the size of the perturbation"
CAPTION = "Random noise of the same size stands beside the attacks."
COLUMNS = ()


def draw(result) -> Figure:
    """Return three panels of `robustness.Robustness`: all faces, by emotion, smallest sizes."""
    figure = style.new_figure(14, 4.2)
    overall, emotions, least = figure.subplots(1, 3, width_ratios=(1.1, 1.1, 1))
    setting, sizes, strongest = result.setting, result.sizes, result.strongest()
    curves, rounded = result.curves
    for name, (shares, error, _) in curves.items():
        title, colour = ATTACKS[name].title, ATTACKS[name].colour
        style.draw_shares(overall, sizes, shares, error, title, colour)
        overall.plot(sizes, rounded[name][0], "x:", color=colour, markersize=5)
    overall.plot([], [], "x:", color="black", label="rounded to 8 bits")
    overall.set_title("all faces (band: one standard error)")
    for code, emotion in enumerate(CLASS_NAMES):
        of_emotion, colour = curves[strongest][2][:, code], style.CLASS_COLOURS[emotion]
        emotions.plot(sizes, of_emotion, "o-", markersize=3.5, color=colour, label=emotion)
    emotions.set_title(f"by emotion under {ATTACKS[strongest].title}")
    unit = "255, " + ("largest pixel" if setting.budget.norm == "linf" else "root mean square")
    for axes in (overall, emotions):
        axes.set(
            xlabel=f"size of the perturbation / {unit}", ylabel=setting.aim, ylim=(-0.03, 1.03)
        )
        axes.set_xticks(sizes, [f"{size:g}" for size in sizes])
        axes.grid(alpha=0.25)
        axes.legend(fontsize=8)
    _draw_smallest(least, result.quartiles(), sizes[-1])
    least.set_title("median and quartiles, faces not there before")
    least.set_xlabel(
        f"smallest size that succeeds / {unit}\n(arrow: above {sizes[-1]:g}, the largest tried)"
    )
    style.title(
        figure,
        f"Robustness of {setting.model} to perturbations, {len(result.sample.labels)} validation "
        "faces",
    )
    return figure


def table(result) -> list[dict]:
    """Return a row for each attack, rounded to 8 bits or not, and size."""
    lines = []
    curves = result.curves
    for name, (in_8_bits, of) in itertools.product(
        curves[0], zip(("no", "yes"), curves, strict=True)
    ):
        for size, share, error, emotions in zip(result.sizes, *of[name], strict=True):
            line = {"attack": name, "in_8_bits": in_8_bits, "size_255": f"{size:g}"}
            line |= {"all": f"{share:.4f}", "standard_error": f"{error:.4f}"}
            lines.append(line | dict(zip(CLASS_NAMES, (f"{x:.4f}" for x in emotions), strict=True)))
    return lines


def arrays(result) -> dict[str, np.ndarray]:
    """Return sample, predictions and smallest sizes, image by image."""
    measured = result.measured
    return {
        "sizes": result.sizes,
        "numbers": result.sample.numbers,
        "labels": result.sample.labels,
        "weights": result.sample.weights,
        "vanished": measured.vanished,
        **{f"predictions_{name}": array for name, array in measured.predictions.items()},
        **{f"predictions_in_8_bits_{name}": array for name, array in measured.rounded.items()},
        **{f"smallest_{name}": array for name, array in result.smallest().items()},
    }


def sentences(result) -> list[str]:
    """Return the curves in numbers, median smallest sizes, and whether gradients vanished."""
    setting, sizes, quartiles = result.setting, result.sizes, result.quartiles()
    curves, rounded = result.curves
    lines = [
        f"{setting.aim.capitalize()} on {len(result.sample.labels)} validation faces, each emotion "
        "weighted by its share (with one standard error):"
    ]
    for place, size in enumerate(sizes):
        under = (
            f"{ATTACKS[name].title} {curves[name][0][place]:.2f} ± {curves[name][1][place]:.2f} "
            f"({rounded[name][0][place]:.2f} in 8 bits)"
            for name in curves
        )
        lines.append(f"  {size:g}/255: {', '.join(under)}.")
    above = f"above {sizes[-1]:g}/255"
    medians = (
        f"{ATTACKS[name].title} " + (f"{median:.2f}/255" if np.isfinite(median) else above)
        for name, ((_, median, _), *_) in quartiles.items()
    )
    lines.append(
        f"Median smallest perturbation that succeeds, where one is needed: {', '.join(medians)}."
    )
    strongest = result.strongest()
    medians = quartiles[strongest][1:, 1]
    order = [code for code in np.argsort(medians, kind="stable") if np.isfinite(medians[code])]
    withstand = [CLASS_NAMES[code] for code in np.flatnonzero(np.isinf(medians))]
    if order and len(order) + len(withstand) > 1:
        first, last = (
            f"{CLASS_NAMES[code]} (median {medians[code]:.2f}/255)"
            for code in (order[0], order[-1])
        )
        if withstand:
            last = f"{', '.join(withstand)} (median {above})"
        lines.append(
            f"{ATTACKS[strongest].title} needs the smallest perturbations for {first}, the largest "
            f"for {last}."
        )
    return [*lines, setting.describe_vanished(result.measured.vanished)]


def _draw_smallest(axes, quartiles, largest):
    """Draw median and quartiles of the smallest sizes by emotion and attack."""
    places = np.arange(NUM_CLASSES)
    of_emotions = {name: array[1:] for name, array in quartiles.items()}
    shifts = np.linspace(-0.25, 0.25, len(quartiles))
    for shift, (name, three) in zip(shifts, of_emotions.items(), strict=True):
        low, middle, high = three.T
        colour = ATTACKS[name].colour
        ends = np.where(np.isinf(high), largest, high)  # NaN for an emotion without images
        axes.hlines(places + shift, np.minimum(low, ends), ends, color=colour, alpha=0.6)
        beyond = np.where(np.isinf(high), largest, np.nan)
        axes.plot(beyond, places + shift, ">", color=colour, markersize=4, alpha=0.6)
        dots = np.where(np.isinf(middle), np.nan, middle)
        axes.plot(dots, places + shift, "o", color=colour, label=ATTACKS[name].title)
    axes.set_yticks(places, CLASS_NAMES)
    axes.invert_yaxis()
    found = np.concatenate(list(of_emotions.values()))
    if (np.isfinite(found) & (found > 0)).any():  # nothing else can be drawn on such an axis
        axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.grid(axis="x", alpha=0.25)
    axes.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))
