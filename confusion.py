"""Show which classes a trained model confuses: matrix, scores, calibration and the faces.

    python confusion.py
    python confusion.py --model outputs/train_cnn --versus outputs/train_dnn
    python confusion.py --rows all --data ck_plus

Reads:  predictions.npz of each run, no model and no TensorFlow; for the pages of faces also the
        data (without it the pages are left out, and that is said; another copy of the data will
        do: the images found there count). With --rows test or all the models are asked about any
        labelled faces. Several runs after --model count as one model: the average of their
        probabilities; runs of --folds together are scored on every row, each row by the run that
        held it out.
Writes: confusion.png (fractions and counts), confusion.npz (all arrays that were drawn),
        calibration.png, report_comparison.csv (what the report states beside the same here,
        for validation rows of FER-2013),
        scores.csv (a row for each class), summary.csv (a row for each measure of all rows),
        mistakes.png, typical.png; with --versus also versus.csv and versus.png;
        observations.txt (what was printed) and manifest.json (what made all this).
        Intervals are meant to hold the truth 95 % of the time: Wilson's for accuracy, precision
        and recall, the bootstrap's for F1 and balanced accuracy, Newcombe's for differences.
        Image numbers count the rows scored, for validation rows as --images does in other scripts.
Takes:  about 10 seconds of processor time for the 3,000 validation rows of FER-2013.
"""

from pathlib import Path
from typing import Any, NamedTuple

from common import cli
from common.labels import CLASS_NAMES, IMAGE_SHAPE, NUM_CLASSES
from common.runs import provenance


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
        action=cli.Runs,
        default=[],
        help="run folder to compare with; several, or a folder of such, count as one model",
    )
    cli.add_rows(options, default="validation")
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

    asked = _ask_again(args) if args.rows in ("test", "all") else _recall(args)
    for code in args.classes or ():
        if code not in asked.labels:
            raise ValueError(
                f"--classes {CLASS_NAMES[code]}: expected a class of which there are faces, found "
                f"none among the {len(asked.labels):,} {asked.name}"
            )
    held_out = args.rows == "validation"
    facts: dict[str, Any] = {
        "name": records.display_name(args.model, held_out=held_out),
        "rows": asked.rows,
        "labels": asked.labels,
        "probabilities": asked.together[0],
        "images": asked.images,
        "classes": args.classes or range(NUM_CLASSES),
        "faces": args.faces,
        "seed": args.seed,
        "what": asked.name,
        "caveat": asked.caveat,
    }
    result = comparison.Evaluation(**facts)
    if args.versus:
        of_other = {
            "name": records.display_name(args.versus, held_out=held_out),
            "probabilities": asked.together[1],
        }
        other = comparison.Evaluation(**facts | of_other)
        result = comparison.PairedEvaluation(**facts, other=other)

    output = Output(args.out, argv=argv, models=[*args.model, *args.versus])
    output.show("confusion", matrix, result)
    if asked.comparable and against_report.table(result):
        output.show("report_comparison", against_report, result)
    output.show("calibration", calibration, result)
    output.add("scores", title="Each expression", table=result.scores)
    output.add("summary", title="All rows together", table=result.summary)
    pages = {"mistakes": mistakes, "typical": typical}
    if args.versus:
        pages["versus"] = versus
    for name, view in pages.items():
        if asked.gap:
            output.miss(f"{name}_faces" if view is versus else name, view.TITLE, asked.gap)
        else:
            output.show(name, view, result)
    if args.versus and asked.gap:
        output.show("versus", versus, result, figure=None)
    following = ""
    if held_out and len(asked.rows) <= len(records.load_predictions(args.model[0])[0]):
        worst = [str(image) for image in result.mistakes[:5]] or ["0"]
        command = provenance.continued("saliency.py", args.model[:1], args.data)
        following = f"See what misled it: {command} --images {' '.join(worst)}"
    output.finish(following)


class _Asked(NamedTuple):
    """What the models say of labelled images; see `comparison.Evaluation`."""

    name: str  # of the rows
    caveat: str  # to their score
    comparable: bool  # with what the report states of FER-2013
    rows: Any
    labels: Any
    together: Any  # float (1 or 2, n, 7): of --model and of --versus
    images: Any
    gap: str = ""  # why there are no images


def _recall(args):
    """Return what the runs have said of the images they held out, as far as the data has them."""
    import numpy as np

    from common.data import splits
    from common.runs import records

    models = [args.model, args.versus] if args.versus else [args.model]
    rows, labels, together = records.load_models(models)
    images, gap = np.empty((0, *IMAGE_SHAPE), np.uint8), ""
    caveat = records.caveat([*args.model, *args.versus])
    try:
        dataset, split = splits.load_of_run(args.model[0], args.data, others=args.model[1:])
    except (ValueError, FileNotFoundError) as error:
        if args.data:
            raise
        gap = str(error).splitlines()[0]
    else:
        held = splits.load_joint(args.model).validation_rows
        ours = dataset.train_labels[split.validation_rows]
        found = np.arange(len(held)) if split.positions is None else split.positions
        if not np.array_equal(held, rows) or (
            split.positions is None and not np.array_equal(ours, labels)
        ):
            raise ValueError(
                f"{args.model[0]}: expected predictions on the rows that split.npz holds out, "
                "found others: train the run again"
            )
        differing = np.count_nonzero(ours != labels[found])
        if differing:
            caveat += (
                f" {differing:,} of them have another label in {dataset.source} than in the data "
                "of the run, and these labels count."
            )
        rows, labels, together = rows[found], ours, together[:, found]
        images = dataset.train_images[split.validation_rows]
    comparable = splits.is_fer2013(records.data_hash(args.model[0]), images)
    return _Asked("validation rows", caveat, comparable, rows, labels, together, images, gap)


def _ask_again(args):
    """Return what the models say now of the labelled images of the data."""
    from common.data import labelled, loading

    runs = [*args.model, *args.versus]
    asked = labelled.load(loading.load(args.data), args.rows, runs)
    from common.models import ensemble  # imports Keras, once the data is known to be right

    each, of_model = ensemble.predict_each(runs, asked.images), len(args.model)
    together = [part.mean(axis=0) for part in (each[:of_model], each[of_model:]) if len(part)]
    caveat = " ".join(asked.sentences)
    return _Asked(asked.name, caveat, False, asked.rows, asked.labels, together, asked.images)


if __name__ == "__main__":
    cli.run(main)
