"""What a network learns from finished runs: their mean, the labels' share, no validation row."""

import shutil

import numpy as np
import pytest

from common.data import agreement, loading, splits
from common.models import checkpoints, prediction
from common.runs import resume, storage
from common.training import batches, distillation


def test_targets_are_the_stated_mixture_and_are_not_asked_for_twice(
    trained_run, tmp_path, monkeypatch
):
    images = np.random.default_rng(0).integers(0, 256, (6, 48, 48), dtype=np.uint8)
    labels = np.array([0, 1, 2, 3, 4, 6])
    mixed = distillation.targets(tmp_path, [trained_run], images, labels, weight=0.7)
    asked = prediction.predict(checkpoints.load(trained_run)[0], images, views=10)
    expected = 0.3 * batches.soft_labels(labels) + 0.7 * asked
    np.testing.assert_allclose(mixed, expected, atol=1e-6)
    np.testing.assert_allclose(mixed.sum(axis=1), 1, atol=1e-6)
    monkeypatch.setattr(prediction, "predict", None)
    again = distillation.targets(tmp_path, [trained_run], images, labels, weight=0.7)
    np.testing.assert_array_equal(again, mixed)


def test_answers_over_other_views_are_used_only_by_a_run_that_began_with_them(
    trained_run, tmp_path, monkeypatch
):
    monkeypatch.setattr(
        prediction, "predict", lambda *_, views, **__: np.eye(7)[[0 if views == 2 else 3]]
    )
    asked = [trained_run], np.zeros((1, 48, 48), np.uint8), np.array([6])

    def taught(views):
        return distillation.targets(tmp_path, *asked, weight=1, views=views).argmax()

    assert [taught(2), taught(10)] == [0, 3]
    resume.save_state(tmp_path, 1, {}, {})
    assert taught(2) == 3


def test_teachers_are_asked_in_half_precision_where_that_is_asked_for(
    trained_run, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(distillation, "TELL_EVERY", 0)
    images = np.random.default_rng(0).integers(0, 256, (96, 48, 48), dtype=np.uint8)
    asked = tmp_path, [trained_run], images, np.zeros(96, int)
    taught = distillation.targets(*asked, weight=1, views=2, half=True)
    half, full = (
        prediction.predict(checkpoints.load(trained_run, half=half)[0], images, views=2)
        for half in (True, False)
    )
    np.testing.assert_array_equal(taught, half)
    assert 0 < np.abs(taught - full).max() < 0.02
    told = capsys.readouterr().out.splitlines()[1:]
    assert [line.split()[:2] for line in told] == [["asked", "33%"], ["asked", "67%"]]


def test_several_teachers_are_averaged(trained_run, tmp_path, monkeypatch):
    answers = iter([np.eye(7)[[0]], np.eye(7)[[3]]])
    monkeypatch.setattr(prediction, "predict", lambda *_, **__: next(answers))
    teachers = [trained_run, trained_run]
    mixed = distillation.targets(tmp_path, teachers, np.zeros((1, 48, 48)), [6], weight=1)
    np.testing.assert_array_equal(mixed, [[0.5, 0, 0, 0.5, 0, 0, 0]])


def test_a_run_that_saw_a_validation_row_is_refused(trained_run, small_data):
    faces = loading.load(small_data)
    split = splits.load(trained_run / "split.npz")
    agreement.check_unseen([trained_run], faces, split.validation_rows)
    held_out = [*split.validation_rows, split.train_rows[0]]
    with pytest.raises(ValueError, match="trained on 1 of them: take one with the same"):
        agreement.check_unseen([trained_run], faces, held_out)


def test_training_starts_from_the_mean_of_runs_that_never_saw_its_validation_rows(
    trained_run, small_data, tmp_path
):
    import train_dnn

    flags = ["--data", str(small_data), "--epochs", "1"]
    still = [*flags, "--recipe", "report", "--learning-rate", "1e-30"]
    train_dnn.main([*flags, "--seed", "1", "--out", str(tmp_path / "other")])
    both = [str(trained_run), str(tmp_path / "other")]
    train_dnn.main([*still, "--initial-weights", *both, "--out", str(tmp_path / "mean")])
    first, second, mean = (
        checkpoints.load(run)[0].trainable_weights for run in (*both, tmp_path / "mean")
    )
    for left, right, middle in zip(first, second, mean, strict=True):
        np.testing.assert_allclose(middle, (left + right) / 2, rtol=1e-5, atol=1e-7)
    refused = ["--initial-weights", *both, "--split-seed", "1", "--out", str(tmp_path / "refused")]
    with pytest.raises(ValueError, match="take one with the same --split-seed"):
        train_dnn.main([*flags, *refused])
    assert not (tmp_path / "refused").exists()


def test_the_script_learns_from_a_teacher_and_records_it(trained_run, small_data, tmp_path):
    import train_dnn

    flags = ["--data", str(small_data), "--epochs", "1", "--teacher", str(trained_run)]
    teacher = shutil.copytree(trained_run, tmp_path / "teacher")
    begun = [*flags[:4], "--teacher", str(teacher), "--out", str(tmp_path / "moved")]
    train_dnn.main(begun)
    (tmp_path / "moved" / "metrics.json").unlink()
    shutil.rmtree(teacher)  # what it said is kept
    train_dnn.main(["--resume", "--out", str(tmp_path / "moved")])
    train_dnn.main([*flags, "--out", str(tmp_path / "student")])
    config = storage.read_json(tmp_path / "student" / "config.json")
    assert config["flags"]["teacher"] == [str(trained_run)]
    assert config["flags"]["label_smoothing"] == 0
    with np.load(tmp_path / "student" / "teacher_probabilities.npz") as archive:
        assert len(archive["mean"]) == len(splits.load(trained_run / "split.npz").train_rows)
    train_dnn.main(["--resume", "--out", str(tmp_path / "student")])
    with pytest.raises(ValueError, match="take one with the same --split-seed"):
        train_dnn.main([*flags, "--split-seed", "1", "--out", str(tmp_path / "refused")])
    with pytest.raises(FileNotFoundError, match="expected the split of a trained run, found none"):
        train_dnn.main([*flags[:4], "--teacher", "nothing", "--out", str(tmp_path / "refused")])
    assert not (tmp_path / "refused").exists()
