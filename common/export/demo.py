"""The demo page: one HTML file that holds a network and labels pictures in a browser."""

from pathlib import Path

import keras

from common.export import steps
from common.labels import CLASS_NAMES, IMAGE_SIZE
from common.models import registry
from common.report import page
from common.runs import records, schema

PATCH, STRIDE = 8, 4  # pixels, of the occlusion map, as in `attribution/occlusion.py`


def write(path: Path, model: keras.Model, run: records.Run) -> int:
    """Write the page of a finished run's model, atomically, and return how many bytes it has.

    Raises:
        ValueError: a layer that the page cannot compute.
    """
    description, weights = steps.describe(model)
    network = {
        "labels": CLASS_NAMES,
        "size": IMAGE_SIZE,
        "patch": PATCH,
        "stride": STRIDE,
        **description,
    }
    content = {"network": network, "weights": weights, "about": about(run)}
    return page.fill(Path(__file__).with_name("demo.html"), path, content)


def about(run: records.Run) -> dict:
    """Return what the page says of the run: its name, network, score, and what made it.

    Raises:
        ValueError: its metrics.json lacks one of these.
    """
    architecture = registry.ARCHITECTURES[run.config["architecture"]]
    drawn = run.config["flags"].get("data") == "sample"
    return {
        "name": records.display_name([run.folder]),
        "title": architecture.title.partition(",")[0],
        "score": score(run, "synthetic faces" if drawn else "images"),
        "drawn": drawn,
        "weights": run.weights[:12],
        "command": run.command,
    }


def score(run: records.Run, images: str) -> str:
    """Return what is known of the accuracy of a run, in sentences."""
    if not records.is_scored(run.folder):
        return "It was trained on all its images, so that no score says how good it is."
    kinds = {name: schema.METRICS[name] for name in ("n", "accuracy", "interval_95")}
    schema.check(run.folder / "metrics.json", run.metrics, kinds, complete=True)
    accuracy, (low, high) = run.metrics["accuracy"], run.metrics["interval_95"]
    return (
        f"Validation accuracy {accuracy:.3f} [{low:.3f}, {high:.3f}] (95 % interval) on "
        f"{run.metrics['n']:,} {images} that it was not trained on. "
        f"{records.caveat([run.folder])} So about {100 * (1 - accuracy):.0f} of 100 such images "
        "are read wrong, and of other pictures probably more."
    )
