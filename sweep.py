"""Train many runs that differ in some flags, here or on a cluster, and compare them.

    python sweep.py train_cnn.py --vary seed=0,1,2 --vary augmentation=report,strong -- --epochs 60
    python sweep.py train_dnn.py --vary fold=0,1,2,3,4 --out outputs/folds -- --folds 5
    python sweep.py train_dnn.py --vary seed=0,1,2 --cluster tcp://head:8786 -- --data data

Reads   the script's own flags after --, which all runs share.
Writes  to --out: a run folder for every combination of values, SETTING/REPEAT, where seeds, folds
        and split seeds are repeats; settings.csv and .png (mean accuracy, interval and n by
        setting, differences from the first one paired over repeats, what the runs of a setting say
        together, curves), runs.csv, logs/, observations.txt, manifest.json.
Expect  what it will run and how long that takes, before it starts (--plan stops there). After any
        kind of stop the same command goes on, run by run. A run that fails is named with its last
        line, the others go on, and the exit status is 1.

A folder SETTING is an ensemble: predict.py --model OUT/SETTING averages its runs, and confusion.py
scores the runs of folds together on every row.
"""

import argparse
import sys
from pathlib import Path

from common import cli
from common.runs import provenance


def build_parser():
    """Return the flags of this script; those of the runs follow after --."""
    options = cli.parser(__doc__)
    options.usage = "%(prog)s SCRIPT --vary FLAG=VALUE,VALUE ... [options] -- [flags of all runs]"
    options.add_argument("script", metavar="SCRIPT", help="that trains, for example train_cnn.py")
    options.add_argument(
        "--vary",
        metavar="FLAG=VALUE,VALUE",
        type=_values,
        action="append",
        required=True,
        help="values of one flag; given several times, every combination is a run",
    )
    cli.add_out(options, __file__)
    cli.add_engine(options)
    options.add_argument("--plan", action="store_true", help="say what would be run, and stop")
    return options


def main(argv=None):
    """Say what is to be done, do it, and compare what came of it."""
    words = list(sys.argv[1:] if argv is None else argv)
    cut = words.index("--") if "--" in words else len(words)
    args, flags = build_parser().parse_args(words[:cut]), words[cut + 1 :]
    from common.sweep import engine, plan, stages

    units = plan.units(args.script, args.vary, flags, args.out)
    runs = [unit.stage for unit in units]
    say_plan(args, runs)
    if args.plan:
        return
    from common import outputs
    from common.figures.training import settings
    from common.sweep import merging

    output = outputs.Output(args.out, argv=words)  # keeps a second sweep out of the folder
    failures = engine.finish_all(runs, args.out, workers=args.workers, cluster=args.cluster)

    finished = [unit for unit in units if stages.is_finished(unit.stage)]
    output.record["runs"] = [outputs.identity(unit.stage.folder) for unit in finished]
    rows = merging.each(units, failures)
    output.add("runs", table=rows)
    for name, failure in failures.items():
        output.say(f"Failed: {name}: {failure} (see {args.out / 'logs' / name}.errors.log)")
    compared = merging.settings(finished)
    if compared:
        output.show("settings", settings, compared)
    output.finish(_following(args, compared))
    if failures:
        sys.exit(1)


def say_plan(args, runs):
    """Print how many runs there are, which are finished, and how long the others will take."""
    from common import outputs
    from common.sweep import pace, stages

    waiting = [run for run in runs if not stages.is_finished(run)]
    begun = sum((run.folder / "config.json").exists() for run in waiting)
    print(
        f"{len(runs)} run{'s' * (len(runs) != 1)} in {args.out}: {len(runs) - len(waiting)} "
        f"finished, {begun} to go on with, {len(waiting) - begun} to start."
    )
    for run in waiting[:20]:
        print(f"  {run.command}")
    if len(waiting) > 20:
        print(f"  and {len(waiting) - 20} more")
    if not waiting:
        return
    places = [*{run.folder.parent for run in runs}, Path("outputs")]
    places += [cli.of_project("pretrained"), cli.of_project("pretrained/ensemble")]
    known = pace.earlier(waiting[0], places)
    left = pace.left(waiting, args.workers or 1, known and known[0])
    if left is None:
        print("How long they take is known after the first epoch: no earlier run is like them.")
    else:
        by = f", by the {known[0]:.0f} s an epoch of {known[1]}" if known else ""
        print(f"About {outputs.duration(left)} with {args.workers or 1} at once{by}.")


def _following(args, compared):
    """Return what to do next, with the best setting by what its runs say together."""
    scored = [one for one in compared if one.row["together"] is not None]
    if not scored:
        return ""
    best = max(scored, key=lambda one: one.row["together"])
    return f"Next: {provenance.continued('confusion.py', [best.folder], None)}"


def _values(text):
    """Return (flag, values) of FLAG=VALUE,VALUE, for argparse."""
    name, _, values = text.partition("=")
    if not name.strip("-") or not all(values.split(",")):
        raise argparse.ArgumentTypeError(f"expected FLAG=VALUE,VALUE, found {text!r}")
    return name, values.split(",")


if __name__ == "__main__":
    cli.run(main)
