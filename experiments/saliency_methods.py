"""Which saliency maps are the most faithful: every method, smoothed over more and more pixels.

    python -m experiments.saliency_methods --data data/fer2013

Deletion and insertion areas (`common/attribution/faithfulness.py`) of the maps of the first
validation images, which are random ones. The score is the area under insertion less that under
deletion: 0 by masking at random, higher is better. Intervals are Student's, over the images. The
default of saliency.py was chosen by such a table.
"""

import numpy as np
from tqdm import tqdm

from common import cli, metrics
from common.attribution import engine, faithfulness, maps, registry
from common.data import pixels, splits
from common.models import checkpoints, prediction
from common.report import results


def build_parser():
    """Return the flags of this study."""
    options = cli.parser(__doc__)
    cli.add_model(options)
    cli.add_data(options)
    cli.add_seed(options)
    options.add_argument("--images", metavar="N", type=cli.positive, default=200)
    options.add_argument("--first", metavar="N", type=cli.non_negative, default=0)
    options.add_argument("--samples", metavar="N", type=cli.positive, default=20)
    options.add_argument("--steps", metavar="N", type=cli.positive, default=10)
    options.add_argument(
        "--methods", nargs="+", choices=list(registry.METHODS), default=list(registry.METHODS)
    )
    options.add_argument(
        "--smoothing",
        metavar="PIXELS",
        type=cli.non_negative_number,
        nargs="+",
        default=[0, 1, 2, 3],
    )
    options.add_argument(
        "--half", action="store_true", help="compute the curves, not the maps, in bfloat16"
    )
    return options


def main(argv=None):
    """Score every method at every smoothing and write the table."""
    args = build_parser().parse_args(argv)
    dataset, split = splits.load_of_run(args.model, args.data)
    rows = split.validation_rows[args.first : args.first + args.images]
    images = dataset.train_images[rows]
    inputs = pixels.to_inputs(images)
    model = checkpoints.load(args.model)[0]
    classes = prediction.predict(model, images).argmax(axis=1)
    network = prediction.logits_model(model)
    scorer = prediction.logits_model(checkpoints.load(args.model, half=args.half)[0])
    options = engine.Options(samples=args.samples, seed=args.seed)

    def areas(importances):
        curves = faithfulness.deletion_insertion(
            scorer, inputs, importances, classes, steps=args.steps, seed=args.seed
        )
        return faithfulness.area(curves)

    chance = areas(np.zeros(images.shape))
    table = [_row("random order", "", chance, chance)]
    for name in tqdm(args.methods, unit=" methods", disable=None):
        found = registry.load(name).attribute(network, inputs, classes, options)
        for smoothing in args.smoothing:
            scored = areas(maps.importance(name, found, smoothing))
            table.append(_row(registry.method(name).title, smoothing, scored, chance))
    best, *others = sorted(table, key=lambda row: -row["score"])
    level = [
        f"{row['method']}, {row['smoothing']} ({row['score']:.3f})"
        for row in others
        if row["score"] > best["95 % low"]
    ]
    output = results.study(f"saliency_methods{'_again' * bool(args.first)}", [args.model])
    output.add(
        f"saliency_methods{'_again' * bool(args.first)}",
        title="Which saliency maps are the most faithful",
        table=table,
        sentences=[
            f"Over {len(images)} validation images from number {args.first} on, maps by "
            f"{best['method']}, smoothing {best['smoothing']}, score highest: insertion less "
            f"deletion {best['score']:.3f} [{best['95 % low']:.3f}, {best['95 % high']:.3f}]. "
            f"Within that interval: {'; '.join(level) or 'no other'}."
        ],
    )
    output.finish()


def _row(method, smoothing, scored, chance):
    """Return a row of the table, of areas (2, n) and those of a random order."""
    deletion, insertion = scored
    mean, half = metrics.mean_interval(insertion - deletion)
    better = (deletion < chance[0]) & (insertion > chance[1])
    return {
        "method": method,
        "smoothing": smoothing,
        "deletion": float(deletion.mean()),
        "insertion": float(insertion.mean()),
        "score": mean,
        "95 % low": mean - half,
        "95 % high": mean + half,
        "better than random in both": float(better.mean()),
        "n": len(deletion),
    }


if __name__ == "__main__":
    cli.run(main)
