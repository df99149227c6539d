"""Faces, what each attack adds to them, and what the model reads then."""

import numpy as np
from matplotlib.figure import Figure

from common.attacks.registry import ATTACKS
from common.figures import style
from common.figures.adversarial import tiles
from common.labels import CLASS_NAMES

TITLE = "Original, magnified perturbation and attacked face"
CAPTION = "Above each face what the model reads, and how confidently."
TILE = 1.45  # inches


def draw(result) -> Figure:
    """Return a row for each image of `outcomes.Examples`: original, and for each attack a pair."""
    columns = 1 + 2 * len(result.attacked)
    figure = style.new_figure(TILE * columns, TILE * 1.22 * len(result.images) + 0.7)
    grid = figure.subplots(len(result.images), columns, squeeze=False)
    for row, (number, label) in enumerate(zip(result.numbers, result.labels, strict=True)):
        image = result.images[row]
        head = f"{number}: {CLASS_NAMES[label]}\nread as "
        tiles.show_reading(grid[row, 0], image, result.probabilities[row], label, head)
        for place, (name, attacked) in enumerate(result.attacked.items()):
            left, right = grid[row, 1 + 2 * place : 3 + 2 * place]
            perturbation = attacked.images[row] - image
            factor = tiles.magnification(perturbation)
            size = attacked.sizes[result.setting.budget.norm][row]
            style.show_face(left, 0.5 + factor * perturbation)
            note = f"{size:.2g}/255, x {factor:,.0f}" if size else "no perturbation"
            left.set_title(f"{ATTACKS[name].title}\n{note}", fontsize=8)
            tiles.show_reading(
                right, attacked.images[row], attacked.readings[row], label, "read as\n"
            )
    setting = result.setting
    title = f"What {setting.model} reads after perturbations of {setting.size}"
    if setting.target is not None:
        title += f", to be {setting.aim}"
    free = [ATTACKS[name].title for name in result.attacked if not ATTACKS[name].sized]
    if free:
        title += f" ({', '.join(free)}: as large as it needs)"
    title += "\ngreen: read right, red: misread; perturbations are magnified (x)"
    style.title(figure, title)
    return figure


def table(result) -> list[dict]:
    """Return a row for each image under each attack."""
    return [
        {
            "image": number,
            "true": CLASS_NAMES[result.labels[place]],
            "attack": name,
            **tiles.reading("", result.probabilities[place]),
            **tiles.reading("attacked_", attacked.readings[place]),
            **tiles.reading("in_8_bits_", attacked.rounded[place]),
            "largest_change_255": f"{attacked.sizes['linf'][place]:.3f}",
            "root_mean_square_255": f"{attacked.sizes['l2'][place]:.3f}",
        }
        for name, attacked in result.attacked.items()
        for place, number in enumerate(result.numbers)
    ]


def arrays(result) -> dict[str, np.ndarray]:
    """Return everything that was drawn."""
    found = {
        "numbers": result.numbers,
        "labels": result.labels,
        "images": result.images,
        "probabilities": result.probabilities,
    }
    for name, attacked in result.attacked.items():
        found[f"attacked_{name}"] = attacked.images
        found[f"probabilities_{name}"] = attacked.readings
        found[f"probabilities_in_8_bits_{name}"] = attacked.rounded
    return found


def sentences(result) -> list[str]:
    """Return how often each attack succeeded, and whether gradients vanished."""
    setting, lines = result.setting, []
    for name, attacked in result.attacked.items():
        won, won_rounded = (
            setting.reached(readings.argmax(1), result.labels).sum()
            for readings in (attacked.readings, attacked.rounded)
        )
        outcome = "misread" if setting.target is None else "read as the target"
        sizes = ", ".join(f"{size:.2g}" for size in attacked.sizes[setting.budget.norm])
        lines.append(
            f"{ATTACKS[name].title}: {won} of {len(result.images)} images {outcome}, {won_rounded} "
            f"once rounded to 8 bits; sizes {sizes} of 255."
        )
    return [*lines, setting.describe_vanished(result.vanished)]
