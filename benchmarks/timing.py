"""Measure contenders in turn, round by round, and keep the table."""

import importlib
import os
import shlex
import statistics
import subprocess
import sys
import time

import pandas as pd

from common import contents, page, records
from common.runs import provenance, storage

RESULTS = provenance.PROJECT / "results"


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


def against_rivals(benchmark, options, *, rounds):
    """Return the median seconds of ours, and of each rival with our settings and with none.

    `common` switches oneDNN on before TensorFlow is imported. A rival as it comes gets what
    TensorFlow chooses for this processor, in a process of its own that runs right after.

    Args:
        benchmark: name of a module here with a function `contenders(options)`, that returns a
            dictionary of name -> function without arguments; the first is ours.
        options: `argparse.Namespace` of plain values.
        rounds: how often each is measured.

    Returns:
        Dictionary of (name, settings) -> seconds.
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
    """Return what a fresh Python process prints last, as a list of numbers.

    Args:
        code: Python source, run in the project's folder.
        environment: variables of that process, or None for ours.
    """
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
    """Return the medians of what each contender prints, all run once a round in turn.

    Args:
        contenders: dictionary of name -> Python source for `in_process`, run with nothing said of
            oneDNN.
        rounds: how often each is run.
    """
    printed = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, code in contenders.items():
            printed[name].append(in_process(code, environment=default_environment()))
    return medians(printed)


def medians(measured):
    """Return name -> median of each number, from name -> list of lists of numbers."""
    return {
        name: [statistics.median(column) for column in zip(*values, strict=True)]
        for name, values in measured.items()
    }


def finish(script, folder, flags):
    """Run a training script to its end unless it has been there; go on where it was stopped.

    Raises:
        ValueError: the folder holds a run that another command began.
    """
    begin = [script, "--out", str(folder), *flags]
    begun = (folder / "config.json").exists()
    if begun:
        recorded = storage.read_json(folder / "config.json").get("command")
        if recorded != shlex.join(["python", *begin]):
            raise ValueError(
                f"{folder}: expected a run of {shlex.join(['python', *begin])}, found one of "
                f"{recorded}: choose another --out"
            )
    if (folder / "metrics.json").exists() and (
        script != "semi_supervised.py" or (folder / "comparison.csv").exists()
    ):
        return
    command = [script, "--out", str(folder), "--resume"] if begun else begin
    print(shlex.join(["python", *command]), flush=True)
    subprocess.run([sys.executable, *command], cwd=provenance.PROJECT, check=True)


def machine():
    """Return what this machine is, for example "2 x AMD EPYC"."""
    facts = provenance.provenance()["machine"]
    return f"{facts['cpus']} x {facts['processor']}"


def record(*names, finished=()):
    """Keep in `results/made.json` what made tables and figures: the page of the report says it.

    Args:
        names: of the files, without their ends.
        finished: run folders that they show.
    """
    path = RESULTS / contents.MADE
    facts = provenance.provenance()
    facts["finished"] = facts.pop("started")
    facts["runs"] = page.made("", *map(records.read, finished))["runs"]
    known = storage.read_json(path) if path.exists() else {}
    storage.write_json(path, known | dict.fromkeys(names, facts))


def publish(name, rows, finished=()):
    """Print rows as a table, keep them in `results/<name>.csv`, and record what made it.

    Args:
        name: of the table.
        rows: list of dictionaries with the same keys.
        finished: run folders that it shows.
    """
    table = pd.DataFrame(rows).assign(machine=machine())
    print(table.drop(columns="machine").to_string(index=False, float_format="{:.3g}".format))
    print(table["machine"][0])
    path = RESULTS / f"{name}.csv"
    storage.write_text(path, table.to_csv(index=False, float_format="%.4g"))
    record(name, finished=finished)
    print(f"Wrote {path.relative_to(provenance.PROJECT)}.")
