import keras
import numpy as np
import pytest
from keras import layers
from PIL import Image

import filter_vis
from common import cli
from common.ascent.maximise import Ascent
from common.ascent.responses import TopActivations
from common.data import loading, splits
from common.figures.filters import animation, sheet, top_activations
from common.models import checkpoints


@pytest.fixture(scope="module")
def network():
    """Return a small stand-in for the CNN; filter 2 of conv2d_2 is dead."""
    keras.utils.set_random_seed(3)
    inputs = keras.Input((48, 48, 1))
    x = layers.LayerNormalization(
        axis=(1, 2, 3), center=False, scale=False, epsilon=1e-4, name="standardise"
    )(inputs)
    for number, width in ((1, 4), (2, 5), (3, 3)):
        x = layers.Conv2D(width, 3, padding="same", name=f"conv2d_{number}")(x)
        x = layers.LeakyReLU(negative_slope=0.001, name=f"leaky_re_lu_{number}")(x)
        x = layers.MaxPooling2D(2, name=f"max_pooling2d_{number}")(x)
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dense(7, name="logits")(x)
    network = keras.Model(inputs, layers.Softmax(name="probabilities")(x))
    kernel, bias = network.get_layer("conv2d_2").get_weights()
    kernel[..., 2] = 0
    bias[2] = -1
    network.get_layer("conv2d_2").set_weights([kernel, bias])
    return network


@pytest.fixture
def run(network, monkeypatch, tmp_path):
    """Return a function that calls the script on the small network and twelve random faces."""
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (20, 48, 48), dtype=np.uint8)
    images[0] = images[11]  # the same face twice: validation images 11 and 0
    faces = loading.Dataset(
        train_images=images,
        train_labels=np.arange(20) % 7,
        test_images=np.zeros((0, 48, 48), np.uint8),
        test_ids=np.zeros(0, np.int64),
        test_labels=None,
        test_usage=None,
        source="test",
        data_hash="0",
    )
    split = splits.Split(np.arange(12, 20), np.arange(12)[::-1].copy(), 0, "0")
    monkeypatch.setattr(checkpoints, "load", lambda folder: (network, {}))
    monkeypatch.setattr(splits, "load_of_run", lambda folder, source: (faces, split))

    def call(*flags):
        filter_vis.main(["--out", str(tmp_path), "--steps", "4", *flags])
        return tmp_path

    return call


def arrays(path):
    with np.load(path, allow_pickle=False) as stored:
        return {name: stored[name] for name in stored.files}


class TestScript:
    def test_the_default_is_what_the_report_shows(self, run, capsys):
        folder = run()
        printed = capsys.readouterr().out
        assert sorted(path.name for path in folder.iterdir() if path.name[0] != ".") == [
            "ascent_conv2d_1_step3.npz",
            "ascent_conv2d_1_step3.png",
            "ascent_conv2d_2_step3.npz",
            "ascent_conv2d_2_step3.png",
            "manifest.json",
            "observations.txt",
            "outputs_conv2d_2_image11.npz",
            "outputs_conv2d_2_image11.png",
            "outputs_conv2d_3_image11.npz",
            "outputs_conv2d_3_image11.png",
        ]
        assert all(path.name in printed for path in folder.iterdir() if path.name[0] != ".")
        assert "Next: python" in printed
        grown = arrays(folder / "ascent_conv2d_2_step3.npz")
        assert grown["images"].shape == (5, 48, 48)
        assert grown["losses"].shape == (5,)

    def test_outputs_are_those_of_the_validation_image(self, run, network):
        folder = run("--part", "outputs", "--layers", "conv2d_3", "--filters", "2", "--images", "3")
        stored = arrays(folder / "outputs_conv2d_3_image3.npz")
        submodel = keras.Model(network.input, network.get_layer("conv2d_3").output)
        expected = submodel(stored["image"][np.newaxis, ..., np.newaxis], training=False)
        np.testing.assert_allclose(stored["maps"][0], expected[0, ..., 2], atol=1e-5)

    def test_dead_filters_are_named(self, run, capsys):
        folder = run("--part", "top", "--layers", "conv2d_2", "--faces", "3")
        assert "never active: 2;" in capsys.readouterr().out
        stored = arrays(folder / "top_conv2d_2.npz")
        assert stored["images"].shape == stored["activations"].shape == (5, 3)
        assert (np.diff(stored["activations"], axis=1) <= 0).all()
        assert all(len(set(row)) == 3 and 11 not in row for row in stored["images"].tolist())

    def test_numbers_without_a_map_have_top_faces_too(self, run):
        folder = run("--part", "top", "--layers", "logits", "--filters", "3", "6")
        assert arrays(folder / "top_logits.npz")["units"].tolist() == [3, 6]

    def test_class_images_come_with_confidences(self, run, network, capsys):
        folder = run("--part", "classes", "--classes", "happy", "4", "--seeds", "2", "--gif")
        stored = arrays(folder / "classes.npz")
        assert stored["classes"].tolist() == [3, 4, 3, 4]
        expected = network(stored["images"][..., np.newaxis], training=False)
        np.testing.assert_allclose(stored["probabilities"], expected, atol=1e-5)
        assert "happy: confidence" in capsys.readouterr().out
        with Image.open(folder / "classes.gif") as animation:
            assert animation.n_frames == 5

    def test_snapshots_and_variants_are_named(self, run):
        folder = run(
            "--part", "ascent", "--layers", "conv2d_3", "--regularised", "--snapshot", "1", "4"
        )
        found = sorted(path.stem for path in folder.glob("*.png"))
        assert found == [f"ascent_conv2d_3_regularised_step{step}" for step in (1, 4)]

    def test_weights_and_statistics_never_move(self, run, network):
        before = [weights.copy() for weights in network.get_weights()]
        run("--part", "all", "--steps", "2")
        for old, new in zip(before, network.get_weights(), strict=True):
            np.testing.assert_array_equal(old, new)

    @pytest.mark.parametrize(
        ("flags", "message"),
        [
            (["--layers", "conv9"], r"unknown layer 'conv9'.*conv2d_1"),
            (["--layers", "conv2d_1", "--filters", "4"], "unknown filter 4 .* expected 0 to 3"),
            (["--images", "12"], "unknown image 12: expected 0 to 11"),
            (["--snapshot", "5"], "at most the 4 --steps, found 5"),
            (["--part", "outputs", "--layers", "logits"], "logits: expected .* maps"),
        ],
    )
    def test_bad_input_is_one_line_and_exit_2(self, run, capsys, flags, message, tmp_path):
        with pytest.raises(ValueError, match=message):
            run(*flags)
        with pytest.raises(SystemExit) as stopped:
            cli.run(lambda: run(*flags))
        assert stopped.value.code == 2
        assert len(capsys.readouterr().err.strip().splitlines()) == 1
        assert not [path for path in tmp_path.iterdir() if path.name[0] != "."]

    def test_an_unknown_class_lists_those_there_are(self, run, capsys):
        with pytest.raises(SystemExit) as stopped:
            run("--classes", "bored")
        assert stopped.value.code == 2
        assert "3 happy" in capsys.readouterr().err

    def test_a_model_without_convolutions_is_refused(self, run, monkeypatch):
        dense = keras.Sequential([keras.Input((48, 48, 1)), layers.Flatten(name="flatten")])
        monkeypatch.setattr(checkpoints, "load", lambda folder: (dense, {}))
        with pytest.raises(ValueError, match=r"unknown layer 'conv2d_1': expected one of flatten"):
            run()


class TestFigures:
    def test_a_sheet_of_256_stays_readable(self):
        tiles = np.random.default_rng(0).random((256, 11, 11)) - 0.5
        figure = sheet.contact_sheet(
            tiles, sheet.numbered(range(256), range(256)), title="256", signed=True
        )
        figure.draw_without_rendering()
        (axes,) = figure.axes
        assert len(axes.images) == len(axes.texts) == 256
        boxes = [text.get_window_extent() for text in axes.texts[:40]]
        assert not any(
            first.overlaps(second)
            for place, first in enumerate(boxes)
            for second in boxes[place + 1 :]
        )
        assert axes.images[0].get_window_extent().width > 60  # of 100 dots an inch
        limits = [np.abs(image.get_array()).max() for image in axes.images]
        np.testing.assert_allclose(limits, 1)  # each on its own scale

    def test_a_map_of_zeros_is_white_and_the_reference_grey(self):
        figure = sheet.contact_sheet(
            np.zeros((1, 4, 4)), ["0: 0.00"], title="", signed=True, reference=(np.ones((4, 4)), "")
        )
        reference, zeros = figure.axes[0].images
        assert reference.get_cmap().name == "gray"
        assert zeros.to_rgba(zeros.get_array()).min() > 0.96

    def test_rings_lie_on_their_faces(self):
        marks = np.full((3, 2, 2), 0.5)
        marks[1] = [[0, 0], [1, 1]]
        numbers = np.zeros((3, 2), np.int64)
        figure = top_activations.draw(
            top_activations.TopFaces(
                grown=Ascent(
                    "conv2d_1", False, np.arange(3), [1], np.zeros((1, 3, 48, 48)), np.zeros((1, 3))
                ),
                found=TopActivations(numbers, np.zeros((3, 2)), marks, marks, np.zeros(3)),
                faces=np.zeros((3, 2, 48, 48)),
                labels=numbers,
                searched=2,
            )
        )
        (axes,) = figure.axes
        for filter_number in range(3):
            rings = axes.lines[filter_number].get_xydata()
            for face, (x, y) in enumerate(rings):
                left, right, bottom, top = axes.images[3 * filter_number + face + 1].get_extent()
                down, across = marks[filter_number, face]
                assert x == pytest.approx(left + across * (right - left))
                assert y == pytest.approx(top + down * (bottom - top))

    def test_an_animation_has_a_frame_a_snapshot(self, tmp_path):
        images = np.linspace(0, 1, 3 * 2 * 48 * 48).reshape(3, 2, 48, 48)
        animation.save(images, tmp_path / "a.gif", columns=2)
        with Image.open(tmp_path / "a.gif") as opened:
            assert opened.n_frames == 3
            assert opened.size == (200, 100)
