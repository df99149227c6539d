"""Show which classes a trained model confuses: matrix, scores, calibration and the faces.

    python confusion.py
    python confusion.py --model outputs/cnn --versus outputs/dnn --out outputs/cnn_and_dnn

Reads:  predictions.npz of each run, no model and no TensorFlow; for the pages of faces also the
        data (without it the pages are left out, and that is said). Several runs after --model
        count as one model: the average of their probabilities.
Writes: confusion.png (fractions and counts), confusion.npz (all arrays that were drawn),
        calibration.png, report_comparison.csv (what the report states beside the same here),
        scores.csv (a row for each class), summary.csv (a row for each measure of all rows),
        mistakes.png, typical.png; with --versus also versus.csv and versus.png;
        observations.txt (what was printed) and manifest.json (what made all this).
        Intervals are meant to hold the truth 95 % of the time: Wilson's for accuracy, precision
        and recall, the bootstrap's for F1 and balanced accuracy, Newcombe's for differences.
        Image numbers count the validation rows, as --images does in other scripts.
Takes:  about 10 seconds of processor time for the 3,000 validation rows of FER-2013.
"""

from pathlib import Path
from typing import Any

from common import cli
from common.labels import CLASS_NAMES, IMAGE_SHAPE, NUM_CLASSES


def build_parser():
    """Return the flags of this script."""
    options = cli.parser(__doc__)
    cli.add_model(options, many=True)
    cli.add_data(options)
    cli.add_out(options, __file__)
    cli.add_seed(options)
    options.add_argument(
        "--versus",
        metavar="RUN",
        type=Path,
        nargs="+",
        default=[],
        help="run folder to compare with; several count as one model",
    )
    options.add_argument(
        "--classes",
        metavar="NAME",
        type=cli.emotion,
        nargs="+",
        help="true classes whose faces the pages show, by name or number (default: all)",
    )
    options.add_argument(
        "--faces",
        metavar="N",
        type=cli.positive,
        default=40,
        help="faces on the page of mistakes, and on each half of the page of --versus "
        "(default: %(default)s)",
    )
    return options


def main(argv=None):
    """Draw and write everything about the predictions of a run."""
    args = build_parser().parse_args(argv)
    from common import comparison
    from common.figures.confusion import (
        against_report,
        calibration,
        matrix,
        mistakes,
        typical,
        versus,
    )
    from common.outputs import Output
    from common.runs import records

    rows, labels, together = records.load_together([*args.model, *args.versus])
    for code in args.classes or ():
        if code not in labels:
            raise ValueError(
                f"--classes {CLASS_NAMES[code]}: expected a class of which faces were held out, "
                f"found none among the {len(labels):,} validation rows"
            )
    images, gap = _load_images(args, rows, labels)
    facts: dict[str, Any] = {
        "name": records.display_name(args.model),
        "rows": rows,
        "labels": labels,
        "probabilities": together[: len(args.model)].mean(axis=0),
        "images": images,
        "classes": args.classes or range(NUM_CLASSES),
        "faces": args.faces,
        "seed": args.seed,
    }
    result = comparison.Evaluation(**facts)
    if args.versus:
        of_other = {
            "name": records.display_name(args.versus),
            "probabilities": together[len(args.model) :].mean(axis=0),
        }
        other = comparison.Evaluation(**facts | of_other)
        result = comparison.PairedEvaluation(**facts, other=other)

    output = Output(args.out, argv=argv, models=[*args.model, *args.versus])
    output.show("confusion", matrix, result)
    output.show("calibration", calibration, result)
    output.show("report_comparison", against_report, result)
    output.add("scores", title="Each expression", table=result.scores)
    output.add("summary", title="All rows together", table=result.summary)
    pages = {"mistakes": mistakes, "typical": typical}
    if args.versus:
        pages["versus"] = versus
    for name, view in pages.items():
        if gap:
            output.miss(name, view.TITLE, gap)
        else:
            output.show(name, view, result)
    if args.versus and gap:
        output.show("versus", versus, result, figure=None)
    worst = " ".join(map(str, result.mistakes[:5])) or "0"
    output.finish(
        f"See what misled it: python saliency.py --model {args.model[0]} --images {worst}"
    )


def _load_images(args, rows, labels):
    """Return the validation images uint8 (m, 48, 48) and "", or none and why there are none."""
    import numpy as np

    from common.data import splits

    try:
        dataset, split = splits.load_of_run(args.model[0], args.data)
    except (ValueError, FileNotFoundError) as error:
        if args.data:
            raise
        return np.empty((0, *IMAGE_SHAPE), np.uint8), str(error).splitlines()[0]
    if not (
        np.array_equal(split.validation_rows, rows)
        and np.array_equal(dataset.train_labels[rows], labels)
    ):
        raise ValueError(
            f"{args.model[0]}: expected predictions on the rows that split.npz holds out, found "
            "others: train the run again"
        )
    return dataset.train_images[rows], ""


if __name__ == "__main__":
    cli.run(main)
