"""confusion.py on small made-up runs: files, numbers against oracles, figures' texts, bad input."""

import csv
import json
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import matplotlib.image
import numpy as np
import pytest
import sklearn.metrics
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.contingency_tables import mcnemar as statsmodels_mcnemar

import confusion
from common import cli, comparison, metrics
from common.data import loading, splits
from common.data.synthetic import draw_faces
from common.figures.confusion import against_report, calibration, matrix, mistakes, pages, typical
from common.labels import CLASS_NAMES
from common.runs import records

PROJECT = Path(confusion.__file__).parent
FILES = {
    "confusion.png",
    "calibration.png",
    "scores.csv",
    "summary.csv",
    "report_comparison.csv",
    "confusion.npz",
    "observations.txt",
    "manifest.json",
}
PAGES = {"mistakes.png", "typical.png"}
VALIDATION = 140


def softmax(logits):
    exponentials = np.exp(logits)
    return exponentials / exponentials.sum(axis=1, keepdims=True)


@pytest.fixture(scope="module")
def two_runs(small_data, tmp_path_factory):
    """Folders of two made-up runs on the same validation rows, the first the better one."""
    parent = tmp_path_factory.mktemp("made_up")
    faces = loading.load(small_data)
    split = splits.draw(faces, seed=0, validation=VALIDATION)
    (parent / "known").mkdir()
    splits.save_images(parent / "known", faces)
    labels = faces.train_labels[split.validation_rows]
    for name, skill in (("cnn", 2.5), ("dnn", 1.0)):
        folder = parent / name
        folder.mkdir()
        config = {
            "command": f"python train_{name}.py",
            "data_hash": faces.data_hash,
            "flags": {"data": str(small_data)},
        }
        (folder / "config.json").write_text(json.dumps(config))
        splits.save(folder / "split.npz", split)
        logits = np.random.default_rng(len(name) + int(skill)).normal(size=(VALIDATION, 7))
        logits[np.arange(VALIDATION), labels] += skill
        np.savez(
            folder / "predictions.npz",
            rows=split.validation_rows,
            labels=labels,
            probabilities=softmax(logits).astype(np.float32),
        )
    return parent / "cnn", parent / "dnn"


@pytest.fixture(autouse=True)
def is_fer2013(two_runs, monkeypatch):
    """Let the data of the two runs pass for FER-2013."""
    monkeypatch.setattr(splits, "FER2013", two_runs[0].parent / "known" / splits.IMAGES)


@pytest.fixture
def copies(two_runs, tmp_path):
    """Copies of the two runs that a test may damage."""
    return [Path(shutil.copytree(run, tmp_path / run.name)) for run in two_runs]


def change(run, **arrays):
    """Replace arrays of `predictions.npz`."""
    with np.load(run / "predictions.npz") as archive:
        np.savez(run / "predictions.npz", **{**archive, **arrays})


def call(out, *argv):
    """Run the script in this process."""
    confusion.main([*map(str, argv), "--out", str(out)])
    return written(out)


def written(out):
    """Return the names of the files in a folder, but for the lock."""
    return {path.name for path in out.iterdir() if not path.name.startswith(".")}


def refusal(capsys, out, *argv):
    """Return the one line with which the script refuses, having written nothing."""
    with pytest.raises(SystemExit) as caught:
        cli.run(lambda: call(out, *argv))
    assert caught.value.code == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert not out.exists()
    return lines[0]


def read_csv(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def compared(two_runs, tmp_path_factory):
    """The output folder of the script with everything asked for, its text, and the predictions."""
    out = tmp_path_factory.mktemp("compared")
    argv = ["--model", two_runs[0], "--versus", two_runs[1], "--faces", 6, "--out", out]
    # A process of its own, to see what it imports.
    code = (
        "import sys, confusion; from common.data import splits;"
        f"splits.FER2013 = {str(two_runs[0].parent / 'known' / splits.IMAGES)!r};"
        "confusion.main(sys.argv[1:]);"
        "sys.exit(len({'tensorflow', 'keras'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code, *map(str, argv)],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return out, done.stdout, [records.load_predictions(run) for run in two_runs]


# --- what it writes


def test_everything_is_written_without_tensorflow(compared):
    out, text, _ = compared
    names = written(out)
    assert names == FILES | PAGES | {"versus.png", "versus.csv"}
    *sentences, listed, command = text.splitlines()
    assert (out / "observations.txt").read_text(encoding="utf-8").splitlines() == sentences
    for path in (out / name for name in names):
        assert path.name in listed
        if path.suffix == ".png":
            assert matplotlib.image.imread(path).shape[2] == 4
    assert "python saliency.py --model" in command


def test_scores_equal_scikit_learn(compared):
    out, _, ((_, labels, probabilities), _) = compared
    predictions = probabilities.argmax(axis=1)
    table = read_csv(out / "scores.csv")
    expected = sklearn.metrics.precision_recall_fscore_support(labels, predictions)
    for name, values in zip(("precision", "recall", "F1", "rows"), expected, strict=True):
        np.testing.assert_allclose([float(row[name]) for row in table], values, rtol=1e-5)
    summary = {row["measure"]: float(row["value"]) for row in read_csv(out / "summary.csv")}
    expected = sklearn.metrics.balanced_accuracy_score(labels, predictions)
    assert summary["balanced accuracy"] == pytest.approx(expected, rel=1e-5)
    with np.load(out / "confusion.npz", allow_pickle=False) as arrays:
        expected = sklearn.metrics.confusion_matrix(labels, predictions)
        np.testing.assert_array_equal(arrays["counts"], expected)
        expected = sklearn.metrics.confusion_matrix(labels, predictions, normalize="true")
        np.testing.assert_allclose(arrays["fractions"], expected)


def test_sentences_are_the_observations(compared):
    out, _, ((_, labels, probabilities), _) = compared
    text = (out / "observations.txt").read_text(encoding="utf-8").splitlines()
    counts = metrics.confusion_counts(labels, probabilities.argmax(axis=1))
    assert set(matrix.observations(counts)) <= set(text)
    accuracy = (probabilities.argmax(axis=1) == labels).mean()
    assert f"on 140 validation rows: accuracy {accuracy:.3f} [" in text[0]


def test_comparison_equals_statsmodels(compared):
    out, _, ((_, labels, first), (_, _, second)) = compared
    correct = [p.argmax(axis=1) == labels for p in (first, second)]
    for row in read_csv(out / "versus.csv"):
        code = None if row["class"] == "all" else CLASS_NAMES.index(row["class"])
        mask = np.ones(len(labels), bool) if code is None else labels == code
        a, b = (c[mask] for c in correct)
        crossed = sklearn.metrics.confusion_matrix(~a, ~b, labels=[False, True])
        expected = statsmodels_mcnemar(crossed, exact=True).pvalue
        assert float(row["p"]) == pytest.approx(expected, rel=1e-5)
        assert float(row["difference"]) == pytest.approx(a.mean() - b.mean(), abs=1e-5)


def test_positions_are_the_clearest_cases(compared):
    out, _, ((rows, labels, first), (_, _, second)) = compared
    with np.load(out / "confusion.npz", allow_pickle=False) as stored:
        arrays = dict(stored)
    np.testing.assert_array_equal(arrays["rows"], rows)
    right = first.argmax(axis=1) == labels
    for name, chosen in (("mistakes", ~right), ("hits", right)):
        np.testing.assert_array_equal(np.sort(arrays[name]), np.flatnonzero(chosen))
        assert (np.diff(first.max(axis=1)[arrays[name]]) <= 0).all()
    other_right = second.argmax(axis=1) == labels
    gain = (first - second)[np.arange(len(labels)), labels]
    only = arrays["only_model_right"]
    np.testing.assert_array_equal(np.sort(only), np.flatnonzero(right & ~other_right))
    assert (np.diff(gain[only]) <= 0).all()
    only = arrays["only_other_right"]
    np.testing.assert_array_equal(np.sort(only), np.flatnonzero(~right & other_right))
    assert (np.diff(gain[only]) >= 0).all()


def test_pages_show_the_faces_of_their_captions(two_runs, tmp_path, monkeypatch):
    shown = []

    def face_page(sections, **options):
        shown.append((sections, options["title"]))

    monkeypatch.setattr(pages, "face_page", face_page)
    run = two_runs[0]
    call(tmp_path, "--model", run, "--classes", "happy", "5", "--faces", 4)
    rows, labels, probabilities = records.load_predictions(run)
    images = splits.load_of_run(run)[0].train_images[rows]
    (((_, wrong, captions),), _), (rows_of_hits, _) = shown
    assert 0 < len(wrong) <= 4
    for image, caption in zip(wrong, captions, strict=True):
        number = int(caption.split()[-1])
        np.testing.assert_array_equal(image, images[number])
        predicted = CLASS_NAMES[probabilities[number].argmax()]
        assert labels[number] in (3, 5)
        assert caption.startswith(f"{CLASS_NAMES[labels[number]]} → {predicted}\n")
    assert [heading.split(":")[0] for heading, _, _ in rows_of_hits] == ["happy", "surprise"]
    for code, (_, faces, captions) in zip((3, 5), rows_of_hits, strict=True):
        assert 0 < len(faces) <= 10
        for image, caption in zip(faces, captions, strict=True):
            number = int(caption.split()[-1])
            np.testing.assert_array_equal(image, images[number])
            assert labels[number] == probabilities[number].argmax() == code


def test_no_picture_twice():
    images = draw_faces(np.arange(6) % 7, rng=np.random.default_rng(0))
    images[4] = images[1]
    images[5] = np.roll(images[0], (2, -3), axis=(0, 1)) // 2 + 90  # shifted, paler
    images[3] = 7  # flat: nothing to divide by
    order = np.array([4, 0, 1, 5, 3, 2])
    np.testing.assert_array_equal(pages.distinct(images, order, 9), [4, 0, 3, 2])
    np.testing.assert_array_equal(pages.distinct(images, order, 2), [4, 0])
    assert len(pages.distinct(images, order[:0], 5)) == 0


def test_several_runs_are_averaged(two_runs, tmp_path, capsys):
    call(tmp_path, "--model", *two_runs, "--faces", 1, "--classes", 0)
    with np.load(tmp_path / "confusion.npz") as arrays:
        expected = np.mean([records.load_predictions(run)[2] for run in two_runs], axis=0)
        np.testing.assert_allclose(arrays["probabilities"], expected)
    assert capsys.readouterr().out.startswith("mean of 2 runs (")


def test_without_the_data_only_the_pages_are_missing(copies, tmp_path, capsys, monkeypatch):
    config = json.loads((copies[0] / "config.json").read_text())
    config["flags"]["data"] = "nowhere"
    (copies[0] / "config.json").write_text(json.dumps(config))
    monkeypatch.setattr(loading, "DATA_FOLDER", tmp_path / "no data")
    assert call(tmp_path / "out", "--model", copies[0]) == FILES
    said = capsys.readouterr().out
    for view in (mistakes, typical):
        assert f"{view.TITLE}: left out. no data at" in said
    assert call(tmp_path / "out", "--model", copies[0], "--versus", copies[1]) == FILES | {
        "versus.csv"
    }


def test_a_class_that_was_not_held_out(copies, tmp_path, monkeypatch, capsys):
    _, labels, probabilities = records.load_predictions(copies[0])
    kept = labels != 1
    rows = np.flatnonzero(kept)
    change(copies[0], rows=rows, labels=labels[kept], probabilities=probabilities[kept])
    (copies[0] / "split.npz").unlink()
    line = refusal(capsys, tmp_path / "out", "--model", copies[0], "--classes", "disgust")
    assert "--classes disgust" in line
    assert "found none" in line
    call(tmp_path / "out", "--model", copies[0])
    assert "There are no faces labelled disgust." in capsys.readouterr().out


# --- other data


def write_table(path, labels, images, usage="Training"):
    lines = (
        f"{label},{' '.join(map(str, image.ravel()))},{usage}\n"
        for label, image in zip(labels, images, strict=True)
    )
    path.write_text("emotion,pixels,Usage\n" + "".join(lines))
    return path


def test_another_copy_of_the_data_scores_the_images_found_there(copies, tmp_path, capsys):
    run = copies[0]
    faces, _split = splits.load_of_run(run)
    splits.save_images(run, faces)
    rows, _labels, probabilities = records.load_predictions(run)
    lost, relabelled = rows[[2, 40, 77]], rows[5]
    order = np.random.default_rng(1).permutation(len(faces.train_images))
    order = order[~np.isin(order, lost)]
    new_labels = faces.train_labels.copy()
    new_labels[relabelled] = (new_labels[relabelled] + 1) % 7
    data = write_table(tmp_path / "other.csv", new_labels[order], faces.train_images[order])
    call(tmp_path / "out", "--model", run, "--versus", copies[1], "--data", data)
    kept = ~np.isin(rows, lost)
    with np.load(tmp_path / "out" / "confusion.npz") as arrays:
        np.testing.assert_array_equal(arrays["rows"], rows[kept])
        np.testing.assert_array_equal(arrays["labels"], new_labels[rows[kept]])
        np.testing.assert_allclose(arrays["probabilities"], probabilities[kept])
    said = capsys.readouterr().out
    assert f"on {VALIDATION - 3} validation rows" in said
    assert "1 of them have another label in" in said
    assert f"--data {data}" in said.splitlines()[-1]


def test_pages_of_another_copy_show_its_faces(copies, tmp_path, monkeypatch):
    run = copies[0]
    faces, _split = splits.load_of_run(run)
    splits.save_images(run, faces)
    rows, _labels, _ = records.load_predictions(run)
    order = np.arange(len(faces.train_images))[::-1]
    order = order[~np.isin(order, rows[:30])]
    data = write_table(tmp_path / "other.csv", faces.train_labels[order], faces.train_images[order])
    results = []
    monkeypatch.setattr(mistakes, "draw", lambda result: results.append(result))
    call(tmp_path / "out", "--model", run, "--data", data)
    np.testing.assert_array_equal(results[0].images, faces.train_images[rows[30:]])


@pytest.mark.parametrize("which", ["test", "all"])
def test_any_labelled_faces_are_scored_by_asking_the_model(
    trained_run, small_data, tmp_path, capsys, which
):
    from common.models import checkpoints, prediction

    faces = loading.load(small_data)
    if which == "all":
        data, images, labels = small_data, faces.train_images, faces.train_labels
    else:
        images = faces.train_images[:40] // 2
        labels = (faces.train_labels[:40] + 1) % 7
        data = write_table(tmp_path / "mine.csv", labels, images, "PublicTest")
        with data.open("a") as file, (tmp_path / "mine.csv").open() as again:
            file.write(again.readlines()[1].replace("PublicTest", "Training"))
    arguments = ("--model", trained_run, "--rows", which, "--data", data)
    names = call(tmp_path / "out", *arguments, "--versus", trained_run)
    assert names == FILES - {"report_comparison.csv"} | PAGES | {"versus.png", "versus.csv"}
    expected = prediction.predict(checkpoints.load(trained_run)[0], images)
    with np.load(tmp_path / "out" / "confusion.npz") as arrays:
        np.testing.assert_array_equal(arrays["labels"], labels)
        np.testing.assert_allclose(arrays["probabilities"], expected, atol=1e-6)
    said = capsys.readouterr().out
    assert "report" not in said
    assert "validation rows" not in said
    if which == "all":
        seen = len(splits.load(trained_run / "split.npz").train_rows)
        assert "on 210 labelled images: accuracy" in said
        assert f"{trained_run} was trained on {seen} of these 210 images" in said
        assert "no validation score" in said
    else:
        assert "on 40 test rows: accuracy" in said
        assert f"{trained_run} was trained on" in said


def test_rows_without_labels_are_refused(trained_run, small_data, tmp_path, capsys):
    arguments = ("--model", trained_run, "--rows", "test", "--data", small_data)
    line = refusal(capsys, tmp_path / "out", *arguments)
    assert "expected labelled test rows, found test rows without labels" in line


def test_other_data_are_not_compared_with_the_report(copies, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(splits, "FER2013", PROJECT / "pretrained" / splits.IMAGES)
    names = call(tmp_path / "out", "--model", copies[0])
    assert names == FILES - {"report_comparison.csv"} | PAGES
    assert "report" not in capsys.readouterr().out


def test_only_expressions_with_faces_are_compared_with_the_report():
    counts = np.zeros((7, 7), int)
    counts[6] = [1, 0, 0, 0, 0, 0, 39]
    result = SimpleNamespace(counts=counts)
    rows = against_report.table(result)
    assert [(row["true"], row["class here"], row["rows here"]) for row in rows] == [
        ("any other", "neutral", 40)
    ] * 2
    assert "Of the 2 fractions" in against_report.sentences(result)[0]


def test_a_folder_of_runs_may_be_compared_with(copies, tmp_path):
    one, other = copies
    (tmp_path / "seeds").mkdir()
    shutil.copytree(other, tmp_path / "seeds" / "seed-0")
    flags = ("--model", one, "--versus")
    assert call(tmp_path / "a", *flags, other) == call(tmp_path / "b", *flags, tmp_path / "seeds")
    compared = [(tmp_path / name / "versus.csv").read_text() for name in "ab"]
    assert compared[0] == compared[1]


# --- bad input


def test_bad_runs_are_refused_in_one_line(copies, tmp_path, capsys):
    out = tmp_path / "out"
    one, other = copies
    assert "nowhere" in refusal(capsys, out, "--model", tmp_path / "nowhere")
    assert "nowhere" in refusal(capsys, out, "--model", one, "--versus", tmp_path / "nowhere")
    with pytest.raises(ValueError, match="holds a run, which stays as it is"):
        call(one, "--model", one)

    rows, _, probabilities = records.load_predictions(other)
    change(other, rows=rows[::-1])
    assert "same rows" in refusal(capsys, out, "--model", one, "--versus", other)
    assert "same rows" in refusal(capsys, out, "--model", one, other)
    assert "split.npz" in refusal(capsys, out, "--model", other)
    probabilities[3, 3] = np.nan
    change(other, probabilities=probabilities)
    assert "nan" in refusal(capsys, out, "--model", other)
    (other / "predictions.npz").write_bytes(b"PK\x03\x04 torn")
    assert "predictions.npz" in refusal(capsys, out, "--model", other)
    (other / "predictions.npz").unlink()
    line = refusal(capsys, out, "--model", other)
    assert line.endswith(f"python train_dnn.py --out {other} --resume")


def test_bad_options_are_refused_in_one_line(two_runs, small_data, tmp_path, capsys):
    other = Path(shutil.copytree(small_data, tmp_path / "other"))
    lines = (other / "train.csv").read_text().splitlines()[:-1]
    (other / "train.csv").write_text("\n".join(lines))
    line = refusal(capsys, tmp_path / "out", "--model", two_runs[0], "--data", other)
    assert "expected the data it was trained on" in line
    with pytest.raises(FileNotFoundError, match="nowhere"):
        call(tmp_path / "out", "--model", two_runs[0], "--data", tmp_path / "nowhere")
    for argv in (["--classes", "glad"], ["--faces", "0"], ["--classes"], ["--versus"]):
        with pytest.raises(SystemExit) as caught:
            confusion.build_parser().parse_args(argv)
        assert caught.value.code == 2
    assert "0 angry, 1 disgust" in capsys.readouterr().err


# --- figures


def texts(axes):
    return [text.get_text() for text in axes.texts]


def test_matrix_has_fraction_and_count_in_every_cell():
    counts = np.arange(49).reshape(7, 7)
    counts[1] = 0
    counts[6, 6] = 12_345
    fractions = metrics.row_fractions(counts)
    axes, bar = matrix.draw(SimpleNamespace(counts=counts, headline="model\nn = 3")).axes
    assert axes.get_title() == "model\nn = 3"
    assert axes.get_xlabel().startswith("predicted")
    assert axes.get_ylabel().startswith("true")
    assert "fraction" in bar.get_ylabel()
    for labels, totals in (
        (axes.get_xticklabels(), counts.sum(axis=0)),
        (axes.get_yticklabels(), counts.sum(axis=1)),
    ):
        expected = [f"{name}\n{n:,}" for name, n in zip(CLASS_NAMES, totals, strict=True)]
        assert [label.get_text() for label in labels] == expected
    cells = {}
    for text in axes.texts:
        x, y = text.get_position()
        cells.setdefault((round(y), round(x)), []).append(text.get_text())
    assert len(cells) == 49
    for (row, column), (fraction, count) in cells.items():
        assert fraction == ("-" if row == 1 else f"{fractions[row, column]:.2f}")
        assert count == f"{counts[row, column]:,}"
    np.testing.assert_array_equal(axes.images[0].get_array(), fractions)


def test_matrix_stays_readable_in_grey(monkeypatch):
    fractions = np.linspace(0, 1, 49)
    monkeypatch.setattr(metrics, "row_fractions", lambda counts: fractions.reshape(7, 7))
    figure = matrix.draw(SimpleNamespace(counts=np.eye(7, dtype=int), headline=""))
    axes = figure.axes[0]
    shown = axes.images[0]

    def luminance(colours):  # relative luminance of the web's contrast rule
        channels = np.asarray(colours)[..., :3]
        linear = np.where(
            channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4
        )
        return linear @ [0.2126, 0.7152, 0.0722]

    background = luminance(shown.cmap(shown.norm(fractions)))
    assert (np.diff(background) < 0).all()  # darker means more
    for text in axes.texts:
        x, y = text.get_position()
        paper = background[round(y) * 7 + round(x)]
        ink = 1.0 if text.get_color() == "white" else 0.0
        lighter, darker = max(paper, ink), min(paper, ink)
        assert (lighter + 0.05) / (darker + 0.05) > 4


def test_reliability_draws_the_bins():
    probabilities = np.full((30, 7), 0.01)
    probabilities[:, 2] = 0.94
    probabilities[10:, :] = 0.6 / 6
    probabilities[10:, 5] = 0.4
    labels = np.array([2] * 9 + [4] + [5] * 10 + [0] * 10)
    result = comparison.Evaluation(
        name="model",
        rows=np.arange(30),
        labels=labels,
        probabilities=probabilities,
        images=np.empty((0, 48, 48), np.uint8),
    )
    upper, lower = calibration.draw(result).axes
    assert upper.get_title().splitlines()[0] == "model"
    error, _ = metrics.expected_calibration_error(probabilities, labels)
    assert f"expected calibration error {error:.3f}" in texts(upper)[0].splitlines()
    assert texts(lower) == ["20", "10"]
    assert [bar.get_height() for bar in lower.patches] == [20, 10]
    assert [bar.get_height() for bar in upper.patches] == pytest.approx([0.5, 0.9])
    confidence, accuracy = upper.lines[1].get_data()
    np.testing.assert_allclose(confidence, [0.4, 0.94])
    np.testing.assert_allclose(accuracy, [0.5, 0.9])


def test_face_page_keeps_images_and_captions_together():
    images = np.arange(5, dtype=np.uint8)[:, None, None] * np.ones((1, 48, 48), np.uint8)
    sections = [
        ("first", images[:3], ["a", "b", "c"]),
        ("none", images[:0], []),
        ("last", images[3:], ["d", "e"]),
    ]
    figure = pages.face_page(sections, columns=2, title="faces")
    assert figure.get_suptitle() == "faces"
    assert [part.get_suptitle() for part in figure.subfigs] == ["first", "none", "last"]
    shown = [axes for part in figure.subfigs for axes in part.axes if axes.images]
    assert [axes.get_title() for axes in shown] == ["a", "b", "c", "d", "e"]
    assert [int(axes.images[0].get_array()[0, 0]) for axes in shown] == [0, 1, 2, 3, 4]
    assert not any(axes.axison for part in figure.subfigs for axes in part.axes)


# --- observations

# Per hundred faces; the cells that the report names are its own, the rest fills the rows up.
REPORT = np.array(
    [
        [62, 1, 9, 8, 9, 2, 9],
        [19, 54, 5, 5, 12, 1, 4],
        [13, 1, 52, 3, 16, 7, 8],
        [2, 0, 2, 90, 2, 1, 3],
        [11, 0, 15, 5, 53, 1, 15],
        [4, 0, 8, 5, 2, 78, 3],
        [9, 0, 6, 7, 9, 2, 67],
    ]
)

codes = st.integers(0, 6)
rows_of_codes = st.lists(st.tuples(codes, codes), min_size=1, max_size=60)


def test_observations_of_the_report():
    assert matrix.observations(REPORT * 30) == [
        "The best recognised expressions are happy (0.90) and surprise (0.78).",
        "The least recognised expressions are fear (0.52), sad (0.53) and disgust (0.54).",
        "Faces labelled disgust are mistaken for angry (0.19) and sad (0.12).",
        "Faces labelled fear are mistaken for sad (0.16) and angry (0.13).",
        "Faces labelled sad are mistaken for fear (0.15), neutral (0.15) and angry (0.11).",
        "Hardly any face is wrongly predicted as disgust (at most 0.01 of any other expression).",
        "Hardly any face is wrongly predicted as surprise "
        "(at most 0.02 of any other expression, but 0.07 of fear).",
    ]


def test_observations_take_their_thresholds():
    sentences = matrix.observations(REPORT, mistaken=0.16, rare=0.01)
    assert sentences[2:] == [  # a fraction at the threshold counts
        "Faces labelled disgust are mistaken for angry (0.19).",
        "Faces labelled fear are mistaken for sad (0.16).",
        "Hardly any face is wrongly predicted as disgust (at most 0.01 of any other expression).",
    ]


def test_observations_do_not_depend_on_class_sizes():
    sizes = np.array([10, 1, 7, 20, 9, 5, 8])[:, np.newaxis]
    assert matrix.observations(REPORT * sizes) == matrix.observations(REPORT)


def test_observations_of_a_perfect_model():
    sentences = matrix.observations(np.eye(7, dtype=int) * 5)
    names = f"{', '.join(CLASS_NAMES[:-1])} and {CLASS_NAMES[-1]}"
    assert sentences[0] == f"The fraction recognised is 1.00 for {names}."
    assert sentences[1].startswith("No expression is mistaken for another in 0.10 or more")
    assert [sentence.split(" as ")[1].split(" ")[0] for sentence in sentences[2:]] == list(
        CLASS_NAMES
    )


def test_observations_of_a_model_that_knows_one_answer():
    counts = np.zeros((7, 7), int)
    counts[:, 3] = 10
    counts[1] = 0
    sentences = matrix.observations(counts)
    assert sentences[:2] == [
        "There are no faces labelled disgust.",
        "The best recognised expression is happy (1.00).",
    ]
    assert "Faces labelled angry are mistaken for happy (1.00)." in sentences
    assert sum("No face is predicted as" in sentence for sentence in sentences) == 6
    assert not any("Hardly" in sentence for sentence in sentences)


def test_observations_of_ties_name_all_of_them():
    counts = np.diag([8, 8, 6, 5, 5, 4, 0])
    counts[:, 6] += 10 - np.diag(counts)
    assert matrix.observations(counts)[:2] == [
        "The best recognised expressions are neutral (1.00), angry (0.80) and disgust (0.80).",
        "The least recognised expressions are surprise (0.40), happy (0.50) and sad (0.50).",
    ]
    counts[2] = counts[1]  # now more than half are that good: they no longer stand out
    counts[2, [1, 2]] = [0, 8]
    counts[3] = [0, 0, 0, 8, 0, 0, 2]
    assert matrix.observations(counts)[0] == "The best recognised expression is neutral (1.00)."


@given(rows_of_codes)
@settings(max_examples=60, deadline=None)
def test_observations_are_sentences_for_any_counts(rows):
    for sentence in matrix.observations(metrics.confusion_counts(*np.array(rows).T)):
        assert sentence[0].isupper()
        assert sentence.endswith(".")
        assert "nan" not in sentence


def test_observations_of_nothing():
    assert matrix.observations(np.zeros((7, 7), int)) == ["There are no faces to observe."]


# --- beside the report


def test_report_table_of_the_reports_own_fractions():
    table = comparison.report_table(REPORT * 10)
    assert all(row["compatible"] for row in table)
    exact = [row for row in table if row["report"][0].isdigit()]
    assert len(exact) == 10
    for row in exact:
        assert row["here"] == pytest.approx(float(row["report"]), abs=1e-12)
        assert row["difference"] == pytest.approx(0, abs=1e-12)
    others = {row["predicted"]: row for row in table if row["true"] == "any other"}
    assert others["surprise"]["here"] == 0.02  # fear, 0.07, is named by itself
    assert others["disgust"]["here"] == 0.01
    assert against_report.sentences(SimpleNamespace(counts=REPORT * 10)) == [
        "Of the 15 fractions that the report states, 15 are within the 95 % intervals here."
    ]


def test_report_table_of_another_matrix():
    counts = REPORT * 100
    counts[3] = [0, 2000, 0, 8000, 0, 0, 0]  # happy 0.80; taken for disgust 0.20
    counts[1] = 0
    table = comparison.report_table(counts)
    differing = {(row["true"], row["predicted"]) for row in table if not row["compatible"]}
    assert differing == {("happy", "happy"), ("any other", "disgust")}
    assert next(row for row in table if row["predicted"] == "disgust")["here"] is None
    other = table[-1]
    assert (other["class here"], other["here"], other["rows here"]) == ("happy", 0.2, 10_000)
    assert against_report.sentences(SimpleNamespace(counts=counts)) == [
        "Of the 12 fractions that the report states of expressions with faces here, 10 are within "
        "the 95 % intervals here; not so happy as happy (0.90 there, 0.80 here), any other as "
        "disgust (at most 0.01 there, 0.20 here)."
    ]
