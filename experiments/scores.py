"""Validation accuracy of trained networks, alone and averaged, over one and over more views.

    python -m experiments.scores --data data/fer2013

All are asked about the same images, which no network was trained on. They did choose the epoch that
each network keeps, so each score is flattered a little; no test image chose anything. Intervals are
Wilson's, those of a mean over seeds Student's. Runs of the ensemble are seeds of one recipe where
their names differ in the number at the end only.
"""

import itertools
from pathlib import Path

import numpy as np
from tqdm import tqdm

from common import cli, metrics
from common.data import agreement, splits
from common.models import checkpoints, prediction
from common.report import results
from common.runs import records


def build_parser():
    """Return the flags of this study."""
    options = cli.parser(__doc__)
    cli.add_data(options)
    options.add_argument("--folder", type=Path, default=cli.of_project("pretrained"))
    return options


def main(argv=None):
    """Ask every network over all views, average, and write the table."""
    args = build_parser().parse_args(argv)
    single = [args.folder / name for name in ("cnn", "dnn", "semi_supervised", "robust")]
    together = cli.runs_in(args.folder / "ensemble")
    if len(together) < 2:
        raise ValueError(
            f"{args.folder / 'ensemble'}: expected two finished runs or more, found {len(together)}"
        )
    dataset, split = splits.load_of_run(single[0], args.data)
    images, labels = (
        array[split.validation_rows] for array in (dataset.train_images, dataset.train_labels)
    )
    everyone = [*single, *together]
    agreement.check_unseen(everyone, dataset, split.validation_rows)
    answers = {}
    for run in tqdm(everyone, unit="network", disable=None):
        model = checkpoints.load(run)[0]
        for views in prediction.VIEWS:
            answers[run, views] = prediction.predict(model, images, views=views)

    ensemble = f"average of {args.folder / 'ensemble'}"
    groups = {str(run): [run] for run in everyone}
    groups |= {ensemble: together, f"{ensemble} and {single[0]}": [single[0], *together]}
    rows = []
    for name, members in groups.items():
        for views in prediction.VIEWS:
            probabilities = np.mean([answers[run, views] for run in members], axis=0)
            right = int((probabilities.argmax(axis=1) == labels).sum())
            low, high = metrics.wilson_interval(right, len(labels))
            rows.append(
                {
                    "network": name,
                    "parameters": sum(records.read(run).metrics["parameters"] for run in members),
                    "views": views,
                    "accuracy": right / len(labels),
                    "negative log-likelihood": metrics.negative_log_likelihood(
                        probabilities, labels
                    ),
                    "95 % low": low,
                    "95 % high": high,
                    "n": len(labels),
                    "interval over": "images",
                }
            )
    recipes = {run: run.name.rpartition("_")[0] for run in together}
    for recipe, views in itertools.product(sorted(set(recipes.values())), prediction.VIEWS):
        seeds = [str(run) for run in together if recipes[run] == recipe]
        alone = [row for row in rows if row["network"] in seeds and row["views"] == views]
        if len(alone) < 2:
            continue
        mean, half = metrics.mean_interval(np.array([row["accuracy"] for row in alone]))
        likelihoods = [row["negative log-likelihood"] for row in alone]
        rows.append(
            alone[0]
            | {
                "network": f"one {args.folder / 'ensemble' / recipe}, mean of {len(alone)} seeds",
                "accuracy": mean,
                "negative log-likelihood": float(np.mean(likelihoods)),
                "95 % low": mean - half,
                "95 % high": mean + half,
                "interval over": "seeds",
            }
        )
    output = results.study("accuracy_networks", everyone)
    title = "Networks alone and averaged, over one view and more"
    output.add("accuracy_networks", title=title, table=rows)
    output.finish()


if __name__ == "__main__":
    cli.run(main)
