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
        Intervals are meant to hold the truth 95 % of the time: Wilson's for accuracy, precision
        and recall, the bootstrap's for F1 and balanced accuracy, Newcombe's for differences.
        Image numbers count the validation rows, as --images does in other scripts.
Takes:  about 10 seconds of processor time for the 3,000 validation rows of FER-2013.
"""

from pathlib import Path

from common import cli
from common.labels import CLASS_NAMES, IMAGE_SHAPE, IMAGE_SIZE, NUM_CLASSES
from common.runs import provenance, storage

COLUMNS = 10  # faces in a line of a page
SAME_PICTURE = 0.9  # 4,000 random pairs of FER-2013 stay below 0.8


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
    from tqdm import tqdm

    from common import comparison, metrics
    from common.figures import confusion, style

    rows, labels, together = comparison.load_together([*args.model, *args.versus])
    probabilities = together[: len(args.model)].mean(axis=0)
    predictions, confidences = probabilities.argmax(axis=1), probabilities.max(axis=1)
    counts = metrics.confusion_counts(labels, predictions)
    for code in args.classes or ():
        if not counts[code].any():
            raise ValueError(
                f"--classes {CLASS_NAMES[code]}: expected a class of which faces were held out, "
                f"found none among the {len(labels):,} validation rows"
            )
    images = _load_images(args, rows, labels)
    storage.check_writable(args.out)

    name = comparison.display_name(args.model)
    fractions = metrics.row_fractions(counts)
    summary = comparison.summary_table(labels, probabilities, seed=args.seed)
    accuracy = "accuracy {value:.3f} [{95 % low:.3f}, {95 % high:.3f}]".format(**summary[0])
    _, macro_f1, balanced, likelihood, calibration_error = (row["value"] for row in summary)
    calibration = comparison.calibration_bins(probabilities, labels)
    report = comparison.report_table(counts)
    tables = {
        "scores.csv": comparison.class_table(labels, predictions, seed=args.seed),
        "summary.csv": summary,
        "report_comparison.csv": report,
    }
    lines = [
        f"{name} on {len(labels):,} validation rows: {accuracy}, macro F1 {macro_f1:.3f}, balanced "
        f"accuracy {balanced:.3f}. The epoch kept was chosen on these rows, which flatters a "
        "little.",
        *metrics.observations(counts),
        f"The mean confidence is {confidences.mean():.3f}, the expected calibration error "
        f"{calibration_error:.3f}.",
        comparison.report_sentence(report),
    ]
    figures = {
        "confusion.png": confusion.matrix(
            counts, fractions, title=f"{name}\n{accuracy}, n = {len(labels):,}"
        ),
        "calibration.png": confusion.reliability(
            calibration,
            text=f"mean confidence {confidences.mean():.3f}\n"
            f"expected calibration error {calibration_error:.3f}\n"
            f"negative log-likelihood {likelihood:.3f}",
            title=f"{name}\n{accuracy}, n = {len(labels):,}",
        ),
    }

    # What the pages show, as positions among the validation rows.
    shown = np.isin(labels, args.classes or range(NUM_CLASSES))
    mistakes, hits = (order[shown[order]] for order in comparison.clearest(labels, probabilities))
    arrays = {
        "counts": counts,
        "fractions": fractions,
        "rows": rows,
        "labels": labels,
        "probabilities": probabilities,
        "mistakes": mistakes,
        "hits": hits,
        **{f"calibration_{key}": values for key, values in calibration.items()},
    }
    truths, answers = (np.array(CLASS_NAMES)[codes] for codes in (labels, predictions))
    pages = [  # file, title, sections of heading and positions, faces of a section, captions
        (
            "mistakes.png",
            f"{name}: the most confident of {len(mistakes):,} mistakes (true → predicted)",
            [("", mistakes)],
            args.faces,
            [
                f"{truth} → {answer}\n{confidence:.2f}, image {image}"
                for image, (truth, answer, confidence) in enumerate(
                    zip(truths, answers, confidences, strict=True)
                )
            ],
        ),
        (
            "typical.png",
            f"{name}: the faces recognised with the highest confidence",
            [
                (
                    f"{CLASS_NAMES[code]}: {counts[code, code]:,} of {counts[code].sum():,} right",
                    hits[labels[hits] == code],
                )
                for code in np.unique(labels[shown])
            ],
            COLUMNS,
            [f"{confidence:.2f}, image {image}" for image, confidence in enumerate(confidences)],
        ),
    ]

    if args.versus:
        other_name = comparison.display_name(args.versus)
        other = together[len(args.model) :].mean(axis=0)
        tables["versus.csv"] = comparison.paired_table(labels, predictions, other.argmax(axis=1))
        lines += comparison.paired_sentences(name, other_name, tables["versus.csv"])
        only_model, only_other = (
            order[shown[order]]
            for order in comparison.clearest_differences(labels, probabilities, other)
        )
        arrays |= {
            "other_probabilities": other,
            "only_model_right": only_model,
            "only_other_right": only_other,
        }
        other_answers = np.array(CLASS_NAMES)[other.argmax(axis=1)]
        pages.append(
            (
                "versus.png",
                f"Above each face what {name} says, then what {other_name} says",
                [
                    (f"only {name} is right: {len(only_model):,} faces", only_model),
                    (f"only {other_name} is right: {len(only_other):,} faces", only_other),
                ],
                args.faces,
                [
                    f"{answers[image]} {confidences[image]:.2f}\n"
                    f"{other_answers[image]} {other[image].max():.2f}\nimage {image}"
                    for image in range(len(labels))
                ],
            )
        )

    for file, title, sections, count, captions in pages if images is not None else ():
        chosen = [(heading, _distinct(images, order, count)) for heading, order in sections]
        figures[file] = confusion.face_page(
            [(heading, images[few], [captions[image] for image in few]) for heading, few in chosen],
            columns=COLUMNS,
            title=title,
        )

    for file, table in tables.items():
        rounded = [
            {
                key: f"{value:.6g}" if isinstance(value, float) else value
                for key, value in row.items()
            }
            for row in table
        ]
        storage.write_table(args.out / file, rounded)
    storage.write_arrays(args.out / "confusion.npz", **arrays)
    storage.write_text(args.out / "observations.txt", "\n".join(lines) + "\n")
    print("\n".join(lines))
    source = f"{' '.join(map(str, args.model))}: {provenance.command_line(argv)}"
    for file, figure in tqdm(figures.items(), desc="drawing", unit="figure", disable=None):
        style.save(figure, args.out / file, source=source)
    written = ["observations.txt", *tables, "confusion.npz", *figures]
    print(f"Wrote {', '.join(written)} to {args.out}.")
    worst = " ".join(map(str, mistakes[:5])) or "0"
    print(f"See what misled it: python saliency.py --model {args.model[0]} --images {worst}")


def _load_images(args, rows, labels):
    """Return the validation images uint8 (m, 48, 48), or None, said why, without the data."""
    import numpy as np

    from common.data import splits

    try:
        faces, split = splits.load_of_run(args.model[0], args.data)
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


def _distinct(images, order, count):
    """Return the first `count` of `order` (positions in `images`) that show different pictures.

    FER-2013 holds many pictures more than once, cropped or compressed in another way: two that
    correlate at some shift by more than `SAME_PICTURE` count as one.
    """
    import numpy as np

    chosen, spectra = [], np.empty((0, IMAGE_SIZE, IMAGE_SIZE // 2 + 1), complex)
    for position in order:
        if len(chosen) == count:
            break
        centred = images[position] - images[position].mean()
        spectrum = np.fft.rfft2(centred / max(np.linalg.norm(centred), 1))
        # The product of spectra is the correlation at every (circular) shift.
        correlations = np.fft.irfft2(spectrum.conj() * spectra, s=IMAGE_SHAPE)
        if correlations.max(initial=0) <= SAME_PICTURE:
            chosen.append(position)
            spectra = np.concatenate([spectra, spectrum[np.newaxis]])
    return np.array(chosen, int)


if __name__ == "__main__":
    cli.run(main)
