"""How small a change fools a model: attacks at rising sizes, the smallest that succeeds, shares.

Images, labels, norms and sizes are those of `attacks`; what is stated of some faces, drawn evenly
over the classes, is weighted to speak for all.
"""

from typing import NamedTuple

import numpy as np

from common import attacks
from common.labels import NUM_CLASSES

ON_GRID = 1e-6  # images as near to whole grey levels as this are not scored again


class Robustness(NamedTuple):
    """What became of n images under each attack at each of k sizes.

    Attributes:
        eps: float64 (k,), rising.
        predictions: name of an attack -> int64 (k, n), the class predicted under it.
        rounded: the same once the attacked images are rounded to 8 bits.
        smallest: name -> float64 (n,), the smallest eps found that succeeds (the size of DeepFool's
            change): 0 where the image is misread already, inf where none was found. A true
            smallest may be lower.
        vanished: bool (n,), images whose gradient is zero throughout.
    """

    eps: np.ndarray
    predictions: dict
    rounded: dict
    smallest: dict
    vanished: np.ndarray


def measure(
    model,
    images,
    labels,
    *,
    eps,
    generator,
    kinds=("fgsm", "pgd", "deepfool"),
    norm="linf",
    targeted=False,
    loss="cross-entropy",
    steps=10,
    step_size=None,
    restarts=1,
    rounds=3,
    progress=None,
    batch_size=attacks.BATCH_SIZE,
):
    """Return the `Robustness` of a model on these images: attacks and "noise" at every size.

    A change that succeeds also lies in every larger ball. So PGD goes on only with the images that
    no smaller ball was enough for, both as they are and rounded to 8 bits, and its success can only
    grow with eps. FGSM and noise make one step each time, along a direction found once, and may
    fail at a size although they succeed at a smaller one.

    Args:
        model: puts out logits.
        images: float32 (n, 48, 48, 1) in [0, 1], one or more.
        labels: (n,) codes of the true classes, or of the targets.
        eps: the sizes, rising, 0 or more.
        generator: `numpy.random.Generator` of the noise and the random starts.
        kinds: of attack, any of "fgsm", "pgd" and "deepfool"; the last has a smallest eps but no
            sizes.
        norm: one of `NORMS`.
        targeted: towards `labels` rather than away from them; then without DeepFool.
        loss: one of `LOSSES`.
        steps: of PGD.
        step_size: of PGD.
        restarts: of PGD.
        rounds: halvings between two sizes in the search for the smallest eps, by image.
        progress: called with the number of images done since the last call.
        batch_size: images at once; the random numbers depend on it.

    Raises:
        ValueError: as the attacks do, or eps does not rise, or there is no image.
    """
    images, labels = attacks.checked(model, images, labels)
    if not len(images):
        raise ValueError("expected one image or more, found none")
    eps = np.asarray(eps, np.float64)
    if targeted and "deepfool" in kinds:
        raise ValueError("expected an untargeted attack for DeepFool: use PGD for targets")
    if eps.ndim != 1 or not len(eps) or (np.diff(eps) <= 0).any():
        raise ValueError(f"expected rising sizes eps, found {eps.tolist()}")
    options = {"norm": norm, "targeted": targeted, "loss": loss, "batch_size": batch_size}
    pgd_options = {"steps": steps, "step_size": step_size, "restarts": restarts}
    pieces = []
    for part in attacks.slices(len(images), batch_size):
        pieces.append(
            _measure_part(
                model,
                images[part],
                labels[part],
                eps,
                kinds,
                rounds,
                generator,
                pgd_options,
                options,
            )
        )
        if progress:
            progress(len(images[part]))
    predictions, rounded, smallest, flags = zip(*pieces, strict=True)
    return Robustness(
        eps, _joined(predictions), _joined(rounded), _joined(smallest), np.concatenate(flags)
    )


def even_sample(labels, count):
    """Return (rows, weights) of `count` rows, as many of each class as there are up to a share.

    The weights add up to 1 and give each class its share of all labels: a weighted mean estimates
    what all rows would give, although rare classes are well represented.

    Args:
        labels: (n,) codes.
        count: rows wanted; all of them, with equal weights, where there are no more.
    """
    rank = np.zeros(len(labels), np.int64)  # of a row among those of its class
    for code in range(NUM_CLASSES):
        own = np.flatnonzero(labels == code)
        rank[own] = np.arange(len(own))
    rows = np.sort(np.argsort(rank, kind="stable")[:count])
    everywhere, here = (np.bincount(part, minlength=NUM_CLASSES) for part in (labels, labels[rows]))
    weights = (everywhere / np.maximum(here, 1))[labels[rows]]
    return rows, weights / weights.sum()


def weighted_shares(hits, labels, weights):
    """Return (share, standard error, share of each class) of rows that are hits.

    Args:
        hits: bool (..., n).
        labels: (n,) codes.
        weights: (n,) of `even_sample`.

    Returns:
        float64 (...), (...) and (..., 7); NaN for a class without rows. The error is that of a
        sample drawn class by class.
    """
    own = (labels == np.arange(NUM_CLASSES)[:, np.newaxis]).astype(np.float64)  # (7, n)
    counts = own.sum(1)
    of_class = np.where(counts > 0, hits @ own.T / np.maximum(counts, 1), np.nan)
    variances = of_class * (1 - of_class) / np.maximum(counts, 1)
    return hits @ weights, np.sqrt(np.nansum((own @ weights) ** 2 * variances, -1)), of_class


def size_quartiles(smallest, labels, weights):
    """Return float64 (8, 3): quartiles of the smallest eps, of all and of each class.

    Images that were misread (or read as the target) to begin with, at 0, are left out. A quartile
    is inf where too few were ever enough, NaN where a class has no images.

    Args:
        smallest: (n,) of `Robustness`.
        labels: (n,) codes.
        weights: (n,) of `even_sample`.
    """
    groups = [np.full(len(labels), True), *(labels == code for code in range(NUM_CLASSES))]
    quartiles = np.full((len(groups), 3), np.nan)
    for place, members in enumerate(groups):
        members = members & (smallest > 0)
        if members.any():
            quartiles[place] = np.quantile(
                smallest[members],
                (0.25, 0.5, 0.75),
                weights=weights[members],
                method="inverted_cdf",
            )
    return quartiles


# ------------------------------------------------------------------------------------------ inside


def _perturber(model, images, labels, attack, *, direction=None, **options):
    """Return a function (rows, eps of each) -> attacked images, for attacks that have a size.

    FGSM needs the direction, float32 (n, 48, 48, 1), of `attacks.steepest`.
    """
    norm, generator = options.get("norm", "linf"), options.pop("generator", None)
    if attack == "pgd":
        return lambda rows, eps: attacks.pgd(
            model, images[rows], labels[rows], eps=eps, generator=generator, **options
        )
    attacks.check_choice(attack, ("fgsm", "noise"), "attack")
    if attack == "noise":
        direction = attacks.random_direction(images, norm, generator)
    return lambda rows, eps: attacks.move(images[rows], direction[rows], eps=eps, norm=norm)


def _measure_part(model, images, labels, eps, kinds, rounds, generator, pgd_options, options):
    """Return (predictions, rounded, smallest, vanished) of a chunk, as in `Robustness`."""
    norm, targeted, batch_size = (options[key] for key in ("norm", "targeted", "batch_size"))
    direction = attacks.steepest(model, images, labels, **options)
    clean = attacks.predict_logits(model, images, batch_size=batch_size).argmax(1)
    predictions, rounded, smallest = {}, {}, {}
    for name in dict.fromkeys((*kinds, "noise")):
        if name == "deepfool":
            found = attacks.deepfool(model, images, labels, norm=norm, batch_size=batch_size)
            size = attacks.change_size(found, images, norm=norm)
            size[~attacks.fooled(model, found, labels, batch_size=batch_size)] = np.inf
            smallest[name] = np.where(clean == labels, size, 0.0)
            continue
        more = pgd_options if name == "pgd" else {"direction": direction}
        perturb = _perturber(model, images, labels, name, generator=generator, **more, **options)
        at_each, rounded[name] = _predictions_at(
            model, perturb, clean, labels, eps, targeted=targeted, keep=name == "pgd"
        )
        predictions[name] = at_each
        won = attacks.succeeded(at_each, labels, targeted=targeted)
        first = won.argmax(0)
        high = np.where(won.any(0), eps[first], np.inf)
        high[attacks.succeeded(clean, labels, targeted=targeted)] = 0.0
        low = np.where(first > 0, eps[first - 1], 0.0)
        smallest[name] = _bisect(model, perturb, labels, low, high, rounds, targeted=targeted)
    return predictions, rounded, smallest, attacks.vanished(direction)


def _predictions_at(model, perturb, clean, labels, eps, *, targeted, keep):
    """Return (predictions, predictions after rounding to 8 bits), each int64 (k, n).

    Args:
        model: puts out logits.
        perturb: of `_perturber`.
        clean: (n,) predictions without an attack.
        labels: (n,).
        eps: (k,) rising sizes.
        targeted: towards `labels`.
        keep: what has succeeded stays and is not attacked again.
    """
    now = np.stack([clean, clean])  # (2, n): as it is, and rounded
    at_each = []
    for size in eps:
        rows = np.arange(len(labels))
        if keep:
            rows = np.flatnonzero(~attacks.succeeded(now, labels, targeted=targeted).all(0))
        if size > 0 and len(rows):
            found = perturb(rows, np.full(len(rows), size))
            saved = attacks.round_to_8_bits(found)
            new = np.stack([attacks.predict_logits(model, found).argmax(1)] * 2)
            off = np.flatnonzero(attacks.change_size(found, saved) > ON_GRID)
            new[1, off] = attacks.predict_logits(model, saved[off]).argmax(1)
            stays = attacks.succeeded(now[:, rows], labels[rows], targeted=targeted) & keep
            now[:, rows] = np.where(stays, now[:, rows], new)
        at_each.append(now.copy())
    return tuple(np.stack(at_each, axis=1))


def _bisect(model, perturb, labels, low, high, rounds, *, targeted):
    """Return `high` after halving (low, high] `rounds` times where high is finite and above 0."""
    low, high = low.copy(), high.copy()
    rows = np.flatnonzero(np.isfinite(high) & (high > 0))
    for _ in range(rounds if len(rows) else 0):
        middle = (low[rows] + high[rows]) / 2
        won = attacks.fooled(model, perturb(rows, middle), labels[rows], targeted=targeted)
        high[rows] = np.where(won, middle, high[rows])
        low[rows] = np.where(won, low[rows], middle)
    return high


def _joined(pieces):
    """Return dictionaries of arrays with the same keys as one, joined along the last axis."""
    return {key: np.concatenate([piece[key] for piece in pieces], axis=-1) for key in pieces[0]}
