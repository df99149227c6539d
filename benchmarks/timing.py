"""Measure contenders in turn, round by round, and keep the table."""

import argparse
import importlib
import os
import statistics
import subprocess
import sys
import time

import pandas as pd

from common import cli
from common.report import results
from common.runs import provenance


def flags(description, **defaults):
    """Return what a benchmark was told: whole numbers by name, several where a list is default."""
    options = argparse.ArgumentParser(description=description)
    for name, default in defaults.items():
        nargs = "*" if isinstance(default, list) else None
        options.add_argument(
            f"--{name.replace('_', '-')}", type=cli.positive, default=default, nargs=nargs
        )
    return options.parse_args()


def alternate(contenders, *, rounds):
    """Return the median seconds of each contender, name -> function without arguments.

    Each is called once, and then measured once a round in turn: a machine that slows down for a
    while slows all of them.
    """
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for work in contenders.values():
        work()
    for _ in range(rounds):
        for name, work in contenders.items():
            start = time.perf_counter()
            work()
            seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in seconds.items()}


def against_rivals(benchmark, options, *, rounds):
    """Return the median seconds of ours, and of each rival with our settings and with none.

    `common` switches oneDNN on before TensorFlow is imported. A rival as it comes gets what
    TensorFlow chooses for this processor, in a process of its own that runs right after.

    The module of the benchmark has a function `contenders(options)`, of an `argparse.Namespace` of
    plain values, that returns what `alternate` takes, ours first. Returns (name, settings) ->
    seconds.
    """
    module = importlib.import_module(f"benchmarks.{benchmark}")
    seconds = alternate(module.contenders(options), rounds=rounds)
    ours, *rivals = seconds
    by_default = in_process(
        "import tensorflow\n"
        "from argparse import Namespace\n"
        f"from benchmarks import timing, {benchmark}\n"
        f"rivals = {benchmark}.contenders({options!r})\n"
        f"rivals.pop({ours!r})\n"
        f"print(*timing.alternate(rivals, rounds={rounds}).values())",
        environment=default_environment(),
    )
    return {
        **{(name, "oneDNN on"): value for name, value in seconds.items()},
        **{(name, "default"): value for name, value in zip(rivals, by_default, strict=True)},
    }


def default_environment():
    """Return this process' environment with nothing said of oneDNN."""
    return {name: value for name, value in os.environ.items() if name != "TF_ENABLE_ONEDNN_OPTS"}


def in_process(code, *, environment=None):
    """Return what Python source prints last, as numbers, run anew in the project's folder."""
    result = subprocess.run(
        [sys.executable, "-c", code],
        cwd=provenance.PROJECT,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return [float(number) for number in result.stdout.splitlines()[-1].split()]


def in_processes(contenders, *, rounds):
    """Return what each contender, name -> Python source, prints in `in_process`, a list a round.

    All are run once a round in turn, with nothing said of oneDNN.
    """
    printed: dict[str, list] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, code in contenders.items():
            printed[name].append(in_process(code, environment=default_environment()))
    return printed


def medians(measured):
    """Return name -> median of each number, from name -> list of lists of numbers."""
    return {
        name: [statistics.median(column) for column in zip(*values, strict=True)]
        for name, values in measured.items()
    }


def ratios(ours: list[float], theirs: list[float]) -> dict[str, float]:
    """Return how many times as fast ours is, by rates round by round: median, lowest, highest."""
    each = [left / right for left, right in zip(ours, theirs, strict=True)]
    return {
        "times as fast": statistics.median(each),
        "at least": min(each),
        "at most": max(each),
    }


def publish(name: str, rows: list[dict], *, title: str = "") -> None:
    """Print rows as a table, and keep them in `results/` with the machine that was measured.

    The title is that on the page of the report; the name unless given.
    """
    table = pd.DataFrame(rows).assign(machine=results.machine())
    print(table.drop(columns="machine").to_string(index=False, float_format="{:.3g}".format))
    print(table["machine"][0])
    output = results.study(name)
    output.add(name, title=title or name.replace("_", " ").capitalize(), table=table)
    output.finish()
