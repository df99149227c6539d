"""Show what a trained model takes for what: matrix, scores, calibration, and the faces themselves.

    python confusion.py
    python confusion.py --model outputs/cnn --versus outputs/dnn --out outputs/cnn_and_dnn

Reads:  predictions.npz of each run, no model and no TensorFlow; for the pages of faces also the
        data (without it the pages are skipped, and that is said). Several runs after --model count
        as one model: the average of their probabilities.
Writes: confusion.png (fractions and counts), scores.csv (a row for each class), summary.csv (a row
        for each measure of all rows), observations.txt, report_comparison.csv (what the report
        states beside the same here), calibration.png, mistakes.png, typical.png, confusion.npz
        (all arrays that were drawn); with --versus also versus.csv and versus.png.
        Intervals are meant to hold the truth 95 % of the time: Wilson's for precision and recall,
        the bootstrap's for F1 and the measures of all rows, Newcombe's for differences.
        Image numbers count the validation rows, as --images does in other scripts.
Takes:  about 20 seconds on 2 cores for the 3,000 validation rows of FER-2013.
"""

from pathlib import Path

from common import cli, runs
from common.labels import CLASS_NAMES, NUM_CLASSES

COLUMNS = 10  # faces in a line of a page


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
        default=4 * COLUMNS,
        help="faces on the page of mistakes, and on each half of the page of --versus "
        "(default: %(default)s)",
    )
    return options


def main(argv=None):
    """Draw and write everything about the predictions of a run."""
    args = build_parser().parse_args(argv)
    import numpy as np

    from common import comparison, metrics
    from common.figures import confusion, style

    rows, labels, together = comparison.load_together([*args.model, *args.versus])
    probabilities = together[: len(args.model)].mean(axis=0)
    predictions, confidences = probabilities.argmax(axis=1), probabilities.max(axis=1)
    counts = metrics.confusion_counts(labels, predictions)
    asked_for = set(args.classes or [])
    for code in asked_for:
        if not counts[code].any():
            raise ValueError(
                f"--classes {CLASS_NAMES[code]}: expected a class of which faces were held out, "
                f"found none among the {len(labels):,} validation rows"
            )
    images = _load_images(args, rows, labels)
    runs.check_writable(args.out)

    name = comparison.display_name(args.model)
    fractions = metrics.row_fractions(counts)
    summary = comparison.summary_table(labels, probabilities, seed=args.seed)
    accuracy = "{value:.3f} [{95 % low:.3f}, {95 % high:.3f}]".format(**summary[0])
    calibration = comparison.calibration_bins(probabilities, labels)
    report = comparison.report_table(counts)
    tables = {
        "scores.csv": comparison.class_table(labels, predictions, seed=args.seed),
        "summary.csv": summary,
        "report_comparison.csv": report,
    }
    figures = {
        "confusion.png": confusion.matrix(
            counts, fractions, title=f"{name}\naccuracy {accuracy}, n = {len(labels):,}"
        ),
        "calibration.png": confusion.reliability(
            calibration,
            text="\n".join(f"{row['measure']} {row['value']:.3f}" for row in summary)
            + f"\nmean confidence {confidences.mean():.3f}",
            title=name,
        ),
    }
    lines = [
        f"On {len(labels):,} validation rows the accuracy of {name} is {accuracy}, the macro F1 "
        f"{summary[1]['value']:.3f} and the balanced accuracy {summary[2]['value']:.3f}. The epoch "
        "kept was chosen on these rows, which flatters a little.",
        *metrics.observations(counts),
        f"The mean confidence is {confidences.mean():.3f}, the expected calibration error "
        f"{summary[4]['value']:.3f}.",
    ]
    furthest = max(report, key=lambda row: abs(row["difference"] or 0))
    if furthest["difference"]:
        lines.append(
            f"Furthest from the report: {furthest['true']} predicted as {furthest['predicted']}, "
            f"{furthest['report']} there, {furthest['here']:.2f} here."
        )

    # Positions among the validation rows, the most confident first: what the pages show.
    by_confidence = np.argsort(-confidences, kind="stable")
    is_right = predictions == labels
    shown = np.isin(labels, list(asked_for)) if asked_for else np.ones(len(labels), bool)
    mistakes = by_confidence[(~is_right & shown)[by_confidence]]
    typical = by_confidence[(is_right & shown)[by_confidence]]
    arrays = {
        "counts": counts,
        "fractions": fractions,
        "rows": rows,
        "labels": labels,
        "probabilities": probabilities,
        "mistakes": mistakes,
        "typical": typical,
        **{f"calibration_{key}": values for key, values in calibration.items()},
    }
    if images is not None:
        captions = [
            f"{CLASS_NAMES[true]} → {CLASS_NAMES[predicted]}\n{confidence:.2f}, image {image}"
            for image, (true, predicted, confidence) in enumerate(
                zip(labels, predictions, confidences, strict=True)
            )
        ]
        figures["mistakes.png"] = confusion.face_page(
            [_section("", mistakes, images, captions, args.faces)],
            columns=COLUMNS,
            title=f"{name}: the most confident of {len(mistakes):,} mistakes (true → predicted)",
        )
        captions = [f"{value:.2f}, image {image}" for image, value in enumerate(confidences)]
        figures["typical.png"] = confusion.face_page(
            [
                _section(
                    f"{CLASS_NAMES[code]}: {counts[code, code]:,} of {counts[code].sum():,} right",
                    typical[labels[typical] == code],
                    images,
                    captions,
                    COLUMNS,
                )
                for code in sorted(asked_for or range(NUM_CLASSES))
            ],
            columns=COLUMNS,
            title=f"{name}: faces recognised with the highest confidence",
        )

    if args.versus:
        other_name = comparison.display_name(args.versus)
        other = together[len(args.model) :].mean(axis=0)
        other_predictions = other.argmax(axis=1)
        tables["versus.csv"] = comparison.paired_table(labels, predictions, other_predictions)
        lines += comparison.paired_sentences(name, other_name, tables["versus.csv"][0])
        # The clearest cases first: how much more one gives to the true class than the other.
        every = np.arange(len(labels))
        gain = probabilities[every, labels] - other[every, labels]
        other_right = other_predictions == labels
        by_gain = np.argsort(-gain, kind="stable")
        only_model = by_gain[(is_right & ~other_right & shown)[by_gain]]
        only_other = by_gain[::-1][(~is_right & other_right & shown)[by_gain[::-1]]]
        arrays |= {
            "other_probabilities": other,
            "only_model_right": only_model,
            "only_other_right": only_other,
        }
        if images is not None:
            captions = [
                f"{CLASS_NAMES[one]} {probabilities[image, one]:.2f}\n"
                f"{CLASS_NAMES[two]} {other[image, two]:.2f}\nimage {image}"
                for image, (one, two) in enumerate(zip(predictions, other_predictions, strict=True))
            ]
            figures["versus.png"] = confusion.face_page(
                [
                    _section(
                        f"only {only} is right: {len(order):,} faces",
                        order,
                        images,
                        captions,
                        args.faces,
                    )
                    for only, order in ((name, only_model), (other_name, only_other))
                ],
                columns=COLUMNS,
                title=f"Above each face what {name} says and, below, {other_name}",
            )

    source = f"{' '.join(map(str, args.model))}: {runs.command_line(argv)}"
    for file, table in tables.items():
        runs.write_table(args.out / file, table)
    for file, figure in figures.items():
        style.save(figure, args.out / file, source=source)
    runs.write_arrays(args.out / "confusion.npz", **arrays)
    runs.write_text(args.out / "observations.txt", "\n".join(lines) + "\n")
    print("\n".join(lines))
    written = [*figures, *tables, "confusion.npz", "observations.txt"]
    print(f"Wrote {', '.join(written)} to {args.out}.")
    worst = " ".join(map(str, mistakes[:5])) or "0"
    print(f"See why: python saliency.py --model {args.model[0]} --images {worst}")


def _load_images(args, rows, labels):
    """Return the validation images uint8 (m, 48, 48), or None, said why, without the data."""
    import numpy as np

    from common import data

    try:
        faces, split = data.load_of_run(args.model[0], args.data)
    except (ValueError, FileNotFoundError) as error:
        if args.data:
            raise
        print(f"No pages of faces, for want of the data: {str(error).splitlines()[0]}")
        return None
    if not (
        np.array_equal(split.validation_rows, rows)
        and np.array_equal(faces.train_labels[rows], labels)
    ):
        raise ValueError(
            f"{args.model[0]}: expected predictions on the rows that split.npz holds out, found "
            "others: train the run again"
        )
    return faces.train_images[rows]


def _section(heading, order, images, captions, count):
    """Return a section of a page: the first `count` faces in that order, no image twice."""
    import numpy as np

    from common import data

    _, first = np.unique(data.duplicate_groups(images[order]), return_index=True)
    chosen = order[first][:count]
    return heading, images[chosen], [captions[image] for image in chosen]


if __name__ == "__main__":
    cli.run(main)
