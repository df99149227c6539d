"""Tables, figures and sentences in `results/`: what was measured once, with what made it.

Each study there has a manifest of its own, `results/NAME.json`.
"""

from collections.abc import Iterable
from pathlib import Path

from common import outputs
from common.runs import provenance

FOLDER = provenance.PROJECT / "results"


def study(name: str, models: Iterable[Path] = ()) -> outputs.Output:
    """Return the `Output` of a study of run folders: `results/NAME.json` and `results/NAME.txt`."""
    return outputs.Output(FOLDER, study=name, models=models)


def read(pattern: str) -> list[dict]:
    """Return the manifests whose names match, by name; errors are those of `outputs.read`."""
    return [outputs.read(FOLDER, path.name) for path in sorted(FOLDER.glob(f"{pattern}.json"))]


def machine() -> str:
    """Return what this machine is, for example "2 x AMD EPYC"."""
    return provenance.machine_name(provenance.provenance()["machine"])
