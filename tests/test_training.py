"""Batches, recipes, and a run that ends the same however often it is killed."""

import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from common import outputs
from common.data import pixels
from common.models import blocks, checkpoints, registry
from common.runs import records, resume, storage
from common.training import batches, precise_batch_norm, recipes

ROOT = Path(__file__).parents[1]


def some_batches(first=0, last=6, **changes):
    options = {
        "batch_size": 4,
        "augmentation": "none",
        "seed": 5,
        "first_step": first,
        "last_step": last,
        **changes,
    }
    images = np.broadcast_to(np.arange(10, dtype=np.uint8)[:, None, None], (10, 48, 48))
    targets = batches.soft_labels(np.arange(10) % 7)
    weights = np.arange(10, dtype=np.float32)
    data = batches.batches(batches.TrainingData(images, targets, weights), **options)
    return [tuple(np.asarray(part) for part in batch) for batch in data]


def test_every_epoch_takes_every_row_once_in_another_order():
    batches = some_batches()
    assert [len(batch[0]) for batch in batches] == [4, 4, 2, 4, 4, 2]
    epochs = [np.concatenate([batch[2] for batch in batches[k : k + 3]]) for k in (0, 3)]
    assert [sorted(epoch) for epoch in epochs] == [list(range(10))] * 2
    assert not np.array_equal(*epochs)
    for batch, targets, weights in batches:
        np.testing.assert_allclose(batch[:, 0, 0, 0] * 255, weights, atol=1e-5)
        np.testing.assert_array_equal(targets.argmax(axis=1), weights % 7)


def test_a_batch_does_not_depend_on_where_training_started():
    unbroken = some_batches(augmentation="strong")
    resumed = some_batches(first=4, augmentation="strong")
    for ours, theirs in zip(resumed, unbroken[4:], strict=True):
        for left, right in zip(ours, theirs, strict=True):
            np.testing.assert_array_equal(left, right)
    other = some_batches(augmentation="strong", seed=6)
    assert not np.array_equal(other[0][0], unbroken[0][0])


def test_row_weights_balance_the_classes():
    labels = np.array([0] * 90 + [1] * 10)
    np.testing.assert_array_equal(batches.row_weights(labels, "none"), 1)
    balanced = batches.row_weights(labels, "balanced")
    assert balanced[labels == 0].sum() == pytest.approx(balanced[labels == 1].sum(), rel=1e-5)
    root = batches.row_weights(labels, "sqrt")
    assert root[-1] / root[0] == pytest.approx(3)
    assert root.mean() == pytest.approx(1)


def test_an_annealed_rate_rises_over_a_tenth_and_falls_to_nothing():
    rate = recipes.optimizer(recipes.RECIPES["sgd"], 100)._learning_rate
    rates = np.array([float(rate(step)) for step in range(101)])
    assert rates[0] == 0
    assert rates.argmax() == 10
    assert rates[10] == pytest.approx(0.05)
    assert rates[55] == pytest.approx(0.025)
    assert rates[100] == pytest.approx(0, abs=1e-8)
    constant = recipes.optimizer(recipes.RECIPES["report"], 100)
    assert float(constant.learning_rate) == pytest.approx(1e-3)


def test_an_annealed_rate_stays_where_weights_are_averaged():
    recipe = recipes.custom_recipe("sgd", average_from=0.6)
    rate = recipes.optimizer(recipe, 100)._learning_rate
    rates = [float(rate(step)) for step in (10, 35, 60, 80, 100)]
    np.testing.assert_allclose(rates, [0.05, 0.0275, 0.005, 0.005, 0.005], rtol=1e-5)


def test_only_kernels_are_decayed():
    optimizer = recipes.optimizer(recipes.RECIPES["sgd"], 100)
    model = registry.build("dnn")
    optimizer.build(model.trainable_variables)
    decayed = {v.name for v in model.trainable_variables if optimizer._use_weight_decay(v)}
    assert decayed == {"kernel"}


def test_half_precision_stays_in_training(trained_run):
    import keras

    assert keras.config.dtype_policy().name == "float32"
    with blocks.precision("mixed_bfloat16"):
        half = registry.build("dnn")
        assert checkpoints.load(trained_run)[0].get_layer("dense_1").compute_dtype == "float32"
    assert half.get_layer("dense_1").compute_dtype == "bfloat16"
    assert half.get_layer("logits").compute_dtype == "float32"
    assert keras.config.dtype_policy().name == "float32"


def test_custom_recipe_changes_only_what_is_given():
    recipe = recipes.custom_recipe("sgd", learning_rate=0.5, weight_decay=None)
    assert (recipe.learning_rate, recipe.weight_decay) == (0.5, 5e-3)
    with pytest.raises(ValueError, match="unknown name 'lion': expected one of sgd, adamw, report"):
        recipes.custom_recipe("lion")


def test_the_small_network_learns_and_its_folder_is_complete(trained_run, small_data):
    names = {path.name for path in trained_run.iterdir() if path.name[0] != "."}
    assert names == {
        "config.json",
        "curves.png",
        "history.csv",
        "images.npz",
        "layers.csv",
        "manifest.json",
        "metrics.json",
        "model.keras",
        "observations.txt",
        "predictions.npz",
        "split.npz",
        "state",
        "submission.csv",
    }
    history = pd.read_csv(trained_run / "history.csv")
    assert list(history["epoch"]) == [1, 2]
    result = storage.read_json(trained_run / "metrics.json")
    assert result["accuracy"] == pytest.approx(history["validation_accuracy"].max(), abs=0.1)
    assert result["model_sha256"] == storage.sha256(trained_run / "model.keras")
    with np.load(trained_run / "predictions.npz") as archive:
        labels = archive["labels"]
        accuracy = (archive["probabilities"].argmax(axis=1) == labels).mean()
    assert accuracy == pytest.approx(result["accuracy"])
    assert result["n"] == 31
    layers = pd.read_csv(trained_run / "layers.csv")
    assert len(layers) == 1 + 9 + 9 + 8 + 1 + 3  # Flatten, Dense, BN, Dropout, logits, sums
    assert list(layers["output"][:2]) == ["2,304", "512"]
    sums = dict(zip(layers["layer"], layers["parameters"], strict=True))
    assert (sums["all"], sums["non-trainable"]) == (result["parameters"], 5_120)
    made = outputs.read(trained_run)
    assert made["command"] == storage.read_json(trained_run / "config.json")["command"]
    assert [run["weights"] for run in made["runs"]] == [result["model_sha256"]]
    said = (trained_run / "observations.txt").read_text(encoding="utf-8")
    assert said.startswith(f"DNN: validation accuracy {result['accuracy']:.3f} [")
    assert f"Epoch {result['best_epoch']} of 2 is kept" in said


def test_the_loss_of_a_perfect_answer_is_that_of_the_smoothing():
    loss = recipes.loss(recipes.RECIPES["sgd"])
    target = batches.soft_labels(np.array([2]))
    smooth = 0.9 * target + 0.1 / 7
    entropy = -(smooth * np.log(smooth)).sum()
    assert float(loss(target, np.log(smooth))) == pytest.approx(entropy, rel=1e-5)


def test_a_loss_that_is_no_number_is_one_line(small_data, tmp_path):
    import train_dnn

    flags = ["--data", str(small_data), "--epochs", "3", "--out", str(tmp_path / "run")]
    with pytest.raises(ValueError, match="choose a lower --learning-rate"):
        train_dnn.main([*flags, "--recipe", "report", "--learning-rate", "1e38"])
    kept = {path.name for path in (tmp_path / "run").iterdir() if path.name[0] != "."}
    assert kept == {"config.json", "split.npz", "images.npz"}


def test_one_step_to_weights_beyond_all_numbers_keeps_nothing_and_a_lower_rate_goes_on(
    small_data, tmp_path
):
    import train_dnn

    run = tmp_path / "run"
    flags = ["--data", str(small_data), "--epochs", "1", "--batch-size", "4096"]
    with pytest.raises(ValueError, match="in epoch 1, which is not kept: choose a lower --learn"):
        train_dnn.main([*flags, "--recipe", "report", "--learning-rate", "1e30", "--out", str(run)])
    assert not (run / "state").exists()
    assert not (run / "model.keras").exists()
    train_dnn.main(["--resume", "--out", str(run), "--learning-rate", "1e-3"])
    assert pd.read_csv(run / "history.csv")["learning_rate"][0] == pytest.approx(1e-3)
    assert all(np.isfinite(array).all() for array in checkpoints.load(run)[0].get_weights())


def test_an_epoch_that_is_not_finite_leaves_the_one_before_to_go_on_from(
    small_data, tmp_path, monkeypatch
):
    import train_dnn
    from common.training import keep_run

    save = resume.save_state

    def spoil(folder, epoch, arrays, record):
        """Let the next epoch end in NaN weights, as a rate that is too high does."""
        save(folder, epoch, arrays, record)
        monkeypatch.setattr(
            keep_run.KeepRun, "_variables", staticmethod(lambda model: [np.array([np.nan])])
        )

    run = tmp_path / "run"
    monkeypatch.setattr(resume, "save_state", spoil)
    flags = ["--data", str(small_data), "--epochs", "2", "--out", str(run)]
    with pytest.raises(ValueError, match=r"in epoch 2, which is not kept: .* after epoch 1 with"):
        train_dnn.main(flags)
    assert [path.name for path in (run / "state").iterdir()] == ["epoch-00001.npz"]
    assert len(pd.read_csv(run / "history.csv")) == 1
    monkeypatch.undo()
    moved = tmp_path / "moved"
    shutil.copytree(small_data, moved)
    config = storage.read_json(run / "config.json")
    config["flags"]["data"] = str(tmp_path / "gone")  # the data has moved meanwhile
    storage.write_json(run / "config.json", config)
    train_dnn.main(["--resume", "--out", str(run), "--data", str(moved)])
    assert list(pd.read_csv(run / "history.csv")["epoch"]) == [1, 2]
    assert storage.read_json(run / "config.json")["flags"]["data"] == str(moved)


def test_a_full_disk_names_the_file_and_how_to_go_on(small_data, tmp_path, monkeypatch):
    import train_dnn

    def fail(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(np, "savez", fail)
    flags = ["--data", str(small_data), "--epochs", "1", "--out", str(tmp_path / "run")]
    with pytest.raises(ValueError, match=r"No space left.*epoch-00001\.npz.*--resume"):
        train_dnn.main(flags)
    assert not [path for path in (tmp_path / "run").rglob("*.tmp*")]


def test_the_loss_is_plain_cross_entropy_although_the_recipe_smooths_the_labels(
    small_data, tmp_path
):
    import train_dnn

    flags = ["--data", str(small_data), "--epochs", "1", "--batch-statistics", "moving"]
    train_dnn.main([*flags, "--out", str(tmp_path / "run")])
    history = pd.read_csv(tmp_path / "run" / "history.csv")
    likelihood = storage.read_json(tmp_path / "run" / "metrics.json")["negative_log_likelihood"]
    assert history["validation_loss"][0] == pytest.approx(likelihood, abs=0.005)


def random_model(architecture, generator):
    model = registry.build(architecture)
    weights = [0.05 + 0.1 * generator.random(array.shape) for array in model.get_weights()]
    model.set_weights(weights)
    return model


def estimate(model, images, **options):
    callback = precise_batch_norm.PreciseBatchNorm(images, **options)
    callback.set_model(model)
    callback.on_test_begin()


def test_batch_statistics_are_the_means_over_batches_of_plain_images():
    import keras

    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (300, 48, 48), dtype=np.uint8)
    images[150:] = images[150:, ::8, ::8].repeat(8, axis=1).repeat(8, axis=2)  # two kinds, in order
    model = random_model("compact", generator)
    estimate(model, images, batch_size=100, batches=2)
    first = keras.Model(model.input, model.get_layer("leaky_re_lu_1").output)
    rows = (np.arange(200) * 1.5).astype(int)
    values = [np.asarray(first(pixels.to_inputs(images[rows[k::2]]))) for k in (0, 1)]
    values = np.reshape(values, (2, -1, 32))  # two batches, each evenly spread
    layer = model.get_layer("batch_normalization_1")
    np.testing.assert_allclose(layer.moving_mean, values.mean(axis=(0, 1)), rtol=1e-3)
    np.testing.assert_allclose(layer.moving_variance, values.var(axis=1).mean(axis=0), rtol=1e-3)


def test_batch_statistics_depend_on_neither_dropout_nor_the_moving_averages():
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (90, 48, 48), dtype=np.uint8)
    model = random_model("dnn", generator)
    before = model.get_weights()
    estimate(model, images)
    once = model.get_weights()
    for variable, old, new in zip(model.weights, before, once, strict=True):
        assert np.array_equal(old, new) != ("moving" in variable.path)
    estimate(model, images)
    assert all(map(np.array_equal, once, model.get_weights()))


def test_batch_statistics_change_no_step_of_training(trained_run, small_data, tmp_path):
    import train_dnn

    flags = ["--data", str(small_data), "--epochs", "2", "--batch-statistics", "moving"]
    train_dnn.main([*flags, "--out", str(tmp_path)])
    plain, moving = (resume.load_state(folder)[0] for folder in (trained_run, tmp_path))
    model = registry.build("dnn")
    for index, variable in enumerate(model.variables):
        same = np.array_equal(plain[f"{index:04d}"], moving[f"{index:04d}"])
        assert same != ("moving" in variable.path), variable.path


def test_bad_input_is_one_line_and_exit_2(small_data, tmp_path):
    for flags in (
        ["--data", str(tmp_path / "nothing"), "--out", str(tmp_path / "a")],
        ["--data", str(small_data), "--out", str(tmp_path / "b"), "--validation", "209"],
        ["--data", str(small_data), "--out", str(tmp_path / "c"), "--resume"],
        ["--data", str(small_data), "--out", str(small_data / "train.csv" / "d")],
    ):
        result = subprocess.run(
            [sys.executable, str(ROOT / "train_dnn.py"), *flags],
            capture_output=True,
            text=True,
            timeout=120,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
        assert result.returncode == 2, result.stderr
        message = [line for line in result.stderr.splitlines() if line.startswith("train_dnn.py:")]
        assert len(message) == 1
        assert "Traceback" not in result.stderr
    assert not any((tmp_path / name).exists() for name in "abc")


def test_a_run_measured_on_other_rows_is_no_comparison(trained_run, small_data, tmp_path):
    import train_dnn

    flags = ["--data", str(small_data), "--versus", str(trained_run), "--split-seed", "1"]
    with pytest.raises(ValueError, match=r"expected the validation rows of this run, found others"):
        train_dnn.main([*flags, "--out", str(tmp_path / "refused")])
    assert not (tmp_path / "refused").exists()


def test_a_kill_between_the_state_and_the_history_loses_no_row(trained_run, small_data, tmp_path):
    run = Path(shutil.copytree(trained_run, tmp_path / "run"))
    complete = records.load_history(run)
    rows = (run / "history.csv").read_text().splitlines(keepends=True)
    (run / "history.csv").write_text("".join(rows[:-1]))
    for name in ("metrics.json", "predictions.npz", "manifest.json"):
        (run / name).unlink()
    import train_dnn

    train_dnn.main(["--resume", "--data", str(small_data), "--out", str(run)])
    assert records.load_history(run) == complete
    assert storage.read_json(run / "metrics.json")["epochs"] == len(complete)
