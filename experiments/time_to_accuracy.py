"""Minutes of training to reach a given validation accuracy, against the report's own recipe.

    python -m experiments.time_to_accuracy --data data/fer2013
    python -m experiments.time_to_accuracy --data sample --report-epochs 2 --compact-epochs 2

The report's CNN learns with a constant rate of Adam, flips and shifts, batches of 64 and no more
than the report states; the compact CNN with what was found to pay here. Both are trained on this
machine with the same split. Minutes are epochs times the median of an epoch's seconds, so that a
pause does not count. Runs are kept in --out and never repeated; finished ones from elsewhere can be
named instead.
"""

import statistics
from pathlib import Path

from common import cli, comparison
from common.data import agreement
from common.figures.training import accuracy_by_minutes
from common.report import results
from common.runs import records
from common.sweep import engine
from common.sweep.stages import Stage

ACCURACIES = (0.50, 0.55, 0.60, 0.62, 0.64, 0.66, 0.68, 0.70)
REPORT = ["--recipe", "report"]
COMPACT = ["--architecture", "compact", "--augmentation", "strong"]
COMPACT += ["--batch-size", "128", "--learning-rate", "0.1"]


def build_parser():
    """Return the flags of this study."""
    options = cli.parser(__doc__)
    options.add_argument("--data", default="data")
    options.add_argument("--report-epochs", type=cli.positive, default=24)
    options.add_argument("--compact-epochs", type=cli.positive, default=60)
    for name in ("report", "compact"):
        options.add_argument(
            f"--{name}-run", metavar="RUN", type=Path, help="take this finished run, train none"
        )
    options.add_argument("--out", type=Path, default=Path("outputs/time_to_accuracy"))
    options.set_defaults(workers=1, cluster=None)  # side by side they would slow each other down
    return options


def main(argv=None):
    """Train what is missing, then write table and figure."""
    args = build_parser().parse_args(argv)
    if args.report_run:  # before an hour of training
        agreement.check_architecture(args.report_run, "cnn")
        recipe = records.read(args.report_run).config["flags"].get("recipe")
        if recipe != "report":
            raise ValueError(
                f"{args.report_run}: expected --recipe report, found --recipe {recipe}"
            )
    if args.compact_run:
        agreement.check_architecture(args.compact_run, "compact")
        records.read(args.compact_run)

    def train(name, flags, epochs):
        words = ["train_cnn.py", "--data", args.data, *flags, "--epochs", str(epochs)]
        engine.complete([Stage(name, args.out / name, words, trains=True)], args.out, args)
        return args.out / name

    named = {
        "report's CNN and recipe": args.report_run or train("report", REPORT, args.report_epochs),
        "compact CNN": args.compact_run or train("compact", COMPACT, args.compact_epochs),
    }
    records.load_together(list(named.values()))  # refuses other validation images
    (machine, *others) = comparison.table(named)["machine"].unique()
    if others:
        raise ValueError(f"expected runs of one machine, found {', '.join([machine, *others])}")
    histories = {}
    for name, folder in named.items():
        history = records.load_history(folder)
        seconds = statistics.median(row["seconds"] for row in history)
        histories[name] = [row | {"minutes": row["epoch"] * seconds / 60} for row in history]
    rows = []
    for accuracy in ACCURACIES:
        minutes = {name: minutes_until(history, accuracy) for name, history in histories.items()}
        report, compact = minutes.values()
        ratio = report / compact if report and compact else None
        rows.append(
            {
                "validation accuracy": accuracy,
                **minutes,
                "times as fast": ratio,
                "machine": machine,
            }
        )
    output = results.study("accuracy_by_minutes", named.values())
    output.show("accuracy_by_minutes", accuracy_by_minutes, histories, table=rows)
    output.finish()


def minutes_until(history, accuracy):
    """Return after how many minutes a run first reached an accuracy, or None."""
    return next((row["minutes"] for row in history if row["validation_accuracy"] >= accuracy), None)


if __name__ == "__main__":
    cli.run(main)
