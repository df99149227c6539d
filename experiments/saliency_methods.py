"""Which saliency maps are the most faithful: every method, smoothed over more and more pixels.

    python -m experiments.saliency_methods --data data/fer2013

Deletion and insertion areas (`common/attribution/faithfulness.py`) of the maps of the first
validation images, which are random ones. The score is the area under insertion less that under
deletion: 0 by masking at random, higher is better. Intervals are Student's, over the images, also
those of how far the others are below the best, which are paired. The default of saliency.py was
chosen by such a table.
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
    scored = {("random order", ""): chance}
    for name in tqdm(args.methods, unit=" methods", disable=None):
        found = registry.load(name).attribute(network, inputs, classes, options)
        for smoothing in args.smoothing:
            setting = registry.method(name).title, smoothing
            scored[setting] = areas(maps.importance(name, found, smoothing))
    scores = {setting: insertion - deletion for setting, (deletion, insertion) in scored.items()}
    best = max(scores, key=lambda setting: scores[setting].mean())
    table = [_row(*setting, both, chance, scores[best]) for setting, both in scored.items()]
    highest, half = metrics.mean_interval(scores[best])
    level = [
        f"{row['method']}, {row['smoothing']} ({row['score']:.3f})"
        for row in table
        if (row["method"], row["smoothing"]) != best and row["below, 95 % low"] <= 0
    ]
    output = results.study(f"saliency_methods{'_again' * bool(args.first)}", [args.model])
    output.add(
        f"saliency_methods{'_again' * bool(args.first)}",
        title="Which saliency maps are the most faithful",
        table=table,
        sentences=[
            f"Over {len(images)} validation images from number {args.first} on, maps by "
            f"{best[0]}, smoothing {best[1]}, score highest: insertion less deletion "
            f"{highest:.3f} [{highest - half:.3f}, {highest + half:.3f}]. Not measurably below it "
            f"on the same images: {'; '.join(level) or 'no other'}."
        ],
    )
    output.finish()


def _row(method, smoothing, areas, chance, best):
    """Return a row of the table, of areas (2, n), those of a random order, and the best scores."""
    deletion, insertion = areas
    mean, half = metrics.mean_interval(insertion - deletion)
    below, half_below = metrics.mean_interval(best - (insertion - deletion))
    better = (deletion < chance[0]) & (insertion > chance[1])
    return {
        "method": method,
        "smoothing": smoothing,
        "deletion": float(deletion.mean()),
        "insertion": float(insertion.mean()),
        "score": mean,
        "95 % low": mean - half,
        "95 % high": mean + half,
        "below the best": below,
        "below, 95 % low": below - half_below,
        "below, 95 % high": below + half_below,
        "better than random in both": float(better.mean()),
        "n": len(deletion),
    }


if __name__ == "__main__":
    cli.run(main)
