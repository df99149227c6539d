"""Adversarial training and averages of weights: closed forms, and a run that goes on."""

import shutil

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from common.attacks import engine, pgd
from common.attacks.registry import Budget
from common.data import loading, pixels, splits
from common.models import checkpoints, prediction, registry
from common.runs import records, resume, storage
from common.training import adversarial_training, average_weights, keep_run

EPS = 8.0


def adversarial(model):
    """Return a compiled model that trains on perturbed images."""
    made = adversarial_training.AdversarialModel(model.input, model.output)
    made.eps, made.seed = EPS, 3
    made.compile("sgd", keras.losses.CategoricalCrossentropy(from_logits=True))
    made.optimizer.build(made.trainable_variables)
    return made


def linear(*layers):
    """Return a model of two classes that is linear but for these layers."""
    inputs = keras.Input((48, 48, 1))
    x = inputs
    for layer in layers:
        x = layer(x)
    return keras.Model(inputs, keras.layers.Dense(2)(keras.layers.Flatten()(x)))


def some_images(count):
    images = np.random.default_rng(0).random((count, 48, 48, 1), dtype=np.float32)
    images[:, :4], images[:, -4:] = 0, 1
    return images


def test_fgsm_goes_along_the_weights_of_a_linear_model_and_stays_in_ball_and_range():
    model = adversarial(linear())
    images, labels = some_images(20), np.arange(20) % 2
    moved = np.asarray(model.perturb(images, np.eye(2, dtype=np.float32)[labels]))
    kernel = model.layers[-1].kernel.numpy().reshape(48, 48, 1, 2)
    towards_1 = np.sign(kernel[..., 1] - kernel[..., 0])
    expected = np.where(labels == 0, 1, -1)[:, None, None, None] * towards_1
    change = moved - images
    eps = EPS / 255
    assert np.abs(change).max() <= eps + 1e-7
    assert moved.min() >= 0
    assert moved.max() <= 1
    inside = (images > eps) & (images < 1 - eps)
    assert (change * expected)[inside].min() >= 0.25 * eps - 1e-6  # 1.25 eps from -eps at worst
    assert np.isclose((change * expected)[inside], eps, atol=1e-6).mean() == pytest.approx(
        5 / 8, abs=0.01
    )
    other = np.asarray(model.perturb(images, np.eye(2, dtype=np.float32)[labels]))
    np.testing.assert_array_equal(moved, other)
    model.optimizer.iterations.assign(1)
    assert not np.array_equal(moved, model.perturb(images, np.eye(2, dtype=np.float32)[labels]))


def test_the_attack_drops_the_units_that_the_step_drops():
    dropout = keras.layers.Dropout(0.5, seed=1)
    model = adversarial(linear(dropout))
    images = np.full((8, 48, 48, 1), 0.5, np.float32)
    moved = np.asarray(model.perturb(images, np.eye(2, dtype=np.float32)[[0, 1] * 4]))
    dropped = np.asarray(dropout(np.ones_like(images), training=True)) == 0
    corner = np.isclose(np.abs(moved - images), EPS / 255, atol=1e-6)
    assert corner[~dropped].mean() == pytest.approx(5 / 8, abs=0.02)
    assert corner[dropped].mean() < 0.01  # no gradient: they stay at the random start


def test_finding_a_perturbation_moves_no_variable():
    model = adversarial(prediction.logits_model(registry.build("compact", fused=True)))
    before = [variable.numpy() for variable in model.variables]
    perturb = tf.function(model.perturb, autograph=False)
    perturb(tf.constant(some_images(8)), tf.one_hot(np.arange(8) % 7, 7))
    for variable, old in zip(model.variables, before, strict=True):
        np.testing.assert_array_equal(variable, old, err_msg=variable.path)


def test_an_epoch_that_collapsed_under_attack_is_not_kept(tmp_path, capsys):
    scores = [(0.5, 0.3), (0.6, 0.4), (0.7, 0.19), (0.65, 0.2)]
    history = [
        {"epoch": n, "validation_accuracy": clean, "pgd_accuracy": attacked}
        for n, (clean, attacked) in enumerate(scores, start=1)
    ]
    assert [records.collapsed(history[:n]) for n in range(1, 5)] == [False, False, True, False]
    assert records.kept_epoch(history)["epoch"] == 4
    assert records.kept_epoch([{"validation_accuracy": 0.5}, {"validation_accuracy": 0.4}]) == {
        "validation_accuracy": 0.5
    }
    keeper = keep_run.KeepRun(tmp_path, "dnn", 4)
    keeper.history = [row | {"seconds": 1.0, "loss": 1.0, "accuracy": 0.5} for row in history[:3]]
    keeper._say(keeper.history[-1])
    assert "catastrophic overfitting" in capsys.readouterr().out


class OwnWeights(keras.callbacks.Callback):
    """Remembers the weights as training leaves them and as they are validated."""

    def __init__(self):
        super().__init__()
        self.own, self.validated = [], []

    def on_train_batch_end(self, batch, logs=None):
        self.last = self.model.get_weights()

    def on_test_begin(self, logs=None):
        self.own.append(self.last)

    def on_epoch_end(self, epoch, logs=None):
        self.validated.append(self.model.get_weights())


def fitted(*callbacks):
    """Return what a linear model's weights were, fitted for five epochs of one step."""
    keras.utils.set_random_seed(1)
    model, seen = linear(), OwnWeights()
    model.compile(keras.optimizers.SGD(0.01, momentum=0.9), "mse")
    data = some_images(8), np.eye(2, dtype=np.float32)[np.arange(8) % 2]
    made = [make(model) for make in callbacks]
    options = {"batch_size": 8, "shuffle": False, "epochs": 5, "verbose": 0}
    model.fit(*data, validation_data=data, callbacks=[*made, seen], **options)
    return seen


def test_the_mean_of_the_weights_is_validated_and_training_does_not_feel_it():
    averaged = fitted(lambda model: average_weights.AverageWeights(model, 2))
    plain = fitted()
    for left, right in zip(averaged.own, plain.own, strict=True):
        assert all(map(np.array_equal, left, right))
    for epoch in range(5):
        first = min(2, epoch)
        for arrays in zip(averaged.validated[epoch], *plain.own[first : epoch + 1], strict=True):
            np.testing.assert_allclose(arrays[0], np.mean(arrays[1:], axis=0), atol=1e-7)


def test_a_mean_needs_precise_batch_norm_statistics(small_data, tmp_path):
    import train_dnn

    flags = ["--data", str(small_data), "--average-from", "0.5", "--batch-statistics", "moving"]
    with pytest.raises(ValueError, match="expected precise batch-norm statistics"):
        train_dnn.main([*flags, "--out", str(tmp_path / "refused")])
    assert not (tmp_path / "refused").exists()


def test_a_run_with_all_of_it_goes_on_bit_for_bit_and_records_what_pgd_leaves(small_data, tmp_path):
    import train_dnn

    flags = ["--data", str(small_data), "--epochs", "2", "--recipe", "report", "--mixup", "0.2"]
    flags += ["--adversarial-training", "2", "--average-from", "0"]
    unbroken, broken = tmp_path / "unbroken", tmp_path / "broken"
    train_dnn.main([*flags, "--out", str(unbroken)])
    shutil.copytree(unbroken, broken)  # and back to where it was after one epoch
    (broken / "state" / "epoch-00002.npz").unlink()
    (broken / "metrics.json").unlink()
    train_dnn.main(["--resume", "--out", str(broken)])
    first, second = (resume.load_state(folder)[0] for folder in (unbroken, broken))
    assert first.keys() == second.keys()
    for name, array in first.items():
        np.testing.assert_array_equal(array, second[name], err_msg=name)
    tables = [
        pd.read_csv(run / "history.csv").drop(columns="seconds") for run in (unbroken, broken)
    ]
    pd.testing.assert_frame_equal(*tables)

    kept = records.kept_epoch(records.load_history(unbroken))
    dataset, split = loading.load(small_data), splits.load(unbroken / "split.npz")
    images = pixels.to_inputs(dataset.train_images[split.validation_rows])
    labels = dataset.train_labels[split.validation_rows]
    model = prediction.logits_model(checkpoints.load(unbroken)[0])
    budget = Budget(2 / 255, generator=np.random.default_rng(0))
    attacked = pgd.perturb(model, images, labels, budget)
    left = 1 - engine.fooled(model, attacked, labels, budget).mean()
    assert kept["pgd_accuracy"] == pytest.approx(left, abs=1e-5)
    assert storage.read_json(unbroken / "metrics.json")["best_epoch"] == kept["epoch"]
    said = (unbroken / "observations.txt").read_text(encoding="utf-8")
    assert f"images {kept['pgd_accuracy']:.3f} are recognised in spite of PGD" in said
