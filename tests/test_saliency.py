"""The script saliency.py on small runs: what it writes, says and refuses."""

import csv
import importlib
import sys
import types
from types import SimpleNamespace

import keras
import numpy as np
import pytest
from keras import layers

import saliency
from common import outputs
from common.attribution import engine, grad_cam, gradient, maps, registry
from common.data import loading, pixels, splits
from common.labels import CLASS_NAMES
from common.models import checkpoints, prediction
from common.models import registry as architectures
from common.runs import storage


def build_tiny(*, fused):
    """A convolutional network that is explained in a moment."""
    del fused
    inputs = keras.Input((48, 48, 1), name="image")
    x = layers.LeakyReLU(name="leaky_re_lu_1")(
        layers.Conv2D(3, 5, strides=4, name="conv2d_1")(inputs)
    )
    x = layers.BatchNormalization(name="batch_normalization_1")(x)
    x = layers.Conv2D(4, 3, name="conv2d_2")(x)
    x = layers.Flatten(name="flatten")(layers.ReLU(name="re_lu")(x))
    outputs = layers.Softmax(name="probabilities")(layers.Dense(7, name="logits")(x))
    return keras.Model(inputs, outputs, name="tiny")


sys.modules["common.models.tiny"] = SimpleNamespace(build=build_tiny)
TINY = architectures.Architecture("tiny network")


@pytest.fixture(scope="module")
def tiny_run(small_data, tmp_path_factory):
    """The run folder of an untrained convolutional network, with its own split of the data."""
    folder = tmp_path_factory.mktemp("runs") / "tiny"
    faces = loading.load(small_data)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(architectures.ARCHITECTURES, "tiny", TINY)
        keras.utils.set_random_seed(0)
        checkpoints.save(folder / "model.keras", architectures.build("tiny"), "tiny")
    storage.write_json(
        folder / "config.json", {"architecture": "tiny", "flags": {"data": str(small_data)}}
    )
    splits.save(folder / "split.npz", splits.draw(faces, seed=0, validation=42))
    return folder


@pytest.fixture(autouse=True)
def tiny_is_known(monkeypatch):
    monkeypatch.setitem(architectures.ARCHITECTURES, "tiny", TINY)


def run(folder, out, *flags):
    saliency.main(["--model", str(folder), "--out", str(out), "--faces-per-class", "2", *flags])


def test_the_default_writes_figures_arrays_and_sentences(tiny_run, tmp_path, capsys):
    run(tiny_run, tmp_path, "--samples", "3")
    said = capsys.readouterr().out
    for name in (
        "saliency.png",
        "saliency.npz",
        "faithfulness.png",
        "faithfulness.csv",
        "faithfulness.npz",
        "covered_mouths.png",
        "covered_mouths.csv",
        "covered_mouths.npz",
        "mean_map.png",
        "mean_map.npz",
        "regions.csv",
        "observations.txt",
    ):
        assert (tmp_path / name).stat().st_size > 0
        assert name in said.splitlines()[-2]
    method = registry.method(registry.DEFAULT).title
    assert f"Maps by {method}, smoothed over {registry.SMOOTHING:g} pixels." in said
    assert f"Blank maps, zero everywhere: {method} " in said
    assert said.splitlines()[-1].startswith("See what its filters look for: python filter_vis.py")
    assert (tmp_path / "observations.txt").read_text() in said

    with np.load(tmp_path / "saliency.npz", allow_pickle=False) as arrays:
        np.testing.assert_array_equal(arrays["images"], range(5))
        np.testing.assert_array_equal(arrays["targets"], arrays["probabilities"].argmax(axis=1))
        faces, split = splits.load_of_run(tiny_run)
        np.testing.assert_array_equal(
            arrays["faces"], faces.train_images[split.validation_rows[:5]]
        )
        logits = prediction.logits_model(checkpoints.load(tiny_run)[0])
        expected = registry.load(registry.DEFAULT).attribute(
            logits, pixels.to_inputs(arrays["faces"]), arrays["targets"], engine.Options()
        )
        np.testing.assert_allclose(arrays[f"map_{registry.DEFAULT}"], expected, atol=1e-5)
        importances = maps.importance(registry.DEFAULT, expected, registry.SMOOTHING)
        shown = maps.normalised(importances, percentile=saliency.DISPLAY_PERCENTILE)
        np.testing.assert_allclose(arrays[f"shown_{registry.DEFAULT}"], shown, atol=1e-4)
    with (tmp_path / "faithfulness.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) % 5 == 0
    assert {row["image"] for row in rows} == set("01234")
    assert all(0 <= float(row["deletion_area"]) <= 1 for row in rows)
    with (tmp_path / "regions.csv").open() as file:
        assert {row["emotion"] for row in csv.DictReader(file)} == set(CLASS_NAMES)
    with (tmp_path / "covered_mouths.csv").open() as file:
        assert [row["image"] for row in csv.DictReader(file)] == [str(n) for n in range(42)]


def test_two_runs_are_bit_equal_and_the_model_is_not_touched(tiny_run, tmp_path):
    before = storage.sha256(tiny_run / "model.keras")
    for name in ("one", "two"):
        run(
            tiny_run, tmp_path / name, "--method", "smooth_gradient", "--samples", "2",
            "--images", "7", "--mean-map", "none", "--covered", "3",
        )  # fmt: skip
    for file in ("saliency.npz", "faithfulness.npz", "covered_mouths.npz"):
        with np.load(tmp_path / "one" / file) as one, np.load(tmp_path / "two" / file) as two:
            for name in one.files:
                np.testing.assert_array_equal(one[name], two[name])
    assert storage.sha256(tiny_run / "model.keras") == before


def test_all_methods_of_any_layer_explain_a_named_class(tiny_run, tmp_path, capsys):
    run(
        tiny_run, tmp_path, "--method", "all", "--samples", "2", "--images", "1",
        "--target", "happy", "--layer", "conv2d_1", "--mean-map", "grad_cam", "--covered", "1",
    )  # fmt: skip
    with np.load(tmp_path / "saliency.npz") as arrays:
        assert {name.removeprefix("map_") for name in arrays.files if name.startswith("map_")} == {
            *registry.METHODS
        }
        np.testing.assert_array_equal(arrays["targets"], [3])
        logits = prediction.logits_model(checkpoints.load(tiny_run)[0])
        expected = grad_cam.attribute(
            logits, pixels.to_inputs(arrays["faces"]), [3], engine.Options(layer="conv2d_1")
        )
        np.testing.assert_allclose(arrays["map_grad_cam"], expected, atol=1e-5)
    assert "the maps explain happy" in capsys.readouterr().out


def test_true_classes_many_pages_and_nothing_else_asked_for(tiny_run, tmp_path):
    run(
        tiny_run, tmp_path, "--method", "gradient", "--target", "true", "--no-check",
        "--mean-map", "none", "--covered", "0", "--images", *map(str, range(10)),
    )  # fmt: skip
    assert {path.name for path in tmp_path.iterdir() if path.name[0] != "."} == {
        "saliency.png", "saliency_2.png", "saliency.npz", "observations.txt",
        outputs.MANIFEST,
    }  # fmt: skip
    with np.load(tmp_path / "saliency.npz") as arrays:
        np.testing.assert_array_equal(arrays["targets"], arrays["labels"])


@pytest.mark.parametrize("width", [2, 5, 12])
def test_a_title_is_as_wide_as_its_figure_at_most(width):
    style = importlib.import_module("common.figures.style")
    words = "What drives the decisions of pretrained/cnn: LayerCAM, occlusion, SmoothGrad; $a$ "
    figure = style.new_figure(width, 2)
    style.title(figure, words * 2 + "_" * 60)
    figure.draw_without_rendering()
    box = figure._suptitle.get_window_extent()
    assert 0 <= box.x0 < box.x1 <= figure.bbox.x1
    assert figure.get_figheight() > 2 or width == 12


def test_a_long_command_below_a_figure_takes_nothing_from_it(tmp_path):
    style = importlib.import_module("common.figures.style")
    heights = []
    for words in (1, 400):
        figure = style.new_figure(5, 1)
        axes = figure.subplots()
        style.save(figure, tmp_path / "a.png", source="--model " * words)
        heights.append(axes.get_window_extent().height)
    assert 0.8 < heights[1] / heights[0] < 1.3


def test_a_method_is_one_module_and_one_line(tiny_run, tmp_path, monkeypatch, capsys):
    module = types.ModuleType("dark_pixels")
    module.attribute = lambda model, images, classes, options: 1 - images[..., 0]
    monkeypatch.setitem(sys.modules, "dark_pixels", module)
    monkeypatch.setitem(
        registry.METHODS, "dark", registry.Method("dark pixels", "#123456", module="dark_pixels")
    )
    assert "occlusion, dark, or all" in " ".join(saliency.build_parser().format_help().split())
    drawn = []
    style = importlib.import_module("common.figures.style")
    save = style.save
    monkeypatch.setattr(
        style,
        "save",
        lambda figure, *rest, **more: (drawn.append(figure), save(figure, *rest, **more)),
    )
    run(
        tiny_run, tmp_path, "--method", "gradient", "dark", "--mean-map", "dark", "--covered", "0",
        "--smoothing", "0",
    )  # fmt: skip
    with (tmp_path / "faithfulness.csv").open() as file:
        assert {row["method"] for row in csv.DictReader(file)} == {"gradient", "dark"}
    with np.load(tmp_path / "saliency.npz") as arrays:
        np.testing.assert_allclose(
            arrays["map_dark"], 1 - pixels.to_inputs(arrays["faces"])[..., 0]
        )
    assert "dark pixels: deletion area" in capsys.readouterr().out
    faces, checks, means = drawn
    assert "dark\npixels\nmasked" in [text.get_text() for axes in faces.axes for text in axes.texts]
    lines = {line.get_label(): line.get_color() for line in checks.axes[2].lines}
    assert lines["dark pixels"] == "#123456"
    assert means.get_suptitle().endswith("mean of the maps by dark pixels")


def test_a_model_without_convolutions_goes_without_their_methods(trained_run, tmp_path, capsys):
    flags = ["--samples", "2", "--images", "0", "--no-check", "--covered", "1"]
    run(trained_run, tmp_path / "default", *flags)
    said = capsys.readouterr().out
    assert f"Maps by {registry.method(registry.DEFAULT_OF_ANY).title}, smoothed" in said
    run(trained_run, tmp_path, "--method", "all", *flags, "--mean-map", "none")
    said = capsys.readouterr().out
    assert "Grad-CAM is left out" in said
    assert "LayerCAM is left out" in said
    with pytest.raises(ValueError, match="needs a convolution"):
        run(trained_run, tmp_path, "--method", "grad_cam")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--images", "42"], "unknown image 42: expected 0 to 41"),
        (["--method", "grad_cam", "--layer", "conv"], "expected one of conv2d_1, conv2d_2"),
        (
            ["--layer", "conv2d_1", "--method", "gradient", "--mean-map", "none"],
            "expected --method grad_cam",
        ),
        (["--keep", "0"], "above 0"),
        (["--data", "sample"], "the data it was trained on"),
        (["--model", "nowhere"], "expected a run folder"),
    ],
)
def test_bad_input_is_said_before_any_work(tiny_run, tmp_path, flags, message):
    with pytest.raises(ValueError, match=message):
        run(tiny_run, tmp_path, *flags)
    assert not [path for path in tmp_path.iterdir() if path.name[0] != "."]


def test_a_hand_is_put_over_each_mouth_and_both_maps_explain_the_same_class(tiny_run, tmp_path):
    run(
        tiny_run, tmp_path, "--method", "gradient", "--covered", "9", "--images", "0",
        "--mean-map", "none", "--no-check", "--smoothing", "1.5",
    )  # fmt: skip
    faces, split = splits.load_of_run(tiny_run)
    bare = pixels.to_inputs(faces.train_images[split.validation_rows[:9]])
    model = checkpoints.load(tiny_run)[0]
    logits = prediction.logits_model(model)
    with np.load(tmp_path / "covered_mouths.npz") as arrays:
        (first, second), hand = arrays["faces"], arrays["hand"]
        np.testing.assert_array_equal(first, bare[..., 0])
        away = np.ones((48, 48), bool)
        away[slice(*maps.REGIONS["mouth"]), 8:40] = False
        away[29:47, 8:40] = False
        np.testing.assert_array_equal(second[:, away], first[:, away])
        assert not hand[away].any()
        assert hand[32:44, 14:34].all()
        expected = prediction.predict(model, faces.train_images[split.validation_rows[:9]])
        np.testing.assert_allclose(arrays["probabilities"][0], expected, atol=1e-5)
        classes = expected.argmax(axis=1)
        np.testing.assert_array_equal(arrays["classes"], classes)
        found = gradient.attribute(logits, second[..., np.newaxis], classes, engine.Options())
        importances = maps.importance("gradient", found, 1.5)
        np.testing.assert_allclose(arrays["importances"][1], importances, atol=1e-5)
    with (tmp_path / "covered_mouths.csv").open() as file:
        shares = [float(row["share_under_hand_with_hand"]) for row in csv.DictReader(file)]
    under = importances[:, hand].sum(axis=1) / importances.sum(axis=(1, 2))
    np.testing.assert_allclose(shares, under, atol=1e-3)


def test_an_emotion_without_faces_is_named(small_data, tiny_run, tmp_path):
    faces = loading.load(small_data)
    folder = tmp_path / "run"
    folder.mkdir()
    for name in ("model.keras", "config.json"):
        (folder / name).write_bytes((tiny_run / name).read_bytes())
    held_out = np.flatnonzero(faces.train_labels != 1)[:30]
    splits.save(
        folder / "split.npz",
        splits.Split(
            train_rows=np.setdiff1d(np.arange(len(faces.train_labels)), held_out),
            validation_rows=held_out,
            seed=0,
            data_hash=faces.data_hash,
        ),
    )
    with pytest.raises(ValueError, match=r"found none of disgust.*--mean-map none"):
        run(folder, tmp_path / "out")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--target", "joy"], "6 neutral"),
        (["--method", "lime"], "occlusion"),
        (["--samples", "0"], "1 or more"),
    ],
)
def test_unknown_names_list_the_known_ones(flags, message, capsys):
    with pytest.raises(SystemExit) as stop:
        saliency.main(flags)
    assert stop.value.code == 2
    assert message in capsys.readouterr().err
