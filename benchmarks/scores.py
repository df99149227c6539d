"""Validation accuracy of trained networks, alone and averaged, over one and over more views.

    python -m benchmarks.scores --data data/fer2013

All are asked about the same rows, which no network was trained on. They did choose the epoch that
each network keeps, so each score is flattered a little; no test row chose anything. Intervals are
Wilson's, those of a mean over seeds Student's.
"""

import argparse
from pathlib import Path

import numpy as np
from tqdm import tqdm

from benchmarks import timing
from common import cli, metrics
from common.data import splits
from common.models import checkpoints, prediction
from common.runs import storage


def main():
    """Ask every network over all views, average, and publish the table."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    cli.add_data(options)
    options.add_argument("--folder", type=Path, default=Path("pretrained"))
    args = options.parse_args()
    single = [args.folder / name for name in ("cnn", "dnn", "semi_supervised")]
    cheap = cli.runs_in(args.folder / "ensemble")
    if len(cheap) < 2:
        raise ValueError(
            f"{args.folder / 'ensemble'}: expected two finished runs or more, found {len(cheap)}"
        )
    faces, split = splits.load_of_run(single[0], args.data)
    images, labels = (
        array[split.validation_rows] for array in (faces.train_images, faces.train_labels)
    )
    everyone = [*single, *cheap]
    splits.check_unseen(everyone, faces, split.validation_rows)
    answers = {}
    for run in tqdm(everyone, unit="network", disable=None):
        model = checkpoints.load(run)[0]
        for views in prediction.VIEWS:
            answers[run, views] = prediction.predict(model, images, views=views)

    ensemble = f"average of {args.folder / 'ensemble'}"
    groups = {str(run): [run] for run in everyone}
    groups |= {ensemble: cheap, f"{ensemble} and {single[0]}": [single[0], *cheap]}
    rows = []
    for name, members in groups.items():
        for views in prediction.VIEWS:
            probabilities = np.mean([answers[run, views] for run in members], axis=0)
            right = int((probabilities.argmax(axis=1) == labels).sum())
            rows.append(
                {
                    "network": name,
                    "parameters": sum(parameters(run) for run in members),
                    "views": views,
                    "accuracy": right / len(labels),
                    "interval": metrics.wilson_interval(right, len(labels)),
                    "negative log-likelihood": metrics.negative_log_likelihood(
                        probabilities, labels
                    ),
                }
            )
    for views in prediction.VIEWS:
        alone = [row for row in rows if row["network"] in map(str, cheap) and row["views"] == views]
        mean, half = metrics.mean_interval([row["accuracy"] for row in alone])
        rows.append(
            {
                "network": f"one of {args.folder / 'ensemble'}, mean of {len(alone)} seeds",
                "parameters": alone[0]["parameters"],
                "views": views,
                "accuracy": mean,
                "interval": (mean - half, mean + half),
                "negative log-likelihood": np.mean(
                    [row["negative log-likelihood"] for row in alone]
                ),
            }
        )
    for row in rows:
        row["95 % low"], row["95 % high"] = row.pop("interval")
    timing.publish("accuracy_networks", [row | {"n": len(labels)} for row in rows], everyone)


def parameters(run):
    """Return the number of weights of a finished run."""
    return storage.read_json(run / "metrics.json")["parameters"]


if __name__ == "__main__":
    cli.run(main)
