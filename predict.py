"""Let one or several trained models label test rows, validation rows, or the faces in photographs.

    python predict.py
    python predict.py --model outputs/cnn outputs/cnn_2 --tta --data data
    python predict.py --model outputs/cnn --rows validation --tta 18
    python predict.py --photos holiday.jpg pictures/

Reads:  run folders (several are averaged), and test rows, validation rows or photographs.
Writes: test rows:       probabilities.csv and submission.csv, checked as Kaggle would check it.
        validation rows: predictions.npz (rows, labels, probabilities).
        photographs:     photos.csv (file, face, frame in pixels, probabilities, label) and one
                         annotated picture each.
Takes:  about 20 seconds for the 7,178 test rows of FER-2013 with the CNN on 2 cores, times the
        number of views (--tta) and of models.
"""

import shlex
import sys
from functools import partial
from pathlib import Path

from common import cli
from common.labels import CLASS_NAMES
from common.runs import provenance, storage

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
        "--form",
        choices=FORMS,
        default="homework",
        help="of the submission: 'homework' (id,label) or 'contest2013' (bare labels) "
        "(default: %(default)s)",
    )
    what = options.add_mutually_exclusive_group()
    what.add_argument(
        "--rows",
        choices=("test", "validation"),
        default="test",
        help="rows of the data: 'test' to submit, 'validation' to score (default: %(default)s)",
    )
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
    if args.whole_image and not args.photos:
        options.error("argument --whole-image: expected --photos with it")
    import numpy as np
    from tqdm import tqdm

    from common import kaggle, photos
    from common.data import loading, splits

    if args.photos:
        files = tqdm(photos.list_files(args.photos), desc="faces", unit="photo", disable=None)
        say = partial(tqdm.write, file=sys.stderr)
        found = list(photos.cut_all(files, whole_image=args.whole_image, say=say))
        if not found:
            raise ValueError(f"expected a face in at least one of {len(files)} files, found none")
        images = np.concatenate([faces for _, _, faces in found])
    elif args.rows == "validation":
        faces, split = splits.load_of_run(args.model[0], args.data)
        for run in args.model[1:]:
            other = splits.load(run / "split.npz")
            if other.data_hash != split.data_hash or not np.array_equal(
                np.sort(other.validation_rows), np.sort(split.validation_rows)
            ):
                raise ValueError(
                    f"{run}: expected the validation rows of {args.model[0]}, found others: each "
                    "model has trained on rows that the other holds out, so no row can score both"
                )
        images = faces.train_images[split.validation_rows]
    else:
        faces = loading.load(args.data)
        images = faces.test_images
        if not len(images):
            raise ValueError(f"{faces.source}: expected test rows (id,feature), found none")
    storage.check_writable(args.out)

    each = _predict(args, images)
    probabilities = each.mean(axis=0)
    predictions = probabilities.argmax(axis=1)
    names = shlex.join(map(str, args.model))

    if args.photos:
        files = _write_photos(args, found, probabilities, provenance.command_line(argv))
        print(f"Wrote {', '.join(files)} to {args.out}.")
        print(f"See how far to trust it: python confusion.py --model {names}")
    elif args.rows == "validation":
        labels = faces.train_labels[split.validation_rows]
        for run, of_run in zip(args.model, each, strict=True):
            _say_accuracy(run, labels, of_run.argmax(axis=1))
        if len(args.model) > 1:
            _say_accuracy(f"average of {len(args.model)} models", labels, predictions)
        print("The epoch of each model was chosen on these rows, which flatters a little.")
        storage.write_arrays(
            args.out / "predictions.npz",
            rows=split.validation_rows,
            labels=labels,
            probabilities=probabilities,
        )
        print(f"Wrote predictions.npz to {args.out}.")
        print(f"See what is mistaken for what: python confusion.py --model {names}")
    else:
        usages = np.full(len(images), "") if faces.test_usage is None else faces.test_usage
        for usage in np.unique(usages) if faces.test_labels is not None else ():
            rows = usages == usage
            name = f"{usage} test rows".strip()
            _say_accuracy(name, faces.test_labels[rows], predictions[rows])
        submission = args.out / "submission.csv"
        kaggle.write_probabilities(args.out / "probabilities.csv", faces.test_ids, probabilities)
        kaggle.write_submission(submission, faces.test_ids, predictions, form=args.form)
        count = kaggle.check_submission(submission, faces.test_ids)
        print(f"Wrote probabilities.csv and submission.csv ({count:,} rows) to {args.out}.")
        print(f"Submit it: {kaggle.submit_command(submission, form=args.form)}")


def _predict(args, images):
    """Return the probabilities of each model, float32 (models, n, 7)."""
    import numpy as np
    from tqdm import tqdm

    from common.models import checkpoints, prediction

    loaded = [checkpoints.load(run, half=args.half)[0] for run in args.model]
    total = len(loaded) * len(images)
    with tqdm(total=total, desc="predicting", unit="face", disable=None) as bar:
        return np.stack(
            [
                prediction.predict(model, images, views=args.tta, progress=bar.update)
                for model in loaded
            ]
        )


def _say_accuracy(name, labels, predictions):
    """Print the fraction of right predictions with its interval."""
    from common import metrics

    right, count = int((labels == predictions).sum()), len(labels)
    low, high = metrics.wilson_interval(right, count)
    print(
        f"{name}: accuracy {right / count:.4f} [{low:.4f}, {high:.4f}] (95 %), "
        f"{right:,} of {count:,}"
    )


def _write_photos(args, found, probabilities, command):
    """Write photos.csv and an annotated picture a photograph; return their names."""
    from tqdm import tqdm

    from common import comparison, photos
    from common.figures import photos as drawings
    from common.figures import style

    rows, pictures, start = [], [], 0
    name = comparison.display_name(args.model)
    for number, (file, frames, faces) in enumerate(
        tqdm(found, desc="drawing", unit="photo", disable=None), start=1
    ):
        chosen = probabilities[start : start + len(faces)]
        start += len(faces)
        for face, (frame, row) in enumerate(zip(frames, chosen, strict=True), start=1):
            rows.append(
                {
                    "file": file,
                    "face": face,
                    **dict(zip(("left", "top", "width", "height"), frame, strict=True)),
                    **{key: f"{p:.6f}" for key, p in zip(CLASS_NAMES, row, strict=True)},
                    "label": CLASS_NAMES[row.argmax()],
                }
            )
            print(f"{file}, face {face}: {rows[-1]['label']} {row.max():.2f}")
        figure = drawings.annotated(
            photos.read_photo(file), frames, faces, chosen, title=f"{file.name}, {name}"
        )
        pictures.append(f"photos/{number:03d}_{file.stem}.png")
        style.save(figure, args.out / pictures[-1], source=f"{args.model[0]}: {command}")
    storage.write_table(args.out / "photos.csv", rows)
    return ["photos.csv", *pictures]


if __name__ == "__main__":
    cli.run(main)
