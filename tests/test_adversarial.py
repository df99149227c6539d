"""adversarial.py on a small run: what it writes, what it says, and bad input."""

import csv
import re
import shutil
import sys
import types

import numpy as np
import pytest

import adversarial
from common import cli, outputs
from common.attacks import registry
from common.labels import CLASS_NAMES

QUICK = ["--faces", "14", "--curve", "0", "2", "8", "--steps", "2"]


def rows_of(path):
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def written(trained_run, tmp_path_factory):
    """The output of the default figures and of the transfer to a copy of the model."""
    twin = tmp_path_factory.mktemp("twin") / "dnn"
    shutil.copytree(trained_run, twin)
    out = tmp_path_factory.mktemp("adversarial")
    adversarial.main(
        ["--model", str(trained_run), "--out", str(out), "--transfer", str(twin), *QUICK]
    )
    return out


def test_everything_is_written(written):
    names = {path.name for path in written.iterdir() if path.name[0] != "."}
    assert names == {
        "manifest.json",
        "observations.txt",
        "smallest.csv",
        *(
            f"{figure}.{kind}"
            for figure in ("examples", "targets", "robustness", "transfer")
            for kind in ("png", "npz", "csv")
        ),
    }


def test_examples_can_be_drawn_again_and_stay_in_the_ball(written):
    with np.load(written / "examples.npz", allow_pickle=False) as stored:
        assert stored["images"].shape == (5, 48, 48)
        for name in ("fgsm", "pgd"):
            change = stored[f"attacked_{name}"].astype(np.float64) - stored["images"]
            assert np.abs(change).max() <= 4 / 255 + 1e-7
            np.testing.assert_allclose(stored[f"probabilities_{name}"].sum(1), 1, atol=1e-5)
        numbers = stored["numbers"]
        labels = stored["labels"]
    table = rows_of(written / "examples.csv")
    assert len(table) == 15
    assert [int(row["image"]) for row in table[:5]] == numbers.tolist()
    assert [row["true"] for row in table[:5]] == [CLASS_NAMES[code] for code in labels]


def test_targets_has_every_pair_once(written):
    table = rows_of(written / "targets.csv")
    assert len(table) == 42
    assert len({(row["true"], row["target"]) for row in table}) == 42
    assert all(row["true"] != row["target"] for row in table)
    with np.load(written / "targets.npz", allow_pickle=False) as stored:
        unchanged = stored["images"][np.arange(7), stored["labels"]]
        assert (unchanged == stored["originals"]).all()


def test_the_curve_agrees_with_its_arrays(written):
    table = rows_of(written / "robustness.csv")
    with np.load(written / "robustness.npz", allow_pickle=False) as stored:
        for name in ("fgsm", "pgd", "noise"):
            hits = stored[f"predictions_{name}"] == stored["labels"]
            expected = hits @ stored["weights"]
            found = [
                float(row["all"])
                for row in table
                if row["attack"] == name and row["in_8_bits"] == "no"
            ]
            np.testing.assert_allclose(found, expected, atol=1e-4)
        assert stored["sizes"].tolist() == [0, 2, 8]
        assert set(stored.files) >= {"smallest_deepfool", "smallest_pgd", "vanished", "numbers"}


def test_attacks_transfer_to_a_copy_as_they_are(written):
    first, second = rows_of(written / "transfer.csv")
    assert first.pop("model") != second.pop("model")
    assert first == second
    text = (written / "observations.txt").read_text(encoding="utf-8")
    assert "Any emotion into any other" in text
    assert "was trained on" not in text


def test_two_calls_are_equal_and_figures_do_not_depend_on_each_other(
    written, trained_run, tmp_path
):
    command = ["--model", str(trained_run), "--out", str(tmp_path), "--figures", "robustness"]
    adversarial.main([*command, *QUICK])
    with (
        np.load(written / "robustness.npz") as before,
        np.load(tmp_path / "robustness.npz") as after,
    ):
        for name in before.files:
            assert (before[name] == after[name]).all(), name
    assert not (tmp_path / "examples.png").exists()


def test_targeted_in_l2(trained_run, tmp_path, capsys):
    with np.load(trained_run / "split.npz") as split:
        rows = split["validation_rows"]
    labels = rows % 7  # of the small data
    images = np.flatnonzero(labels != 3)[:2]
    adversarial.main(
        [
            "--model",
            str(trained_run),
            "--out",
            str(tmp_path),
            "--norm",
            "l2",
            "--targeted",
            "happy",
            "--images",
            *map(str, images),
            "--figures",
            "examples",
            "robustness",
            *QUICK,
        ]
    )
    assert "Read as happy on 14 validation faces" in capsys.readouterr().out
    with np.load(tmp_path / "robustness.npz") as stored:
        assert not (stored["labels"] == 3).any()
        assert "smallest_deepfool" not in stored.files
    with np.load(tmp_path / "examples.npz") as stored:
        change = stored["attacked_pgd"].astype(np.float64) - stored["images"]
        assert (np.sqrt((change**2).mean((1, 2))) <= 4 / 255 + 1e-7).all()


def test_a_fraction_is_taken_for_grey_levels_with_a_remark(capsys):
    args = adversarial.build_parser().parse_args(["--eps", "0.03", "--curve", "0", "0.01"])
    setting, _ = adversarial.read_setting(args)
    assert setting.budget.eps == 0.03 / 255
    assert "for that fraction of the range of pixels pass 7.65" in capsys.readouterr().err
    adversarial.read_setting(adversarial.build_parser().parse_args([]))
    assert not capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--eps", "-1"], "0 or more"),
        (["--curve", "0", "-2"], "0 or more"),
        (["--eps", "nan"], "0 or more"),
        (["--eps", "256"], "255"),
        (["--targeted", "bored"], "surprise"),
        (["--images", "100000"], "expected 0 to"),
        (["--images", "-1"], "whole number"),
        (["--attack", "magic"], "deepfool"),
        (["--attack", "deepfool", "--targeted", "sad"], "deepfool"),
        (["--norm", "l7"], "linf"),
        (["--steps", "0"], "1 or more"),
        (["--model", "nowhere"], "nowhere"),
        (["--transfer", "nowhere"], "nowhere"),
        (["--data", "sample"], "the data it was trained on"),
    ],
)
def test_bad_input_ends_with_status_2(trained_run, tmp_path, capsys, flags, message):
    command = ["--model", str(trained_run), "--out", str(tmp_path / "out"), *flags]
    with pytest.raises(SystemExit) as stopped:
        cli.run(lambda: adversarial.main(command))
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err.splitlines()[-1]
    assert not [path for path in tmp_path.glob("out/*") if path.name[0] != "."]


def test_a_target_that_is_the_true_class_is_refused(trained_run, tmp_path, capsys):
    with np.load(trained_run / "split.npz") as split:
        label = split["validation_rows"][0] % 7
    command = ["--model", str(trained_run), "--out", str(tmp_path), "--images", "0"]
    with pytest.raises(SystemExit) as stopped:
        cli.run(lambda: adversarial.main([*command, "--targeted", str(label)]))
    assert stopped.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"{CLASS_NAMES[label]} already" in line


def test_a_reader_that_saw_the_faces_is_named(trained_run, tmp_path, capsys):
    other = tmp_path / "other"
    shutil.copytree(trained_run, other)
    with np.load(trained_run / "split.npz") as split:
        arrays = dict(split)
    arrays["train_rows"], arrays["validation_rows"] = (
        arrays["validation_rows"],
        arrays["train_rows"],
    )
    np.savez(other / "split.npz", **arrays)
    out = tmp_path / "out"
    command = ["--model", str(trained_run), "--out", str(out), "--transfer", str(other), *QUICK]
    adversarial.main([*command, "--figures", "examples", "--attack", "fgsm"])
    assert "other was trained on 14 of these faces" in capsys.readouterr().out
    assert (out / "transfer.png").exists()
    assert not (out / "robustness.png").exists()


def test_an_attack_that_is_registered_is_offered_drawn_and_tabled(
    trained_run, tmp_path, monkeypatch, capsys
):
    def darken(model, images, labels, budget):
        return np.clip(images - np.float32(np.max(budget.eps)), 0, 1)

    monkeypatch.setitem(sys.modules, "darken", types.SimpleNamespace(perturb=darken))
    entry = registry.Attack("Darkening", "#123456", "a shade darker", module="darken")
    monkeypatch.setitem(registry.ATTACKS, "darken", entry)
    with pytest.raises(SystemExit):
        adversarial.main(["--help"])
    assert "darken (a shade darker)" in re.sub(r"\s+", " ", capsys.readouterr().out)
    command = ["--model", str(trained_run), "--out", str(tmp_path), "--attack", "darken", "mi_fgsm"]
    adversarial.main([*command, *QUICK, "--transfer", str(trained_run)])
    said = capsys.readouterr().out
    for title in ("Darkening", "MI-FGSM"):
        assert f"{title}: " in said
        assert f", {title} " in said
    for name in ("darken", "mi_fgsm"):
        for table in ("examples", "robustness", "smallest"):
            assert name in {row["attack"] for row in rows_of(tmp_path / f"{table}.csv")}, table
        assert name in rows_of(tmp_path / "transfer.csv")[0]
        with np.load(tmp_path / "robustness.npz") as stored:
            assert stored[f"predictions_{name}"].shape == (3, 14)
    assert outputs.read(tmp_path)["finished"]


def test_an_attack_that_is_not_in_the_registry_is_refused(trained_run, tmp_path, capsys):
    command = ["--model", str(trained_run), "--out", str(tmp_path), "--attack", "noise"]
    with pytest.raises(SystemExit) as stopped:
        adversarial.main(command)
    assert stopped.value.code == 2
    assert "mi_fgsm" in capsys.readouterr().err.splitlines()[-1]
