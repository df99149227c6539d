"""Optimizers, schedules and losses by name."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import keras
WARM_UP = 0.1  # of all steps
AVERAGED_RATE = 0.1  # of the highest rate, at which an annealed one stays for weights to average


@dataclass(frozen=True)
class Policy:
    """How far augmentation may change an image.

    Attributes:
        flip: mirror left-right with probability 1/2.
        shift: largest shift of width and height, as a fraction of the side.
        rotation: largest rotation, in degrees.
        zoom: largest relative change of size.
        erase: probability of a grey rectangle of 2-20 % of the area.
        title: for `--help`.
    """

    flip: bool = False
    shift: float = 0.0
    rotation: float = 0.0
    zoom: float = 0.0
    erase: float = 0.0
    title: str = ""


POLICIES = {
    "report": Policy(flip=True, shift=0.1, title="flip and shifts up to 0.1"),
    "gentle": Policy(flip=True, shift=0.0625, title="flip and shifts up to 0.0625"),
    "strong": Policy(
        flip=True,
        shift=0.1,
        rotation=12.0,
        zoom=0.1,
        erase=0.3,
        title="as 'report', with rotation, zoom and erasing as well",
    ),
    "none": Policy(title="images as they are"),
}
CLASS_WEIGHTS = {"none": 0.0, "sqrt": 0.5, "balanced": 1.0}  # power of 1 / frequency of the class


@dataclass(frozen=True)
class Recipe:
    """How a network is optimised, whatever it is and whatever it learns from.

    Attributes:
        optimizer: "adam" (with decoupled weight decay) or "sgd" (Nesterov momentum 0.9).
        learning_rate: its highest value.
        annealed: rise over the first tenth, then fall along a cosine to 0; else constant.
        weight_decay: decoupled, a step takes learning rate x decay of every kernel away.
        label_smoothing: this much of each label is spread over all classes.
        epochs: after each the validation images are measured; annealing stretches over them.
        steps_per_epoch: if not as many as a pass over the training images takes.
        batch_size: images a step.
        augmentation: name of one of `POLICIES`.
        mixup: images are mixed in pairs, by shares from Beta(mixup, mixup); 0: not at all.
        adversarial_eps: train on images perturbed by up to so many grey levels; 0: as they are.
        average_from: share of the epochs after which weights are averaged (see `AverageWeights`);
            an annealed rate has fallen to `AVERAGED_RATE` by then, and stays. None: no average.
        precise_statistics: the validated and kept model normalises by precise batch-norm
            statistics (see `PreciseBatchNorm`), not by the moving averages of Keras.
        title: for `--help`.
    """

    optimizer: str = "adam"
    learning_rate: float = 1e-3
    annealed: bool = False
    weight_decay: float = 0.0
    label_smoothing: float = 0.0
    epochs: int = 80
    steps_per_epoch: int | None = None
    batch_size: int = 64
    augmentation: str = "report"
    mixup: float = 0.0
    adversarial_eps: float = 0.0
    average_from: float | None = None
    precise_statistics: bool = True
    title: str = ""


RECIPES = {
    "sgd": Recipe(
        "sgd",
        0.05,
        annealed=True,
        weight_decay=5e-3,
        label_smoothing=0.1,
        title="SGD with an annealed rate and smoothed labels",
    ),
    "adamw": Recipe(
        "adam",
        2e-3,
        annealed=True,
        weight_decay=0.02,
        label_smoothing=0.1,
        title="AdamW with an annealed rate and smoothed labels",
    ),
    "report": Recipe(title="plain Adam at a constant rate"),
}


def entry(registry: dict[str, Any], name: str) -> Any:
    """Return what a registry has under a name.

    Raises:
        ValueError: there is no such name; the message lists the known ones.
    """
    if name not in registry:
        raise ValueError(f"unknown name {name!r}: expected one of {', '.join(registry)}")
    return registry[name]


def custom_recipe(name: str, **changes: Any) -> Recipe:
    """Return the recipe of that name with every change that is not None."""
    given = {key: value for key, value in changes.items() if value is not None}
    return replace(entry(RECIPES, name), **given)


def optimizer(recipe: Recipe, total_steps: int) -> "keras.optimizers.Optimizer":
    """Return the recipe's Keras optimizer; biases and batch normalisation are not decayed."""
    import keras  # `--help` reads the names above and must stay instant

    rate = recipe.learning_rate
    if recipe.annealed:
        warm_up = max(1, round(WARM_UP * total_steps))
        lowest, end = 0.0, total_steps
        if recipe.average_from is not None:
            lowest, end = AVERAGED_RATE, round(recipe.average_from * total_steps)
        rate = keras.optimizers.schedules.CosineDecay(
            0.0, max(1, end - warm_up), alpha=lowest, warmup_target=rate, warmup_steps=warm_up
        )
    decay = recipe.weight_decay or None
    if recipe.optimizer == "sgd":
        chosen = keras.optimizers.SGD(rate, momentum=0.9, nesterov=True, weight_decay=decay)
    else:
        chosen = keras.optimizers.Adam(rate, weight_decay=decay)
    if decay:
        chosen.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    return chosen


def loss(recipe: Recipe) -> "keras.losses.Loss":
    """Return the cross-entropy of logits against soft labels, smoothed as the recipe says."""
    import keras

    return keras.losses.CategoricalCrossentropy(
        from_logits=True, label_smoothing=recipe.label_smoothing
    )
