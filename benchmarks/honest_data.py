"""What FER-2013 itself does to a score: repeated images, doubtful labels, rare classes.

    python -m benchmarks.honest_data --data data/fer2013
    python -m benchmarks.honest_data --data sample --folds 2 --epochs 1 --out outputs/honest_sample

A network is cross-validated on the training rows, copies of an image always in the same fold, so
that every row is predicted once by a network that never saw its image (and by the others, which
did). From this follow
- twins: rows whose image stands in the data again, as 568 of the test rows stand in train. How much
  more often is a network right on them when it was trained on the image, and what does that add at
  most to a score in which such rows are as frequent as they are in test? At most, as a network here
  saw the row itself and its label, where a twin may carry another. Networks that were trained
  longer remember more, so those in pretrained/ are asked too: about repeated images that they were
  trained on, and about others that they were not.
- noise: how many labels a network that never saw them doubts with confidence. A row counts when it
  gives another class at least the confidence that it gives that class' own rows on average
  (Northcutt, Jiang, Chuang, "Confident learning", 2021, section 3.1).
- classes: how often each occurs and is recognised.
Folds are run folders in --out and are never repeated: start again after any kind of stop.
"""

import argparse
from pathlib import Path

import numpy as np

from benchmarks import timing
from common import cli, metrics, records
from common.labels import CLASS_NAMES, NUM_CLASSES
from common.runs import provenance, resume, storage


def main(argv=None):
    """Train the folds that are missing, then write the tables and what they say."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--architecture", choices=("cnn", "compact", "dnn"), default="compact")
    options.add_argument("--folds", type=int, default=3)
    cli.add_data(options)
    cli.add_seed(options)
    cli.add_training(options, epochs=10)
    options.add_argument("--out", type=Path, default=Path("outputs/honest_data"))
    args = options.parse_args(argv)
    if args.validation or args.split_seed or args.overwrite or args.folds < 2:
        options.error(
            "expected --folds of 2 or more, which decide what is held out, and neither "
            "--validation, --split-seed nor --overwrite"
        )
    from sklearn.model_selection import StratifiedGroupKFold

    from common import experiment, training
    from common.data import loading, pixels, splits
    from common.models import checkpoints, prediction

    faces = loading.load(args.data)
    labels, groups = faces.train_labels, pixels.duplicate_groups(faces.train_images)
    flags = {
        name: str(value) for name, value in vars(args).items() if name not in resume.NOT_RECALLED
    }
    same = {"architecture": args.architecture, "flags": flags, "data_hash": faces.data_hash}
    folds = StratifiedGroupKFold(args.folds, shuffle=True, random_state=args.seed)
    unseen = np.empty((len(labels), NUM_CLASSES))
    right_seen = np.zeros(len(labels))  # share of the networks that saw a row, one by one
    for number, (train_rows, held_out) in enumerate(folds.split(groups, labels, groups)):
        folder = args.out / f"fold-{number}"
        split = splits.Split(train_rows, held_out, args.seed, faces.data_hash)
        if (folder / "config.json").exists():
            made = storage.read_json(folder / "config.json")
            if any(made.get(name) != value for name, value in same.items()):
                raise ValueError(f"{folder}: made with other flags or data: choose another --out")
        else:
            storage.write_json(folder / "config.json", same | provenance.provenance())
        splits.save(folder / "split.npz", split)
        model = experiment.fit(
            args,
            folder,
            args.architecture,
            faces,
            split,
            images=faces.train_images[train_rows],
            targets=training.soft_labels(labels[train_rows]),
            weights=training.row_weights(labels[train_rows], args.class_weight),
        )
        unseen[held_out] = prediction.predict(model, faces.train_images[held_out])
        answers = prediction.predict(model, faces.train_images[train_rows]).argmax(axis=1)
        right_seen[train_rows] += (answers == labels[train_rows]) / (args.folds - 1)

    in_test = np.isin(
        pixels.duplicate_groups(np.concatenate([faces.train_images, faces.test_images]))[
            len(labels) :
        ],
        groups,
    ).mean()
    repeated = np.flatnonzero(np.bincount(groups)[groups] > 1)
    answers = {}
    for run in trained_on(faces.data_hash) if len(repeated) else ():
        probabilities = prediction.predict(checkpoints.load(run)[0], faces.train_images[repeated])
        right = probabilities.argmax(axis=1) == labels[repeated]
        answers[run] = right, splits.seen_by(run, faces)[repeated]
    notes = [
        twins(groups, unseen.argmax(axis=1) == labels, right_seen, in_test),
        *remembered(groups[repeated], answers, in_test),
        noise(labels, groups, unseen, args.out),
        classes(labels, unseen),
    ]
    how = (
        f"{args.architecture}, {args.folds} folds x {args.epochs} epochs, seed {args.seed}, "
        f"n = {len(labels):,} training rows"
    )
    storage.write_text(
        timing.RESULTS / "data_notes.txt", "\n".join([*notes, f"Measured with {how}."]) + "\n"
    )
    made = ["data_noise", "data_classes", "data_notes", *(["data_twins"] if len(repeated) else [])]
    timing.record(*made, finished=[args.out / f"fold-{number}" for number in range(args.folds)])
    if answers:
        timing.record("data_remembered", finished=answers)
    print("\n".join(notes))
    print(
        "Wrote results/data_notes.txt and its tables, results/data_*.csv; the most doubtful rows: "
        f"{args.out / 'doubtful.csv'}."
    )


def twins(groups, right_unseen, right_seen, in_test):
    """Write how often rows with a copy are right, unseen and seen; return a sentence.

    Args:
        groups: rows with the same number show the same image, (n,).
        right_unseen: whether the network that never saw a row is right, bool (n,).
        right_seen: share of the other networks that are right, (n,).
        in_test: share of the test images that also stand in train.
    """
    repeated = np.bincount(groups)[groups] > 1
    if not repeated.any():
        return "No training image stands there again: there are no twins to measure."
    rows = []
    for name, mask in (("image stands there again", repeated), ("all others", ~repeated)):
        gain, low, high = mean_by_group((right_seen - right_unseen)[mask], groups[mask])
        rows.append(
            {
                "rows": name,
                "n": int(mask.sum()),
                "images": len(np.unique(groups[mask])),
                "right, image never seen": f"{right_unseen[mask].mean():.4f}",
                "right, image seen in training": f"{right_seen[mask].mean():.4f}",
                "difference": f"{gain:.4f}",
                "95 % low": f"{low:.4f}",
                "95 % high": f"{high:.4f}",
            }
        )
    storage.write_table(timing.RESULTS / "data_twins.csv", rows)
    gain, low, high = (100 * in_test * float(rows[0][key]) for key in rows[0] if key[0] in "d9")
    return (
        f"{in_test:.1%} of the test images also stand in train. A row whose image stands there "
        f"again is right in {float(rows[0]['right, image never seen']):.1%} of cases when a "
        f"network never saw it and {float(rows[0]['right, image seen in training']):.1%} when it "
        f"did: known twins add at most about {gain:.1f} points [{low:.1f}, {high:.1f}] to a test "
        "score of such a network, at most because a twin may carry another label. Validation "
        "scores here are free of that, as copies stay on one side."
    )


def trained_on(data_hash):
    """Return the CNN and the cheap networks in pretrained/ that were trained on this data."""
    finished = [Path("pretrained/cnn"), *cli.runs_in(Path("pretrained/ensemble"))]
    return [run for run in finished if records.read(run).data_hash == data_hash]


def remembered(groups, answers, in_test):
    """Write how often trained networks are right on repeated images; return a list of sentences.

    Args:
        groups: rows with the same number show the same image, (n,); only those that repeat.
        answers: run folder -> (whether it is right, whether it was trained on the image), (n,).
        in_test: share of the test images that also stand in train.
    """
    rows = []
    for run, (right, seen) in answers.items():
        means = {known: right[seen == known].mean() for known in (True, False)}
        drawn = {known: resample(right[seen == known], groups[seen == known]) for known in means}
        generator = np.random.default_rng(0)  # the two are different images: no pairs
        low, high = np.quantile(drawn[True] - generator.permutation(drawn[False]), (0.025, 0.975))
        rows.append(
            {
                "network": str(run),
                "images not trained on": len(np.unique(groups[~seen])),
                "right there": means[False],
                "images trained on": len(np.unique(groups[seen])),
                "right on these": means[True],
                "difference": means[True] - means[False],
                "95 % low": low,
                "95 % high": high,
            }
        )
    if not rows:
        return []
    table = [{k: f"{v:.4f}" if isinstance(v, float) else v for k, v in row.items()} for row in rows]
    storage.write_table(timing.RESULTS / "data_remembered.csv", table)
    most = max(rows, key=lambda row: row["difference"])
    gain, low, high = (100 * in_test * most[key] for key in ("difference", "95 % low", "95 % high"))
    return [
        "Networks that were trained until they overfit remember more: of the "
        f"{len(rows)} asked, {most['network']} remembers most. It is right on "
        f"{most['right on these']:.1%} of the rows with repeated images that it was trained on and "
        f"on {most['right there']:.1%} of those that were held out, which are other images: at "
        f"most about {gain:.1f} points [{low:.1f}, {high:.1f}] of its test score."
    ]


def mean_by_group(values, groups):
    """Return (mean, low, high) of values (n,), 95 % by bootstrap over whole groups."""
    low, high = np.quantile(resample(values, groups), (0.025, 0.975))
    return float(values.mean()), float(low), float(high)


def resample(values, groups, *, samples=2000, seed=0):
    """Return the means of values (n,), (samples,), with whole groups drawn with replacement."""
    _, members = np.unique(groups, return_inverse=True)
    sums, sizes = np.bincount(members, values), np.bincount(members)
    generator = np.random.default_rng(seed)
    draws = (generator.integers(len(sums), size=len(sums)) for _ in range(samples))
    return np.array([sums[draw].sum() / sizes[draw].sum() for draw in draws])


def noise(labels, groups, unseen, folder):
    """Write how many labels of each class are doubted for which other; return a sentence."""
    threshold = np.array([unseen[labels == code, code].mean() for code in range(NUM_CLASSES)])
    confident = np.where(unseen >= threshold, unseen, -1.0)
    choice = np.where(confident.max(axis=1) >= 0, confident.argmax(axis=1), labels)
    doubted = choice != labels
    counts = metrics.confusion_counts(labels, choice)
    storage.write_table(
        timing.RESULTS / "data_noise.csv",
        [
            {"label": CLASS_NAMES[code], "rows": int(counts[code].sum())}
            | dict(zip(CLASS_NAMES, counts[code].tolist(), strict=True))
            | {"doubted": f"{1 - counts[code, code] / counts[code].sum():.4f}"}
            for code in range(NUM_CLASSES)
        ],
    )
    if not doubted.any():
        return "Networks that never saw them doubt no label with confidence."
    margin = unseen.max(axis=1) - unseen[np.arange(len(labels)), labels]
    order = np.argsort(-np.where(doubted, margin, -1.0), kind="stable")[: doubted.sum()]
    storage.write_table(
        folder / "doubtful.csv",
        [
            {
                "row": int(row),
                "label": CLASS_NAMES[labels[row]],
                "doubted for": CLASS_NAMES[choice[row]],
                "probability": f"{unseen[row, choice[row]]:.3f}",
                "of the label": f"{unseen[row, labels[row]]:.3f}",
            }
            for row in order
        ],
    )
    pairs = np.unique(np.stack([groups, labels]), axis=1)
    contradictory = np.flatnonzero(np.bincount(pairs[0]) > 1)
    low, high = metrics.wilson_interval(int(doubted.sum()), len(labels))
    worst = max(range(NUM_CLASSES), key=lambda code: doubted[labels == code].mean())
    among = np.isin(groups, contradictory)
    copies = (
        f", and {doubted[among].sum()} of the {among.sum()} rows whose copies carry contradictory "
        "labels"
    )
    return (
        f"Networks that never saw them doubt {doubted.mean():.1%} [{low:.1%}, {high:.1%}] of the "
        f"labels with confidence, most of them {CLASS_NAMES[worst]} "
        f"({doubted[labels == worst].mean():.1%}){copies if among.any() else ''}. That is the "
        "networks' doubt, not proof of an error: where they are weak, they doubt more."
    )


def classes(labels, unseen):
    """Write how often each class occurs and is recognised; return a sentence."""
    counts = metrics.confusion_counts(labels, unseen.argmax(axis=1))
    recall = np.diag(counts) / counts.sum(axis=1)
    storage.write_table(
        timing.RESULTS / "data_classes.csv",
        [
            {
                "class": name,
                "rows": int(counts[code].sum()),
                "share": f"{counts[code].sum() / counts.sum():.4f}",
                "recall": f"{recall[code]:.4f}",
                "precision": f"{counts[code, code] / max(counts[:, code].sum(), 1):.4f}",
            }
            for code, name in enumerate(CLASS_NAMES)
        ],
    )
    sizes = counts.sum(axis=1)
    rare, common = sizes.argmin(), sizes.argmax()
    return (
        f"{CLASS_NAMES[common].capitalize()} is {sizes[common] / max(sizes[rare], 1):.1f} times as "
        f"frequent as {CLASS_NAMES[rare]}; always answering it would score "
        f"{sizes[common] / sizes.sum():.1%}. Accuracy over all rows is "
        f"{np.diag(counts).sum() / sizes.sum():.1%}, the mean over classes {recall.mean():.1%}."
    )


if __name__ == "__main__":
    cli.run(main)
