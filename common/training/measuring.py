"""What a trained network scores and answers, and all that its run folder holds of that."""

import statistics
import time
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np

from common import kaggle, metrics, outputs
from common.data import loading, splits
from common.figures.training import curves
from common.models import checkpoints, prediction
from common.runs import records, storage

Then = Callable[[outputs.Output], str | None]
LAYERS = ("MaxPooling2D", "Flatten", "Dropout")  # listed beside those with parameters


def measure(
    folder: Path, dataset: loading.Dataset, split: splits.Split, then: Then | None = None
) -> keras.Model:
    """Measure a trained network, predict the test images, and write all results of the run.

    Args:
        folder: of the run, with `config.json`, `model.keras` and `history.csv`.
        dataset: that it was trained on.
        split: of it.
        then: adds to the results before they count as finished, and returns what to do next.

    Returns:
        the network.
    """
    model, config = checkpoints.load(folder)
    name, history = config["architecture"].upper(), records.load_history(folder)
    last, held_out = records.keeps_last(config["flags"]), split.validation_rows
    labels = dataset.train_labels[held_out]
    scores = {"note": f"trained on all {len(split.train_rows):,} images; the last epoch is kept"}
    if len(held_out):
        probabilities = prediction.predict(model, dataset.train_images[held_out])
        scores = _scores(labels, probabilities, last)
    measured = scores | {
        "best_epoch": records.kept_epoch(history, last=last)["epoch"],
        "epochs": len(history),
        "seconds_per_epoch": statistics.median(row["seconds"] for row in history),
        "parameters": model.count_params(),
        "model_sha256": storage.sha256(folder / "model.keras"),
        "finished": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }
    spent = sum(row["seconds"] for row in history)
    output = outputs.Output(folder, run=config, spent=spent, models=[folder])
    for file in ("model.keras", "history.csv"):  # written after each epoch
        output.file(file)
    if len(held_out):
        arrays = {"rows": held_out, "labels": labels, "probabilities": probabilities}
        output.add("predictions", arrays=arrays)
    result = curves.TrainedRun(name, history, measured)
    output.show("curves", curves, result, title=f"Loss and accuracy of the {name} by epoch")
    output.add("layers", title=f"Layers of the {name}", table=layer_table(model))
    following = []
    if len(dataset.test_ids):
        submission = output.file("submission.csv")
        answers = prediction.predict(model, dataset.test_images).argmax(axis=1)
        kaggle.write_submission(submission, dataset.test_ids, answers)
        kaggle.check_submission(submission, dataset.test_ids)
        if dataset.source != "sample":
            following.append(f"Submit it: {kaggle.submit_command(submission)}")
    storage.write_json(output.file("metrics.json"), measured)
    following.append((then(output) if then else None) or "")
    output.finish("\n".join(filter(None, following)))
    return model


def _scores(labels, probabilities, last):
    """Return what `metrics.json` says of the answers on the validation images."""
    counts = metrics.confusion_counts(labels, probabilities.argmax(axis=1))
    scores = metrics.class_scores(counts)
    return {
        "split": "validation",
        "n": len(labels),
        "accuracy": scores.accuracy,
        "interval_95": metrics.wilson_interval(int(np.trace(counts)), len(labels)),
        "macro_f1": scores.macro_f1,
        "balanced_accuracy": scores.balanced_accuracy,
        "negative_log_likelihood": metrics.negative_log_likelihood(probabilities, labels),
        "note": "the last epoch is kept, so these rows chose nothing"
        if last
        else "the epoch was chosen on these rows, as in the report",
    }


def layer_table(model: keras.Model) -> list[dict]:
    """Return a row a layer with output shape and parameters, and the sums as the last rows."""
    rows = [
        {
            "layer": layer.name,
            "output": " x ".join(f"{size:,}" for size in layer.output.shape[1:]),
            "parameters": layer.count_params() or "",
        }
        for layer in model.layers
        if layer.count_params() or type(layer).__name__ in LAYERS
    ]
    trainable = sum(weight.size for weight in map(np.asarray, model.trainable_weights))
    total = model.count_params()
    sums = {"all": total, "trainable": trainable, "non-trainable": total - trainable}
    return rows + [{"layer": name, "output": "", "parameters": sums[name]} for name in sums]
