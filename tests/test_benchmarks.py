"""What the benchmarks compute from their measurements, and what they keep of them."""

import ast
import importlib
import re

import pandas as pd
import pytest

from benchmarks import loading, prediction, timing, training
from common import outputs
from common.report import results


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Keep tables out of the project's results/."""
    monkeypatch.setattr(results, "FOLDER", tmp_path / "results")
    return tmp_path / "results"


def test_contenders_take_turns():
    order = []
    seconds = timing.alternate(
        {"a": lambda: order.append("a"), "b": lambda: order.append("b")}, rounds=2
    )
    assert order == list("ab" * 3)  # each once before anything is measured
    assert set(seconds) == {"a", "b"}


def test_medians_are_taken_number_by_number():
    assert timing.medians({"x": [[1, 30], [2, 10], [9, 20]]}) == {"x": [2, 20]}


def test_ratios_are_taken_within_each_round():
    assert timing.ratios([2, 60, 8], [1, 20, 4]) == {
        "times as fast": 2,
        "at least": 2,
        "at most": 3,
    }


def test_a_table_is_kept_with_the_machine_and_what_made_it(folder, capsys):
    timing.publish("benchmark_one", [{"way": "ours", "seconds": 0.123456789}])
    timing.publish("benchmark_two", [{"way": "ours", "seconds": 2}], title="The second")
    (row,) = pd.read_csv(folder / "benchmark_one.csv").to_dict("records")
    assert row == {"way": "ours", "seconds": 0.123457, "machine": results.machine()}
    made = outputs.read(folder, "benchmark_one.json")
    assert {"command", "versions", "machine", "git_commit"} <= made.keys()
    first, second = (made["outputs"][0]["title"] for made in results.read("benchmark_*"))
    assert (first, second) == ("Benchmark one", "The second")
    assert "benchmark_two.csv" in capsys.readouterr().out


def test_what_the_processes_run_is_there():
    for code in (
        prediction.SETUP + prediction.OURS + prediction.HALF + prediction.KERAS,
        training.SETUP + training.OURS + training.KERAS,
        loading.OURS,
    ):
        nodes = list(ast.walk(ast.parse(re.sub(r"\{[a-z!]+\}", "0", code))))
        ours = {
            alias.name: importlib.import_module(f"{node.module}.{alias.name}")
            for node in nodes
            if isinstance(node, ast.ImportFrom) and node.module.startswith("common")
            for alias in node.names
        }
        used = [
            (node.value.id, node.attr)
            for node in nodes
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
        ]
        assert {name for name, _ in used} >= ours.keys()
        for name, attribute in used:
            assert name not in ours or hasattr(ours[name], attribute), (name, attribute)


def test_flags_are_whole_numbers_and_lists_of_them(monkeypatch):
    monkeypatch.setattr("sys.argv", ["benchmark", "--batch-sizes", "8", "16", "--rounds", "1"])
    told = timing.flags("Says what it does.", batch_sizes=[32], rounds=3, steps=2)
    assert vars(told) == {"batch_sizes": [8, 16], "rounds": 1, "steps": 2}
