"""Train the report's CNN on FER-2013 and write a Kaggle submission.

    python train_cnn.py
    python train_cnn.py --data sample --epochs 5 --out outputs/cnn_sample

Reads   the FER-2013 table or folder (--data), or draws synthetic faces.
Writes  to --out: model.keras (the epoch with the best validation accuracy), curves.png,
        layers.csv, metrics.json, history.csv, predictions.npz (validation), submission.csv,
        config.json, split.npz, observations.txt, manifest.json (what each file shows), and state/,
        from which --resume goes on after any kind of stop.
Expect  validation accuracy about 0.68 after 40 epochs, 0.70 after 120 with --augmentation strong
        and --teacher; an epoch of the real data takes 2 to 3 minutes on two CPU cores that multiply
        in bfloat16, 5 to 14 on others, seconds on a GPU. The compact network needs a third of that.

The defaults are the report's: 3,000 rows held out, flips and shifts up to 0.1, batches of 64, 80
epochs. What it leaves open is set by --recipe.
"""

from common import cli
from common.models import registry
from common.runs import resume


def build_parser():
    """Return the flags of this script."""
    options = cli.parser(__doc__)
    cli.add_data(options)
    cli.add_out(options, __file__)
    cli.add_seed(options)
    options.add_argument("--architecture", default="cnn", **registry.option(convolutional=True))
    cli.add_training(options)
    cli.add_folds(options)
    cli.add_finished_runs(options)
    return options


def main(argv=None):
    """Train the CNN and write its run folder."""
    options = build_parser()
    args = options.parse_args(argv)
    if args.resume:
        resume.restore_flags(args, options, argv)
    cli.check_folds(options, args)
    from common.data import loading

    loading.load(args.data)  # bad data is refused before TensorFlow is loaded
    from common.training import experiment

    experiment.train(args, args.architecture)


if __name__ == "__main__":
    cli.run(main)
