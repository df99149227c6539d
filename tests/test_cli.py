"""Arguments and errors on the command line."""

import argparse
import subprocess
import sys
from pathlib import Path

import pytest

from common import cli

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        (cli.positive, {"1": 1, "80": 80}, ["0", "-1", "1.5", "x", ""]),
        (cli.non_negative, {"0": 0, "7": 7}, ["-1", "1e3", "4294967296"]),
        (cli.positive_number, {"0.5": 0.5}, ["0", "nan", "inf", "-2"]),
        (cli.non_negative_number, {"0": 0.0}, ["nan", "-0.1"]),
        (cli.fraction, {"0": 0.0, "0.9": 0.9}, ["1", "-0.1", "nan"]),
        (
            cli.column_pair,
            {"id,predicted_label": ("id", "predicted_label"), "a, b": ("a", "b")},
            ["id", "id,", "a,b,c", "id,id", 'a",b'],
        ),
        (cli.emotion, {"happy": 3, "Sad": 4, "6": 6}, ["joy", "7", "-1"]),
    ],
)
def test_argument_types(kind, good, bad):
    assert {text: kind(text) for text in good} == good
    for text in bad:
        with pytest.raises(argparse.ArgumentTypeError, match=r"expected .*found|unknown class"):
            kind(text)


def test_a_folder_of_runs_stands_for_all_of_them(tmp_path):
    for name in ("b/seed_1", "b/seed_0", "a"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "config.json").write_text("{}", encoding="utf-8")
    options = cli.parser("")
    cli.add_model(options, many=True)
    given = [str(tmp_path / name) for name in ("a", "b", "missing")]
    expected = [tmp_path / name for name in ("a", "b/seed_0", "b/seed_1", "missing")]
    assert options.parse_args(["--model", *given]).model == expected


@pytest.mark.parametrize(
    ("raised", "status", "said"),
    [
        ("ValueError('train.csv: row 3')", 2, "script.py: train.csv: row 3"),
        ("FileNotFoundError(2, 'No such file', 'a.csv')", 2, "script.py: [Errno 2]"),
        ("KeyboardInterrupt()", 130, "stopped"),
    ],
)
def test_errors_are_one_line_and_a_status(tmp_path, raised, status, said):
    script = tmp_path / "script.py"
    script.write_text(
        f"import sys\nsys.path.insert(0, {str(ROOT)!r})\nfrom common import cli\n"
        f"def main():\n    raise {raised}\ncli.run(main)\n",
        encoding="utf-8",
    )
    result = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=60)
    assert result.returncode == status
    assert result.stderr.strip().startswith(said)
    assert len(result.stderr.strip().splitlines()) == 1
