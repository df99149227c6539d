"""Make every figure and table of the report again, and put them on one page.

    python report.py
    python report.py --from-scratch --out outputs/full_report

Reads   finished runs (--cnn and the like) and, to look into them, the data that they were
        trained on (--data); results/ for what was measured of the data and of speed.
Writes  to --out: report.html, which holds all it shows and needs no network; overview.png, a sheet
        with the most telling figures; a folder for each script that was run, with manifest.json
        (command, weights, versions, seconds), and its log.
Expect  about ten minutes on two CPU cores the first time, seconds afterwards: what is finished,
        on the same weights, is not done again. --from-scratch trains first, which takes hours, and
        goes on where it was stopped. What is missing leaves a gap that names the command to fill
        it. If a script fails, the page is written all the same and the exit status is 1.
"""

import shlex
import signal
import sys
from pathlib import Path

from common import cli
from common.report import contents


def build_parser():
    """Return the flags of this script."""
    options = cli.parser(__doc__)
    for key, network in contents.MODELS.items():
        options.add_argument(
            f"--{key.replace('_', '-')}",
            metavar="RUN",
            type=Path,
            default=cli.of_project(network.run),
            help=f"run of the {network.name} (default: %(default)s)",
        )
    cli.add_data(options)
    cli.add_out(options, __file__)
    cli.add_seed(options)
    options.add_argument(
        "--from-scratch", action="store_true", help="train all runs first, into --out"
    )
    options.add_argument(
        "--epochs",
        metavar="N",
        type=cli.positive,
        help="epochs of each training (default: the scripts')",
    )
    options.add_argument(
        "--no-run", action="store_true", help="make the page of what is there, run nothing"
    )
    return options


def main(argv=None):
    """Run the stages that are not finished, and write the page."""
    options = build_parser()
    args = options.parse_args(argv)
    if args.epochs and not args.from_scratch:
        raise ValueError("--epochs: expected --from-scratch too, as nothing else trains")
    models = {key: getattr(args, key) for key in contents.MODELS}
    if args.from_scratch:
        for key, run in models.items():
            if run != options.get_default(key):
                raise ValueError(
                    f"--{key.replace('_', '-')}: expected no run beside --from-scratch, which "
                    "makes it"
                )
        models = {key: args.out / key for key in models}
    from common import outputs
    from common.data import agreement
    from common.figures.report import overview
    from common.report import page, sections
    from common.sweep import stages

    for key, network in contents.MODELS.items():
        agreement.check_architecture(models[key], network.architecture)

    flags = [flag for flag in (sys.argv[1:] if argv is None else argv) if flag != "--no-run"]
    output = outputs.Output(args.out, command=shlex.join(["python", "report.py", *flags]))
    training, looking = training_stages(args, models), looking_stages(args, models)
    plan = [*(training if args.from_scratch else ()), *looking]
    failures = {} if args.no_run else stages.run_all(plan, args.out)

    sources = sections.Sources(
        plan={stage.name: stage for stage in (*training, *looking)},
        failures=failures,
        command=output.record["command"],
        trains=args.from_scratch,
        folder=args.out,
    )
    content = sections.build(sources)
    path = output.file("report.html")
    size = page.write(path, **content)
    if rows := sections.most_telling(sources):
        output.add("overview", figure=overview.sheet(rows))
    gaps = sum(part["gaps"] for part in content["parts"])
    print(f"report.html: {size / 2**20:.1f} MiB; gaps: {gaps or 'none'}.")
    output.finish(f"Open the page in a browser: {path.resolve().as_uri()}")
    if failures:
        sys.exit(1)


def training_stages(args, models):
    """Return the stages that train the runs, in order."""
    more = ["--epochs", str(args.epochs)] if args.epochs else []
    return [
        _stage(key, models[key], network.training, args, models, more, trains=True)
        for key, network in contents.MODELS.items()
    ]


def looking_stages(args, models):
    """Return the stages that look into the runs, in the report's order."""
    return [
        _stage(name, args.out / name, command, args, models)
        for name, command in contents.STAGES.items()
    ]


def _stage(name, folder, command, args, models, more=(), *, trains=False):
    """Return the stage of a command in which {KEY} stands for a run of `models`."""
    from common.sweep.stages import Stage

    data = [] if args.data is None else ["--data", args.data]
    paths = {key: run.as_posix() for key, run in models.items()}
    words = [word.format(**paths) for word in command.split()]
    reads = tuple(run for key, run in models.items() if f"{{{key}}}" in command)
    return Stage(name, folder, [*words, "--seed", str(args.seed), *data, *more], reads, trains)


if __name__ == "__main__":
    # A stage must not go on alone when this script is told to end.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    cli.run(main)
