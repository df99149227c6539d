"""How other models read the faces that were made to fool one."""

import numpy as np
from matplotlib.figure import Figure

from common.attacks.registry import ATTACKS
from common.figures import style

TITLE = "Faces made to fool one model, read by others"
CAPTION = (
    "Each bar: what a model reads of the same faces, unchanged, with noise and attacked; with one "
    "standard error."
)
COLUMNS = ()


def draw(result) -> Figure:
    """Return bars of `outcomes.Transfer`: how each model reads the faces made to fool the first."""
    shares, readers = result.shares(), result.readers
    figure = style.new_figure(8, 1.1 + 0.9 * len(readers))
    axes = figure.subplots()
    places = np.arange(len(readers))
    height = 0.8 / len(shares)
    for number, (name, (values, errors)) in enumerate(shares.items()):
        bars = axes.barh(
            places + (number - (len(shares) - 1) / 2) * height,
            values,
            height * 0.92,
            color=ATTACKS[name].colour if name in ATTACKS else "#333333",
            xerr=errors,
            error_kw={"elinewidth": 0.8},
            label=_title(name),
        )
        axes.bar_label(bars, [f"{value:.2f}" for value in values], padding=2, fontsize=8)
    axes.set_yticks(places, [f"{readers[0]}\n(attacked)", *readers[1:]])
    axes.invert_yaxis()
    axes.set(xlabel=result.setting.aim, xlim=(0, 1))
    axes.legend(fontsize=8)
    axes.set_title(
        f"{len(result.sample.labels)} faces made to fool {readers[0]} with perturbations of "
        f"{result.setting.size}"
    )
    return figure


def table(result) -> list[dict]:
    """Return a row for each model."""
    shares = result.shares()
    return [
        {"model": reader}
        | {name: f"{each[place]:.4f}" for name, (each, _) in shares.items()}
        | {f"{name}_standard_error": f"{each[place]:.4f}" for name, (_, each) in shares.items()}
        for place, reader in enumerate(result.readers)
    ]


def arrays(result) -> dict[str, np.ndarray]:
    """Return sample and predictions, image by image."""
    return {
        "models": np.array(result.readers),
        "numbers": result.sample.numbers,
        "labels": result.sample.labels,
        "weights": result.sample.weights,
        **{f"predictions_{name}": array for name, array in result.predictions.items()},
    }


def sentences(result) -> list[str]:
    """Return which models saw the faces in training, and the share that each reads."""
    setting, shares = result.setting, result.shares()
    flattered = [
        f"{reader} was trained on {seen} of these faces, which flatters it."
        for reader, seen in result.seen.items()
        if seen
    ]
    return flattered + [
        f"{reader} on {len(result.sample.labels)} faces made to fool {result.readers[0]} with "
        f"{setting.size}, {setting.aim} (with one standard error): "
        + ", ".join(
            f"{_title(name)} {each[place]:.2f} ± {errors[place]:.2f}"
            for name, (each, errors) in shares.items()
        )
        + "."
        for place, reader in enumerate(result.readers)
    ]


def _title(name):
    return ATTACKS[name].title if name in ATTACKS else "unchanged"
