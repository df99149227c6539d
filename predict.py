"""Let one or several trained models label test rows, validation rows, or the faces in photographs.

    python predict.py
    python predict.py --model outputs/cnn outputs/cnn_2 --tta --data data
    python predict.py --model outputs/cnn --rows validation --tta 18
    python predict.py --rows all --data ck_plus
    python predict.py --photos holiday.jpg pictures/

Reads:  run folders (several are averaged), and test rows, validation rows (in any copy of the
        data), every labelled image of any data (--rows all) or photographs.
Writes: test rows:       probabilities.csv and submission.csv, checked as Kaggle would check it.
        validation rows, or all labelled images: predictions.npz (rows, labels, probabilities).
        photographs:     photos.csv (file, face, frame in pixels, probabilities, label) and one
                         annotated picture each in photos/.
        Besides, what was printed (observations.txt) and what made all this (manifest.json).
Takes:  about 20 seconds for the 7,178 test rows of FER-2013 with the CNN on 2 cores, times the
        number of views (--tta) and of models.
"""

import csv
import shlex
import sys
from functools import partial
from pathlib import Path

from common import cli
from common.labels import NUM_CLASSES

VIEWS = (1, 2, 10, 18)  # that `prediction.predict` knows
FORMS = ("homework", "contest2013")


def build_parser():
    """Return the flags of this script."""
    options = cli.parser(__doc__)
    cli.add_model(options, many=True)
    cli.add_data(options)
    cli.add_out(options, __file__)
    options.add_argument(
        "--tta",
        metavar="N",
        type=int,
        choices=VIEWS,
        nargs="?",
        const=10,
        default=1,
        help="average over N views of each image: 1 (the default), 2 (its mirror image too), 10 "
        "(both with 5 shifts; what --tta alone means) or 18 (with 9 shifts)",
    )
    options.add_argument(
        "--half",
        action="store_true",
        help="compute in bfloat16: faster where the processor multiplies in it, and right to about "
        "two digits of a probability",
    )
    options.add_argument(
        "--competition",
        metavar="SLUG",
        help="Kaggle's name of the competition, for the command that submits (default: that of "
        "--form)",
    )
    options.add_argument(
        "--columns",
        metavar="ID,LABEL",
        type=cli.column_pair,
        help="header of the submission, for example id,predicted_label (default: id,label)",
    )
    options.add_argument(
        "--form",
        choices=FORMS,
        default="homework",
        help="of the submission: 'homework' (id,label) or 'contest2013' (bare labels) "
        "(default: %(default)s)",
    )
    what = options.add_mutually_exclusive_group()
    cli.add_rows(what, default="test")
    what.add_argument(
        "--photos", metavar="PATH", type=Path, nargs="+", help="photographs, or folders of them"
    )
    options.add_argument(
        "--whole-image",
        action="store_true",
        help="each photograph shows one face that fills it: take its middle, look for no face",
    )
    return options


def main(argv=None):
    """Predict and write."""
    options = build_parser()
    args = options.parse_args(argv)
    if args.photos and args.data:
        options.error("argument --photos: not allowed with argument --data")
    if args.columns and args.form != "homework":
        options.error(f"argument --columns: not allowed with --form {args.form}, which has none")
    if args.whole_image and not args.photos:
        options.error("argument --whole-image: expected --photos with it")
    if args.photos:
        label_photographs(args, argv)
    elif args.rows == "validation":
        score_validation_rows(args, argv)
    elif args.rows == "all":
        score_all_rows(args, argv)
    else:
        label_test_rows(args, argv)


def label_test_rows(args, argv):
    """Write the probabilities of the test rows and a submission, and score known labels."""
    import numpy as np

    from common import kaggle
    from common.data import loading
    from common.outputs import Output

    dataset = loading.load(args.data)
    if not len(dataset.test_images):
        raise ValueError(f"{dataset.source}: expected test rows (id,feature), found none")
    output = Output(args.out, argv=argv, models=args.model)
    probabilities = _predict(args, dataset.test_images).mean(axis=0)
    predictions = probabilities.argmax(axis=1)
    if dataset.test_labels is not None:
        usages = np.full(len(predictions), "") if dataset.test_usage is None else dataset.test_usage
        for usage in np.unique(usages):
            rows = usages == usage
            name = f"{usage} test rows".strip()
            output.say(_accuracy(name, dataset.test_labels[rows], predictions[rows]))
    kaggle.write_probabilities(output.file("probabilities.csv"), dataset.test_ids, probabilities)
    submission, columns = output.file("submission.csv"), args.columns or kaggle.SUBMISSION_HEADER
    kaggle.write_submission(
        submission, dataset.test_ids, predictions, form=args.form, columns=columns
    )
    kaggle.check_submission(submission, dataset.test_ids, columns=columns)
    command = kaggle.submit_command(submission, form=args.form, competition=args.competition)
    drawn = dataset.source == "sample" and not args.competition
    output.finish("" if drawn else f"Submit it: {command}")


def score_validation_rows(args, argv):
    """Write the probabilities of the validation rows; score each model and their average."""
    import numpy as np

    from common.data import splits
    from common.outputs import Output
    from common.runs import records

    held = splits.load_joint(args.model).validation_rows
    dataset, split = splits.load_of_run(args.model[0], args.data, others=args.model[1:])
    held = held if split.positions is None else held[split.positions]
    asked = [np.isin(held, splits.load_joint([run]).validation_rows) for run in args.model]
    output = Output(args.out, argv=argv, models=args.model)
    rows = split.validation_rows
    _score(args, output, rows, dataset.train_images[rows], dataset.train_labels[rows], asked)
    output.say(records.caveat(args.model))
    output.finish(f"See which classes it confuses: {_confusion_command(args)}")


def score_all_rows(args, argv):
    """Write the probabilities of every labelled image; score each model and their average."""
    from common.data import labelled
    from common.outputs import Output

    asked = labelled.load(args.data, "all", args.model)
    output = Output(args.out, argv=argv, models=args.model)
    _score(args, output, asked.rows, asked.images, asked.labels)
    output.say(*asked.sentences)
    output.finish(f"See which classes it confuses: {_confusion_command(args)} --rows all")


def _score(args, output, rows, images, labels, asked=None):
    """Write and score what each model and all together say of labelled images.

    `asked` says which images each run is asked about, bool (n,): all of them unless the runs held
    out a part each.
    """
    import numpy as np

    if asked is None or all(mask.all() for mask in asked):
        each = list(_predict(args, images))
        probabilities, together = np.mean(each, axis=0), f"average of {len(each)} models"
        asked = [np.ones(len(images), bool)] * len(each)
    else:
        each = [
            _predict(args, images[mask], [run])[0]
            for run, mask in zip(args.model, asked, strict=True)
        ]
        probabilities, together = (
            np.zeros((len(images), NUM_CLASSES)),
            "each row by who held it out",
        )
        for mask, of_run in zip(asked, each, strict=True):
            probabilities[mask] += of_run / np.sum(asked, axis=0)[mask, np.newaxis]
    for run, mask, of_run in zip(args.model, asked, each, strict=True):
        output.say(_accuracy(run, labels[mask], of_run.argmax(axis=1)))
    if len(each) > 1:
        output.say(_accuracy(together, labels, probabilities.argmax(axis=1)))
    output.add(
        "predictions", arrays={"rows": rows, "labels": labels, "probabilities": probabilities}
    )


def _confusion_command(args):
    """Return the command that goes on with the same models and data."""
    data = ["--data", args.data] if args.data else []
    return shlex.join(["python", "confusion.py", "--model", *map(str, args.model), *data])


def label_photographs(args, argv):
    """Write what the models say of each face in the photographs, as it comes, and draw it."""
    import numpy as np
    from tqdm import tqdm

    from common.data import photos
    from common.figures.predict import photographs
    from common.outputs import Output
    from common.runs import records

    files = tqdm(photos.list_files(args.photos), desc="photographs", unit="photo", disable=None)
    say = partial(tqdm.write, file=sys.stderr)
    name, number, models = records.display_name(args.model), 0, []
    for cut in photos.cut_all(files, whole_image=args.whole_image, say=say):
        number += 1
        if number == 1:
            from common.models import ensemble, prediction  # imports Keras, once there is a face

            output = Output(args.out, argv=argv, models=args.model)
            models = ensemble.load_each(args.model, half=args.half)
        each = [prediction.predict(model, cut.faces, views=args.tta) for model in models]
        photo = photographs.Photograph(
            cut.file, cut.colours, cut.frames, cut.faces, np.mean(each, axis=0), name, cut.reduction
        )
        rows = photographs.rows(photo)
        if number == 1:
            output.add("photos", table=rows)
        else:
            with (output.folder / "photos.csv").open("a", encoding="utf-8", newline="") as file:
                csv.DictWriter(file, list(rows[0]), lineterminator="\n").writerows(rows)
        output.show(f"photos/{number:03d}_{photo.stem}", photographs, photo)
    if not number:
        raise ValueError(f"expected a face in at least one of {len(files)} files, found none")
    names = shlex.join(map(str, args.model))
    output.finish(f"See how far to trust it: python confusion.py --model {names}")


def _predict(args, images, runs=None):
    """Return the probabilities of each model, or of other runs, float32 (models, n, 7)."""
    from common.models import ensemble  # imports Keras, once the input is known to be right

    return ensemble.predict_each(runs or args.model, images, views=args.tta, half=args.half)


def _accuracy(name, labels, predictions):
    """Return the fraction of right predictions with its interval, as a sentence."""
    from common import metrics

    right, count = int((labels == predictions).sum()), len(labels)
    low, high = metrics.wilson_interval(right, count)
    return (
        f"{name}: accuracy {right / count:.4f} [{low:.4f}, {high:.4f}] (95 %), "
        f"{right:,} of {count:,}"
    )


if __name__ == "__main__":
    cli.run(main)
