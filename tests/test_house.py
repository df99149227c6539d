"""The house: which way imports go, and how quickly every script answers."""

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from common import cli
from common.runs import records

ROOT = Path(__file__).parents[1]
TYPES_ONLY = {  # imported for type hints alone
    "registry.py": {"keras"},
    "recipes.py": {"keras"},
    "outputs.py": {"matplotlib"},
}
SCRIPTS = sorted(path.name for path in ROOT.glob("*.py"))
MODULES = sorted((ROOT / "common").rglob("*.py"))
ORDER = (  # rooms of common/ and what of a room needs no Keras; imports go up this list only
    "labels",
    "quiet",
    "attacks.registry",
    "attribution.registry",
    "models.registry",
    "training.recipes",
    "runs.provenance",
    "cli",
    "metrics",
    "runs",
    "data",
    "kaggle",
    "comparison",
    "figures",
    "outputs",
    "sweep",
    "report",
    "models",
    "export",
    "attribution",
    "ascent",
    "attacks",
    "training",
)
HEAVY = {"tensorflow", "keras", "matplotlib", "pandas", "sklearn", "scipy"}
WITHOUT_KERAS = ORDER[: ORDER.index("report") + 1]


def room(name):
    """Return the room of a module of `common`: itself where `ORDER` lists it."""
    return name if name in ORDER else name.split(".")[0]


def imported(path):
    """Return (ours, others): the rooms of `common` and the packages that a file imports."""
    ours, others = set(), set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            others |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            package, _, inside = node.module.partition(".")
            if package != "common":
                others.add(package)
            else:
                for name in (f"{inside}.{alias.name}".strip(".") for alias in node.names):
                    ours.add(inside if "." in inside and inside in ORDER else room(name))
    return ours, others


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_go_up_the_list_only(path):
    name = ".".join(path.relative_to(ROOT / "common").with_suffix("").parts)
    ours, others = imported(path)
    if path.name == "__init__.py":
        assert not ours
        return
    assert room(name) in ORDER
    assert ours <= {*ORDER[: ORDER.index(room(name))], room(name)}
    if room(name) not in ("figures", "report"):
        assert "matplotlib" not in others - TYPES_ONLY.get(path.name, set())
    if room(name) in WITHOUT_KERAS:
        assert not {"keras", "tensorflow"} & (others - TYPES_ONLY.get(path.name, set()))


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
    needed = ["train_cnn.py", "--vary", "seed=0"] if script == "sweep.py" else []
    result = subprocess.run(
        [sys.executable, ROOT / script, *needed, "--no-such-flag"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert result.returncode == 2
    assert "--no-such-flag" in result.stderr.splitlines()[-1]


@pytest.mark.parametrize("script", SCRIPTS)
def test_every_script_tells_its_version(script):
    result = subprocess.run(
        [sys.executable, ROOT / script, "--version"], capture_output=True, text=True, timeout=60
    )
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert result.stdout == f"{project['name']} {project['version']}\n"


@pytest.mark.parametrize("script", ["train_cnn.py", "train_dnn.py"])
def test_bad_data_is_refused_before_tensorflow_is_loaded(script, tmp_path):
    (tmp_path / "train.csv").write_text("label,feature\n3,1 2 3\n", encoding="utf-8")
    probe = (
        "import atexit, runpy, sys\n"
        "atexit.register(lambda: print({'tensorflow', 'keras'} & set(sys.modules)))\n"
        f"sys.argv = ['script', '--data', {str(tmp_path)!r}, '--out', {str(tmp_path / 'out')!r}]\n"
        f"runpy.run_path({str(ROOT / script)!r}, run_name='__main__')\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", probe], capture_output=True, text=True, timeout=60
    )
    assert (result.returncode, result.stdout) == (2, "set()\n")
    assert len(result.stderr.splitlines()) == 1
    assert "train.csv" in result.stderr


def test_trained_weights_are_those_that_were_measured_and_stay_small():
    pretrained = ROOT / "pretrained"
    folders = [pretrained / name for name in ("cnn", "dnn", "semi_supervised", "robust")]
    for folder in folders + cli.runs_in(pretrained / "ensemble"):
        run = records.read(folder)  # refuses weights with another SHA-256
        assert run.metrics["accuracy"] > 0.4
        assert run.command.startswith("python ")
    assert "accuracy" not in records.read(pretrained / "cnn_all").metrics
    files = [path for path in pretrained.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= 40e6
