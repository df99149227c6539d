"""The same command with the same seed makes the same bytes, whatever script it is."""

import importlib
import shutil
from pathlib import Path

import keras
import pytest

from common.figures.training import compared_runs
from common.models import checkpoints, registry
from common.runs import storage
from experiments.faults import same

MODEL = ("--model", "run")
LOOKS = {
    "predict": (*MODEL, "--rows", "validation", "--tta"),
    "confusion": MODEL,
    "saliency": (*MODEL, "--images", "0", "--method", "smooth_gradient", "--samples", "2"),
    "filter_vis": (
        "--model",
        "convolutional",
        "--part",
        "ascent",
        "classes",
        "--filters",
        "2",
        "--steps",
        "2",
    ),
    "adversarial": (
        *(*MODEL, "--figures", "examples", "robustness", "--attack", "fgsm", "pgd"),
        *("--images", "0", "--faces", "2", "--curve", "1", "--steps", "2"),
    ),
}


def call(script, *flags):
    importlib.import_module(script).main(list(map(str, flags)))


@pytest.fixture(scope="module")
def places(trained_run, small_data, tmp_path_factory):
    """Two folders, in each of which the same commands are typed: each has two runs, and data."""
    convolutional = tmp_path_factory.mktemp("runs") / "compact"
    shutil.copytree(trained_run, convolutional)
    keras.utils.set_random_seed(0)
    checkpoints.save(convolutional / "model.keras", registry.build("compact"), "compact")
    config = storage.read_json(convolutional / "config.json") | {"architecture": "compact"}
    storage.write_json(convolutional / "config.json", config)
    (convolutional / "metrics.json").unlink()  # of other weights
    folders = [tmp_path_factory.mktemp(name) for name in ("first", "second")]
    for folder in folders:
        (folder / "data").symlink_to(small_data)
        (folder / "run").symlink_to(trained_run)
        (folder / "convolutional").symlink_to(convolutional)
    return folders


def test_a_network_learns_the_same_in_another_folder(trained_run, small_data, tmp_path):
    call("train_dnn", "--data", small_data, "--epochs", 2, "--out", tmp_path)
    # The command, which stands below the curves, names another folder.
    assert same.differences(trained_run, tmp_path) == ["curves.png"]
    assert (tmp_path / "model.keras").read_bytes() == (trained_run / "model.keras").read_bytes()


@pytest.mark.parametrize("script", LOOKS)
def test_looking_at_a_network_makes_the_same_bytes(places, monkeypatch, script):
    for folder in places:
        monkeypatch.chdir(folder)
        call(script, *LOOKS[script], "--data", "data", "--out", script)
    first, second = (folder / script for folder in places)
    assert same.differences(first, second) == []
    assert [path for path in first.iterdir() if path.suffix in (".png", ".csv", ".npz")]


def test_self_training_makes_the_same_bytes(places, trained_run, small_data, monkeypatch):
    clockless = [bar for bar in compared_runs.BARS if bar[0] != "seconds an epoch"]
    monkeypatch.setattr(compared_runs, "BARS", [*clockless, ("epochs", "{:.0f}")])
    for folder in places:
        monkeypatch.chdir(folder)
        call(
            *("semi_supervised", "--data", small_data, "--architecture", "dnn", "--epochs", "1"),
            *("--teacher", trained_run, "--allow-leak", "--soft", "--out", "semi"),
        )
    first, second = (folder / "semi" for folder in places)
    assert same.differences(first, second) == []
    assert (first / "pseudo_labels.csv").is_file()


def test_the_page_is_the_same_to_the_byte(monkeypatch, tmp_path):
    pages = []
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        call("report", "--no-run", "--out", "page")
        pages.append(Path("page/report.html").read_bytes())
    assert pages[0] == pages[1]


def test_a_difference_is_seen(tmp_path):
    for name, content in (("first", "a,seconds\n1,2\n"), ("second", "a,seconds\n1,3\n")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.csv").write_text(content)
    assert same.differences(tmp_path / "first", tmp_path / "second") == []
    (tmp_path / "second" / "a.csv").write_text("a,seconds\n2,2\n")
    (tmp_path / "second" / "b.csv").write_text("")
    assert same.differences(tmp_path / "first", tmp_path / "second") == ["a.csv", "b.csv"]
