"""README, lock files and metadata: what they name exists, and they agree with each other."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

import common

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = ("README.md", "CONTRIBUTING.md", "SECURITY.md", "data/README.md", "pretrained/README.md")
TREE = common.__doc__[common.__doc__.index("common/\n") :].rstrip()


def requirements(name):
    """Return package -> `Requirement` of a requirements file, without what it includes."""
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    found = [Requirement(line) for line in lines if re.match("[a-z]", line)]
    return {requirement.name: requirement for requirement in found}


def locked(name):
    """Return package -> version of a lock file."""
    text = (ROOT / name).read_text(encoding="utf-8")
    return dict(re.findall(r"^([\w.-]+)==([\w.]+)", text, flags=re.MULTILINE))


def test_the_tree_names_every_file_of_common_and_the_readme_shows_it():
    found, folders = set(), ["common"]
    for line in TREE.splitlines()[1:]:
        name = line.split()[0]
        depth = (len(line) - len(line.lstrip())) // 2
        path = "/".join([*folders[:depth], name.rstrip("/")])
        folders[depth:] = [name.rstrip("/")] if name.endswith("/") else []
        assert len(line.split()) > 1, f"{path} has no phrase"
        if not name.endswith("/"):
            found.add(path)
    files = [*(ROOT / "common").rglob("*.py"), *(ROOT / "common").rglob("*.html")]
    names = {path.relative_to(ROOT).as_posix() for path in files if path.name != "__init__.py"}
    assert found == names
    assert f"```\n{TREE}\n```" in README


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    folder = (ROOT / page).parent
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", (ROOT / page).read_text(encoding="utf-8")):
        assert (folder / target).exists(), target


@pytest.mark.parametrize(("mark", "lock"), [("demo", ""), ("tests", "-dev")])
def test_the_commands_are_where_ci_looks_for_them(mark, lock):
    command = README.split(f"<!-- {mark} -->")[1].splitlines()[2]
    assert command.startswith("python3 -m venv .venv && ")
    assert f"requirements{lock}.lock" in command


@pytest.mark.parametrize("name", ["requirements", "requirements-dev"])
def test_locked_versions_are_in_the_ranges_and_have_hashes(name):
    versions = locked(f"{name}.lock")
    for package, requirement in requirements(f"{name}.txt").items():
        assert requirement.specifier.contains(versions[package]), package
    text = (ROOT / f"{name}.lock").read_text(encoding="utf-8")
    assert "://" not in text
    blocks = re.split(r"^(?=[\w.-]+==)", text, flags=re.MULTILINE)[1:]
    assert len(blocks) == len(versions)
    assert all("--hash=sha256:" in block for block in blocks)


def test_both_lock_files_have_the_same_versions():
    assert locked("requirements.lock").items() <= locked("requirements-dev.lock").items()


def test_what_colab_and_kaggle_have_is_allowed():
    allowed = requirements("requirements.txt")
    assert allowed["tensorflow"].specifier.contains("2.20.0")
    assert allowed["keras"].specifier.contains("3.13.2")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    pythons = SpecifierSet(project["requires-python"])
    assert [minor for minor in range(9, 16) if f"3.{minor}" in pythons] == [11, 12, 13]
