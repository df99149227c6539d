"""Minutes of training until a given validation accuracy, against the report's own recipe.

    python -m benchmarks.time_to_accuracy --data data/fer2013
    python -m benchmarks.time_to_accuracy --data sample --report-epochs 2 --compact-epochs 2

The report's CNN learns with a constant rate of Adam, flips and shifts, batches of 64 and no more
than the report states; the compact CNN with what was found to pay here. Both are trained on this
machine with the same split. Minutes are epochs times the median of an epoch's seconds, so that a
pause does not count. Runs are kept in --out and never repeated; finished ones from elsewhere can be
named instead.
"""

import argparse
import statistics
from pathlib import Path

from benchmarks import timing
from common import cli, comparison, records
from common.figures import curves, style
from common.runs import provenance

ACCURACIES = (0.50, 0.55, 0.60, 0.62, 0.64, 0.66, 0.68, 0.70)
COMPACT = ["--architecture", "compact", "--augmentation", "strong"]
COMPACT += ["--batch-size", "128", "--learning-rate", "0.1"]


def main():
    """Train what is missing, then publish table and figure."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--data", default="data")
    options.add_argument("--report-epochs", type=int, default=24)
    options.add_argument("--compact-epochs", type=int, default=60)
    for name in ("report", "compact"):
        options.add_argument(
            f"--{name}-run", metavar="RUN", type=Path, help="take this finished run, train none"
        )
    options.add_argument("--out", type=Path, default=Path("outputs/time_to_accuracy"))
    args = options.parse_args()
    given = ((args.report_run, "cnn"), (args.compact_run, "compact"))
    for run, architecture in given:  # before an hour of training
        if run:
            records.check_architecture(run, architecture)
            recipe = records.read(run).config["flags"].get("recipe")
            if run is args.report_run and recipe != "report":
                raise ValueError(f"{run}: expected --recipe report, found --recipe {recipe}")
    if not args.report_run:
        flags = ["--recipe", "report", "--epochs", str(args.report_epochs)]
        args.report_run = train(args, "report", flags)
    if not args.compact_run:
        flags = [*COMPACT, "--epochs", str(args.compact_epochs)]
        args.compact_run = train(args, "compact", flags)
    comparison.load_together([args.report_run, args.compact_run])  # refuses other rows
    histories = {}
    named = {"report's CNN and recipe": args.report_run, "compact CNN": args.compact_run}
    for name, folder in named.items():
        history = comparison.load_history(folder)
        seconds = statistics.median(row["seconds"] for row in history)
        histories[name] = [row | {"minutes": row["epoch"] * seconds / 60} for row in history]
    rows = []
    for accuracy in ACCURACIES:
        minutes = {name: minutes_until(history, accuracy) for name, history in histories.items()}
        report, compact = minutes.values()
        ratio = report / compact if report and compact else None
        rows.append({"validation accuracy": accuracy, **minutes, "times as fast": ratio})
    timing.publish("accuracy_by_minutes", rows, named.values())
    style.save(
        curves.accuracy_by_minutes(histories),
        timing.RESULTS / "accuracy_by_minutes.png",
        source=f"{timing.machine()}: {provenance.command_line()}",
    )
    print("Wrote results/accuracy_by_minutes.png.")


def train(args, name, flags):
    """Return a run folder in --out, finished."""
    folder = args.out / name
    timing.finish("train_cnn.py", folder, ["--data", args.data, *flags])
    return folder


def minutes_until(history, accuracy):
    """Return after how many minutes a run first reached an accuracy, or None."""
    return next((row["minutes"] for row in history if row["validation_accuracy"] >= accuracy), None)


if __name__ == "__main__":
    cli.run(main)
