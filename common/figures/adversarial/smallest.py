"""The smallest perturbation that is enough, by attack and emotion."""

from common.labels import CLASS_NAMES

TITLE = "The smallest perturbation that is enough, grey levels of 255"
QUARTILES = ("lower_quartile_255", "median_255", "upper_quartile_255")


def table(result) -> list[dict]:
    """Return quartiles of `robustness.Robustness` for each attack, of all and of each emotion."""
    return [
        {"attack": name, "emotion": emotion}
        | dict(zip(QUARTILES, (f"{x:.3f}" for x in three), strict=True))
        for name, quartiles in result.quartiles().items()
        for emotion, three in zip(("all", *CLASS_NAMES), quartiles, strict=True)
    ]
