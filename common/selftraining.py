"""Labels that are hidden, pseudo-labels that stand in for them, and the ledger of both.

A hidden label leaves this module only as a count in a ledger: training sees `HIDDEN` in its place.
"""

from pathlib import Path

import numpy as np

from common import metrics
from common.data import loading, pixels, splits
from common.labels import CLASS_NAMES, NUM_CLASSES
from common.runs import storage

LEAK = "leak"  # how the stamp of one begins
HIDDEN = -1  # stands where a label was removed; no loss accepts it


def hide_labels(faces, rows, fraction, *, seed):
    """Return (visible labels, hidden rows) after removing the labels of some rows.

    Identical images lose their labels together: a copy that kept its label would give it away.

    Args:
        faces: the data set.
        rows: its training rows, int (n,); the validation rows are not among them.
        fraction: share of `rows` whose labels are removed, between 0 and 1, both excluded.
        seed: of the choice.

    Returns:
        int64 (all rows of the data set,): the label of every row in `rows` that kept it, and
        `HIDDEN` everywhere else; and int64 (h,), ascending: the rows that lost it.

    Raises:
        ValueError: the fraction is out of range, or leaves a class without any label.
    """
    if not 0 < fraction < 1:
        raise ValueError(f"--unlabelled: expected a fraction between 0 and 1, found {fraction}")
    groups = pixels.duplicate_groups(faces.train_images)
    wanted = round(fraction * len(rows))
    generator = np.random.default_rng(seed)
    inside = np.zeros(len(faces.train_images), bool)
    inside[rows] = True
    sizes = np.bincount(groups[inside], minlength=groups.max() + 1)
    order = generator.permutation(np.flatnonzero(sizes))
    taken = order[np.cumsum(sizes[order]) <= wanted]
    hidden = inside & np.isin(groups, taken)
    visible = np.where(inside & ~hidden, faces.train_labels, HIDDEN)
    missing = set(range(NUM_CLASSES)) - set(visible[visible != HIDDEN].tolist())
    if missing:
        names = ", ".join(CLASS_NAMES[code] for code in sorted(missing))
        raise ValueError(
            f"--unlabelled {fraction}: expected every class among the labels that are left, found "
            f"none of {names}: remove fewer"
        )
    return visible, np.flatnonzero(hidden)


def pseudo_labels(probabilities, *, soft=False, threshold=0.0, balance=False):
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


def ledger(round_number, probabilities, chosen, true_labels=None):
    """Return one row a class, and one for all: how many pseudo-labels, how sure, how many right.

    Args:
        round_number: 1, 2, ...
        probabilities: of the teacher, float (m, 7).
        chosen: bool (m,), of `pseudo_labels`.
        true_labels: the hidden labels (m,), or None where there never were any.
    """
    codes, confidence = probabilities.argmax(axis=1), probabilities.max(axis=1)
    rows = []
    for name, members in [
        *((name, chosen & (codes == code)) for code, name in enumerate(CLASS_NAMES)),
        ("all", chosen),
    ]:
        count = int(members.sum())
        row = {
            "round": round_number,
            "class": name,
            "pseudo_labels": count,
            "mean_confidence": float(confidence[members].mean()) if count else 0.0,
        }
        if true_labels is not None:
            right = int((codes[members] == true_labels[members]).sum())
            low, high = metrics.wilson_interval(right, count)
            row |= {"right": right, "precision": right / count if count else 0.0}
            row |= {"low": low, "high": high}
        rows.append(row)
    return rows


def label_map(round_number, hidden, probabilities, chosen):
    """Return one row a pseudo-label: round, training row, label, confidence.

    Args:
        round_number: 1, 2, ...
        hidden: training rows whose labels are removed, int (h,).
        probabilities: of the teacher, float (m, 7): first the `hidden` rows, then images from
            elsewhere, which get row -1.
        chosen: bool (m,), of `pseudo_labels`.
    """
    rows = np.full(len(probabilities), -1)
    rows[: len(hidden)] = hidden
    return [
        {
            "round": round_number,
            "row": int(rows[index]),
            "label": int(probabilities[index].argmax()),
            "confidence": float(probabilities[index].max()),
        }
        for index in np.flatnonzero(chosen)
    ]


def extra_images(faces, split, source):
    """Return the images of `--unlabelled-data`: uint8 (k, 48, 48), without the validation images.

    Args:
        faces: the data set trained on.
        split: of it; a copy of a validation image is left out.
        source: "test" for the data set's own test images, a path for another data set, or None.
    """
    if source is None:
        return faces.test_images[:0]
    if source == "test":
        images = faces.test_images
    else:
        other = loading.load(source)
        images = np.concatenate([other.train_images, other.test_images])
    held_out = faces.train_images[split.validation_rows]
    groups = pixels.duplicate_groups(np.concatenate([held_out, images]))
    return images[~np.isin(groups[len(held_out) :], groups[: len(held_out)])]


def check_teacher(run, architecture, faces, hidden, *, allow_leak=False):
    """Return what must be stamped on results of a given teacher, as a list of sentences.

    What its own results are stamped with holds for those of its students.

    Args:
        run: the teacher's run folder.
        architecture: of the student, which must be the teacher's.
        faces: the data set.
        hidden: the rows whose labels are removed.
        allow_leak: let a teacher pass that was trained on them, or learned from one that was.

    Raises:
        ValueError: the teacher has another architecture, or was trained on other data or on a
            removed label, or learned from such a teacher.
    """
    config = storage.read_json(Path(run) / "config.json")
    found, said = config.get("architecture"), list(config.get("stamps", []))
    if found != architecture:
        raise ValueError(
            f"{run}: expected a teacher of the student's architecture, {architecture}, found "
            f"{found}: choose another teacher, or --architecture {found}"
        )
    seen = int(splits.seen_by(run, faces)[hidden].sum())
    if seen:
        said.append(
            f"{LEAK}: the teacher {run} was trained on {seen:,} of the {len(hidden):,} removed "
            "labels"
        )
    leaks = [stamp for stamp in said if stamp.startswith(LEAK)]
    if leaks and not allow_leak:
        raise ValueError(
            f"{run}: expected a teacher that never saw the removed labels, found "
            f"{'; '.join(leaks)}: leave --teacher out, or pass --allow-leak to measure the leak"
        )
    return said
