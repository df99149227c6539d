"""What FER-2013 itself does to a score: repeated images, doubtful labels, rare classes.

    python -m experiments.honest_data --data data/fer2013
    python -m experiments.honest_data --data sample --folds 2 --epochs 1 --out outputs/honest_sample

A network is cross-validated on the training images (--folds of train_cnn.py and train_dnn.py, to
which further flags go), copies of an image always in the same fold, so that every image is
predicted once by a network that never saw it (and by the others, which did).
From this follow
- twins: images that stand in the data again, as 568 of the test images stand in train. How much
  more often is a network right on them when it was trained on the image, and what does that add at
  most to a score in which such images are as frequent as they are in test? At most, as a network
  here saw the label, too, where a twin may carry another. Networks that were trained longer
  remember more, so those in pretrained/ are asked too: about repeated images that they were
  trained on, and about others that they were not.
- noise: how many labels a network that never saw them doubts with confidence. An image counts when
  it gives another class at least the confidence that it gives that class' own images on average
  (Northcutt, Jiang, Chuang, "Confident learning", 2021, section 3.1).
- classes: how often each occurs and is recognised.
Folds are run folders in --out and are never repeated: start again after any kind of stop.
--workers and --cluster train side by side, as in sweep.py.
"""

from pathlib import Path

import numpy as np

from common import cli, metrics
from common.labels import CLASS_NAMES, NUM_CLASSES
from common.models import registry
from common.report import results
from common.runs import records, storage
from common.sweep import engine, plan
from common.sweep.stages import Stage

TRAINING = ["--epochs", "10"]  # flags where none are given


def build_parser():
    """Return the flags of this study; those that it does not know are for training."""
    options = cli.parser(__doc__)
    options.add_argument("--architecture", default="compact", **registry.option())
    options.add_argument("--folds", type=cli.positive, default=3)
    cli.add_data(options)
    cli.add_seed(options)
    options.add_argument("--out", type=Path, default=Path("outputs/honest_data"))
    cli.add_engine(options)
    return options


def main(argv=None):
    """Train the folds that are missing, then write the tables and what they say."""
    args, training = build_parser().parse_known_args(argv)
    runs = folds(args, training or TRAINING)
    from common.data import agreement, loading, pixels
    from common.models import checkpoints, prediction

    dataset = loading.load(args.data)
    labels, groups = dataset.train_labels, pixels.duplicate_groups(dataset.train_images)
    engine.complete(runs, args.out, args)
    folders = [run.folder for run in runs]
    unseen, right_seen = answers_of_folds(folders, dataset)
    both = pixels.duplicate_groups(np.concatenate([dataset.train_images, dataset.test_images]))
    in_test = np.isin(both[len(labels) :], groups).mean()
    repeated = np.flatnonzero(np.bincount(groups)[groups] > 1)
    answers = {}
    for run in trained_on(dataset.data_hash) if len(repeated) else ():
        probabilities = prediction.predict(checkpoints.load(run)[0], dataset.train_images[repeated])
        right = probabilities.argmax(axis=1) == labels[repeated]
        answers[run] = right, agreement.seen_by(run, dataset)[repeated]

    output = results.study("data_notes", [*folders, *answers])
    if len(repeated):
        twins(output, groups, unseen.argmax(axis=1) == labels, right_seen, in_test)
    else:
        output.say("No training image stands there again: there are no twins to measure.")
    if answers:
        remembered(output, groups[repeated], answers, in_test)
    noise(output, labels, groups, unseen, args.out)
    classes(output, labels, unseen)
    output.say(
        f"Measured with {args.architecture}, {args.folds} folds, {' '.join(training or TRAINING)}, "
        f"seed {args.seed}, n = {len(labels):,} training images."
    )
    output.finish(f"The most doubtful labels: {args.out / 'doubtful.csv'}")


def folds(args, training):
    """Return the runs of all folds, refused now if their script does not know such flags."""
    script, *network = plan.trainer(args.architecture)
    data = ["--data", args.data] if args.data else []
    seeds = ["--seed", str(args.seed), "--split-seed", str(args.seed)]
    shared = [script, *network, *data, *training, *seeds, "--folds", str(args.folds)]
    runs = [
        Stage(name, args.out / name, [*shared, "--fold", str(number)], trains=True)
        for number, name in enumerate(f"fold-{number}" for number in range(args.folds))
    ]
    for run in runs:
        plan.parse(run)
    return runs


def answers_of_folds(folders, dataset):
    """Return what the networks of all folds say of all training images.

    That is the probabilities by the network that never saw an image, (n, 7), and the share of the
    other networks that are right, one by one, (n,).
    """
    from common.data import splits
    from common.models import checkpoints, prediction

    labels, rows = dataset.train_labels, records.load_models([folders])
    unseen = np.empty((len(labels), NUM_CLASSES))
    unseen[rows[0]] = rows[2][0]
    right_seen = np.zeros(len(labels))
    for folder in folders:
        seen = splits.load(folder / "split.npz").train_rows
        answers = prediction.predict(checkpoints.load(folder)[0], dataset.train_images[seen])
        right_seen[seen] += (answers.argmax(axis=1) == labels[seen]) / (len(folders) - 1)
    return unseen, right_seen


def twins(output, groups, right_unseen, right_seen, in_test):
    """Add how often images that stand there again are recognised, unseen and seen.

    `right_unseen` is bool (n,), `right_seen` the share of the other networks that are right, (n,),
    `in_test` the share of the test images that also stand in train.
    """
    repeated = np.bincount(groups)[groups] > 1
    rows = []
    for name, mask in (("image stands there again", repeated), ("all others", ~repeated)):
        gain, low, high = mean_by_group((right_seen - right_unseen)[mask], groups[mask])
        rows.append(
            {
                "rows": name,
                "n": int(mask.sum()),
                "images": len(np.unique(groups[mask])),
                "right, image never seen": right_unseen[mask].mean(),
                "right, image seen in training": right_seen[mask].mean(),
                "difference": gain,
                "95 % low": low,
                "95 % high": high,
            }
        )
    first = rows[0]
    said = (
        f"{in_test:.1%} of the test images also stand in train. An image that stands there again "
        f"is recognised in {first['right, image never seen']:.1%} of cases when a network never "
        f"saw it and {first['right, image seen in training']:.1%} when it did: known twins add at "
        f"most about {points(first, in_test)} to a test score of such a network, at most "
        "because a twin may carry another label. Validation scores here are free of that, as "
        "copies are kept in the same split."
    )
    title = "Images that stand there again: recognised with and without having been seen"
    output.add("data_twins", title=title, table=rows, sentences=[said])


def trained_on(data_hash):
    """Return the runs in pretrained/ that were trained on this data."""
    finished = [
        run
        for folder in ("pretrained", "pretrained/ensemble")
        for run in cli.runs_in(cli.of_project(folder))
    ]
    return [run for run in finished if records.read(run).data_hash == data_hash]


def remembered(output, groups, answers, in_test):
    """Add how often trained networks are right on repeated images, `groups` (n,) of them.

    `answers` are run folder -> (whether it is right, whether it was trained on the image), (n,).
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
    most = max(rows, key=lambda row: row["difference"])
    said = (
        "Networks that were trained until they overfit remember more: of the "
        f"{len(rows)} asked, {most['network']} remembers most. It is right on "
        f"{most['right on these']:.1%} of the repeated images that it was trained on and on "
        f"{most['right there']:.1%} of those that were held out, which are other images: at most "
        f"about {points(most, in_test)} of its test score."
    )
    title = "Images that stand there again, shown to trained networks"
    output.add("data_remembered", title=title, table=rows, sentences=[said])


def points(row, in_test):
    """Return the difference of a row, with its interval, in points of a test score."""
    gain, low, high = (100 * in_test * row[key] for key in ("difference", "95 % low", "95 % high"))
    return f"{gain:.1f} points [{low:.1f}, {high:.1f}]"


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


def noise(output, labels, groups, unseen, folder):
    """Add how many labels (n,) of each class are doubted for which other; each in `doubtful.csv`.

    `unseen` are the probabilities by networks that never saw an image, (n, 7).
    """
    threshold = np.array([unseen[labels == code, code].mean() for code in range(NUM_CLASSES)])
    confident = np.where(unseen >= threshold, unseen, -1.0)
    choice = np.where(confident.max(axis=1) >= 0, confident.argmax(axis=1), labels)
    doubted = choice != labels
    counts = metrics.confusion_counts(labels, choice)
    rows = [
        {"label": CLASS_NAMES[code], "rows": int(counts[code].sum())}
        | dict(zip(CLASS_NAMES, counts[code].tolist(), strict=True))
        | {"doubted": 1 - counts[code, code] / counts[code].sum()}
        for code in range(NUM_CLASSES)
    ]
    said = "Networks that never saw them doubt no label with confidence."
    if doubted.any():
        _list_doubtful(folder, labels, choice, unseen)
        pairs = np.unique(np.stack([groups, labels]), axis=1)
        among = np.isin(groups, np.flatnonzero(np.bincount(pairs[0]) > 1))
        low, high = metrics.wilson_interval(int(doubted.sum()), len(labels))
        worst = max(range(NUM_CLASSES), key=lambda code: doubted[labels == code].mean())
        copies = (
            f", and {doubted[among].sum()} of the {among.sum()} images whose copies carry "
            "contradictory labels"
        )
        said = (
            f"Networks that never saw them doubt {doubted.mean():.1%} [{low:.1%}, {high:.1%}] of "
            f"the labels with confidence, most of them {CLASS_NAMES[worst]} "
            f"({doubted[labels == worst].mean():.1%}){copies if among.any() else ''}. That is the "
            "networks' doubt, not proof of an error: where they are weak, they doubt more."
        )
    title = "Labels that such networks doubt with confidence: for which other class"
    output.add("data_noise", title=title, table=rows, sentences=[said])


def _list_doubtful(folder, labels, choice, unseen):
    """Write the doubted labels to `folder`, those first that the networks are surest about."""
    margin = unseen.max(axis=1) - unseen[np.arange(len(labels)), labels]
    order = np.argsort(-np.where(choice != labels, margin, -1.0), kind="stable")
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
            for row in order[: (choice != labels).sum()]
        ],
    )


def classes(output, labels, unseen):
    """Add how often each class occurs and is recognised; arguments as of `noise`."""
    counts = metrics.confusion_counts(labels, unseen.argmax(axis=1))
    sizes = counts.sum(axis=1)
    recall = np.diag(counts) / sizes
    rows = [
        {
            "class": name,
            "rows": int(sizes[code]),
            "share": sizes[code] / sizes.sum(),
            "recall": recall[code],
            "precision": counts[code, code] / max(counts[:, code].sum(), 1),
        }
        for code, name in enumerate(CLASS_NAMES)
    ]
    rare, common = sizes.argmin(), sizes.argmax()
    said = (
        f"{CLASS_NAMES[common].capitalize()} is {sizes[common] / max(sizes[rare], 1):.1f} times as "
        f"frequent as {CLASS_NAMES[rare]}; always answering it would score "
        f"{sizes[common] / sizes.sum():.1%}. Accuracy over all images is "
        f"{np.diag(counts).sum() / sizes.sum():.1%}, the mean over classes {recall.mean():.1%}."
    )
    title = "Each class: how frequent it is, and recognised by networks that never saw the image"
    output.add("data_classes", title=title, table=rows, sentences=[said])


if __name__ == "__main__":
    cli.run(main)
