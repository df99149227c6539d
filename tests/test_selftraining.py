"""Removed labels stay removed; pseudo-labels and their statistics count as they should."""

import argparse
import math
import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from common import outputs
from common.data import loading, splits
from common.labels import CLASS_NAMES
from common.runs import resume, storage
from common.training import batches, pseudo_labels


@pytest.fixture
def faces(small_data):
    return loading.load(small_data)


@pytest.fixture
def split(faces):
    return splits.draw(faces, seed=0, validation=30)


def test_a_share_of_the_labels_is_removed_and_none_of_them_is_left(faces, split):
    visible, unlabelled = pseudo_labels.remove_labels(faces, split.train_rows, 0.4, seed=3)
    assert len(unlabelled) == round(0.4 * len(split.train_rows))
    assert set(unlabelled) < set(split.train_rows)
    kept = np.setdiff1d(split.train_rows, unlabelled)
    np.testing.assert_array_equal(visible[kept], faces.train_labels[kept])
    elsewhere = np.setdiff1d(np.arange(len(visible)), kept)
    assert (visible[elsewhere] == pseudo_labels.UNLABELLED).all()
    with pytest.raises(ValueError, match="expected labels 0-6, found -1"):
        batches.soft_labels(visible[unlabelled])
    again = pseudo_labels.remove_labels(faces, split.train_rows, 0.4, seed=3)
    np.testing.assert_array_equal(again[1], unlabelled)


def test_copies_of_an_image_lose_their_labels_together(faces):
    images = faces.train_images.copy()
    images[100:180] = images[:80]
    doubled = replace(faces, train_images=images)
    _, unlabelled = pseudo_labels.remove_labels(doubled, np.arange(200), 0.5, seed=1)
    lost = np.isin(np.arange(200), unlabelled)
    np.testing.assert_array_equal(lost[100:180], lost[:80])
    assert 80 <= lost.sum() <= 100


@pytest.mark.parametrize(("fraction", "words"), [(0, "between 0 and 1"), (0.99, "remove fewer")])
def test_impossible_fractions_are_refused(faces, split, fraction, words):
    with pytest.raises(ValueError, match=words):
        pseudo_labels.remove_labels(faces, split.train_rows, fraction, seed=0)


def test_pseudo_labels_by_threshold_and_in_balance():
    probabilities = np.full((5, 7), 0.01)
    for row, (code, confidence) in enumerate([(0, 0.9), (0, 0.8), (0, 0.7), (3, 0.6), (3, 0.5)]):
        probabilities[row, code] = confidence
    chosen, targets = pseudo_labels.pseudo_labels(probabilities)
    assert chosen.all()
    np.testing.assert_array_equal(targets.argmax(axis=1), [0, 0, 0, 3, 3])
    np.testing.assert_array_equal(targets.sum(axis=1), 1)
    chosen, _ = pseudo_labels.pseudo_labels(probabilities, threshold=0.7)
    np.testing.assert_array_equal(chosen, [True, True, True, False, False])
    chosen, _ = pseudo_labels.pseudo_labels(probabilities, balance=True)
    np.testing.assert_array_equal(chosen, [True, True, False, True, True])
    chosen, targets = pseudo_labels.pseudo_labels(probabilities, soft=True, threshold=0.85)
    np.testing.assert_allclose(targets, probabilities[:1], rtol=1e-6)
    chosen, targets = pseudo_labels.pseudo_labels(probabilities, threshold=0.95, balance=True)
    assert not chosen.any()
    assert targets.shape == (0, 7)


def test_the_statistics_count_right_ones():
    probabilities = np.eye(7)[[0, 0, 3, 3, 6]]
    chosen = np.array([True, True, True, True, False])
    rows = pseudo_labels.statistics(2, probabilities, chosen, np.array([0, 1, 3, 3, 6]))
    found = {row["class"]: (row["pseudo_labels"], row["right"]) for row in rows}
    assert found["angry"] == (2, 1)
    assert found["happy"] == (2, 2)
    assert found["neutral"] == (0, 0)
    assert found["all"] == (4, 3)
    assert [row["class"] for row in rows] == [*CLASS_NAMES, "all"]
    more = np.eye(7)[[0, 0, 3, 3, 6, 3]]  # the last never had a label
    counted = pseudo_labels.statistics(2, more, np.append(chosen, True), np.array([0, 1, 3, 3, 6]))
    assert counted == rows


def test_images_from_elsewhere_hold_no_copy_of_a_validation_image(faces, split):
    images = faces.test_images.copy()
    images[3] = faces.train_images[split.validation_rows[0]]
    images[5] = faces.train_images[split.validation_rows[1]] // 2 + 60  # in other grey levels
    extra = pseudo_labels.extra_images(replace(faces, test_images=images), split, "test")
    np.testing.assert_array_equal(extra, np.delete(images, [3, 5], axis=0))
    assert len(pseudo_labels.extra_images(faces, split, None)) == 0


def test_all_take_the_same_steps(student):
    labelled = len(splits.load(student / "split.npz").train_rows)
    with np.load(student / "unlabelled.npz") as archive:
        steps = 2 * math.ceil((labelled + len(archive["rows"])) / 64)
    for part in ("teacher", "round-1", "."):
        arrays, record = resume.load_state(student / part)
        taken = [
            int(array) for array in arrays.values() if array.shape == () and array.dtype.kind == "i"
        ]
        assert taken == [steps]
        assert len(record["history"]) == 2


@pytest.fixture(scope="module")
def student(small_data, tmp_path_factory):
    import semi_supervised

    folder = tmp_path_factory.mktemp("student") / "run"
    flags = ["--data", str(small_data), "--out", str(folder), "--architecture", "dnn"]
    semi_supervised.main([*flags, "--epochs", "2", "--unlabelled", "0.5", "--rounds", "2"])
    return folder


def test_no_run_of_the_experiment_learned_from_a_removed_label(student, faces):
    with np.load(student / "unlabelled.npz") as archive:
        unlabelled = archive["rows"]
    for part in ("teacher", "round-1", "."):
        split = splits.load(student / part / "split.npz")
        assert not np.isin(unlabelled, split.train_rows).any()
        assert not np.isin(split.validation_rows, unlabelled).any()
    # Other removed labels, everything else alike, must not change a single weight.
    statistics = pd.read_csv(student / "pseudo_label_statistics.csv")
    assert list(statistics[statistics["class"] == "all"]["pseudo_labels"]) == [len(unlabelled)] * 2
    table = pd.read_csv(student / "pseudo_labels.csv")
    assert sorted(table[table["round"] == 1]["row"]) == sorted(unlabelled)
    assert {path.name for path in student.iterdir()} >= {
        "submission.csv",
        "pseudo_label_statistics.png",
    }
    compared = pd.read_csv(student / "comparison.csv")
    assert list(compared["model"]) == ["teacher", "student"]
    measured = storage.read_json(student / "metrics.json")["accuracy"]
    assert compared["validation accuracy"][1] == float(f"{measured:.6g}")


def test_a_finished_stage_is_not_repeated(student, tmp_path):
    import shutil

    import semi_supervised

    run = tmp_path / "run"
    shutil.copytree(student, run)
    (run / "metrics.json").unlink()  # killed while the student was measured
    before = {path.relative_to(run): path.stat().st_mtime_ns for path in run.rglob("*/model.keras")}
    weights = (run / "model.keras").read_bytes()
    semi_supervised.main(["--resume", "--out", str(run)])
    after = {path.relative_to(run): path.stat().st_mtime_ns for path in run.rglob("*/model.keras")}
    assert before == after
    assert (run / "model.keras").read_bytes() == weights
    assert (run / "metrics.json").exists()


def test_other_values_of_the_removed_labels_change_no_weight(student, small_data, tmp_path):
    import semi_supervised
    from common.models import checkpoints

    with np.load(student / "unlabelled.npz") as archive:
        unlabelled = archive["rows"]
    lines = (small_data / "train.csv").read_text(encoding="ascii").splitlines()
    for row in unlabelled:
        label, pixels = lines[row + 1].split(",")
        lines[row + 1] = f"{(int(label) + 1) % 7},{pixels}"
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "train.csv").write_text("\n".join(lines) + "\n", encoding="ascii")
    (tmp_path / "data" / "test.csv").write_bytes((small_data / "test.csv").read_bytes())
    out = tmp_path / "run"
    flags = ["--data", str(tmp_path / "data"), "--out", str(out), "--architecture", "dnn"]
    semi_supervised.main([*flags, "--epochs", "2", "--unlabelled", "0.5", "--rounds", "2"])
    pairs = zip(*(checkpoints.load(run)[0].get_weights() for run in (student, out)), strict=True)
    assert all(np.array_equal(left, right) for left, right in pairs)
    statistics = [
        pd.read_csv(run / "pseudo_label_statistics.csv")["right"].to_numpy()
        for run in (student, out)
    ]
    assert not np.array_equal(*statistics)


def test_a_teacher_that_saw_the_labels_is_refused_or_a_caveat(
    trained_run, student, small_data, tmp_path
):
    import semi_supervised

    flags = ["--data", str(small_data), "--architecture", "dnn", "--epochs", "1"]
    flags += ["--unlabelled", "0.5", "--teacher", str(trained_run)]
    with pytest.raises(ValueError, match=r"expected a teacher that never saw .* --allow-leak"):
        semi_supervised.main([*flags, "--out", str(tmp_path / "refused")])
    other = [*flags[:2], "--unlabelled", "0.5", "--teacher", str(trained_run), "--allow-leak"]
    with pytest.raises(ValueError, match=r"expected a teacher of .* architecture, cnn, found dnn"):
        semi_supervised.main([*other, "--out", str(tmp_path / "refused")])
    assert not (tmp_path / "refused").exists()
    semi_supervised.main([*flags, "--out", str(tmp_path / "leak"), "--allow-leak"])
    caveat = storage.read_json(tmp_path / "leak" / "config.json")["caveats"][0]
    assert caveat.startswith("leak: ")
    assert said_of(tmp_path / "leak", "comparison")[0] == caveat
    # Nor may a student of it teach, though it saw no removed label itself.
    second = [*flags[:-1], str(tmp_path / "leak"), "--out", str(tmp_path / "second")]
    with pytest.raises(ValueError, match="found leak: the teacher"):
        semi_supervised.main(second)
    semi_supervised.main([*second, "--allow-leak"])
    assert caveat in storage.read_json(tmp_path / "second" / "config.json")["caveats"]


def test_test_images_without_labels_are_a_caveat_wherever_they_come_from(
    small_data, faces, tmp_path, capsys
):
    import predict
    import semi_supervised

    (tmp_path / "data").mkdir()
    shutil.copy(small_data / "test.csv", tmp_path / "data")
    shutil.copy(small_data / "train.csv", tmp_path / "data")
    flags = ["--data", str(small_data), "--architecture", "dnn", "--epochs", "1"]
    flags += ["--unlabelled", "0.5", "--unlabelled-data", str(tmp_path / "data")]
    run = tmp_path / "run"
    semi_supervised.main([*flags, "--out", str(run)])
    caveat = f"transductive: trained on {len(faces.test_images)} test images, without labels"
    assert storage.read_json(run / "config.json")["caveats"] == [caveat]
    assert storage.read_json(run / "teacher" / "config.json")["caveats"] == []
    capsys.readouterr()
    asked = ["--model", str(run), "--data", str(small_data), "--out"]
    predict.main([*asked, str(tmp_path / "test")])
    assert f"Caveat of {run}: {caveat}." in capsys.readouterr().out
    predict.main([*asked, str(tmp_path / "all"), "--rows", "all"])
    assert f"Caveat: {caveat}." in capsys.readouterr().out


def test_a_run_counts_as_finished_when_it_is_compared(student, small_data, tmp_path, monkeypatch):
    import semi_supervised
    from common.figures.training import compared_runs

    run = tmp_path / "run"
    shutil.copytree(student, run)
    for name in ("manifest.json", "comparison.csv"):
        (run / name).unlink()
    with monkeypatch.context() as broken:
        broken.setattr(compared_runs, "compare", None)
        with pytest.raises(TypeError):
            semi_supervised.main(["--resume", "--out", str(run)])
    with pytest.raises(ValueError, match="unfinished"):
        outputs.read(run)
    semi_supervised.main(["--resume", "--out", str(run)])
    assert said_of(run, "comparison") == said_of(student, "comparison")


def said_of(run, name):
    (entry,) = [entry for entry in outputs.read(run)["outputs"] if entry["name"] == name]
    return entry["sentences"]


def test_a_threshold_that_no_pseudo_label_passes_ends_before_the_student_trains(
    student, small_data, tmp_path
):
    import semi_supervised

    flags = ["--data", str(small_data), "--architecture", "dnn", "--epochs", "1"]
    flags += ["--unlabelled", "0.5", "--threshold", "0.999", "--out", str(tmp_path / "run")]
    with pytest.raises(ValueError, match=r"found no confidence above 0\.\d+: lower it"):
        semi_supervised.main(flags)
    assert not (tmp_path / "run" / "model.keras").exists()


def test_a_run_that_is_written_over_leaves_nothing_behind(student, tmp_path):
    copy = tmp_path / "run"
    shutil.copytree(student, copy)
    for name in ("teacher_probabilities.npz", "mine.txt"):
        (copy / name).write_bytes(b"")
    resume.create(argparse.Namespace(out=copy, resume=False, overwrite=True))
    visible = {path.name for path in copy.iterdir() if path.name[0] != "."}
    assert visible == {"config.json", "mine.txt"}


def test_a_ceiling_with_other_validation_rows_is_refused_before_training(
    trained_run, small_data, tmp_path
):
    import semi_supervised

    flags = ["--data", str(small_data), "--unlabelled", "0.5", "--ceiling", str(trained_run)]
    with pytest.raises(ValueError, match=r"expected the validation rows of this run, found others"):
        semi_supervised.main([*flags, "--split-seed", "1", "--out", str(tmp_path / "refused")])
    assert not (tmp_path / "refused").exists()
