"""Train the report's DNN on FER-2013, write a Kaggle submission, and set it beside the CNN.

    python train_dnn.py --versus outputs/train_cnn
    python train_dnn.py --data sample --epochs 20 --out outputs/dnn_sample

Reads   the FER-2013 table or folder (--data), or draws synthetic ones; the run of a CNN (--versus).
Writes  to --out: what train_cnn.py writes, and with --versus comparison.csv and comparison.png:
        both accuracies with intervals, McNemar's test, time, size and curves.
Expect  epochs of 5 to 8 seconds on two CPU cores; after 150 of them validation accuracy 0.508 with
        the flags in pretrained/README.md, 0.484 with the same but without the --teacher runs.

The defaults are the report's: 3,000 rows held out, flips and shifts up to 0.1, batches of 64, 80
epochs. What it leaves open is set by --recipe.
"""

from pathlib import Path

from common import cli
from common.models import registry
from common.runs import resume


def build_parser():
    """Return the flags of this script."""
    options = cli.parser(__doc__)
    cli.add_data(options)
    cli.add_out(options, __file__)
    cli.add_seed(options)
    options.add_argument("--architecture", default="dnn", **registry.option(convolutional=False))
    cli.add_training(options)
    cli.add_folds(options)
    cli.add_finished_runs(options)
    options.add_argument(
        "--versus",
        metavar="RUN",
        type=Path,
        help="finished run of another model with the same held-out rows, to compare with",
    )
    return options


def main(argv=None):
    """Train the DNN, write its run folder, and compare it."""
    options = build_parser()
    args = options.parse_args(argv)
    if args.resume:
        resume.restore_flags(args, options, argv)
    cli.check_folds(options, args)
    from common.data import loading

    loading.load(args.data)  # bad data is refused before TensorFlow is loaded
    from common.figures.training import compared_runs
    from common.runs import records
    from common.training import experiment

    def compare(output):
        own, other = (records.architecture(run).upper() for run in (args.out, args.versus))
        other = f"other {other}" if other == own else other
        named = {other: args.versus, own: args.out}
        output.name_runs(named.values())
        compared = compared_runs.compare(named, [(other, own)])
        output.show("comparison", compared_runs, compared, title=f"{other} and {own} side by side")

    then = compare if args.versus else None
    experiment.train(args, args.architecture, versus=args.versus, then=then)


if __name__ == "__main__":
    cli.run(main)
