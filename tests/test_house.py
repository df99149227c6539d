"""The house: which way imports go, and how quickly every script answers."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from common import cli
from common.runs import records

ROOT = Path(__file__).parents[1]
SCRIPTS = sorted(path.name for path in ROOT.glob("*.py"))
MODULES = sorted((ROOT / "common").rglob("*.py"))
ORDER = (
    "labels",
    "cli",
    "runs",
    "data",
    "metrics",
    "kaggle",
    "photos",
    "outputs",
    "comparison",
    "contents",
    "records",
    "stages",
    "page",
    "figures",
    "parts",
    "augment",
    "models",
    "training",
    "distillation",
    "experiment",
    "selftraining",
    "attribution",
    "ascent",
    "attacks",
    "robustness",
)
HEAVY = {"tensorflow", "keras", "matplotlib", "pandas", "sklearn", "scipy"}
WITHOUT_KERAS = ORDER[: ORDER.index("parts") + 1]


def imported(path):
    """Return (ours, others): the modules of `common` and the packages that a file imports."""
    ours, others = set(), set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            others |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            parts = node.module.split(".")
            if parts[0] != "common":
                others.add(parts[0])
            elif len(parts) == 1:
                ours |= {alias.name for alias in node.names}
            else:
                ours.add(parts[1])
    return ours, others


def module_name(path):
    return path.relative_to(ROOT / "common").with_suffix("").parts[0]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_go_up_the_list_only(path):
    name = module_name(path)
    ours, others = imported(path)
    if name == "__init__":
        assert not ours
        return
    assert name in ORDER
    allowed = ORDER[: ORDER.index(name) + (path.parent.name != "common")]
    assert ours <= set(allowed)
    if name != "figures":
        assert "matplotlib" not in others
    if name in WITHOUT_KERAS:
        assert not {"keras", "tensorflow"} & others


@pytest.mark.parametrize("script", SCRIPTS)
def test_scripts_do_not_import_each_other(script):
    _, others = imported(ROOT / script)
    assert not others & {Path(name).stem for name in SCRIPTS}
    assert "matplotlib" not in others


@pytest.mark.parametrize("script", SCRIPTS)
def test_help_comes_at_once_and_gives_two_commands(script):
    # How long it takes is measured in benchmarks/; here only that nothing heavy is imported.
    probe = (
        "import atexit, runpy, sys\n"
        f"heavy = {HEAVY!r}\n"
        "atexit.register(lambda: print('imported:', sorted(heavy & set(sys.modules))))\n"
        "sys.argv = ['script', '--help']\n"
        f"runpy.run_path({str(ROOT / script)!r}, run_name='__main__')\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", probe], capture_output=True, text=True, timeout=60
    )
    assert result.returncode == 0, result.stderr
    assert "imported: []" in result.stdout
    commands = [line for line in result.stdout.splitlines() if f"    python {script}" in line]
    assert len(commands) >= 2, result.stdout


@pytest.mark.parametrize("script", SCRIPTS)
def test_an_unknown_flag_is_one_line_and_exit_2(script):
    result = subprocess.run(
        [sys.executable, ROOT / script, "--no-such-flag"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert result.returncode == 2
    assert "--no-such-flag" in result.stderr.splitlines()[-1]


def test_trained_weights_are_those_that_were_measured_and_stay_small():
    pretrained = ROOT / "pretrained"
    folders = [pretrained / name for name in ("cnn", "dnn", "semi_supervised")]
    for folder in folders + cli.runs_in(pretrained / "ensemble"):
        run = records.read(folder)  # refuses weights with another SHA-256
        assert run.metrics["accuracy"] > 0.4
        assert run.command.startswith("python ")
    files = [path for path in pretrained.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= 40e6
