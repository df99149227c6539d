"""Measure contenders in turn, round by round, and keep the table."""

import statistics
import subprocess
import sys
import time

import pandas as pd

from common import runs

RESULTS = runs.PROJECT / "results"


def alternate(contenders, *, rounds):
    """Return the median seconds of each contender, all measured once a round in turn.

    A machine that slows down for a while then slows all of them.

    Args:
        contenders: dictionary of name -> function without arguments; each is called once before.
        rounds: how often each is measured.
    """
    seconds = {name: [] for name in contenders}
    for work in contenders.values():
        work()
    for _ in range(rounds):
        for name, work in contenders.items():
            start = time.perf_counter()
            work()
            seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in seconds.items()}


def in_process(code, *, environment=None):
    """Return what a fresh Python process prints last, as a list of numbers.

    Args:
        code: Python source, run in the project's folder.
        environment: variables of that process, or None for ours.
    """
    result = subprocess.run(
        [sys.executable, "-c", code],
        cwd=runs.PROJECT,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return [float(number) for number in result.stdout.splitlines()[-1].split()]


def publish(name, rows):
    """Print rows as a table and keep them in `results/benchmark_<name>.csv`.

    Args:
        name: of the benchmark.
        rows: list of dictionaries with the same keys.
    """
    facts = runs.provenance()
    machine = f"{facts['machine']['cpus']} x {facts['machine']['processor']}"
    table = pd.DataFrame(rows)
    print(table.to_string(index=False, float_format="{:.3g}".format))
    print(machine)
    path = RESULTS / f"benchmark_{name}.csv"
    runs.write_text(path, table.assign(machine=machine).to_csv(index=False, float_format="%.4g"))
    print(f"Wrote {path.relative_to(runs.PROJECT)}.")
