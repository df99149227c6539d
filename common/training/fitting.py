"""Training with `fit` that goes on bit for bit after any kind of stop."""

import contextlib
import math
import signal
import sys
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from common import cli
from common.data.pixels import to_inputs
from common.models import blocks, prediction, registry
from common.training import (
    adversarial_training,
    average_weights,
    batches,
    devices,
    keep_run,
    precise_batch_norm,
)
from common.training.recipes import Recipe, loss, optimizer


@dataclass(frozen=True)
class Plan:
    """What is trained, and how.

    Attributes:
        architecture: a name that `registry.build` knows.
        recipe: of the optimisation.
        seed: of the weights, dropout, shuffling and augmentation.
        precision: a Keras dtype policy, or "auto" (see `prepare`).
        initial_weights: to start from, as `get_weights` orders them, or None for random ones.
        tensorboard: also write logs for TensorBoard into the run folder.
        keep_last: keep the last epoch, not the one with the best validation accuracy.
    """

    architecture: str
    recipe: Recipe
    seed: int = 0
    precision: str = "auto"
    initial_weights: list[np.ndarray] | None = None
    tensorboard: bool = False
    keep_last: bool = False


def fit(
    folder: Path, plan: Plan, data: batches.TrainingData, validation: tuple[np.ndarray, np.ndarray]
) -> None:
    """Train, and leave the best epoch in `folder/model.keras`; go on when `folder` has a state.

    `folder/history.csv` gets a row an epoch. Its losses are cross-entropy without smoothing or
    weights, so that runs of several recipes can be compared; its training accuracy is over the
    images as augmented, with dropout on, against the targets' largest class.

    Args:
        folder: the run folder.
        plan: of the run.
        data: to learn from.
        validation: images uint8 (m, 48, 48) and labels (m,), which choose the epoch that is kept,
            unless the plan keeps the last; without any it must.

    Raises:
        ValueError: the loss became NaN or infinite.
    """
    recipe, (images, labels) = plan.recipe, validation
    hardware = devices.prepare(seed=plan.seed, precision=plan.precision)
    print(
        f"Training the {plan.architecture.upper()} on {len(data.images):,} images with "
        f"{len(images):,} held out{'' if plan.keep_last else ' to choose the epoch'}; "
        f"{hardware.description}."
    )
    steps = recipe.steps_per_epoch or math.ceil(len(data.images) / recipe.batch_size)
    model = _compiled(plan, recipe.epochs * steps, hardware)
    callbacks, keeper = _callbacks(folder, plan, model, data, validation)
    done = keeper.restore(model)
    if not recipe.annealed:  # else it follows from the number of steps
        model.optimizer.learning_rate = recipe.learning_rate
    if done >= recipe.epochs:
        return
    remaining = batches.batches(
        data,
        batch_size=recipe.batch_size,
        augmentation=recipe.augmentation,
        mixup=recipe.mixup,
        seed=plan.seed,
        first_step=done * steps,
        last_step=recipe.epochs * steps,
    )
    try:
        with cli.signals_to(_interrupt, "SIGTERM", "SIGHUP"):
            model.fit(
                remaining,
                initial_epoch=done,
                epochs=recipe.epochs,
                steps_per_epoch=steps,
                validation_data=(to_inputs(images), batches.soft_labels(labels))
                if len(images)
                else None,
                validation_batch_size=128,
                shuffle=False,  # `batches` has done it
                callbacks=callbacks,
                verbose=1 if sys.stdout.isatty() else 0,
            )
    except RuntimeError as error:
        told = isinstance(error, keep_run.NotFinite)
        if not told and "NaN" not in str(error) and "Invalid loss" not in str(error):
            raise
        done = len(keeper.history)
        raise ValueError(
            f"{folder}: the loss or the weights are no longer finite numbers in epoch {done + 1}, "
            f"which is not kept: choose a lower --learning-rate than {recipe.learning_rate:g} and "
            f"go on {f'after epoch {done}' if done else 'from the start'} with --resume "
            "--learning-rate"
        ) from error


def _compiled(plan, total_steps, hardware):
    """Return the network of a plan as it starts, ready for `fit`."""
    scope = hardware.strategy.scope() if hardware.strategy else contextlib.nullcontext()
    with scope, blocks.precision(hardware.precision):
        model = prediction.logits_model(registry.build(plan.architecture, fused=True))
        if plan.recipe.adversarial_eps:
            model = adversarial_training.AdversarialModel(
                model.input, model.output, name=model.name
            )
            model.eps, model.seed = plan.recipe.adversarial_eps, plan.seed
        model.compile(
            optimizer=optimizer(plan.recipe, total_steps),
            loss=loss(plan.recipe),
            weighted_metrics=[],
            metrics=[
                keras.metrics.CategoricalAccuracy(name="accuracy"),
                keras.metrics.CategoricalCrossentropy(name="cross_entropy", from_logits=True),
            ],
            jit_compile="auto" if tf.config.list_physical_devices("GPU") else False,
        )
        model.optimizer.build(model.trainable_variables)
    if plan.initial_weights is not None:
        model.set_weights(plan.initial_weights)
    return model


def _callbacks(folder, plan, model, data, validation):
    """Return what is called while a plan is carried out, in that order, and which of it keeps."""
    recipe, others, callbacks = plan.recipe, [], []
    if recipe.average_from is not None:
        first = min(round(recipe.average_from * recipe.epochs), recipe.epochs - 1)
        average = average_weights.AverageWeights(model, first)
        others, callbacks = average.others, [average]
    if recipe.precise_statistics:
        callbacks.append(precise_batch_norm.PreciseBatchNorm(data.images))
    if recipe.adversarial_eps and len(validation[0]):
        attack = {"eps": recipe.adversarial_eps, "seed": plan.seed}
        callbacks.append(adversarial_training.PgdCheck(plan.architecture, *validation, **attack))
    keeper = keep_run.KeepRun(folder, plan.architecture, recipe.epochs, others, last=plan.keep_last)
    callbacks += [keeper, keras.callbacks.TerminateOnNaN(raise_error=True)]
    if plan.tensorboard:
        callbacks.append(keras.callbacks.TensorBoard(folder / "tensorboard"))
    return callbacks, keeper


def _interrupt(signum, frame):
    """End training like Ctrl-C, so that the last words can be said."""
    interrupted = signal.getsignal(signal.SIGINT)
    if not callable(interrupted):  # ignored, as in a background job of a shell
        raise KeyboardInterrupt
    interrupted(signum, frame)
