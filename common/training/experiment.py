"""One training experiment from data to submission: what the training scripts have in common."""

import argparse
import importlib.util
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np

from common import kaggle, metrics, outputs
from common.data import agreement, loading, splits
from common.figures.training import curves
from common.models import checkpoints, prediction
from common.runs import records, resume, storage
from common.training import batches, devices, distillation, fitting, recipes

Then = Callable[[outputs.Output], str | None]
LAYERS = ("Conv2D", "Dense", "BatchNormalization", "MaxPooling2D", "Flatten", "Dropout")


def load_data(args: argparse.Namespace) -> tuple[loading.Dataset, splits.Split]:
    """Return (dataset, split) for the flags of a training script, saying what was found."""
    if args.tensorboard and importlib.util.find_spec("tensorboard") is None:
        raise ValueError("--tensorboard: expected the package, found none: pip install tensorboard")
    if args.average_from is not None and args.batch_statistics == "moving":
        raise ValueError(
            "--average-from: expected precise batch-norm statistics, which a mean of weights "
            "needs, found --batch-statistics moving: leave one of the two out"
        )
    dataset = loading.load(args.data)
    for sentence in loading.describe(dataset):
        print(sentence)
    if getattr(args, "folds", None):
        split = splits.draw_fold(dataset, seed=args.split_seed, folds=args.folds, fold=args.fold)
        return dataset, split
    size = args.validation
    if size is None:
        size = splits.default_validation_size(len(dataset.train_labels))
    return dataset, splits.draw(dataset, seed=args.split_seed, validation=size)


def plan(
    args: argparse.Namespace,
    architecture: str,
    *,
    initial_weights: list[np.ndarray] | None = None,
    steps_per_epoch: int | None = None,
) -> fitting.Plan:
    """Return what the flags of `cli.add_training` and `--seed` say of training a network."""
    recipe = recipes.custom_recipe(
        args.recipe,
        learning_rate=args.learning_rate,
        weight_decay=args.weight_decay,
        label_smoothing=args.label_smoothing,
        epochs=args.epochs,
        steps_per_epoch=steps_per_epoch,
        batch_size=args.batch_size,
        augmentation=args.augmentation,
        mixup=args.mixup,
        adversarial_eps=args.adversarial_training,
        average_from=args.average_from,
        precise_statistics=args.batch_statistics != "moving",  # "plain" in runs of before
    )
    return fitting.Plan(
        architecture,
        recipe,
        args.seed,
        args.precision,
        initial_weights,
        args.tensorboard,
        keep_last=records.keeps_last(vars(args)),
    )


def train(
    args: argparse.Namespace,
    architecture: str,
    *,
    versus: Path | str | None = None,
    then: Then | None = None,
) -> None:
    """Train a network as `args` says and write everything that its run folder holds.

    Args:
        args: the flags of `cli.add_training`, data, out and seed.
        architecture: a name that `registry.build` knows.
        versus: finished run to be compared with afterwards; refused now if that will not do.
        then: see `fit`.
    """
    dataset, split = load_data(args)
    if versus:
        agreement.check_comparable(versus, dataset, split)
    initial, teachers = args.initial_weights or [], args.teacher or []
    start = None
    if not (args.resume and resume.states(args.out)):  # what was taken from them is kept there
        agreement.check_unseen([*initial, *teachers], dataset, split.validation_rows)
        start = checkpoints.mean_weights(initial, architecture) if initial else None
    resume.create(args, architecture=architecture, data_hash=dataset.data_hash)
    splits.save(args.out / "split.npz", split)
    splits.save_images(args.out, dataset)
    labels = dataset.train_labels[split.train_rows]
    given = batches.labelled(dataset.train_images[split.train_rows], labels, args.class_weight)
    if teachers:
        half = devices.resolved(args.precision) == "mixed_bfloat16"
        targets = distillation.targets(
            args.out, teachers, given.images, labels, weight=args.teacher_weight, half=half
        )
        given = replace(given, targets=targets)
    fit(args.out, plan(args, architecture, initial_weights=start), given, dataset, split, then)


def fit(
    folder: Path,
    plan: fitting.Plan,
    given: batches.TrainingData,
    dataset: loading.Dataset,
    split: splits.Split,
    then: Then | None = None,
) -> keras.Model:
    """Train a network and measure it, unless that was done; return it at its best epoch.

    Args:
        folder: of the run, which has begun.
        plan: of the run.
        given: what it learns from.
        dataset: has the validation and test images.
        split: whose validation images, if any, choose the epoch, unless the plan keeps the last.
        then: adds to the results before they count as finished, and returns what to do next; it is
            called again for a finished run, as what it adds may depend on others.
    """
    try:
        if not (folder / "metrics.json").exists():  # the last result that a finished run gets
            held_out = split.validation_rows
            validation = dataset.train_images[held_out], dataset.train_labels[held_out]
            fitting.fit(folder, plan, given, validation)
        elif then is None and _is_recorded(folder):
            print(f"{folder} is finished already.")
            return checkpoints.load(folder)[0]
        return measure(folder, dataset, split, then)
    except BrokenPipeError:
        raise
    except OSError as error:  # a full disk, for one
        reason = " ".join(str(error).split())
        raise ValueError(
            f"{folder}: {reason}: finished epochs are kept: put that right and go on with --resume"
        ) from error


def _is_recorded(folder):
    """Return whether the manifest of a run is finished, and all files are there."""
    try:
        outputs.read(folder)
    except ValueError:
        return False
    return True


def measure(
    folder: Path, dataset: loading.Dataset, split: splits.Split, then: Then | None = None
) -> keras.Model:
    """Measure a trained network, predict the test images, and write all results of the run.

    Args:
        folder: of the run, with `config.json`, `model.keras` and `history.csv`.
        dataset: that it was trained on.
        split: of it.
        then: see `fit`.

    Returns:
        the network.
    """
    model, config = checkpoints.load(folder)
    name, history = config["architecture"].upper(), records.load_history(folder)
    last, held_out = records.keeps_last(config["flags"]), split.validation_rows
    labels = dataset.train_labels[held_out]
    scores = {"note": f"trained on all {len(split.train_rows):,} images; the last epoch is kept"}
    if len(held_out):
        probabilities = prediction.predict(model, dataset.train_images[held_out])
        scores = _scores(labels, probabilities, last)
    measured = scores | {
        "best_epoch": records.kept_epoch(history, last=last)["epoch"],
        "epochs": len(history),
        "seconds_per_epoch": statistics.median(row["seconds"] for row in history),
        "parameters": model.count_params(),
        "model_sha256": storage.sha256(folder / "model.keras"),
        "finished": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }
    spent = sum(row["seconds"] for row in history)
    output = outputs.Output(folder, run=config, spent=spent, models=[folder])
    for file in ("model.keras", "history.csv"):  # written after each epoch
        output.file(file)
    if len(held_out):
        arrays = {"rows": held_out, "labels": labels, "probabilities": probabilities}
        output.add("predictions", arrays=arrays)
    result = curves.TrainedRun(name, history, measured)
    output.show("curves", curves, result, title=f"Loss and accuracy of the {name} by epoch")
    output.add("layers", title=f"Layers of the {name}", table=layer_table(model))
    following = []
    if len(dataset.test_ids):
        submission = output.file("submission.csv")
        answers = prediction.predict(model, dataset.test_images).argmax(axis=1)
        kaggle.write_submission(submission, dataset.test_ids, answers)
        kaggle.check_submission(submission, dataset.test_ids)
        if dataset.source != "sample":
            following.append(f"Submit it: {kaggle.submit_command(submission)}")
    storage.write_json(output.file("metrics.json"), measured)
    following.append((then(output) if then else None) or "")
    output.finish("\n".join(filter(None, following)))
    return model


def _scores(labels, probabilities, last):
    """Return what `metrics.json` says of the answers on the validation images."""
    correct = int((probabilities.argmax(axis=1) == labels).sum())
    scores = metrics.class_scores(metrics.confusion_counts(labels, probabilities.argmax(axis=1)))
    return {
        "split": "validation",
        "n": len(labels),
        "accuracy": correct / len(labels),
        "interval_95": metrics.wilson_interval(correct, len(labels)),
        "macro_f1": scores.macro_f1,
        "balanced_accuracy": scores.balanced_accuracy,
        "negative_log_likelihood": metrics.negative_log_likelihood(probabilities, labels),
        "note": "the last epoch is kept, so these rows chose nothing"
        if last
        else "the epoch was chosen on these rows, as in the report",
    }


def layer_table(model: keras.Model) -> list[dict]:
    """Return a row a layer with output shape and parameters, and the sums as the last rows."""
    rows = [
        {
            "layer": layer.name,
            "output": " x ".join(f"{size:,}" for size in layer.output.shape[1:]),
            "parameters": layer.count_params() or "",
        }
        for layer in model.layers
        if type(layer).__name__ in LAYERS
    ]
    trainable = sum(weight.size for weight in map(np.asarray, model.trainable_weights))
    total = model.count_params()
    sums = {"all": total, "trainable": trainable, "non-trainable": total - trainable}
    return rows + [{"layer": name, "output": "", "parameters": sums[name]} for name in sums]
