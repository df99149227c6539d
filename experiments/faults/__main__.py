"""Kill trainings, fill disks, change data files and damage records, and count what became of it.

    python -m experiments.faults
    python -m experiments.faults --short --out outputs/faults

All faults follow from --seed. A fault is harmless if everything is afterwards as if it had not been
(a training that was killed or ran out of disk and went on ends with the same bytes), or if it is
refused in one line that names the file. Everything else is listed, and the exit status is 1. Every
file under 10 MB may cost 2 GB of memory and 60 s of processor time. Needs Linux.
"""

import os
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np

from common import cli, outputs
from common.report import results

COUNTS = {  # what of each: in full, and in a few seconds
    "kills": (10, 3),  # of each training; in short of the first alone
    "disks": (6, 2),
    "files": (10_000, 300),
    "bombs": (1, 9),  # every one, every ninth
    "records": (600, 120),
    "weights": (120, 6),
    "scripts": (40, 2),
}


def build_parser():
    """Return the flags of this study."""
    options = cli.parser(__doc__)
    cli.add_seed(options)
    options.add_argument(
        "--out", metavar="DIR", type=Path, help="folder for the table (default: results/)"
    )
    options.add_argument("--short", action="store_true", help="a minute's worth of each kind")
    options.add_argument(
        "--part",
        nargs="+",
        choices=tuple(COUNTS),
        default=tuple(COUNTS),
        help="only these; what the table says of the others stays",
    )
    options.add_argument(
        "--jobs", metavar="N", type=cli.positive, default=1, help="at once (default: %(default)s)"
    )
    return options


def main(argv=None):
    """Make the faults part by part, and write the table."""
    args = build_parser().parse_args(argv)
    if not sys.platform.startswith("linux"):
        raise ValueError(f"expected Linux, which tells what a process costs, found {sys.platform}")
    os.environ["OMP_NUM_THREADS"] = "1"
    # Loaded once, before any process is forked, and not used here: TensorFlow survives that.
    import common.training.experiment  # noqa: F401
    from experiments.faults import outcomes

    with tempfile.TemporaryDirectory(prefix="faults.") as folder:
        work = Path(folder)
        jobs = _jobs(args, work)
        with ProcessPoolExecutor(args.jobs, mp_context=outcomes.FORK) as pool:
            running = [pool.submit(*job) for job in jobs]
            found = [one for job in running for one in job.result()]

    for one in found:
        if one.outcome in outcomes.BAD:
            print(f"{one.kind}: {one.outcome}: {one.note}")
    output = outputs.Output(args.out, study="faults") if args.out else results.study("faults")
    rows = outcomes.table(found)
    before = output.folder / "faults.csv"
    if len(args.part) < len(COUNTS) and before.exists():  # of the other parts
        made = {row["fault"] for row in rows}
        rows += [row for row in outcomes.read(before) if row["fault"] not in made]
    cases = sum(row["cases"] for row in rows)
    bad = sum(row[name] for row in rows for name in outcomes.BAD)
    said = (
        f"{cases:,} faults: {cases - bad:,} did no harm or were refused in one line that names the "
        f"file, {bad:,} did not."
    )
    title = "Faults made on purpose, and what became of them"
    output.add("faults", title=title, table=rows, sentences=[said])
    output.finish()
    if bad:
        sys.exit(1)


def _jobs(args, work):
    """Return (function, arguments ...) of everything that is to be done; each has its folder."""
    from experiments.faults import files, records, trainings

    counts = {part: COUNTS[part][args.short] for part in args.part}
    data = files.small_table(work / "data")
    names = list(trainings.TRAININGS)
    first = None
    if counts.keys() & {"kills", "disks", "weights", "scripts"}:
        first = trainings.Trainings(work, data).unbroken(names[0])
    jobs: list[tuple] = []

    def add(part, function, *arguments):
        if part in counts:
            folder = work / f"job-{len(jobs)}"
            folder.mkdir()
            jobs.append((function, folder, *arguments, args.seed, counts[part]))

    for name in names[: 1 if args.short else None]:
        add("kills", _train, "kill", data, first, name)
    add("disks", _train, "fill", data, first, names[0])
    add("files", files.change)
    add("bombs", files.unpack)
    add("records", records.damage)
    if first:
        add("weights", records.damage_weights, first[0])
        add("scripts", records.damage_scripts, first[0])
    return jobs


def _train(work, fault, data, first, name, seed, count):
    """Return what became of a training under faults of one kind."""
    from experiments.faults import trainings

    generator = np.random.default_rng([seed, *name.encode()])
    return getattr(trainings.Trainings(work, data, first), fault)(name, count, generator)


if __name__ == "__main__":
    cli.run(main)
