"""What models read in attacked images: a few under each attack, every target, other models."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from keras import Model
from numpy import ndarray
from scipy.special import softmax
from tqdm import tqdm

from common.attacks import engine, pgd, registry
from common.attacks.setting import Sample, Setting, grey_level
from common.labels import NUM_CLASSES
from common.models.prediction import in_batches

CLEAN = "clean"  # the images before any attack
BATCH_SIZE = 50  # images between two ticks of the bar of `transfer`; random numbers depend on it


@dataclass(frozen=True)
class Attacked:
    """Images under one attack."""

    images: ndarray  # float32 (n, 48, 48) in [0, 1]
    readings: ndarray  # float32 (n, 7), probabilities of those
    rounded: ndarray  # the same once they are rounded to 8 bits
    sizes: dict[str, ndarray]  # norm -> float64 (n,) of the perturbations, grey levels of 255


@dataclass(frozen=True)
class Examples:
    """Some images under several attacks."""

    setting: Setting
    numbers: list[int]  # n
    labels: ndarray  # int (n,), true classes
    images: ndarray  # float32 (n, 48, 48) in [0, 1]
    probabilities: ndarray  # float32 (n, 7) of those
    attacked: dict[str, Attacked]  # by name of the attack
    vanished: ndarray  # bool (n,), images whose gradient is zero throughout


def examples(
    network: Model,
    setting: Setting,
    images: ndarray,
    labels: ndarray,
    numbers: list[int],
    attacks: Iterable[str],
) -> Examples:
    """Return the images (n, 48, 48, 1) of these numbers under each of the attacks, by name."""
    images, labels, attacked = images[numbers], labels[numbers], {}
    aims, budget = setting.aims(labels), setting.fresh_budget()
    for name in attacks:
        found = registry.load(name).perturb(network, images, aims, budget)
        sizes = {
            norm: engine.perturbation_size(found, images, norm) / grey_level(norm)
            for norm in registry.NORMS
        }
        rounded = _read(network, engine.round_to_8_bits(found))
        attacked[name] = Attacked(found[..., 0], _read(network, found), rounded, sizes)
    vanished = engine.vanished(engine.steepest(network, images, aims, budget))
    readings = _read(network, images)
    return Examples(setting, numbers, labels, images[..., 0], readings, attacked, vanished)


@dataclass(frozen=True)
class Targets:
    """An image of each of r classes made to be read as each class."""

    setting: Setting
    numbers: ndarray  # int (r,), of the images
    labels: ndarray  # int (r,), true classes
    originals: ndarray  # float32 (r, 48, 48) in [0, 1]
    images: ndarray  # float32 (r, 7, 48, 48), attacked; the original in its own column
    readings: ndarray  # float32 (r, 7, 7), probabilities of those
    rounded: ndarray  # the same once they are rounded to 8 bits


def targets(
    network: Model, setting: Setting, images: ndarray, labels: ndarray, candidates: ndarray
) -> Targets:
    """Return one of the images (n, 48, 48, 1) of each class, turned into every class by PGD.

    It is the first that is read right of those whose numbers are `candidates`, or else the first.
    """
    right = engine.predict_logits(network, images[candidates]).argmax(1) == labels[candidates]
    numbers = np.array(
        [
            own[right[labels[candidates] == code].argmax()]
            for code in range(NUM_CLASSES)
            if len(own := candidates[labels[candidates] == code])
        ]
    )
    labels, budget = labels[numbers], setting.fresh_budget(targeted=True)
    attacked = np.repeat(images[numbers][:, np.newaxis], NUM_CLASSES, axis=1)
    bar = tqdm(labels, desc="targets", unit=" faces", delay=2, disable=None)
    for row, label in enumerate(bar):
        wanted = np.delete(np.arange(NUM_CLASSES), label)
        attacked[row, wanted] = pgd.perturb(network, attacked[row, wanted], wanted, budget)
    flat = attacked.reshape(-1, *images.shape[1:])
    readings, rounded = (
        _read(network, these).reshape(len(numbers), NUM_CLASSES, NUM_CLASSES)
        for these in (flat, engine.round_to_8_bits(flat))
    )
    originals = images[numbers][..., 0]
    return Targets(setting, numbers, labels, originals, attacked[..., 0], readings, rounded)


@dataclass(frozen=True)
class Transfer:
    """What several models read in the images made to fool the first."""

    setting: Setting
    sample: Sample
    readers: tuple[str, ...]  # names of the m models, the attacked one first
    seen: Mapping[str, int]  # name of a model -> how many of the images it was trained on
    predictions: dict[str, ndarray]  # "clean" or name of an attack -> int64 (m, n)

    def shares(self) -> dict[str, tuple[ndarray, ndarray]]:
        """Return "clean" or name -> (share predicted as `Setting.aims`, standard error), (m,)."""
        aims = self.setting.aims(self.sample.labels)
        return {
            name: self.sample.shares(array == aims)[:2] for name, array in self.predictions.items()
        }


def transfer(
    networks: Mapping[str, Model],
    setting: Setting,
    images: ndarray,
    sample: Sample,
    attacks: Iterable[str],
    seen: Mapping[str, int],
) -> Transfer:
    """Return what networks predict of the sample's images (n, 48, 48, 1), made to fool the first.

    Only attacks with a size count: the least that fools one model need not fool another. `seen` is
    that of `Transfer`.
    """
    sized = (name for name in attacks if registry.ATTACKS[name].sized)
    names = dict.fromkeys([CLEAN, registry.CONTROL, *sized])
    source, *_ = networks.values()
    aims, budget = setting.aims(sample.labels), setting.fresh_budget()

    def read(some, aims):
        attacked = {
            name: some if name == CLEAN else registry.load(name).perturb(source, some, aims, budget)
            for name in names
        }
        return {
            name: np.stack([engine.predict_logits(x, these).argmax(1) for x in networks.values()])
            for name, these in attacked.items()
        }

    with tqdm(total=len(images), desc="transfer", unit=" faces", delay=2, disable=None) as bar:
        batched = {"size": BATCH_SIZE, "axis": -1, "progress": bar.update}
        predictions = in_batches(read, images, aims, **batched)
    return Transfer(setting, sample, tuple(networks), seen, predictions)


def _read(network, images):
    """Return the probabilities, float32 (n, 7), of images."""
    return softmax(engine.predict_logits(network, images), axis=1)
