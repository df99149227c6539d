"""Tables, figures and sentences in `results/`: what was measured once, with what made it.

Each study there has a manifest of its own, `results/NAME.json`.
"""

from collections.abc import Iterable
from pathlib import Path

from common import outputs
from common.runs import provenance

FOLDER = provenance.PROJECT / "results"


def study(name: str, models: Iterable[Path] = ()) -> outputs.Output:
    """Return the `Output` that a study writes its results with.

    Args:
        name: of its manifest, `results/NAME.json`, and of its sentences, `results/NAME.txt`.
        models: run folders that the results are of.
    """
    return outputs.Output(FOLDER, study=name, models=models)


def read(pattern: str) -> list[dict]:
    """Return the manifests whose names match, by name.

    Raises:
        ValueError: one of them is damaged or unfinished, or names a file that is missing.
    """
    return [outputs.read(FOLDER, path.name) for path in sorted(FOLDER.glob(f"{pattern}.json"))]


def machine() -> str:
    """Return what this machine is, for example "2 x AMD EPYC"."""
    facts = provenance.provenance()["machine"]
    return f"{facts['cpus']} x {facts['processor']}"
