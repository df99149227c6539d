"""Adversarial images, and how models bear them."""

import numpy as np

from common.figures import style
from common.labels import CLASS_NAMES, NUM_CLASSES

RIGHT, WRONG = "#00734F", "#B33A00"  # the colours of a reading: the true class, another one
NAMES = {"fgsm": "FGSM", "pgd": "PGD", "deepfool": "DeepFool", "noise": "random noise"}
COLOURS = {"fgsm": "#E69F00", "pgd": "#D55E00", "deepfool": "#CC79A7", "noise": "#888888"}
TILE = 1.45  # inches
DISPLAY_QUANTILE = 0.995  # of the changes: one pixel must not flatten all others


def examples(numbers, labels, images, probabilities, attacked, readings, sizes, *, title):
    """Return a row for each image: original, and for each attack its change and its result.

    Args:
        numbers: (n,) of the validation images.
        labels: (n,) true classes.
        images: float (n, 48, 48) in [0, 1].
        probabilities: (n, 7) of the originals.
        attacked: dictionary of attack -> float (n, 48, 48).
        readings: dictionary of attack -> (n, 7) probabilities of the attacked images.
        sizes: dictionary of attack -> (n,) of the changes in grey levels of 255.
        title: above the figure.
    """
    columns = 1 + 2 * len(attacked)
    figure = style.new_figure(TILE * columns, TILE * 1.22 * len(images) + 0.7)
    grid = figure.subplots(len(images), columns, squeeze=False)
    for row, (number, label) in enumerate(zip(numbers, labels, strict=True)):
        name = CLASS_NAMES[label]
        _read(grid[row, 0], images[row], probabilities[row], label, f"{number}: {name}\nread as ")
        for place, (attack, result) in enumerate(attacked.items()):
            left, right = grid[row, 1 + 2 * place : 3 + 2 * place]
            change, size = result[row] - images[row], sizes[attack][row]
            factor = _magnified(change)
            style.show_face(left, 0.5 + factor * change)
            note = f"{size:.2g}/255, x {factor:,.0f}" if size else "no change"
            left.set_title(f"{NAMES[attack]}\n{note}", fontsize=8)
            _read(right, result[row], readings[attack][row], label, "read as\n")
    figure.suptitle(f"{title}\ngreen: read right, red: misread; changes are magnified (x)")
    return figure


def targets(images, originals, probabilities, labels, *, title):
    """Return two sheets: faces of each class (rows) turned into each other, and their changes.

    Args:
        images: float (r, 7, 48, 48) in [0, 1]: a face of each of r classes made to be read as each
            class; itself in its own column.
        originals: float (r, 48, 48).
        probabilities: (r, 7, 7) that the model gives the images.
        labels: (r,) classes of the rows.
        title: above the figure.
    """
    rows = len(labels)
    changes = images - originals[:, np.newaxis]
    factor = _magnified(changes)
    figure = style.new_figure(15, 1.13 * rows + 0.9)
    left, right = figure.subfigures(1, 2, wspace=0.02)
    left.suptitle("what the model reads (green: the target)", fontsize=10)
    right.suptitle(f"the changes, magnified x {factor:,.0f}", fontsize=10)
    faces, marks = (half.subplots(rows, NUM_CLASSES, squeeze=False) for half in (left, right))
    for (row, column), axes in np.ndenumerate(faces):
        head = f"to {CLASS_NAMES[column]}\n" if row == 0 else ""
        mark = marks[row, column]
        style.show_face(mark, 0.5 + factor * changes[row, column], head, size=8)
        if column == labels[row]:
            confidence = probabilities[row, column, column]
            style.show_face(axes, images[row, column], f"{head}unchanged {confidence:.2f}", size=8)
        else:
            _read(axes, images[row, column], probabilities[row, column], column, head)
        if column == 0:
            for tile in (axes, mark):
                _name_row(tile, CLASS_NAMES[labels[row]])
    figure.suptitle(title)
    return figure


def robustness(sizes, curves, rounded, smallest, *, strongest, aim, unit, title):
    """Return accuracy against the size of the change, overall and by emotion, and smallest sizes.

    Args:
        sizes: (k,) of the changes in grey levels.
        curves: dictionary of attack -> (shares (k,), standard errors (k,), shares by emotion
            (k, 7)), as `robustness.weighted_shares` returns them.
        rounded: dictionary of attack -> (k,) shares after rounding to 8 bits.
        smallest: dictionary of attack -> (7, 3) quartiles of the smallest size that succeeds, NaN
            or inf where there is none.
        strongest: the attack that the second panel shows.
        aim: what the shares are of.
        unit: what a size is a fraction of.
        title: above the figure.
    """
    figure = style.new_figure(14, 4.2)
    overall, emotions, least = figure.subplots(1, 3, width_ratios=(1.1, 1.1, 1))
    for name, (shares, error, _) in curves.items():
        colour = COLOURS[name]
        overall.plot(sizes, shares, "o-", color=colour, markersize=3.5, label=NAMES[name])
        overall.fill_between(sizes, shares - error, shares + error, color=colour, alpha=0.18, lw=0)
        overall.plot(sizes, rounded[name], "x:", color=colour, markersize=5)
    overall.plot([], [], "x:", color="black", label="rounded to 8 bits")
    overall.set_title("all faces (band: one standard error)")
    for code, name in enumerate(CLASS_NAMES):
        emotions.plot(
            sizes,
            curves[strongest][2][:, code],
            "o-",
            markersize=3.5,
            color=style.CLASS_COLOURS[name],
            label=name,
        )
    emotions.set_title(f"by emotion under {NAMES[strongest]}")
    for axes in (overall, emotions):
        axes.set(xlabel=f"size of the change / {unit}", ylabel=aim, ylim=(-0.03, 1.03))
        axes.set_xticks(sizes, [f"{size:g}" for size in sizes])
        axes.grid(alpha=0.25)
        axes.legend(fontsize=8)
    places = np.arange(NUM_CLASSES)
    for shift, (name, quartiles) in zip(
        np.linspace(-0.25, 0.25, len(smallest)), smallest.items(), strict=True
    ):
        low, middle, high = np.where(np.isfinite(quartiles), quartiles, np.nan).T
        least.hlines(places + shift, low, high, color=COLOURS[name], alpha=0.6)
        least.plot(middle, places + shift, "o", color=COLOURS[name], label=NAMES[name])
    least.set_yticks(places, CLASS_NAMES)
    least.invert_yaxis()
    found = np.concatenate(list(smallest.values()))
    if (np.isfinite(found) & (found > 0)).any():  # nothing else can be drawn on such an axis
        least.set_xscale("log")
    least.xaxis.set_major_formatter("{x:g}")
    least.grid(axis="x", alpha=0.25)
    least.set_xlabel(
        f"smallest size that succeeds / {unit}\n(no dot: above {sizes[-1]:g}, or none)"
    )
    least.set_title("median and quartiles, faces read right before")
    least.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))
    figure.suptitle(title)
    return figure


def transfer(names, shares, *, aim, title):
    """Return bars: how well each model reads the images that were made to fool the first.

    Args:
        names: of the models; the first is the one that was attacked.
        shares: dictionary of "clean", "noise" or attack -> (models,) in [0, 1].
        aim: what the shares are of.
        title: above the figure.
    """
    figure = style.new_figure(8, 1.1 + 0.9 * len(names))
    axes = figure.subplots()
    places = np.arange(len(names))
    height = 0.8 / len(shares)
    for number, (kind, values) in enumerate(shares.items()):
        bars = axes.barh(
            places + (number - (len(shares) - 1) / 2) * height,
            values,
            height * 0.92,
            color=COLOURS.get(kind, "#333333"),
            label=NAMES.get(kind, "unchanged"),
        )
        axes.bar_label(bars, fmt="%.2f", padding=2, fontsize=8)
    axes.set_yticks(places, [f"{names[0]}\n(attacked)", *names[1:]])
    axes.invert_yaxis()
    axes.set(xlabel=aim, xlim=(0, 1))
    axes.legend(fontsize=8)
    axes.set_title(title)
    return figure


def _read(axes, image, probabilities, wanted, before):
    """Draw a face with the class it is read as, green where that is `wanted`, and how surely."""
    code = int(probabilities.argmax())
    style.show_face(axes, image, f"{before}{CLASS_NAMES[code]} {probabilities[code]:.2f}", size=8)
    axes.title.set_color(RIGHT if code == wanted else WRONG)


def _magnified(changes):
    """Return the factor that makes all but a few of the largest changes fill the greys, or 0."""
    sizes = np.abs(changes)
    large = np.quantile(sizes, DISPLAY_QUANTILE) or sizes.max()
    return 0.5 / large if large > 0 else 0.0


def _name_row(axes, name):
    """Write a name left of a tile."""
    axes.text(-0.12, 0.5, name, transform=axes.transAxes, rotation=90, va="center", ha="right")
