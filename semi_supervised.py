"""Train the CNN by self-training: hide labels, let a teacher fill them in, learn from both.

    python semi_supervised.py --data data/fer2013
    python semi_supervised.py --data data/fer2013 --unlabelled 0.8 --threshold 0.8 --soft --rounds 2

Reads   the FER-2013 table or folder (--data), or draws sample faces; a trained teacher (--teacher).
Writes  to --out: what train_cnn.py writes, of the student; hidden.npz (whose labels were removed);
        pseudo_labels.csv (row, label, confidence, round), ledger.csv and ledger.png (how many
        pseudo-labels each class got and how many were right); comparison.csv, .png and .txt (the
        student beside its teacher, which saw the labelled rows alone, and beside --ceiling);
        teacher/ and round-1/ ... are runs.
Expect  a little over twice the time of train_cnn.py, as the teacher trains first. With 10 % of the
        labels removed, teacher and student are within the noise of a single run.

The teacher never sees a removed label: it trains on the other rows alone, and a run given with
--teacher is refused when its rows include one of them (--allow-leak repeats what the report most
likely did, and stamps the result). A teacher trained here takes as many steps as the student: an
epoch is as many as all rows together fill. Many fractions and seeds in one table: python -m
benchmarks.self_training.
"""

import math
from pathlib import Path

from common import cli
from common.runs import resume, storage


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
        help="share of the training rows whose labels are removed (default: %(default)s)",
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
        help="accept a teacher that was trained on removed labels; the result is stamped",
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
    options.add_argument(
        "--architecture",
        choices=("cnn", "compact", "dnn"),
        default="cnn",
        help="of teacher and student (default: %(default)s)",
    )
    cli.add_training(options)
    return options


def main(argv=None):
    """Hide labels, train or check the teacher, then label and train, round after round."""
    options = build_parser()
    args = options.parse_args(argv)
    if args.resume:
        resume.restore_flags(args, options)
    import numpy as np

    from common import experiment, selftraining, training
    from common.data import splits
    from common.figures import ledgers, style
    from common.models import checkpoints, prediction

    faces, split = experiment.load_data(args)
    for run in filter(None, (args.teacher, args.ceiling)):  # better to fail now than at the end
        experiment.check_comparable(run, faces, split)
    visible, hidden = selftraining.hide_labels(
        faces, split.train_rows, args.unlabelled, seed=args.seed
    )
    labelled = np.flatnonzero(visible != selftraining.HIDDEN)
    extra = selftraining.extra_images(faces, split, args.unlabelled_data)
    stamps = []
    if args.teacher:
        stamps = selftraining.check_teacher(
            args.teacher,
            args.architecture,
            faces,
            hidden,
            allow_leak=args.allow_leak,
        )
        teacher = checkpoints.load(args.teacher)[0]
    if args.unlabelled_data == "test":
        stamps.append("transductive: trained on the test images, without labels")
    config = resume.create(
        args, architecture=args.architecture, data_hash=faces.data_hash, stamps=stamps
    )
    storage.write_arrays(args.out / "hidden.npz", rows=hidden)
    print(
        f"The labels of {len(hidden):,} training rows are removed, {len(labelled):,} are left; "
        f"{len(extra):,} more images have none."
    )

    def train_part(name, images, targets, weights):
        """Train one network in a run folder that records the labelled rows as its own."""
        folder = args.out / name
        storage.write_json(folder / "config.json", config)
        splits.save(folder / "split.npz", splits.with_train_rows(split, labelled))
        return experiment.fit(
            args,
            folder,
            args.architecture,
            faces,
            split,
            images=images,
            targets=targets,
            weights=weights,
            steps_per_epoch=steps,
        )

    targets = training.soft_labels(visible[labelled])
    weights = training.row_weights(visible[labelled], args.class_weight)
    unlabelled = np.concatenate([faces.train_images[hidden], extra])
    # Everyone takes as many steps and chooses among as many epochs, whatever the number of rows.
    steps = math.ceil((len(labelled) + len(unlabelled)) / args.batch_size)
    if not args.teacher:
        teacher = train_part("teacher", faces.train_images[labelled], targets, weights)

    compared = {"teacher": args.teacher or args.out / "teacher"}
    if args.ceiling:
        compared["ceiling"] = args.ceiling

    ledger, label_map = [], []
    for number in range(1, args.rounds + 1):
        probabilities = prediction.predict(teacher, unlabelled, views=2)
        chosen, pseudo = selftraining.pseudo_labels(
            probabilities, soft=args.soft, threshold=args.threshold, balance=args.balance
        )
        if not chosen.any():
            trained = args.teacher or args.out / "teacher"
            raise ValueError(
                f"--threshold {args.threshold}: expected one that the teacher reaches, found no "
                f"confidence above {probabilities.max():.3f}: lower it, with another --out and "
                f"--teacher {trained}, which need not be trained again"
            )
        mine = np.arange(len(unlabelled)) < len(hidden)  # rows whose removed label can be asked
        ledger += selftraining.ledger(
            number, probabilities[mine], chosen[mine], faces.train_labels[hidden]
        )
        label_map += selftraining.label_map(number, hidden, probabilities, chosen)
        teacher = train_part(
            "" if number == args.rounds else f"round-{number}",
            np.concatenate([faces.train_images[labelled], unlabelled[chosen]]),
            np.concatenate([targets, pseudo]),
            np.concatenate([weights, np.ones(len(pseudo), np.float32)]),
        )
    storage.write_table(args.out / "ledger.csv", ledger)
    storage.write_table(args.out / "pseudo_labels.csv", label_map)
    style.save(
        ledgers.pseudo_labels(ledger, stamps),
        args.out / "ledger.png",
        source=f"{args.out}: {config['command']}",
    )
    for row in ledger:
        if row["class"] == "all":
            print(
                f"Round {row['round']}: {row['pseudo_labels']:,} of {len(hidden):,} removed labels "
                f"replaced, {row['right']:,} of them rightly ({row['precision']:.1%})."
            )
    pairs = [("student", other) for other in compared]
    experiment.compare(compared | {"student": args.out}, args.out, pairs, stamps)
    print(f"Wrote ledger.csv, ledger.png, pseudo_labels.csv, hidden.npz to {args.out}.")
    look, flags = "filter_vis", "--part ascent outputs classes "
    if args.architecture == "dnn":
        look, flags = "confusion", ""
    print(f"Next: python {look}.py --model {args.out} {flags}--out outputs/{look}_{args.out.name}")


if __name__ == "__main__":
    cli.run(main)
