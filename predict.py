"""Let trained models label test rows, validation rows, or the faces in photographs or a video.

    python predict.py
    python predict.py --model outputs/train_cnn pretrained/cnn --tta --data data
    python predict.py --model outputs/train_cnn --rows validation --tta 18
    python predict.py --rows all --data ck_plus
    python predict.py --photos holiday.jpg pictures/
    python predict.py --video film.mp4
    python predict.py --video 0

Reads:  run folders (several are averaged), and test rows, validation rows (in any copy of the
        data), every labelled image of any data (--rows all), photographs, or a video or camera
        (0 is the first one, until Ctrl-C).
Writes: test rows:       probabilities.csv and submission.csv, checked as Kaggle would check it.
        validation rows, or all labelled images: predictions.npz (rows, labels, probabilities).
        photographs:     photos.csv (file, face, frame in pixels, probabilities, label) and one
                         annotated picture each in photos/.
        a video or camera: annotated.mp4 (a box, label and seven bars on each face), video.csv (one
                         row per face and second), video.png and video.npz (the seven probabilities
                         over time, smoothed), moments.png and moments/ (each face when each of its
                         expressions was strongest). Ctrl-C keeps what was done until then.
        Besides, what was printed (observations.txt) and what made all this (manifest.json).
Takes:  about 20 seconds for the 7,178 test rows of FER-2013 with the CNN on 2 cores, times the
        number of views (--tta) and of models. A video of 640 x 360 pixels with two faces: about
        0.2 s of one core a frame.
"""

from common import cli
from common.labels import NUM_CLASSES
from common.runs import provenance

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
        help="format of the submission: 'homework' (id,label) or 'contest2013' (bare labels) "
        "(default: %(default)s)",
    )
    what = options.add_mutually_exclusive_group()
    cli.add_rows(what, default="test")
    what.add_argument(
        "--photos",
        metavar="PATH",
        type=cli.path,
        nargs="+",
        help="photographs, or folders of them",
    )
    what.add_argument(
        "--video",
        metavar="FILE|N",
        type=cli.some_text,
        help="a video in any usual format, or the number of a camera",
    )
    options.add_argument(
        "--whole-image",
        action="store_true",
        help="each photograph, or the video, shows one face that fills it: take its middle, look "
        "for no face",
    )
    options.add_argument(
        "--every",
        metavar="N",
        type=cli.positive,
        default=1,
        help="look for faces in every N-th frame of the video (default: every frame)",
    )
    options.add_argument(
        "--smoothing",
        metavar="SECONDS",
        type=cli.non_negative_number,
        default=0.5,
        help="over which the probabilities in a video are smoothed, 0 for not (default: "
        "%(default)s)",
    )
    return options


def main(argv=None):
    """Predict and write."""
    options = build_parser()
    args = options.parse_args(argv)
    pictures = "--photos" if args.photos else "--video" if args.video else None
    if pictures and args.data:
        options.error(f"argument {pictures}: not allowed with argument --data")
    if args.columns and args.form != "homework":
        options.error(f"argument --columns: not allowed with --form {args.form}, which has none")
    if args.whole_image and not pictures:
        options.error("argument --whole-image: expected --photos or --video with it")
    for flag in ("every", "smoothing"):
        if getattr(args, flag) != options.get_default(flag) and not args.video:
            options.error(f"argument --{flag}: expected --video with it")
    if pictures:
        from common.models import labelling

        label = labelling.label_photographs if args.photos else labelling.label_video
        label(args, argv)
    elif args.rows == "validation":
        score_validation_rows(args, argv)
    elif args.rows == "all":
        score_all_rows(args, argv)
    else:
        label_test_rows(args, argv)


def label_test_rows(args, argv):
    """Write the probabilities of the test rows and a submission, and score known labels."""
    import numpy as np

    from common import kaggle, metrics
    from common.data import labelled, loading
    from common.outputs import Output
    from common.runs import records, storage

    dataset = loading.load(args.data)
    if not len(dataset.test_images):
        raise ValueError(f"{dataset.source}: expected test rows (id,feature), found none")
    output = Output(args.out, argv=argv, models=args.model)
    probabilities = _predict(args, dataset.test_images).mean(axis=0)
    predictions = probabilities.argmax(axis=1)
    if dataset.test_labels is None:
        for run in args.model:
            caveats = records.caveats(storage.read_json(run / "config.json"))
            output.say(*(f"Caveat of {run}: {caveat}." for caveat in caveats))
    else:
        usages = np.full(len(predictions), "") if dataset.test_usage is None else dataset.test_usage
        for usage in np.unique(usages):
            rows = usages == usage
            name = f"{usage} test rows".strip()
            output.say(
                metrics.accuracy_sentence(name, dataset.test_labels[rows], predictions[rows])
            )
        output.say(*labelled.load(dataset, "test", args.model).sentences)
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
    output.finish(f"See which classes it confuses: {_following(args)}")


def score_all_rows(args, argv):
    """Write the probabilities of every labelled image; score each model and their average."""
    from common.data import labelled, loading
    from common.outputs import Output

    asked = labelled.load(loading.load(args.data), "all", args.model)
    output = Output(args.out, argv=argv, models=args.model)
    _score(args, output, asked.rows, asked.images, asked.labels)
    output.say(*asked.sentences)
    output.finish(f"See which classes it confuses: {_following(args)} --rows all")


def _score(args, output, rows, images, labels, asked=None):
    """Write and score what each model and all together say of labelled images.

    `asked` says which images each run is asked about, bool (n,): all of them unless the runs held
    out a part each.
    """
    import numpy as np

    from common import metrics

    asked = asked or [np.ones(len(images), bool)] * len(args.model)
    probabilities = np.zeros((len(images), NUM_CLASSES))
    for run, mask in zip(args.model, asked, strict=True):
        if mask.any():  # else this copy of the data has none that the run held out
            answers = _predict(args, images[mask], [run])[0]
            output.say(metrics.accuracy_sentence(run, labels[mask], answers.argmax(axis=1)))
            probabilities[mask] += answers / np.sum(asked, axis=0)[mask, np.newaxis]
    if len(asked) > 1:
        together = f"average of {len(asked)} models"
        if not all(mask.all() for mask in asked):
            together = "each row by who held it out"
        output.say(metrics.accuracy_sentence(together, labels, probabilities.argmax(axis=1)))
    output.add(
        "predictions", arrays={"rows": rows, "labels": labels, "probabilities": probabilities}
    )


def _following(args):
    """Return the command that goes on with the same models and data."""
    return provenance.continued("confusion.py", args.model, args.data)


def _predict(args, images, runs=None):
    """Return the probabilities of each model, or of other runs, float32 (models, n, 7)."""
    from common.models import ensemble  # imports Keras, once the input is known to be right

    return ensemble.predict_each(runs or args.model, images, views=args.tta, half=args.half)


if __name__ == "__main__":
    cli.run(main)
