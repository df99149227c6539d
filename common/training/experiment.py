"""One training from flags to a finished run: what the training scripts have in common."""

import argparse
import importlib.util
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np

from common import outputs
from common.data import agreement, loading, splits
from common.models import checkpoints
from common.runs import records, resume
from common.training import batches, devices, distillation, fitting, measuring, recipes


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
    then: measuring.Then | None = None,
) -> None:
    """Train a network as `args` says and write everything that its run folder holds.

    Args:
        args: the flags of `cli.add_training`, data, out and seed.
        architecture: a name that `registry.build` knows.
        versus: finished run to be compared with afterwards; refused now if that will not do.
        then: see `measuring.measure`.
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
    fit_and_measure(
        args.out, plan(args, architecture, initial_weights=start), given, dataset, split, then
    )


def fit_and_measure(
    folder: Path,
    plan: fitting.Plan,
    given: batches.TrainingData,
    dataset: loading.Dataset,
    split: splits.Split,
    then: measuring.Then | None = None,
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
        return measuring.measure(folder, dataset, split, then)
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
