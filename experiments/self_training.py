"""What pseudo-labels are worth: fractions of removed labels x seeds, beside baseline and ceiling.

    python -m experiments.self_training --data data/fer2013
    python -m experiments.self_training --data data/fer2013 --architecture compact --fractions 0.8

For every seed a network learns from all labels (the ceiling, train_dnn.py or train_cnn.py), and for
every fraction one learns from the labels that are left (the baseline) and a second one from those
and from the baseline's pseudo-labels (semi_supervised.py). All take the same number of steps, a
seed fixes the initial weights and which labels are removed, and all are measured on the same
validation images. Further flags go to the training scripts, instead of those in TRAINING. Runs are
kept in --out and never repeated: start the command again after any kind of stop. --workers and
--cluster train side by side, as in sweep.py.
"""

import itertools
from pathlib import Path

import pandas as pd

from common import cli, metrics
from common.figures.training import self_training as figure
from common.report import results
from common.runs import records
from common.sweep import engine, plan
from common.sweep.stages import Stage

TRAINING = {  # flags where none are given: what finishes on two cores in an hour or two
    "dnn": "--epochs 20 --batch-size 128 --recipe adamw --augmentation gentle",
    "compact": "--epochs 6 --batch-size 128",
    "cnn": "--epochs 15",
}


def build_parser():
    """Return the flags of this study; those that it does not know are for training."""
    options = cli.parser(__doc__)
    options.add_argument("--data", default="data")
    options.add_argument("--fractions", type=cli.fraction, nargs="+", default=[0.1, 0.5, 0.8, 0.95])
    options.add_argument("--seeds", type=cli.non_negative, nargs="+", default=[0, 1, 2])
    options.add_argument("--architecture", choices=tuple(TRAINING), default="dnn")
    options.add_argument("--out", type=Path, default=Path("outputs/self_training"))
    cli.add_engine(options)
    return options


def main(argv=None):
    """Train what is missing, then compare everything."""
    args, training = build_parser().parse_known_args(argv)
    training = training or TRAINING[args.architecture].split()
    script, *network = plan.trainer(args.architecture)
    folder = args.out / args.architecture

    def run(script, name, seed, *flags):
        name, common = f"{name}/seed-{seed}", ["--data", args.data, "--seed", str(seed), *training]
        return Stage(name, folder / name, [script, *common, *flags], trains=True)

    def student(fraction, seed):
        extra = ["--unlabelled", f"{fraction:g}", "--ceiling", str(ceilings[seed].folder)]
        extra += ["--architecture", args.architecture]
        return run("semi_supervised.py", f"unlabelled-{fraction:g}", seed, *extra)

    ceilings = {seed: run(script, "all-labels", seed, *network) for seed in args.seeds}
    pairs = itertools.product(args.fractions, args.seeds)
    taught = {pair: student(*pair) for pair in pairs}
    engine.complete(list(ceilings.values()), folder, args)
    engine.complete(list(taught.values()), folder, args)
    compared = [
        measure(fraction, seed, one.folder, ceilings[seed].folder)
        for (fraction, seed), one in taught.items()
    ]
    table = pd.DataFrame(compared).sort_values(["unlabelled", "seed"])
    how = " ".join(["--data", str(args.data), "--architecture", args.architecture, *training])
    said = [sentence(fraction, group) for fraction, group in table.groupby("unlabelled")]
    said.append(f"Trained with {how}; {results.machine()}.")
    name = args.architecture.upper()
    students = [one.folder for one in taught.values()]
    output = results.study(f"self_training_{args.architecture}", students)
    output.show(
        f"self_training_{args.architecture}",
        figure,
        figure.SelfTraining(name, table),
        title=f"Self-training of the {name} by share of removed labels and seed",
        table=table,
        sentences=said,
    )
    output.finish()


def measure(fraction, seed, student, ceiling):
    """Return one row of the table: accuracies on the same images, and the paired test."""
    baseline = student / "teacher"
    _, labels, probabilities = records.load_together([baseline, student, ceiling])
    correct = probabilities.argmax(axis=2) == labels
    difference, low, high = metrics.difference_interval(correct[1], correct[0])
    statistics = pd.read_csv(student / "pseudo_label_statistics.csv")
    last = statistics[statistics["class"] == "all"].iloc[-1]
    return {
        "unlabelled": fraction,
        "seed": seed,
        "n": len(labels),
        "pseudo-labels": int(last["pseudo_labels"]),
        "right": last["precision"],
        "baseline": correct[0].mean(),
        "self-training": correct[1].mean(),
        "all labels": correct[2].mean(),
        "difference": difference,
        "95 % low": low,
        "95 % high": high,
        "p (McNemar)": metrics.mcnemar(correct[1], correct[0]).p_value,
    }


def sentence(fraction, group):
    """Return what the seeds of one fraction say together."""
    means = 100 * group[["baseline", "self-training", "all labels"]].mean()
    start = (
        f"{fraction:.0%} of the labels removed: baseline {means['baseline']:.1f} %, self-training "
        f"{means['self-training']:.1f} %, all labels {means['all labels']:.1f} %"
    )
    if len(group) < 2:
        return f"{start} (one seed: no interval)."
    mean, half = metrics.mean_interval(100 * group["difference"].to_numpy())
    verdict = (
        "no effect that can be told from noise"
        if abs(mean) <= half
        else ("a gain" if mean > 0 else "a loss")
    )
    return (
        f"{start}; self-training minus baseline {mean:+.1f} points [{mean - half:+.1f}, "
        f"{mean + half:+.1f}] over {len(group)} seeds: {verdict}."
    )


if __name__ == "__main__":
    cli.run(main)
