"""Train the CNN by self-training: remove labels, let a teacher fill them in, learn from both.

    python semi_supervised.py
    python semi_supervised.py --unlabelled 0.8 --threshold 0.8 --soft --rounds 2

Reads   the FER-2013 table or folder (--data), or draws synthetic ones; a teacher (--teacher).
Writes  to --out: what train_cnn.py writes, of the student; unlabelled.npz (whose labels were
        removed); pseudo_labels.csv (round, row, label, confidence); pseudo_label_statistics.csv and
        .png (how many pseudo-labels each class got and how many were right); comparison.csv and
        .png (the student beside its teacher, which saw the labelled images alone, and beside
        --ceiling); teacher/ and round-1/ ... are runs.
Expect  a little over twice the time of train_cnn.py, as the teacher trains first. With 10 % of the
        labels removed, teacher and student are within the noise of a single run.

The teacher never sees a removed label: it trains on the other images alone, and a run given with
--teacher is refused when it was trained on one of them (--allow-leak repeats what the report most
likely did, and the results say so). A teacher trained here takes as many steps as the student: an
epoch is as many as all images together fill. Many fractions and seeds in one table: python -m
experiments.self_training.
"""

import math
from pathlib import Path

from common import cli
from common.models import registry
from common.runs import provenance, resume, storage


def build_parser():
    """Return the flags of this script."""
    options = cli.parser(__doc__)
    cli.add_data(options)
    cli.add_out(options, __file__)
    cli.add_seed(options)
    options.add_argument(
        "--unlabelled",
        metavar="X",
        type=cli.fraction,
        default=0.1,
        help="share of the training images whose labels are removed (default: %(default)s)",
    )
    options.add_argument(
        "--unlabelled-data",
        metavar="test|PATH",
        help="learn from these images too, never from their labels: the test images (then the "
        "result is transductive, and says so) or another data set",
    )
    options.add_argument(
        "--teacher", metavar="RUN", type=Path, help="label with this run instead of training one"
    )
    options.add_argument(
        "--ceiling",
        metavar="RUN",
        type=Path,
        help="finished run that learned from all the labels, to compare with",
    )
    options.add_argument(
        "--allow-leak",
        action="store_true",
        help="accept a teacher that was trained on removed labels; the results say so",
    )
    options.add_argument(
        "--rounds",
        metavar="N",
        type=cli.positive,
        default=1,
        help="students in a row, each the teacher of the next (default: %(default)s)",
    )
    options.add_argument(
        "--soft",
        action="store_true",
        help="learn from the teacher's probabilities, not from its choice alone",
    )
    options.add_argument(
        "--threshold",
        metavar="X",
        type=cli.fraction,
        default=0.0,
        help="least confidence of the teacher for a pseudo-label (default: %(default)s)",
    )
    options.add_argument(
        "--balance", action="store_true", help="keep as many pseudo-labels of every class"
    )
    options.add_argument("--architecture", default="cnn", **registry.option())
    cli.add_training(options)
    return options


def main(argv=None):
    """Remove labels, train or check the teacher, then label and train, round after round."""
    options = build_parser()
    args = options.parse_args(argv)
    if args.resume:
        resume.restore_flags(args, options, argv)
    if args.validation == 0:
        options.error("argument --validation: expected rows to compare teacher and student on")
    from common.data import loading

    loading.load(args.data)  # bad data is refused before TensorFlow is loaded
    import numpy as np

    from common.data import agreement, splits
    from common.models import checkpoints, prediction
    from common.training import batches, experiment, pseudo_labels

    # The data: labels are removed, and further images that have none are added.
    dataset, split = experiment.load_data(args)
    for run in filter(None, (args.teacher, args.ceiling)):  # better to fail now than at the end
        agreement.check_comparable(run, dataset, split)
    visible, unlabelled = pseudo_labels.remove_labels(
        dataset, split.train_rows, args.unlabelled, seed=args.seed
    )
    labelled = np.flatnonzero(visible != pseudo_labels.UNLABELLED)
    given = batches.labelled(dataset.train_images[labelled], visible[labelled], args.class_weight)
    extra = pseudo_labels.extra_images(dataset, split, args.unlabelled_data)
    images = np.concatenate([dataset.train_images[unlabelled], extra])

    # The run. All networks take as many steps, whatever the number of images they learn from.
    caveats = find_caveats(args, dataset, unlabelled, extra)
    teacher = checkpoints.load(args.teacher)[0] if args.teacher else None
    config = resume.create(
        args, architecture=args.architecture, data_hash=dataset.data_hash, caveats=caveats
    )
    print(
        f"The labels of {len(unlabelled):,} training images are removed, {len(labelled):,} are "
        f"left; {len(extra):,} more images have none."
    )
    splits.save_images(args.out, dataset)
    steps = math.ceil((len(labelled) + len(images)) / args.batch_size)
    plan = experiment.plan(args, args.architecture, steps_per_epoch=steps)
    first = args.teacher or args.out / "teacher"

    def train(folder, learned_from, then=None):
        """Train one network in a run folder that names the labelled images as its own."""
        own = [] if folder == first else caveats  # our teacher sees labelled images alone
        storage.write_json(folder / "config.json", config | {"caveats": own})
        splits.save(folder / "split.npz", splits.with_train_rows(split, labelled))
        return experiment.fit_and_measure(folder, plan, learned_from, dataset, split, then)

    def add_results(output):
        return write_results(output, args, config, first, unlabelled, statistics, table)

    # The teacher, then students that each teach the next.
    teacher = teacher or train(first, given)
    statistics, table = [], []
    for number in range(1, args.rounds + 1):
        probabilities = prediction.predict(teacher, images, views=2)
        chosen, targets = pseudo_labels.pseudo_labels(
            probabilities, soft=args.soft, threshold=args.threshold, balance=args.balance
        )
        if not chosen.any():
            raise ValueError(
                f"--threshold {args.threshold}: expected one that the teacher reaches, found no "
                f"confidence above {probabilities.max():.3f}: lower it, with another --out and "
                f"--teacher {first}, which need not be trained again"
            )
        true_labels = dataset.train_labels[unlabelled]
        statistics += pseudo_labels.statistics(number, probabilities, chosen, true_labels)
        table += pseudo_labels.pseudo_label_table(number, unlabelled, probabilities, chosen)
        last = number == args.rounds
        folder = args.out if last else args.out / f"round-{number}"
        learned_from = given.extended(images[chosen], targets)
        teacher = train(folder, learned_from, add_results if last else None)


def find_caveats(args, dataset, unlabelled, extra):
    """Return what must be said of the results, as sentences; refuse a teacher that will not do."""
    import numpy as np

    from common.data import agreement, matching

    caveats = []
    if args.teacher:
        caveats = agreement.check_teacher(
            args.teacher, args.architecture, dataset, unlabelled, allow_leak=args.allow_leak
        )
    if len(extra):
        tests = matching.fingerprints(dataset.test_images)
        found = matching.seen(tests, np.arange(len(dataset.test_images)), extra).sum()
        which = "the" if args.unlabelled_data == "test" else f"{found:,}"
        caveats += [f"transductive: trained on {which} test images, without labels"] * bool(found)
    return caveats


def write_results(output, args, config, teacher, unlabelled, statistics, table):
    """Write what the pseudo-labels came to and a comparison; return what to do next."""
    from common.figures.training import compared_runs, pseudo_labels

    compared = {"teacher": teacher} | ({"ceiling": args.ceiling} if args.ceiling else {})
    pairs = [("student", other) for other in compared]
    compared["student"] = args.out
    output.name_runs(compared.values())
    output.add("unlabelled", arrays={"rows": unlabelled})
    output.add("pseudo_labels", table=table)
    labelling = pseudo_labels.PseudoLabels(statistics, len(unlabelled), config["caveats"])
    output.show("pseudo_label_statistics", pseudo_labels, labelling)
    output.show(
        "comparison",
        compared_runs,
        compared_runs.compare(compared, pairs, config["caveats"]),
        title="What self-training adds",
        caption="The student beside its teacher, which had the remaining labels alone.",
    )
    look, flags = "filter_vis", ["--part", "ascent", "outputs", "classes"]
    if not registry.ARCHITECTURES[args.architecture].convolutional:
        look, flags = "confusion", []
    words = ["--model", args.out, *flags, "--out", f"outputs/{look}_{args.out.name}"]
    return f"Next: {provenance.typed('python', f'{look}.py', *words)}"


if __name__ == "__main__":
    cli.run(main)
