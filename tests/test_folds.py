"""Training on all rows, and cross-validation: who holds out what, what is kept, what is scored."""

import re
import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import confusion
import filter_vis
import predict
import saliency
import train_dnn
from common import comparison, outputs
from common.data import loading, splits
from common.models import checkpoints, registry
from common.runs import records, resume, storage
from common.training import precise_batch_norm
from experiments import publish


@pytest.fixture(scope="module")
def faces(small_data):
    return loading.load(small_data)


@pytest.fixture(scope="module")
def on_all(small_data, tmp_path_factory):
    """A run on all rows, of three epochs."""
    folder = tmp_path_factory.mktemp("all") / "dnn"
    flags = ["--data", str(small_data), "--epochs", "3", "--validation", "0"]
    train_dnn.main([*flags, "--out", str(folder)])
    return folder


@pytest.fixture
def folds(faces, trained_run, small_data, tmp_path):
    """Three runs of folds with the weights of `trained_run` and answers drawn at random."""
    folders, generator = [tmp_path / f"fold-{number}" for number in range(3)], np.random.default_rng
    for number, folder in enumerate(folders):
        shutil.copytree(trained_run, folder)
        config = storage.read_json(folder / "config.json")
        config["flags"] |= {"folds": 3, "fold": number, "data": str(small_data)}
        storage.write_json(folder / "config.json", config)
        split = splits.draw_fold(faces, seed=0, folds=3, fold=number)
        splits.save(folder / "split.npz", split)
        rows = split.validation_rows
        drawn = generator(number).dirichlet(np.ones(7), len(rows))
        storage.write_arrays(
            folder / "predictions.npz",
            rows=rows,
            labels=faces.train_labels[rows],
            probabilities=drawn,
        )
    return folders


def test_every_row_is_in_one_part_and_copies_are_in_the_same(faces):
    images = faces.train_images.copy()
    images[100:140] = images[:40]
    doubled = replace(faces, train_images=images)
    parts = [splits.draw_fold(doubled, seed=3, folds=4, fold=number) for number in range(4)]
    held = [part.validation_rows for part in parts]
    assert sorted(np.concatenate(held)) == list(range(len(images)))
    assert all(abs(len(rows) - len(images) / 4) <= 2 for rows in held)
    for part, rows in zip(parts, held, strict=True):
        assert sorted([*part.train_rows, *rows]) == list(range(len(images)))
        both = np.isin(np.arange(40), rows), np.isin(np.arange(100, 140), rows)
        np.testing.assert_array_equal(*both)
    again = splits.draw_fold(doubled, seed=3, folds=4, fold=1)
    np.testing.assert_array_equal(again.validation_rows, held[1])
    other = splits.draw_fold(doubled, seed=4, folds=4, fold=1)
    assert not np.array_equal(other.validation_rows, held[1])
    for number, count in ((4, 4), (0, 1), (0, 100)):
        with pytest.raises(ValueError, match="expected --folds from 2 to 30"):
            splits.draw_fold(faces, seed=0, folds=count, fold=number)


def test_a_run_on_all_rows_keeps_the_last_epoch_and_says_that_nothing_scores_it(on_all, faces):
    split = splits.load(on_all / "split.npz")
    np.testing.assert_array_equal(split.train_rows, np.arange(len(faces.train_images)))
    assert not len(split.validation_rows)
    measured = records.read(on_all).metrics
    assert measured["best_epoch"] == measured["epochs"] == 3
    assert "trained on all 210 images; the last epoch is kept" in measured["note"]
    assert not {"accuracy", "interval_95", "n", "split"} & measured.keys()
    assert not (on_all / "predictions.npz").exists()
    assert [row["epoch"] for row in records.load_history(on_all)] == [1, 2, 3]
    assert "no validation score" in outputs.read(on_all)["outputs"][2]["sentences"][0]
    assert (on_all / "submission.csv").is_file()
    model, last = checkpoints.load(on_all)[0], resume.load_state(on_all)[0]
    for array in model.get_weights():
        assert any(np.array_equal(array, other) for other in last.values())


@pytest.mark.parametrize(
    "read",
    [
        lambda run, out: confusion.main(["--model", str(run), "--out", out]),
        lambda run, out: saliency.main(["--model", str(run), "--out", out]),
        lambda run, out: predict.main(["--rows", "validation", "--model", str(run), "--out", out]),
        lambda run, out: comparison.table({"run": run}),
        lambda run, out: records.load_predictions(run),
    ],
    ids=["confusion", "saliency", "predict", "comparison", "predictions"],
)
def test_whoever_needs_held_out_images_says_that_there_are_none(on_all, tmp_path, read):
    with pytest.raises(ValueError, match=r"dnn: was trained on all its images \(--validation 0\)"):
        read(on_all, str(tmp_path / "out"))


def test_nothing_that_needs_held_out_images_is_suggested(on_all, faces, tmp_path, capsys):
    picture = tmp_path / "face.png"
    Image.fromarray(faces.train_images[0].squeeze()).save(picture)
    of_run = ["--model", str(on_all), "--out", str(tmp_path / "out")]
    predict.main(["--photos", str(picture), "--whole-image", *of_run])
    filter_vis.main(["--part", "classes", "--steps", "2", *of_run])
    printed = capsys.readouterr().out
    assert "confusion.py" not in printed
    assert "saliency.py" not in printed


def test_what_rounding_changes_is_seen_on_test_images_then(on_all, small_data, tmp_path, capsys):
    out = tmp_path / "published"
    publish.main(["--model", str(on_all), "--data", str(small_data), "--out", str(out)])
    assert re.search(r"Of \d+ test images \d+ are read differently", capsys.readouterr().out)
    assert "accuracy" not in records.read(out).metrics


def test_a_history_may_lack_both_scores_or_none(on_all, tmp_path):
    history = pd.read_csv(on_all / "history.csv")
    history.assign(validation_loss=1.0).to_csv(tmp_path / "history.csv", index=False)
    with pytest.raises(ValueError, match="expected validation_accuracy"):
        records.load_history(tmp_path)


def test_batch_statistics_are_measured_once_an_epoch_validated_or_not():
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (90, 48, 48), dtype=np.uint8)
    model = registry.build("dnn")
    callback = precise_batch_norm.PreciseBatchNorm(images)
    callback.set_model(model)
    before = model.get_weights()
    callback.on_epoch_begin(0)
    callback.on_epoch_end(0)
    measured = model.get_weights()
    assert not all(map(np.array_equal, before, measured))
    model.set_weights(before)
    callback.on_test_begin()
    assert all(map(np.array_equal, model.get_weights(), measured))
    model.set_weights(before)
    callback.on_epoch_end(0)
    assert all(map(np.array_equal, model.get_weights(), before))


def test_a_fold_holds_out_its_part_and_keeps_the_last_epoch(small_data, faces, tmp_path):
    flags = ["--data", str(small_data), "--epochs", "2", "--folds", "3", "--fold", "1"]
    train_dnn.main([*flags, "--recipe", "report", "--learning-rate", "0.1", "--out", str(tmp_path)])
    split = splits.load(tmp_path / "split.npz")
    expected = splits.draw_fold(faces, seed=0, folds=3, fold=1)
    np.testing.assert_array_equal(split.validation_rows, expected.validation_rows)
    measured = records.read(tmp_path).metrics
    assert (measured["n"], measured["best_epoch"]) == (70, 2)
    assert "chose nothing" in measured["note"]
    assert records.load_history(tmp_path)[1]["validation_accuracy"] == pytest.approx(
        measured["accuracy"], abs=0.1
    )


@pytest.mark.parametrize(
    "flags", [["--folds", "3"], ["--fold", "0"], ["--folds", "3", "--fold", "3"],
              ["--folds", "1", "--fold", "0"],
              ["--folds", "3", "--fold", "0", "--validation", "0"]]
)  # fmt: skip
def test_flags_that_do_not_go_together_are_refused(flags, tmp_path):
    with pytest.raises(SystemExit, match="2"):
        train_dnn.main(["--data", "sample", "--out", str(tmp_path / "run"), *flags])
    assert not (tmp_path / "run").exists()


def test_folds_together_are_scored_on_every_row(folds, faces, tmp_path, capsys):
    answers = [records.load_predictions(run) for run in folds]
    right = sum((answer[2].argmax(axis=1) == answer[1]).sum() for answer in answers)
    confusion.main(["--model", *map(str, folds), "--out", str(tmp_path / "out")])
    summary = pd.read_csv(tmp_path / "out" / "summary.csv")
    assert summary["value"][0] == pytest.approx(right / 210, abs=1e-5)
    with np.load(tmp_path / "out" / "confusion.npz") as drawn:
        assert drawn["counts"].sum() == 210
    said = capsys.readouterr().out
    assert "on 210 validation rows" in said
    assert "these rows chose nothing" in said
    assert "saliency.py" not in said  # which counts the rows of one run


def test_answers_are_averaged_within_a_fold_and_aligned_between_models(folds, tmp_path):
    again = tmp_path / "again"
    shutil.copytree(folds[0], again)
    rows, _, one = records.load_models([folds])
    _, _, both = records.load_models([[*folds, again], folds[::-1]])
    np.testing.assert_allclose(both[0], one[0])
    np.testing.assert_allclose(both[1], one[0])
    assert sorted(rows) == list(range(210))
    with pytest.raises(ValueError, match="expected runs that held out the same rows"):
        records.load_models([folds, folds[:2]])


def test_a_copy_of_the_data_may_lack_all_images_of_a_fold(
    folds, faces, small_data, tmp_path, capsys
):
    for run in folds:
        splits.save_images(run, faces)
    lines = (small_data / "train.csv").read_text(encoding="ascii").splitlines()
    held = splits.load(folds[0] / "split.npz").validation_rows
    kept = [line for row, line in enumerate(lines[1:]) if row not in held]
    (tmp_path / "train.csv").write_text("\n".join([lines[0], *kept]) + "\n", encoding="ascii")
    flags = ["--data", str(tmp_path / "train.csv"), "--out", str(tmp_path / "out"), "--model"]
    predict.main(["--rows", "validation", *flags, *map(str, folds)])
    said = capsys.readouterr().out
    assert f"{folds[1]}: " in said
    assert f"{folds[0]}: " not in said
    assert "each row by who held it out" in said


def test_each_row_is_asked_of_the_run_that_held_it_out(folds, small_data, tmp_path):
    flags = ["--data", str(small_data), "--model"]
    predict.main(["--rows", "validation", *flags, *map(str, folds), "--out", str(tmp_path / "a")])
    predict.main(["--rows", "all", *flags, str(folds[0]), "--out", str(tmp_path / "b")])
    with np.load(tmp_path / "a/predictions.npz") as a, np.load(tmp_path / "b/predictions.npz") as b:
        np.testing.assert_array_equal(np.sort(a["rows"]), b["rows"])
        np.testing.assert_allclose(a["probabilities"], b["probabilities"][a["rows"]], atol=1e-5)
        np.testing.assert_array_equal(a["labels"], b["labels"][a["rows"]])
