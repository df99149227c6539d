"""The trained weights are those whose hashes stand elsewhere."""

from pathlib import Path

from common.runs import storage

ROOT = Path(__file__).parents[1]


def test_every_file_in_pretrained_is_the_one_that_the_list_names():
    lines = (ROOT / "pretrained.sha256").read_text(encoding="utf-8").splitlines()
    listed = dict(reversed(line.split("  ", 1)) for line in lines)
    files = [path for path in (ROOT / "pretrained").rglob("*") if path.is_file()]
    found = {
        path.relative_to(ROOT).as_posix(): storage.sha256(path)
        for path in files
        if path.suffix != ".md" and not path.name.startswith(".")
    }
    assert found == listed
    page = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
    assert "sha256sum -c pretrained.sha256" in page
