"""One training experiment from data to submission: what the training scripts have in common."""

import importlib.util
import statistics
import time
from pathlib import Path

import numpy as np

from common import comparison, distillation, kaggle, metrics, training
from common.data import loading, splits
from common.figures import curves, style
from common.models import checkpoints, prediction
from common.runs import resume, storage


def load_data(args):
    """Return (faces, split) for the flags of a training script, saying what was found."""
    if args.tensorboard and importlib.util.find_spec("tensorboard") is None:
        raise ValueError("--tensorboard: expected the package, found none: pip install tensorboard")
    faces = loading.load(args.data)
    for sentence in loading.describe(faces):
        print(sentence)
    size = args.validation or splits.default_validation_size(len(faces.train_labels))
    return faces, splits.draw(faces, seed=args.split_seed, validation=size)


def check_comparable(run, faces, split):
    """Raise a ValueError unless a run is finished, and on the validation rows of `split`."""
    splits.check(splits.load(Path(run) / "split.npz"), faces)
    comparison.table({"run": run})  # raises unless it is finished
    if not np.array_equal(comparison.load_predictions(run)[0], split.validation_rows):
        raise ValueError(
            f"{run}: expected the validation rows of this run, found others: take a run with the "
            "same --split-seed and --validation"
        )


def train(args, architecture, *, versus=None):
    """Train a network as `args` says and write everything that its run folder holds.

    Args:
        args: the flags of `cli.add_training`, data, out and seed.
        architecture: a name that `registry.build` knows.
        versus: finished run to be compared with afterwards; refused now if that will not do.
    """
    faces, split = load_data(args)
    if versus:
        check_comparable(versus, faces, split)
    initial_weights, teachers = args.initial_weights or [], args.teacher or []
    splits.check_unseen([*initial_weights, *teachers], faces, split.validation_rows)
    start = checkpoints.mean_weights(initial_weights, architecture) if initial_weights else None
    if teachers and args.label_smoothing is None:
        args.label_smoothing = 0.0
    resume.create(args, architecture=architecture, data_hash=faces.data_hash)
    splits.save(args.out / "split.npz", split)
    images = faces.train_images[split.train_rows]
    labels = faces.train_labels[split.train_rows]
    targets = training.soft_labels(labels)
    if teachers:
        targets = distillation.targets(
            args.out, teachers, images, labels, weight=args.teacher_weight
        )
    fit(
        args,
        args.out,
        architecture,
        faces,
        split,
        targets=targets,
        weights=training.row_weights(labels, args.class_weight),
        images=images,
        initial_weights=start,
    )


def fit(
    args,
    folder,
    architecture,
    faces,
    split,
    *,
    images,
    targets,
    weights,
    steps_per_epoch=None,
    initial_weights=None,
):
    """Train on given rows and write the results into a run folder: the second half of `train`.

    Args:
        args: the flags of `cli.add_training` and seed.
        folder: of the run, which has begun.
        architecture: a name that `registry.build` knows.
        faces: the data set.
        split: whose validation rows choose the epoch.
        images: to train on, uint8 (n, 48, 48).
        targets: float32 (n, 7), rows that sum to 1.
        weights: float32 (n,).
        steps_per_epoch: if not one pass over the images.
        initial_weights: list of arrays to start from.

    Returns:
        the trained model, at its best epoch.
    """
    if (folder / "metrics.json").exists():  # the last file that a finished run gets
        print(f"{folder} is finished already.")
        return checkpoints.load(folder)[0]
    hardware = training.prepare(seed=args.seed, precision=args.precision)
    held_out = split.validation_rows
    print(
        f"Training the {architecture.upper()} on {len(images):,} rows with {len(held_out):,} held "
        f"out to choose the epoch; {hardware.description}."
    )
    history = training.fit(
        folder,
        architecture,
        (images, targets, weights),
        (faces.train_images[held_out], faces.train_labels[held_out]),
        recipe=training.custom_recipe(
            args.recipe,
            learning_rate=args.learning_rate,
            weight_decay=args.weight_decay,
            label_smoothing=args.label_smoothing,
        ),
        epochs=args.epochs,
        steps_per_epoch=steps_per_epoch,
        batch_size=args.batch_size,
        augmentation=args.augmentation,
        seed=args.seed,
        hardware=hardware,
        initial_weights=initial_weights,
        batch_statistics=args.batch_statistics,
        tensorboard=args.tensorboard,
    )
    model, config = checkpoints.load(folder)
    _write_results(folder, model, config, history, faces, held_out)
    return model


def _write_results(folder, model, config, history, faces, held_out):
    """Measure the kept epoch on the validation rows, predict the test rows, draw the curves."""
    labels = faces.train_labels[held_out]
    probabilities = prediction.predict(model, faces.train_images[held_out])
    storage.write_arrays(
        folder / "predictions.npz", rows=held_out, labels=labels, probabilities=probabilities
    )
    correct = int((probabilities.argmax(axis=1) == labels).sum())
    scores = metrics.class_scores(metrics.confusion_counts(labels, probabilities.argmax(axis=1)))
    best = max(history, key=lambda row: row["validation_accuracy"])
    result = {
        "split": "validation",
        "n": len(labels),
        "accuracy": correct / len(labels),
        "interval_95": metrics.wilson_interval(correct, len(labels)),
        "macro_f1": scores.macro_f1,
        "balanced_accuracy": scores.balanced_accuracy,
        "negative_log_likelihood": metrics.negative_log_likelihood(probabilities, labels),
        "note": "the epoch was chosen on these rows, as in the report",
        "best_epoch": best["epoch"],
        "epochs": len(history),
        "seconds_per_epoch": statistics.median(row["seconds"] for row in history),
        "parameters": model.count_params(),
        "model_sha256": storage.sha256(folder / "model.keras"),
        "finished": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }
    low, high = result["interval_95"]
    title = (
        f"{config['architecture'].upper()}: validation accuracy {result['accuracy']:.3f} "
        f"[{low:.3f}, {high:.3f}], n = {len(labels):,}"
    )
    style.save(
        curves.learning_curves(history, title=title),
        folder / "curves.png",
        source=f"{folder}: {config['command']}",
    )
    written = ["model.keras", "metrics.json", "history.csv", "predictions.npz", "curves.png"]
    if len(faces.test_ids):
        test_probabilities = prediction.predict(model, faces.test_images)
        submission = folder / "submission.csv"
        kaggle.write_submission(submission, faces.test_ids, test_probabilities.argmax(axis=1))
        kaggle.check_submission(submission, faces.test_ids)
        written.append("submission.csv")
    storage.write_json(folder / "metrics.json", result)
    print(f"{title}, epoch {best['epoch']} of {len(history)}.")
    print(f"Wrote {', '.join(written)} to {folder}.")
    if "submission.csv" in written:
        print(f"Submit it: {kaggle.submit_command(folder / 'submission.csv')}")


def compare(named_runs, folder, pairs, stamps=()):
    """Write runs side by side: comparison.csv, comparison.png and comparison.txt.

    Args:
        named_runs: dictionary of two or three names -> finished run folders with the same held-out
            rows.
        folder: of the run that the three files go to.
        pairs: of names, each to be compared row by row: the first minus the second.
        stamps: sentences that belong before everything that is said.
    """
    said = list(stamps)
    for first, second in pairs:
        said += comparison.sentences(first, named_runs[first], second, named_runs[second])
    command = storage.read_json(folder / "config.json")["command"]  # not that of a --resume
    table = comparison.table(named_runs)
    storage.write_text(folder / "comparison.csv", table.to_csv(index=False))
    storage.write_text(folder / "comparison.txt", "\n".join(said) + "\n")
    histories = {name: comparison.load_history(run) for name, run in named_runs.items()}
    style.save(
        curves.compared_runs(histories, table),
        folder / "comparison.png",
        source=f"{', '.join(map(str, named_runs.values()))}: {command}",
    )
    print("\n".join(said))
    print(f"Wrote comparison.csv, comparison.png, comparison.txt to {folder}.")
