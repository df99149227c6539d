"""predict.py, as a person runs it."""

import csv
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import predict
from common import kaggle, metrics
from common.data import loading, splits
from common.figures.predict import photographs
from common.labels import CLASS_NAMES
from common.models import checkpoints, prediction, registry
from common.runs import provenance, storage


@pytest.fixture(scope="module")
def run_folders(small_data, tmp_path_factory):
    """Three run folders of untrained DNNs: two with the same split, one with another."""
    import keras

    faces = loading.load(small_data)
    folders = []
    for number, split_seed in enumerate((0, 0, 1)):
        folder = tmp_path_factory.mktemp("runs") / f"dnn_{number}"
        keras.utils.set_random_seed(number)
        checkpoints.save(folder / "model.keras", registry.build("dnn"), "dnn")
        storage.write_json(
            folder / "config.json", {"architecture": "dnn", "flags": {"data": str(small_data)}}
        )
        split = splits.draw(faces, seed=split_seed, validation=splits.default_validation_size(210))
        splits.save(folder / "split.npz", split)
        folders.append(folder)
    return folders


def mean_prediction(folders, images, views=1):
    each = [prediction.predict(checkpoints.load(run)[0], images, views=views) for run in folders]
    return np.mean(each, axis=0)


def start(*arguments):
    """Run the script in this process."""
    predict.main([str(argument) for argument in arguments])


def call(capsys, *arguments):
    """Run the script in this process and return what it printed to stdout and stderr."""
    start(*arguments)
    return capsys.readouterr()


def accuracy_text(labels, predictions):
    right, count = int((labels == predictions).sum()), len(labels)
    low, high = metrics.wilson_interval(right, count)
    return f"accuracy {right / count:.4f} [{low:.4f}, {high:.4f}] (95 %), {right} of {count}"


@pytest.mark.parametrize(("form", "count", "views"), [("homework", 2, 2), ("contest2013", 1, 1)])
def test_test_rows_become_a_submission_that_kaggle_takes(
    run_folders, small_data, tmp_path, capsys, form, count, views
):
    chosen = run_folders[:count]
    out = call(
        capsys, "--model", *chosen, "--data", small_data, "--out", tmp_path,
        "--tta", views, "--form", form,
    ).out  # fmt: skip
    faces = loading.load(small_data)
    expected = mean_prediction(chosen, faces.test_images, views=views)
    table = pd.read_csv(tmp_path / "probabilities.csv")
    ids, probabilities = table["id"], table[list(CLASS_NAMES)]
    np.testing.assert_array_equal(ids, faces.test_ids)
    np.testing.assert_allclose(probabilities, expected, atol=1e-6)
    submission = tmp_path / "submission.csv"
    assert kaggle.check_submission(submission, ids) == 20
    labels = expected.argmax(axis=1)
    rows = [f"{label}" for label in labels]
    if form == "homework":
        rows = [
            "id,label",
            *(f"{number},{label}" for number, label in zip(ids, labels, strict=True)),
        ]
    assert submission.read_text().splitlines() == rows
    assert kaggle.submit_command(submission, form=form) in out.splitlines()[-1]
    assert "accuracy" not in out


def test_known_test_labels_are_scored_by_public_and_private(run_folders, tmp_path, capsys):
    generator = np.random.default_rng(0)
    usages = ["Training"] * 14 + ["PrivateTest"] * 9 + ["PublicTest"] * 8
    labels = np.arange(len(usages)) % 7
    images = generator.integers(0, 256, (len(usages), 48, 48), dtype=np.uint8)
    write_table(tmp_path / "fer2013.csv", labels, images, usages)
    out = call(
        capsys, "--model", run_folders[0], "--data", tmp_path / "fer2013.csv",
        "--out", tmp_path / "out",
    ).out  # fmt: skip
    predictions = mean_prediction(run_folders[:1], images).argmax(axis=1)
    for name, rows in (("private", slice(14, 23)), ("public", slice(23, None))):
        assert f"{name} test rows: {accuracy_text(labels[rows], predictions[rows])}" in out
    assert f"not known whether {run_folders[0]} was trained on some of these 17 images" in out


def test_validation_rows_are_scored_for_each_model_and_for_the_average(
    run_folders, small_data, tmp_path, capsys
):
    pair = run_folders[:2]
    out = call(capsys, "--model", *pair, "--rows", "validation", "--out", tmp_path).out
    faces, split = splits.load_of_run(pair[0])
    labels = faces.train_labels[split.validation_rows]
    images = faces.train_images[split.validation_rows]
    each = [mean_prediction([run], images) for run in pair]
    expected = np.mean(each, axis=0)
    for name, probabilities in zip((*pair, "average of 2 models"), (*each, expected), strict=True):
        assert f"{name}: {accuracy_text(labels, probabilities.argmax(axis=1))}\n" in out
    with np.load(tmp_path / "predictions.npz") as written:
        np.testing.assert_array_equal(written["rows"], split.validation_rows)
        np.testing.assert_array_equal(written["labels"], labels)
        np.testing.assert_allclose(written["probabilities"], expected, atol=1e-6)


def write_table(path, labels, images, usages):
    lines = (
        f"{label},{' '.join(map(str, image.ravel()))},{usage}\n"
        for label, image, usage in zip(labels, images, usages, strict=True)
    )
    path.write_text("emotion,pixels,Usage\n" + "".join(lines))
    return path


def test_validation_rows_are_found_in_another_copy_of_the_data(
    run_folders, small_data, tmp_path, capsys
):
    pair = [Path(shutil.copytree(run, tmp_path / run.name)) for run in run_folders[:2]]
    faces, split = splits.load_of_run(pair[0])
    for run in pair:
        splits.save_images(run, faces)
    lost = np.sort(split.validation_rows)[:3]
    order = np.random.default_rng(0).permutation(210)
    order = order[~np.isin(order, lost)]
    other = write_table(
        tmp_path / "other.csv",
        faces.train_labels[order],
        faces.train_images[order],
        ["Training"] * len(order),
    )
    out = tmp_path / "out"
    said = call(capsys, "--model", *pair, "--rows", "validation", "--data", other, "--out", out)
    kept = split.validation_rows[~np.isin(split.validation_rows, lost)]
    for run in pair:
        answers = mean_prediction([run], faces.train_images[kept]).argmax(axis=1)
        assert f"{run}: {accuracy_text(faces.train_labels[kept], answers)}\n" in said.out
    with np.load(out / "predictions.npz") as written:
        np.testing.assert_array_equal(order[written["rows"]], kept)


def test_every_labelled_image_is_scored_and_what_was_seen_is_said(
    run_folders, small_data, tmp_path, capsys
):
    run = run_folders[0]
    faces, split = splits.load_of_run(run)
    out = call(capsys, "--model", run, "--rows", "all", "--data", small_data, "--out", tmp_path).out
    answers = mean_prediction([run], faces.train_images).argmax(axis=1)
    assert f"{run}: {accuracy_text(faces.train_labels, answers)}\n" in out
    assert f"{run} was trained on {len(split.train_rows)} of these 210 images" in out
    assert "no validation score" in out
    with np.load(tmp_path / "predictions.npz") as written:
        np.testing.assert_array_equal(written["labels"], faces.train_labels)
    assert out.splitlines()[-1].endswith("--rows all")


def test_rows_without_labels_are_not_scored(run_folders, small_data, tmp_path, capsys):
    argv = ["--model", run_folders[0], "--rows", "all", "--data", small_data / "test.csv"]
    with pytest.raises(ValueError, match="expected labelled images, found none"):
        call(capsys, *argv, "--out", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_labelled_test_rows_count_among_all(run_folders, tmp_path, capsys):
    generator = np.random.default_rng(3)
    labels = np.arange(31) % 7
    images = generator.integers(0, 256, (31, 48, 48), dtype=np.uint8)
    usages = ["Training"] * 20 + ["PublicTest"] * 11
    table = write_table(tmp_path / "mine.csv", labels, images, usages)
    run = run_folders[1]
    out = call(capsys, "--model", run, "--rows", "all", "--data", table, "--out", tmp_path / "o")
    answers = mean_prediction([run], images).argmax(axis=1)
    assert f"{run}: {accuracy_text(labels, answers)}\n" in out.out
    assert f"not known whether {run} was trained on some of these 31 images" in out.out


def test_drawn_faces_are_not_to_be_submitted(
    run_folders, small_data, tmp_path, capsys, monkeypatch
):
    drawn = replace(loading.load(small_data), source="sample")
    monkeypatch.setattr(loading, "load", lambda source: drawn)
    out = call(capsys, "--model", run_folders[0], "--data", "sample", "--out", tmp_path).out
    assert "kaggle" not in out
    assert (tmp_path / "submission.csv").exists()


def test_another_competition_and_its_columns(run_folders, small_data, tmp_path, capsys):
    out = call(
        capsys, "--model", run_folders[0], "--data", small_data, "--out", tmp_path,
        "--competition", "other-faces", "--columns", "id,predicted_label",
    ).out  # fmt: skip
    assert (tmp_path / "submission.csv").read_text().startswith("id,predicted_label\n0,")
    assert "kaggle competitions submit -c other-faces -f" in out


def test_models_with_other_validation_rows_are_not_scored_together(run_folders, tmp_path):
    out = tmp_path / "out"
    with pytest.raises(ValueError, match=r"dnn_2: expected the validation rows of .*dnn_0"):
        start("--model", run_folders[0], run_folders[2], "--rows", "validation", "--out", out)
    assert not out.exists()


def test_a_broken_model_leaves_old_results_as_they_were(run_folders, small_data, tmp_path):
    broken = tmp_path / "broken"
    storage.write_json(broken / "config.json", {"architecture": "dnn"})
    (broken / "model.keras").write_bytes(b"PK\x03\x04 and so on")
    (tmp_path / "submission.csv").write_text("id,label\n0,1\n")
    with pytest.raises(ValueError, match=r"model\.keras: expected a \.keras file"):
        start("--model", run_folders[0], broken, "--data", small_data, "--out", tmp_path)
    assert (tmp_path / "submission.csv").read_text() == "id,label\n0,1\n"
    assert not (tmp_path / "probabilities.csv").exists()


def test_data_without_test_rows_is_refused(run_folders, small_data, tmp_path):
    with pytest.raises(ValueError, match=r"train\.csv: expected test rows"):
        start("--model", run_folders[0], "--data", small_data / "train.csv", "--out", tmp_path)


@pytest.fixture(scope="module")
def album(tmp_path_factory):
    """A folder with a face, a wall, and a file that is no image."""
    skimage_data = pytest.importorskip("skimage.data")
    folder = tmp_path_factory.mktemp("album")
    Image.fromarray(skimage_data.astronaut()).save(folder / "face.jpg", quality=95)
    Image.fromarray(skimage_data.brick()).save(folder / "wall.png")
    (folder / "odd.png").write_text("no image")
    return folder


def test_photographs_are_labelled_face_by_face(run_folders, album, tmp_path, capsys):
    pytest.importorskip("cv2")
    said = call(capsys, "--model", *run_folders, "--photos", album, "--out", tmp_path)
    assert len(said.err.splitlines()) == 2
    assert "wall.png: no face found" in said.err
    assert "odd.png: expected a photograph" in said.err
    with (tmp_path / "photos.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert row["file"] == str(album / "face.jpg")
    assert row["face"] == "1"
    left, top, width, height = (int(row[key]) for key in ("left", "top", "width", "height"))
    assert left < 225 < left + width  # the nose
    assert top < 114 < top + height
    probabilities = [float(row[name]) for name in CLASS_NAMES]
    assert sum(probabilities) == pytest.approx(1, abs=1e-5)
    assert row["label"] == CLASS_NAMES[int(np.argmax(probabilities))]
    with Image.open(tmp_path / "photos" / "001_face.png") as picture:
        assert min(picture.size) > 500
    assert f"face 1: {row['label']} {max(probabilities):.2f}" in said.out
    assert "photos.csv, photos/001_face.png" in said.out


def test_whole_images_need_no_opencv(run_folders, album, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    arguments = ["--model", run_folders[0], "--photos", album, "--out", tmp_path]
    call(capsys, *arguments, "--whole-image")
    with (tmp_path / "photos.csv").open() as file:
        assert [row["width"] for row in csv.DictReader(file)] == ["512", "512"]
    with pytest.raises(ValueError, match="opencv-python-headless"):
        call(capsys, *arguments)


def test_every_answer_is_kept_as_it_comes(run_folders, album, tmp_path, monkeypatch):
    for name in ("a.jpg", "b.jpg", "c.jpg"):
        shutil.copy(album / "face.jpg", tmp_path / name)
    draw, drawn = photographs.draw, []

    def stopped_at_the_second(photo):
        drawn.append(photo)
        if len(drawn) == 2:
            raise KeyboardInterrupt
        return draw(photo)

    monkeypatch.setattr(photographs, "draw", stopped_at_the_second)
    out = tmp_path / "out"
    arguments = ["--model", run_folders[0], "--whole-image", "--out", out, "--photos", tmp_path]
    with pytest.raises(KeyboardInterrupt):
        start(*arguments)
    with (out / "photos.csv").open() as file:
        names = [Path(row["file"]).name for row in csv.DictReader(file)]
    assert names == ["a.jpg", "b.jpg"]


def test_names_that_are_no_text_lose_nothing(run_folders, album, tmp_path):
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    try:
        shutil.copy(album / "face.jpg", os.fsencode(pictures) + b"/\xe9t\xe9.jpg")
    except OSError:
        pytest.skip("this file system takes only names that are text")
    shutil.copy(album / "face.jpg", pictures / "顔$.jpg")
    (pictures / "odd_顔.png").write_text("no image", encoding="utf-8")
    out = tmp_path / "out"
    result = subprocess.run(
        [
            *(sys.executable, "predict.py", "--model", run_folders[0]),
            *("--whole-image", "--out", out, "--photos", pictures),
        ],
        cwd=provenance.PROJECT,
        env=os.environ | {"PYTHONIOENCODING": "cp1252"},
        capture_output=True,
        timeout=500,
    )
    assert result.returncode == 0, result.stderr
    (line,) = result.stderr.splitlines()  # nothing of TensorFlow's
    assert b"expected a photograph" in line
    with (out / "photos.csv").open(encoding="utf-8") as file:
        names = [row["file"] for row in csv.DictReader(file)]
    assert sorted(names) == sorted([f"{pictures}/\\xe9t\\xe9.jpg", f"{pictures}/顔$.jpg"])
    assert len(list((out / "photos").glob("*.png"))) == 2
    assert "xe9t" in (out / "observations.txt").read_text(encoding="utf-8")


def test_no_face_at_all_is_one_line_and_exit_2(album, tmp_path):
    pytest.importorskip("cv2")
    out = tmp_path / "out"
    result = subprocess.run(
        [sys.executable, "predict.py", "--photos", album / "wall.png", "--out", out],
        cwd=provenance.PROJECT,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.returncode == 2
    assert result.stderr.splitlines() == [
        f"{album / 'wall.png'}: no face found (it must be upright and seen from the front)",
        "predict.py: expected a face in at least one of 1 files, found none",
    ]
    assert not out.exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--photos", "a.jpg", "--data", "sample"], "not allowed with argument --data"),
        (["--photos", "a.jpg", "--rows", "validation"], "not allowed with argument"),
        (["--whole-image"], "expected --photos or --video with it"),
        (["--columns", "a,b", "--form", "contest2013"], "not allowed with --form contest2013"),
        (["--tta", "3"], "invalid choice: 3"),
    ],
)
def test_flags_that_do_not_fit_are_refused(arguments, message, capsys):
    with pytest.raises(SystemExit, match="2"):
        start(*arguments)
    assert message in capsys.readouterr().err
