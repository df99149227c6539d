"""common.comparison against scikit-learn, statsmodels and closed forms, and on damaged runs."""

import json
import subprocess
import sys

import numpy as np
import pytest
import sklearn.metrics
from statsmodels.stats.contingency_tables import mcnemar as statsmodels_mcnemar
from statsmodels.stats.proportion import proportion_confint

from common import comparison, metrics
from common.labels import CLASS_NAMES
from common.runs import records, schema, storage

GENERATOR = np.random.default_rng(5)
LABELS = GENERATOR.permutation(np.arange(350) % 7)


def probabilities_of(labels, *, skill, seed):
    """Softmax of noise plus `skill` for the true class."""
    logits = np.random.default_rng(seed).normal(size=(len(labels), 7))
    logits[np.arange(len(labels)), labels] += skill
    exponentials = np.exp(logits)
    return exponentials / exponentials.sum(axis=1, keepdims=True)


GOOD = probabilities_of(LABELS, skill=2.5, seed=0)
BAD = probabilities_of(LABELS, skill=1.0, seed=1)


def evaluation(labels, probabilities, **facts):
    """What a model says of rows without images."""
    return comparison.Evaluation(
        name="model",
        rows=np.arange(len(labels)),
        labels=labels,
        probabilities=probabilities,
        images=np.empty((0, 48, 48), np.uint8),
        **facts,
    )


@pytest.fixture
def make_run(tmp_path):
    """A function that writes a finished run folder."""

    def make(name, probabilities, *, rows=None, labels=LABELS, data_hash="d", seconds=10.0):
        folder = tmp_path / name
        folder.mkdir()
        config = {"command": f"python train_{name}.py --seed 3", "data_hash": data_hash}
        (folder / "config.json").write_text(json.dumps(config))
        rows = np.arange(len(labels)) * 3 if rows is None else rows
        np.savez(folder / "predictions.npz", rows=rows, labels=labels, probabilities=probabilities)
        correct = int((np.argmax(probabilities, axis=1) == labels).sum())
        result = {
            "n": len(labels),
            "accuracy": correct / len(labels),
            "interval_95": metrics.wilson_interval(correct, len(labels)),
            "macro_f1": 0.5,
            "best_epoch": 7,
            "epochs": 9,
            "seconds_per_epoch": seconds,
            "parameters": 1234,
        }
        (folder / "metrics.json").write_text(json.dumps(result))
        return folder

    return make


def test_import_is_light():
    heavy = "{'scipy', 'sklearn', 'pandas', 'keras', 'tensorflow', 'matplotlib'}"
    code = f"import sys, common.comparison; sys.exit(len({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# --- predictions


def test_predictions_come_back(make_run):
    run = make_run("cnn", GOOD.astype(np.float32))
    rows, labels, probabilities = records.load_predictions(run)
    assert rows.dtype == labels.dtype == np.int64
    np.testing.assert_array_equal(rows, np.arange(350) * 3)
    np.testing.assert_array_equal(labels, LABELS)
    np.testing.assert_array_equal(probabilities, GOOD.astype(np.float32))


def test_a_run_without_predictions_names_the_command_that_makes_them(make_run, tmp_path):
    run = make_run("dnn", GOOD)
    (run / "predictions.npz").unlink()
    with pytest.raises(ValueError, match=r"python train_dnn.py --out \S+dnn --resume$"):
        records.load_predictions(run)
    with pytest.raises(ValueError, match=r"python train_cnn.py --out \S+nowhere$"):
        records.load_predictions(tmp_path / "nowhere")


def changed(**arrays):
    good = {"rows": np.arange(350), "labels": LABELS, "probabilities": GOOD}
    return lambda path: np.savez(path, **{**good, **arrays})


def flip_byte(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)


def half(path):
    path.write_bytes(path.read_bytes()[:5000])


def one_array(path):
    with path.open("wb") as file:
        np.save(file, GOOD)


def not_finite(value):
    array = GOOD.copy()
    array[17, 3] = value
    return array


DAMAGE = {
    "half": half,
    "flipped byte": flip_byte,
    "empty": lambda path: path.write_bytes(b""),
    "text": lambda path: path.write_text("rows,labels\n1,2\n"),
    "one array": one_array,
    "key missing": lambda path: np.savez(path, rows=np.arange(350), labels=LABELS),
    "pickle": changed(labels=LABELS.astype(object)),
    "words": changed(probabilities=np.full((350, 7), "a")),
    "nan": changed(probabilities=not_finite(np.nan)),
    "infinite": changed(probabilities=not_finite(np.inf)),
    "logits": changed(probabilities=np.log(GOOD)),
    "six classes": changed(probabilities=GOOD[:, :6]),
    "no rows": changed(rows=[], labels=np.array([], int), probabilities=GOOD[:0]),
    "class 7": changed(labels=LABELS + 1),
    "fewer labels": changed(labels=LABELS[:-1]),
    "fewer rows": changed(rows=np.arange(349)),
    "row twice": changed(rows=np.arange(350) // 2),
    "row below 0": changed(rows=np.arange(350) - 1),
    "float rows": changed(rows=np.arange(350) + 0.5),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_predictions_are_refused_in_one_line(make_run, damage):
    path = make_run("cnn", GOOD) / "predictions.npz"
    DAMAGE[damage](path)
    with pytest.raises(ValueError, match="damaged or something else") as caught:
        records.load_predictions(path.parent)
    message = str(caught.value)
    assert message.startswith(str(path))
    assert "\n" not in message
    assert "--resume" in message


def test_several_runs_together(make_run):
    folders = [make_run("a", GOOD), make_run("b", BAD)]
    rows, labels, together = records.load_together(folders)
    np.testing.assert_array_equal(rows, np.arange(350) * 3)
    np.testing.assert_array_equal(labels, LABELS)
    np.testing.assert_array_equal(together, [GOOD, BAD])


OTHER_RUNS = {
    "other rows": {"rows": np.arange(350)},
    "same rows, other order": {"rows": np.arange(350)[::-1] * 3},
    "other labels": {"labels": np.roll(LABELS, 1)},
    "other data": {"data_hash": "e"},
    "fewer": {"rows": np.arange(349) * 3, "labels": LABELS[:-1], "probabilities": BAD[:-1]},
}


@pytest.mark.parametrize("difference", OTHER_RUNS)
def test_runs_on_different_rows_are_refused(make_run, difference):
    one = make_run("a", GOOD)
    other = make_run("b", **{"probabilities": BAD, **OTHER_RUNS[difference]})
    with pytest.raises(ValueError, match="same rows of the same data"):
        records.load_together([one, other])


def test_runs_without_a_usable_record_are_refused(make_run):
    one, other = make_run("a", GOOD), make_run("b", BAD)
    (other / "config.json").write_text("[]")
    with pytest.raises(ValueError, match=r"config\.json"):
        records.load_together([one, other])
    (other / "config.json").unlink()
    with pytest.raises(ValueError, match=r"config\.json"):
        records.load_together([one, other])


def test_display_name():
    assert records.display_name(["/somewhere/outputs/cnn"]) == "outputs/cnn"
    assert records.display_name(["a/x", "b/y"]) == "mean of 2 runs (a/x, b/y)"


# --- scores


def test_class_table_equals_scikit_learn():
    predictions = GOOD.argmax(axis=1)
    table = evaluation(LABELS, GOOD).scores
    assert [row["class"] for row in table] == list(CLASS_NAMES)
    expected = sklearn.metrics.precision_recall_fscore_support(LABELS, predictions)
    for name, values in zip(("precision", "recall", "F1", "rows"), expected, strict=True):
        np.testing.assert_allclose([row[name] for row in table], values, rtol=1e-12)
    for code, row in enumerate(table):
        right = np.count_nonzero((code == LABELS) & (predictions == code))
        for name, total in (("recall", row["rows"]), ("precision", row["predicted"])):
            interval = proportion_confint(right, total, method="wilson")
            np.testing.assert_allclose(
                [row[f"{name} 95 % low"], row[f"{name} 95 % high"]], interval, rtol=1e-9
            )
        assert row["F1 95 % low"] < row["F1"] < row["F1 95 % high"]
    assert table == evaluation(LABELS, GOOD).scores  # the bootstrap is seeded
    assert table != evaluation(LABELS, GOOD, seed=1).scores


def test_class_table_of_an_absent_class():
    labels = LABELS[LABELS != 1]
    row = evaluation(labels, np.eye(7)[labels]).scores[1]
    assert row["rows"] == row["predicted"] == row["recall"] == row["precision"] == row["F1"] == 0
    assert (row["recall 95 % low"], row["recall 95 % high"]) == (0, 1)


def test_summary_equals_scikit_learn():
    table = {row["measure"]: row for row in evaluation(LABELS, GOOD).summary}
    predictions = GOOD.argmax(axis=1)
    for name, expected in (
        ("accuracy", sklearn.metrics.accuracy_score(LABELS, predictions)),
        ("macro F1", sklearn.metrics.f1_score(LABELS, predictions, average="macro")),
        ("balanced accuracy", sklearn.metrics.balanced_accuracy_score(LABELS, predictions)),
    ):
        assert table[name]["value"] == pytest.approx(expected, rel=1e-12)
        assert table[name]["95 % low"] < expected < table[name]["95 % high"]
        assert table[name]["95 % high"] - table[name]["95 % low"] < 0.12
    expected = sklearn.metrics.log_loss(LABELS, GOOD)
    assert table["negative log-likelihood"]["value"] == pytest.approx(expected, rel=1e-9)
    error, _ = metrics.expected_calibration_error(GOOD, LABELS)
    assert table["expected calibration error"]["value"] == error


def test_calibration_bins_closed_form():
    probabilities = np.full((10, 7), 0.1 / 6)
    probabilities[:, 2] = 0.9
    labels = np.array([2] * 6 + [4] * 4)
    _, bins = metrics.expected_calibration_error(probabilities, labels)
    (place,) = np.flatnonzero(bins["count"])
    assert bins["count"][place] == 10
    assert bins["accuracy"][place] == pytest.approx(0.6)
    assert bins["confidence"][place] == pytest.approx(0.9)
    interval = proportion_confint(6, 10, method="wilson")
    np.testing.assert_allclose([bins["low"][place], bins["high"][place]], interval, rtol=1e-9)
    for name in ("accuracy", "confidence", "low", "high"):
        assert np.isnan(np.delete(bins[name], place)).all()


# --- two runs


def test_paired_table_equals_statsmodels():
    predictions = [p.argmax(axis=1) for p in (GOOD, BAD)]
    table = comparison.paired_table(LABELS, *predictions)
    assert [row["class"] for row in table] == ["all", *CLASS_NAMES]
    for row in table:
        code = None if row["class"] == "all" else CLASS_NAMES.index(row["class"])
        mask = np.ones(350, bool) if code is None else code == LABELS
        a, b = (p[mask] == LABELS[mask] for p in predictions)
        crossed = sklearn.metrics.confusion_matrix(~a, ~b, labels=[False, True])
        expected = [row[f"{name} right"] for name in ("both", "only a", "only b", "neither")]
        np.testing.assert_array_equal(crossed.ravel(), expected)
        assert row["rows"] == mask.sum()
        assert row["p"] == pytest.approx(statsmodels_mcnemar(crossed, exact=True).pvalue, rel=1e-9)
        assert row["difference"] == pytest.approx(row["accuracy a"] - row["accuracy b"])
        assert row["95 % low"] <= row["difference"] <= row["95 % high"]


def test_paired_table_leaves_out_absent_classes():
    labels = np.array([0, 0, 3])
    table = comparison.paired_table(labels, labels, labels)
    assert [row["class"] for row in table] == ["all", "angry", "happy"]
    assert {row["p"] for row in table} == {1.0}
    assert comparison.paired_sentences("one", "other", table)[2].startswith("For no single class")


def test_sentences(make_run):
    runs = [
        "CNN",
        make_run("cnn", GOOD, seconds=60),
        "DNN",
        make_run("dnn", BAD, seconds=2),
    ]
    text = comparison.sentences(*runs)
    a, b = (float((p.argmax(axis=1) == LABELS).mean()) for p in (GOOD, BAD))
    assert f"350 validation rows the CNN is right on {a:.1%} and the DNN on {b:.1%}" in text[0]
    assert f"{100 * (a - b):+.1f} points" in text[0]
    assert "only the CNN gets right" in text[1]
    assert "p < 1e-12" in text[1]
    slower = "an epoch of the CNN took 30.0 times as long as one of the DNN."
    assert text[-1].endswith(slower)
    assert comparison.sentences(*runs[2:], *runs[:2])[-1].endswith(slower)


def test_times_of_different_machines_are_not_compared(make_run):
    runs = {"CNN": make_run("cnn", GOOD), "DNN": make_run("dnn", BAD)}
    for run, processor in zip(runs.values(), ("a fast one", "a slow one"), strict=True):
        config = json.loads((run / "config.json").read_text())
        config["machine"] = {"processor": processor, "cpus": 2}
        (run / "config.json").write_text(json.dumps(config))
    (first, second), (one, other) = runs.keys(), runs.values()
    said = comparison.sentences(first, one, second, other)[-1]
    assert said.endswith("parameters; their times are those of different machines.")
    assert comparison.table(runs)["machine"].tolist() == ["2 x a fast one", "2 x a slow one"]


def test_table(make_run):
    table = comparison.table({"CNN": make_run("cnn", GOOD), "DNN": make_run("dnn", BAD)})
    assert table["model"].tolist() == ["CNN", "DNN"]
    assert table["validation accuracy"].tolist() == [
        pytest.approx((p.argmax(axis=1) == LABELS).mean()) for p in (GOOD, BAD)
    ]
    assert (table["95 % low"] < table["validation accuracy"]).all()
    assert table["epoch kept"].tolist() == [7, 7]


@pytest.mark.parametrize("content", [None, "{", "{}", "[]", '{"interval_95": 3}'])
def test_table_of_unfinished_runs(make_run, content):
    run = make_run("cnn", GOOD)
    path = run / "metrics.json"
    path.unlink() if content is None else path.write_text(content)
    with pytest.raises(ValueError, match=r"metrics\.json") as caught:
        comparison.table({"CNN": run})
    assert "\n" not in str(caught.value)


def test_history(make_run):
    run = make_run("cnn", GOOD)
    with pytest.raises(ValueError, match=r"history\.csv"):
        records.load_history(run)
    (run / "history.csv").write_text("epoch,loss\n")
    with pytest.raises(ValueError, match="no epoch"):
        records.load_history(run)
    (run / "history.csv").write_text("epoch,loss\n1,2.5\n2,1.5\n")
    with pytest.raises(ValueError, match=r"history\.csv, epoch 1: expected accuracy, .*found none"):
        records.load_history(run)
    rows = [dict.fromkeys(schema.HISTORY, 0.5) | {"epoch": epoch} for epoch in (1, 2)]
    storage.write_table(run / "history.csv", rows)
    assert records.load_history(run) == rows
    storage.write_table(run / "history.csv", [rows[0], rows[1] | {"loss": float("nan")}])
    with pytest.raises(ValueError, match=r"epoch 2: expected loss to be a number.*found nan"):
        records.load_history(run)
