"""What is attacked, how and to which end, and the images that stand for all others."""

from dataclasses import dataclass, replace

import numpy as np
from numpy import ndarray

from common.attacks.registry import Budget
from common.labels import CLASS_NAMES, IMAGE_SIZE, NUM_CLASSES


@dataclass(frozen=True)
class Setting:
    """One model under attack, and how figures name that."""

    model: str  # name of the run that is attacked
    budget: Budget  # of each attack
    target: int | None = None  # code of the class to be reached; without it any wrong one will do
    seed: int = 0

    @property
    def unit(self) -> float:
        """The eps of one grey level of 255."""
        return grey_level(self.budget.norm)

    @property
    def size(self) -> str:
        """The size of the perturbations, in words."""
        in_words = " root mean square" if self.budget.norm == "l2" else ""
        return f"{self.budget.eps / self.unit:g}/255{in_words}"

    @property
    def aim(self) -> str:
        """What a share of images is of: those that are predicted as `aims` says."""
        return "accuracy" if self.target is None else f"read as {CLASS_NAMES[self.target]}"

    def aims(self, labels: ndarray) -> ndarray:
        """Return the labels that attacks take: the target for all, or the true ones."""
        return labels if self.target is None else np.full_like(labels, self.target)

    def reached(self, predictions: ndarray, labels: ndarray) -> ndarray:
        """Return bool (n,): the target is predicted or, without one, not the true label."""
        return (predictions == self.aims(labels)) == (self.target is not None)

    def fresh_budget(self, **changes) -> Budget:
        """Return the budget with these changes and a generator that begins at the seed."""
        return replace(self.budget, generator=np.random.default_rng(self.seed), **changes)

    def describe_vanished(self, vanished: ndarray) -> str:
        """Return a sentence, a warning if any, on the images, bool (n,), without a gradient."""
        if not vanished.any():
            return f"The gradient vanished (exactly zero) for none of the {len(vanished)} images."
        remedy = "attack with the margin loss, which does not saturate"
        if self.budget.loss == "margin":
            remedy = "they withstand these attacks only because those cannot see a way"
        return (
            f"Warning: the gradient vanished (is exactly zero) for {vanished.sum()} of "
            f"{len(vanished)} images ({vanished.mean():.0%}): {remedy}."
        )


def grey_level(norm: str) -> float:
    """Return the eps of one grey level of 255: of one pixel, or in "l2" of all 48 x 48."""
    return (IMAGE_SIZE if norm == "l2" else 1) / 255


@dataclass(frozen=True)
class Sample:
    """Images drawn evenly over the classes, with weights that make them speak for all.

    The weights give each class its share of all labels: a weighted mean estimates what all images
    would give, although rare classes are well represented.
    """

    numbers: ndarray  # int (n,), of the images among all
    labels: ndarray  # int (n,), codes
    weights: ndarray  # float64 (n,), add up to 1

    @classmethod
    def even(cls, labels: ndarray, count: int, *, without: int | None = None) -> "Sample":
        """Return `count` of the images with labels (m,), evenly over the classes.

        Where there are no more it is all of them, with equal weights. The class `without` is left
        out.
        """
        eligible = np.flatnonzero(labels != without)
        labels = labels[eligible]
        rank = np.zeros(len(labels), np.int64)  # of an image among those of its class
        for code in range(NUM_CLASSES):
            own = np.flatnonzero(labels == code)
            rank[own] = np.arange(len(own))
        chosen = np.sort(np.argsort(rank, kind="stable")[:count])
        everywhere, here = (np.bincount(x, minlength=NUM_CLASSES) for x in (labels, labels[chosen]))
        weights = (everywhere / np.maximum(here, 1))[labels[chosen]]
        return cls(eligible[chosen], labels[chosen], weights / weights.sum())

    def shares(self, hits: ndarray) -> tuple[ndarray, ndarray, ndarray]:
        """Return (share, standard error, share of each class) of the hits, bool (..., n).

        These are float64 (...), (...) and (..., 7), NaN for a class without images. The error is
        that of a sample drawn class by class, each with one hit and one miss more than it had, so
        that none is certain of what it never saw (Agresti, Caffo 2000).
        """
        own = (self.labels == np.arange(NUM_CLASSES)[:, np.newaxis]).astype(np.float64)  # (7, n)
        counts = own.sum(1)
        of_class = np.where(counts > 0, hits @ own.T / np.maximum(counts, 1), np.nan)
        likely = (hits @ own.T + 1) / (counts + 2)
        variances = likely * (1 - likely) / (counts + 2)
        error = np.sqrt(np.nansum((own @ self.weights) ** 2 * variances, -1))
        return hits @ self.weights, error, of_class

    def quartiles(self, smallest: ndarray) -> ndarray:
        """Return float64 (8, 3): quartiles of the smallest sizes (n,), of all and of each class.

        Images that were misread (or read as the target) to begin with, at 0, are left out. A
        quartile is inf where too few were ever enough, NaN where a class has no images.
        """
        quartiles = np.full((1 + NUM_CLASSES, 3), np.nan)
        for place in range(1 + NUM_CLASSES):
            members = (smallest > 0) & ((place == 0) | (self.labels == place - 1))
            if members.any():
                quartiles[place] = np.quantile(
                    smallest[members],
                    (0.25, 0.5, 0.75),
                    weights=self.weights[members],
                    method="inverted_cdf",
                )
        return quartiles
