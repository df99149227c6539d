"""Labels that are removed, pseudo-labels that stand in for them, and statistics of both.

A removed label leaves this module only as a count in the statistics: training sees `UNLABELLED` in
its place.
"""

import numpy as np

from common import metrics
from common.data import loading, matching, pixels, splits
from common.labels import CLASS_NAMES, NUM_CLASSES

UNLABELLED = -1  # stands where a label was removed; no loss accepts it


def remove_labels(
    dataset: loading.Dataset, chosen: np.ndarray, fraction: float, *, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return (visible labels, unlabelled) after removing the labels of some training images.

    Identical images lose their labels together: a copy that kept its label would give it away.

    Args:
        dataset: the data set.
        chosen: places of its training images, int (n,); the validation images are not among them.
        fraction: share of them that lose their labels, between 0 and 1, both excluded.
        seed: of the choice.

    Returns:
        int64 (all images of the data set,): the label of every chosen image that kept it, and
        `UNLABELLED` everywhere else; and int64 (u,), ascending: the places of those that lost it.

    Raises:
        ValueError: the fraction is out of range, or leaves a class without any label.
    """
    if not 0 < fraction < 1:
        raise ValueError(f"--unlabelled: expected a fraction between 0 and 1, found {fraction}")
    groups = pixels.duplicate_groups(dataset.train_images)
    inside = np.zeros(len(dataset.train_images), bool)
    inside[chosen] = True
    sizes = np.bincount(groups[inside], minlength=groups.max() + 1)
    order = np.random.default_rng(seed).permutation(np.flatnonzero(sizes))
    taken = order[np.cumsum(sizes[order]) <= round(fraction * len(chosen))]
    removed = inside & np.isin(groups, taken)
    visible = np.where(inside & ~removed, dataset.train_labels, UNLABELLED)
    missing = set(range(NUM_CLASSES)) - set(visible[visible != UNLABELLED].tolist())
    if missing:
        names = ", ".join(CLASS_NAMES[code] for code in sorted(missing))
        raise ValueError(
            f"--unlabelled {fraction}: expected every class among the labels that are left, found "
            f"none of {names}: remove fewer"
        )
    return visible, np.flatnonzero(removed)


def pseudo_labels(
    probabilities: np.ndarray, *, soft: bool = False, threshold: float = 0.0, balance: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Return (chosen, targets): which unlabelled images get a pseudo-label, and the labels.

    Args:
        probabilities: of the teacher, float (m, 7).
        soft: give the teacher's probabilities themselves, not their largest class alone.
        threshold: only images on which the teacher is at least this confident.
        balance: of each class, keep only as many as the rarest class has (but at least one), the
            most confident first.

    Returns:
        bool (m,), and float32 (number chosen, 7).
    """
    probabilities = np.asarray(probabilities)
    confidence, codes = probabilities.max(axis=1), probabilities.argmax(axis=1)
    chosen = confidence >= threshold
    if balance and chosen.any():
        counts = np.bincount(codes[chosen], minlength=NUM_CLASSES)
        quota = max(1, counts[counts > 0].min())
        for code in range(NUM_CLASSES):
            members = np.flatnonzero(chosen & (codes == code))
            surplus = members[np.argsort(-confidence[members], kind="stable")][quota:]
            chosen[surplus] = False
    hard = np.eye(NUM_CLASSES, dtype=np.float32)[codes]
    targets = probabilities.astype(np.float32) if soft else hard
    return chosen, targets[chosen]


def statistics(
    round_number: int, probabilities: np.ndarray, chosen: np.ndarray, true_labels: np.ndarray
) -> list[dict]:
    """Return one row a class, and one for all: how many pseudo-labels, how sure, how many right.

    Args:
        round_number: 1, 2, ...
        probabilities: of the teacher, float (m, 7): first of the images whose labels are removed,
            then of images that never had one, which do not count.
        chosen: bool (m,), of `pseudo_labels`.
        true_labels: the removed labels, (u,).
    """
    probabilities, chosen = probabilities[: len(true_labels)], chosen[: len(true_labels)]
    codes, confidence = probabilities.argmax(axis=1), probabilities.max(axis=1)
    rows = []
    for name, members in [
        *((name, chosen & (codes == code)) for code, name in enumerate(CLASS_NAMES)),
        ("all", chosen),
    ]:
        count = int(members.sum())
        right = int((codes[members] == true_labels[members]).sum())
        low, high = metrics.wilson_interval(right, count)
        rows.append(
            {
                "round": round_number,
                "class": name,
                "pseudo_labels": count,
                "mean_confidence": float(confidence[members].mean()) if count else 0.0,
                "right": right,
                "precision": right / count if count else 0.0,
                "low": low,
                "high": high,
            }
        )
    return rows


def pseudo_label_table(
    round_number: int, unlabelled: np.ndarray, probabilities: np.ndarray, chosen: np.ndarray
) -> list[dict]:
    """Return one row a pseudo-label: round, training row, label, confidence.

    Args:
        round_number: 1, 2, ...
        unlabelled: places of the training images whose labels are removed, int (u,).
        probabilities: of the teacher, float (m, 7): first of those, then of images from elsewhere,
            which get row -1.
        chosen: bool (m,), of `pseudo_labels`.
    """
    rows = np.full(len(probabilities), -1)
    rows[: len(unlabelled)] = unlabelled
    return [
        {
            "round": round_number,
            "row": int(rows[index]),
            "label": int(probabilities[index].argmax()),
            "confidence": float(probabilities[index].max()),
        }
        for index in np.flatnonzero(chosen)
    ]


def extra_images(dataset: loading.Dataset, split: splits.Split, source: str | None) -> np.ndarray:
    """Return the images of `--unlabelled-data`: uint8 (k, 48, 48), without the validation images.

    Args:
        dataset: the data set trained on.
        split: of it; a copy of a validation image, in any encoding, is left out.
        source: "test" for the data set's own test images, a path for another data set, or None.
    """
    if source is None:
        return dataset.test_images[:0]
    if source == "test":
        images = dataset.test_images
    else:
        other = loading.load(source)
        images = np.concatenate([other.train_images, other.test_images])
    known = matching.fingerprints(dataset.train_images)
    return images[~matching.seen(known, split.validation_rows, images)]
