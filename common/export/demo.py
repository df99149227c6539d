"""The demo page: one HTML file that holds a network and labels pictures in any browser."""

from pathlib import Path

import jinja2
import keras

from common.export import steps
from common.labels import CLASS_NAMES, IMAGE_SIZE
from common.models import registry
from common.runs import records, schema, storage

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
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    text = environment.get_template("demo.html").render(
        network=network, weights=weights, about=about(run)
    )
    storage.write_text(path, text)
    return len(text.encode())


def about(run: records.Run) -> dict:
    """Return what the page says of the run: its name, network, score, and what made it.

    Raises:
        ValueError: its metrics.json lacks one of these.
    """
    score = run.metrics
    needed = ("n", "accuracy", "interval_95", "parameters")
    kinds = {name: schema.METRICS[name] for name in needed}
    schema.check(run.folder / "metrics.json", score, kinds, complete=True)
    low, high = score["interval_95"]
    return {
        "name": records.display_name([run.folder]),
        "title": registry.ARCHITECTURES[run.config["architecture"]].title.partition(",")[0],
        "parameters": f"{score['parameters']:,}",
        "accuracy": f"{score['accuracy']:.3f} [{low:.3f}, {high:.3f}]",
        "wrong": round(100 * (1 - score["accuracy"])),
        "images": f"{score['n']:,}",
        "drawn": run.config["flags"].get("data") == "sample",
        "weights": run.weights[:12],
        "command": run.command,
    }
