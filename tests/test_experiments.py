"""What the studies compute from their runs, and which runs they accept."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from common.labels import CLASS_NAMES
from common.models import checkpoints
from common.report import results
from common.runs import records, storage
from common.sweep import engine
from experiments import honest_data, publish, self_training, time_to_accuracy


@pytest.fixture
def study(tmp_path, monkeypatch):
    """An output that keeps tables out of the project's results/."""
    monkeypatch.setattr(results, "FOLDER", tmp_path / "results")
    return results.study("data_notes")


def test_minutes_until_an_accuracy_is_first_reached():
    history = [{"minutes": m, "validation_accuracy": a} for m, a in ((1, 0.4), (2, 0.6), (3, 0.5))]
    assert time_to_accuracy.minutes_until(history, 0.5) == 2
    assert time_to_accuracy.minutes_until(history, 0.7) is None


@pytest.mark.parametrize(
    ("study", "flags"),
    [
        (self_training, "--fractions 0.5 1.5"),
        (self_training, "--seeds 0 -1"),
        (honest_data, "--folds 0"),
        (time_to_accuracy, "--report-epochs 0"),
        (time_to_accuracy, "--compact-epochs -2"),
    ],
)
def test_impossible_numbers_are_refused_before_anything_is_trained(study, flags, capsys):
    with pytest.raises(SystemExit) as ended:
        study.build_parser().parse_args(flags.split())
    assert ended.value.code == 2
    assert f"{flags.split()[0]}: expected a " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("differences", "verdict"),
    [
        ([0.01, 0.012, 0.011], "a gain"),
        ([-0.01, -0.012, -0.011], "a loss"),
        ([0.01, -0.02, 0.015], "no effect that can be told from noise"),
        ([0.01], "one seed: no interval"),
    ],
)
def test_the_verdict_on_self_training_is_that_of_the_interval(differences, verdict):
    group = pd.DataFrame({"difference": differences})
    group[["baseline", "self-training", "all labels"]] = 0.5
    assert verdict in self_training.sentence(0.5, group)


def test_a_mean_over_groups_is_as_uncertain_as_there_are_groups():
    values = np.random.default_rng(0).normal(size=400)
    alone = honest_data.mean_by_group(values, np.arange(400))
    copied = honest_data.mean_by_group(np.repeat(values, 9), np.repeat(np.arange(400), 9))
    assert alone == pytest.approx(copied)
    assert alone[2] - alone[1] == pytest.approx(2 * 1.96 * values.std() / 20, rel=0.1)


def added(study):
    """Return the table and the sentence that a study was given last."""
    entry = study.record["outputs"][-1]
    return pd.read_csv(study.folder / entry["files"]["table"]), entry["sentences"][0]


def test_twins_are_compared_network_by_network(study):
    groups = np.array([0, 0, 1, 1, 2, 3])
    right_unseen = np.array([True, False, False, False, True, False])
    right_seen = np.array([1, 0.5, 1, 0.5, 0.5, 0])
    honest_data.twins(study, groups, right_unseen, right_seen, 0.1)
    table, said = added(study)
    assert list(table["n"]) == [4, 2]
    assert list(table["images"]) == [2, 2]
    assert list(table["difference"]) == [0.5, -0.25]
    assert "add at most about 5.0 points" in said


def test_what_networks_remember_is_the_difference_between_seen_and_unseen_images(study):
    seen = np.arange(400) < 300
    right = np.where(seen, np.arange(400) % 10 > 0, np.arange(400) % 2 > 0)
    answers = {Path("nets/good"): (right, seen), Path("nets/level"): (np.full(400, True), seen)}
    honest_data.remembered(study, np.arange(400) // 2, answers, 0.1)
    table, said = added(study)
    assert list(table["difference"]) == [pytest.approx(0.4), 0]
    assert list(table["images trained on"]) == [150, 150]
    # Pairs of a right and a wrong row leave the unseen half no spread.
    assert table["95 % high"][0] - table["95 % low"][0] == pytest.approx(0.07, abs=0.03)
    assert "at most about 4.0 points" in said
    assert "nets/good" in said


def test_a_label_is_doubted_where_another_class_is_as_sure_as_of_its_own(study, tmp_path):
    """Northcutt's rule on three rows of two classes: the last is labelled 0 and looks like 1."""
    unseen = np.zeros((21, 7))
    labels = np.repeat(np.arange(7), 3)
    unseen[np.arange(21), labels] = 1
    unseen[2] = [0.1, 0.9, 0, 0, 0, 0, 0]
    unseen[5] = [0, 0.6, 0.4, 0, 0, 0, 0]
    honest_data.noise(study, labels, np.arange(21), unseen, tmp_path)
    table, said = added(study)
    doubted = pd.read_csv(tmp_path / "doubtful.csv")
    assert doubted.to_dict("records") == [
        {"row": 2, "label": CLASS_NAMES[0], "doubted for": CLASS_NAMES[1], "probability": 0.9,
         "of the label": 0.1}
    ]  # fmt: skip
    assert "4.8%" in said
    assert list(table["doubted"]) == [pytest.approx(1 / 3, abs=1e-4)] + [0] * 6
    unseen[2] = np.eye(7)[0]
    honest_data.noise(study, labels, np.arange(21), unseen, tmp_path)
    assert "doubt no label" in added(study)[1]


def test_a_study_of_data_without_twins_says_so(study, small_data, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(engine, "complete", lambda *_: None)
    monkeypatch.setattr(
        honest_data, "answers_of_folds", lambda folders, faces: (
            np.eye(7)[faces.train_labels], np.ones(len(faces.train_labels))
        )
    )  # fmt: skip
    for number in range(2):
        storage.write_json(tmp_path / f"fold-{number}" / "config.json", {})
    honest_data.main(["--data", str(small_data), "--folds", "2", "--out", str(tmp_path)])
    assert "no twins to measure" in capsys.readouterr().out
    (made,) = results.read("data_*")
    named = [entry["name"] for entry in made["outputs"] if "table" in entry["files"]]
    assert named == ["data_noise", "data_classes"]
    assert (study.folder / "data_notes.txt").is_file()


def test_a_published_run_is_small_and_measured_again(trained_run, small_data, tmp_path, capsys):
    out = tmp_path / "published"
    flags = ["--model", str(trained_run), "--data", str(small_data), "--out", str(out)]
    publish.main([*flags, "--bits", "6"])
    assert "validation images" in capsys.readouterr().out
    before, after = (checkpoints.load(run)[0].get_weights() for run in (trained_run, out))
    for old, new in zip(before, after, strict=True):
        np.testing.assert_allclose(new, old, rtol=2**-6, atol=0)
        assert not np.array_equal(new, old) or not old.any() or (old == 1).all()
    run = records.read(out)  # refuses weights that metrics.json did not measure
    _, labels, probabilities = records.load_predictions(out)
    assert run.metrics["accuracy"] == (probabilities.argmax(1) == labels).mean()
    assert not np.array_equal(probabilities, records.load_predictions(trained_run)[2])
    assert not (out / "state").exists()
    assert not (out / "submission.csv").exists()
    sizes = [(folder / "model.keras").stat().st_size for folder in (out, trained_run)]
    assert sizes[0] < 0.6 * sizes[1]
    with pytest.raises(ValueError, match="expected a new folder, found a run"):
        publish.main(flags)
    with pytest.raises(ValueError, match="--data: expected what"):
        publish.main([*flags[:2], "--data", "sample", "--out", str(tmp_path / "other")])


@pytest.mark.parametrize(("value", "bits", "expected"), [(1.3, 2, 1.5), (-0.011, 3, -0.01171875)])
def test_a_weight_keeps_so_many_digits(value, bits, expected):
    assert publish.rounded(np.float32(value), bits) == np.float32(expected)
    assert publish.rounded(np.float32(0), bits) == 0
