"""How small a perturbation fools a model: attacks at rising sizes, and the smallest that succeeds.

Images, labels and sizes are those of `engine`, attacks and norms those of `registry`.
"""

import functools
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
from keras import Model
from numpy import ndarray
from tqdm import tqdm

from common.attacks import engine, registry
from common.attacks.registry import Budget
from common.attacks.setting import Sample, Setting
from common.models.prediction import checked, in_batches

ON_GRID = 1e-6  # images as near to whole grey levels as this are not scored again


@dataclass(frozen=True)
class Measurement:
    """What became of n images under each attack, by its name, at each of k sizes."""

    predictions: dict[str, ndarray]  # int64 (k, n), the class predicted under it
    rounded: dict[str, ndarray]  # the same once the attacked images are rounded to 8 bits
    # float64 (n,), the smallest eps found that succeeds, or the size of what an attack without one
    # found: 0 where the image is misread already, inf where none was found. It may be lower still.
    smallest: dict[str, ndarray]
    vanished: ndarray  # bool (n,), images whose gradient is zero throughout


@dataclass(frozen=True)
class Robustness:
    """A measurement of a sample of images, and what it says of all."""

    setting: Setting
    sample: Sample
    sizes: ndarray  # (k,) in grey levels of 255, rising
    measured: Measurement  # at those

    def shares(self, *, in_8_bits: bool = False) -> dict[str, tuple[ndarray, ndarray, ndarray]]:
        """Return name -> `Sample.shares` (k,), (k,), (k, 7) predicted as `Setting.aims`."""
        predictions = self.measured.rounded if in_8_bits else self.measured.predictions
        aims = self.setting.aims(self.sample.labels)
        return {name: self.sample.shares(array == aims) for name, array in predictions.items()}

    @functools.cached_property
    def curves(self) -> tuple[dict, dict]:
        """The `shares` as they are, and rounded to 8 bits."""
        return self.shares(), self.shares(in_8_bits=True)

    def smallest(self) -> dict[str, ndarray]:
        """Return name -> the smallest sizes that succeed (n,) in grey levels."""
        return {name: eps / self.setting.unit for name, eps in self.measured.smallest.items()}

    def quartiles(self) -> dict[str, ndarray]:
        """Return name -> `Sample.quartiles` of those."""
        return {name: self.sample.quartiles(sizes) for name, sizes in self.smallest().items()}

    def strongest(self) -> str:
        """Return the attack that reaches its aim most often over all sizes, the last if several."""
        labels, weights = self.sample.labels, self.sample.weights
        hits = {
            name: (self.setting.reached(array, labels) @ weights).sum()
            for name, array in self.measured.predictions.items()
            if name != registry.CONTROL
        }
        return max(reversed(hits), key=lambda name: hits[name]) if hits else registry.CONTROL


def measure(
    model: Model,
    images: ndarray,
    labels: ndarray,
    budget: Budget,
    attacks: Iterable[str] = registry.DEFAULT,
    *,
    rounds: int = 3,
) -> Measurement:
    """Return the `Measurement` of a model under attacks and the control at every size.

    A perturbation that succeeds also lies in every larger ball. So an attack goes on only with the
    images that no smaller ball was enough for, both as they are and rounded to 8 bits, and its
    success can only grow with the size. Those with a `direction` (FGSM, noise) make one step each
    time, along a direction found once, and may fail at a size although they succeed at a smaller
    one.

    The budget's eps (k,) are the sizes, rising; random numbers depend on its batch size. The
    smallest eps of an image is found by so many `rounds` of halving between two sizes. Errors are
    those of the attacks, or a ValueError if eps does not rise or there is no image.
    """
    images, labels = checked(model, images, labels)
    if not len(images):
        raise ValueError("expected one image or more, found none")
    names = tuple(dict.fromkeys((*attacks, registry.CONTROL)))
    registry.check(names, targeted=budget.targeted)
    sizes = np.asarray(budget.eps, np.float64)
    if sizes.ndim != 1 or not len(sizes) or (np.diff(sizes) <= 0).any():
        raise ValueError(f"expected rising sizes eps, found {sizes.tolist()}")

    def measure_batch(some, aims):
        return _measure_batch(model, some, aims, sizes, budget, names, rounds)

    with tqdm(total=len(images), desc="robustness", unit=" faces", delay=2, disable=None) as bar:
        batched = {"size": budget.batch_size, "axis": -1, "progress": bar.update}
        return Measurement(*in_batches(measure_batch, images, labels, **batched))


def _measure_batch(model, images, labels, sizes, budget, names, rounds):
    """Return the attributes of the `Measurement` of a batch."""
    budget = replace(budget, eps=sizes[-1])
    clean = engine.predict_logits(model, images).argmax(1)
    done = engine.succeeded(clean, labels, budget)
    predictions, rounded, smallest = {}, {}, {}
    for name in names:
        if not registry.ATTACKS[name].sized:
            found = registry.load(name).perturb(model, images, labels, budget)
            won = engine.fooled(model, found, labels, budget)
            size = engine.perturbation_size(found, images, budget.norm)
            smallest[name] = np.where(done, 0.0, np.where(won, size, np.inf))
            continue
        perturb, straight = _perturber(registry.load(name), model, images, labels, budget)
        predictions[name], rounded[name] = _predictions_at(
            model, perturb, clean, labels, sizes, budget, keep=not straight
        )
        won = engine.succeeded(predictions[name], labels, budget)
        first = won.argmax(0)
        high = np.where(done, 0.0, np.where(won.any(0), sizes[first], np.inf))
        low = np.where(first > 0, sizes[first - 1], 0.0)
        smallest[name] = _bisect(model, perturb, labels, low, high, budget, rounds)
    vanished = engine.vanished(engine.steepest(model, images, labels, budget))
    return predictions, rounded, smallest, vanished


def _perturber(attack, model, images, labels, budget):
    """Return (function, whether it goes along one direction whatever the size).

    The function takes places of images and eps of each, and returns these images under the attack.
    """
    if hasattr(attack, "direction"):
        direction = attack.direction(model, images, labels, budget)
        return lambda some, eps: engine.move(
            images[some], direction[some], replace(budget, eps=eps)
        ), True
    return lambda some, eps: attack.perturb(
        model, images[some], labels[some], replace(budget, eps=eps)
    ), False


def _predictions_at(model, perturb, clean, labels, sizes, budget, *, keep):
    """Return (predictions, predictions after rounding to 8 bits), each int64 (k, n).

    `perturb` is that of `_perturber`, `clean` (n,) are predictions without an attack. With `keep`
    what has succeeded stays and is not attacked again.
    """
    now = np.stack([clean, clean])  # (2, n): as it is, and rounded
    at_each = []
    for size in sizes:
        some = np.arange(len(labels))
        if keep:
            some = np.flatnonzero(~engine.succeeded(now, labels, budget).all(0))
        if size > 0 and len(some):
            found = perturb(some, np.full(len(some), size))
            saved = engine.round_to_8_bits(found)
            new = np.stack([engine.predict_logits(model, found).argmax(1)] * 2)
            off = np.flatnonzero(engine.perturbation_size(found, saved, "linf") > ON_GRID)
            new[1, off] = engine.predict_logits(model, saved[off]).argmax(1)
            stays = engine.succeeded(now[:, some], labels[some], budget) & keep
            now[:, some] = np.where(stays, now[:, some], new)
        at_each.append(now.copy())
    return tuple(np.stack(at_each, axis=1))


def _bisect(model, perturb, labels, low, high, budget, rounds):
    """Return `high` after halving (low, high] `rounds` times where high is finite and above 0."""
    low, high = low.copy(), high.copy()
    some = np.flatnonzero(np.isfinite(high) & (high > 0))
    for _ in range(rounds if len(some) else 0):
        middle = (low[some] + high[some]) / 2
        won = engine.fooled(model, perturb(some, middle), labels[some], budget)
        high[some] = np.where(won, middle, high[some])
        low[some] = np.where(won, low[some], middle)
    return high
