"""Train the report's CNN on FER-2013 and write a Kaggle submission."""

from common import cli, runs


def build_parser():
    """Return the flags of this script."""
    options = cli.parser(__doc__)
    cli.add_data(options)
    cli.add_out(options, __file__)
    cli.add_seed(options)
    cli.add_training(options)
    return options


def main(argv=None):
    """Train and write the run folder."""
    options = build_parser()
    args = options.parse_args(argv)
    if args.resume:
        runs.recall_flags(args, options)
    from common import experiment

    experiment.train(args, "cnn")


if __name__ == "__main__":
    cli.run(main)
