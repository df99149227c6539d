"""The harness of faults, in short: kills, full disks, changed files, damaged records."""

import csv
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from experiments.faults import files, outcomes

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="measures costs as Linux does")


def test_no_fault_does_harm(tmp_path):
    command = [
        sys.executable,
        "-m",
        "experiments.faults",
        "--short",
        "--jobs",
        "2",
        "--out",
        str(tmp_path),
    ]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=900)
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
    with (tmp_path / "faults.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert sum(int(row["cases"]) for row in rows) > 400
    assert sum(int(row["cases"]) for row in rows if row["fault"].startswith("kill")) == 3
    assert not any(int(row[name]) for row in rows for name in outcomes.BAD)
    kinds = {row["fault"] for row in rows}
    for start in ("file too large", "config.json", "model.keras", "tar.gz of tables"):
        assert any(kind.startswith(start) for kind in kinds), start


def misbehave(number):
    """Every way in which a case can go wrong."""
    if number == 1:
        raise SystemExit(3)  # which no reader may do
    if number == 2:
        held = np.ones(2**30, np.uint8)
        return outcomes.Outcome("memory", "unharmed", str(held[0]))
    if number == 3:
        while True:
            pass
    return outcomes.Outcome("fine", "unharmed")


def test_whatever_a_case_does_is_found_out(monkeypatch):
    monkeypatch.setattr(outcomes, "MEMORY", 2**30)
    found = outcomes.supervised(misbehave, 5, patience=20)
    assert [one.outcome for one in found] == [
        *("unharmed", "over the limits", "over the limits", "hang", "unharmed")
    ]
    (row,) = (row for row in outcomes.table(found) if row["fault"] == "fine")
    assert (row["cases"], row["unharmed"]) == (2, 2)


def test_code_in_a_pickle_would_be_seen(tmp_path):
    name, content = files.originals(tmp_path / "marker")["pickle"]
    (tmp_path / name).write_bytes(content)
    np.load(tmp_path / name, allow_pickle=True)
    assert (tmp_path / "marker").exists()
    assert outcomes.refusal(ValueError("a.csv: bad"), "a.csv") == "refused"
    for error in (ValueError("bad"), ValueError("a.csv:\nbad"), KeyError("a.csv")):
        assert outcomes.refusal(error, "a.csv") == "traceback"
