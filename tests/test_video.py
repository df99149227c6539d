"""predict.py --video: faces followed over time, on a video of drawn faces of known expressions."""

import csv
import signal
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

import predict
from common import outputs
from common.data import photos, synthetic, tracks, video
from common.figures.predict import annotated, timeline
from common.labels import CLASS_NAMES
from common.models import checkpoints, prediction
from common.models import registry as architectures
from common.runs import provenance, storage

cv2 = pytest.importorskip("cv2")

SIDE, RATE = 192, 10  # pixels of a drawn face in the video, frames a second
SHOWN = (3, 5, 0)  # classes, a second each


def build_linear(*, fused=False):
    """A linear classifier of pixels."""
    import keras

    del fused
    inputs = keras.Input((48, 48, 1), name="image")
    logits = keras.layers.Dense(7, name="logits")(keras.layers.Flatten()(inputs))
    return keras.Model(inputs, keras.layers.Softmax(name="probabilities")(logits), name="linear")


@pytest.fixture(scope="module", autouse=True)
def linear_is_known():
    entry = architectures.Architecture("linear classifier")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "common.models.linear", SimpleNamespace(build=build_linear))
        patch.setitem(architectures.ARCHITECTURES, "linear", entry)
        yield


@pytest.fixture(scope="module")
def drawn():
    """One drawn face of each class, uint8 (7, 48, 48)."""
    return synthetic.draw_faces(np.arange(7), rng=np.random.default_rng(0))


@pytest.fixture(scope="module")
def run(drawn, linear_is_known, tmp_path_factory):
    """A run folder whose model is sure of the seven drawn faces: the nearest of them."""
    folder = tmp_path_factory.mktemp("runs") / "linear"
    model = build_linear()
    # Of -|x - f|^2 / 2 all classes share |x|^2: what is left is x.f - |f|^2 / 2.
    flat = drawn.reshape(7, -1) / 255
    model.set_weights([flat.T / 10, -(flat**2).sum(axis=1) / 20])
    checkpoints.save(folder / "model.keras", model, "linear")
    storage.write_json(folder / "config.json", {"architecture": "linear", "flags": {}})
    assert (prediction.predict(model, drawn).argmax(axis=1) == np.arange(7)).all()
    return folder


@pytest.fixture(scope="module")
def film(drawn, tmp_path_factory):
    """A video in which one face shows three expressions, a second each."""
    return write_film(tmp_path_factory.mktemp("film") / "film.mp4", [drawn[code] for code in SHOWN])


def write_film(path, faces, *, second=None):
    """Write a second of each face; `second` ones stand at the right of the last half."""
    width = SIDE if second is None else 2 * SIDE
    writer = cv2.VideoWriter(
        str(path), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*"mp4v"), RATE, (width, SIDE)
    )
    for place, face in enumerate(faces):
        frame = np.full((SIDE, width), 128, np.uint8)
        frame[:, :SIDE] = np.asarray(Image.fromarray(face).resize((SIDE, SIDE)))
        if second is not None and place:
            frame[:, SIDE:] = np.asarray(Image.fromarray(second).resize((SIDE, SIDE)))
        for _ in range(RATE):
            writer.write(np.repeat(frame[..., np.newaxis], 3, axis=2))
    writer.release()
    return path


def start(*arguments):
    """Run the script in this process."""
    predict.main([str(argument) for argument in arguments])


def read_rows(folder):
    with (folder / "video.csv").open() as file:
        return list(csv.DictReader(file))


def frames_of(path):
    """Return the frames of a video, by OpenCV alone, and its rate."""
    capture, frames = cv2.VideoCapture(str(path)), []
    while (read := capture.read())[0]:
        frames.append(read[1])
    return frames, capture.get(cv2.CAP_PROP_FPS)


def test_a_row_for_each_second_has_the_expression_that_was_drawn(run, film, tmp_path, capsys):
    start("--model", run, "--video", film, "--whole-image", "--out", tmp_path, "--smoothing", 0.1)
    rows = read_rows(tmp_path)
    assert [row["label"] for row in rows] == [CLASS_NAMES[code] for code in SHOWN]
    assert [(row["face"], row["second"], row["frames"]) for row in rows] == [
        ("1", "0", "10"), ("1", "1", "10"), ("1", "2", "10"),
    ]  # fmt: skip
    assert {(row["left"], row["top"], row["width"], row["height"]) for row in rows} == {
        ("0", "0", "192", "192")
    }
    for row in rows:
        assert sum(float(row[name]) for name in CLASS_NAMES) == pytest.approx(1, abs=1e-5)
    with np.load(tmp_path / "video.npz") as arrays:
        np.testing.assert_allclose(arrays["seconds"], np.arange(30) / RATE, atol=1e-3)
        second = arrays["smoothed"][10:20].mean(axis=0)
    np.testing.assert_allclose([float(rows[1][name]) for name in CLASS_NAMES], second, atol=1e-6)
    frames, rate = frames_of(tmp_path / "annotated.mp4")
    assert (len(frames), rate, frames[0].shape) == (30, RATE, (SIDE, SIDE, 3))
    crops = sorted(path.name for path in (tmp_path / "moments").iterdir())
    assert [name.split("_")[2] for name in crops] == sorted(CLASS_NAMES[code] for code in SHOWN)
    for name in crops:
        with Image.open(tmp_path / "moments" / name) as crop:
            assert crop.size == (SIDE, SIDE)
    said = capsys.readouterr().out
    assert "Face 1, 0.0 to 2.9 s, found in 30 frames: angry " in said
    shown = {entry["name"]: entry for entry in outputs.read(tmp_path)["outputs"]}
    assert shown["video"]["files"].keys() == {"figure", "table", "arrays"}
    assert "figure" in shown["moments"]["files"]
    assert "annotated.mp4" in said.splitlines()[-2]


def test_two_faces_keep_their_numbers_and_the_second_comes_later(run, drawn, tmp_path, monkeypatch):
    film = write_film(tmp_path / "two.mp4", [drawn[3], drawn[3]], second=drawn[4])
    boxes = np.array([[0, 0, SIDE, SIDE], [SIDE, 0, SIDE, SIDE]])

    def find(colours, **options):
        return boxes[::-1] if np.ptp(colours[:, SIDE:]) > 60 else boxes[:1]

    monkeypatch.setattr(photos, "find_faces", find)
    start("--model", run, "--video", film, "--out", tmp_path / "out", "--every", 2)
    rows = read_rows(tmp_path / "out")
    assert [(row["face"], row["second"], row["label"], row["left"]) for row in rows] == [
        ("1", "0", "happy", "0"), ("1", "1", "happy", "0"), ("2", "1", "sad", str(SIDE)),
    ]  # fmt: skip
    assert {row["frames"] for row in rows} == {"5"}
    assert len(frames_of(tmp_path / "out" / "annotated.mp4")[0]) == 20


@pytest.mark.parametrize("end", ["SIGINT", "SIGTERM"])
def test_a_stop_keeps_what_was_seen(run, film, tmp_path, monkeypatch, capsys, end):
    whole, looked = photos.whole_frame, []

    def find(colours):
        looked.append(1)
        if len(looked) == 15:
            signal.raise_signal(getattr(signal, end))
        return whole(colours)

    monkeypatch.setattr(photos, "whole_frame", find)
    before = signal.getsignal(getattr(signal, end))
    with pytest.raises(KeyboardInterrupt):
        start("--model", run, "--video", film, "--whole-image", "--out", tmp_path)
    assert signal.getsignal(getattr(signal, end)) == before
    assert [row["frames"] for row in read_rows(tmp_path)] == ["10", "5"]
    assert len(frames_of(tmp_path / "annotated.mp4")[0]) == 15
    assert outputs.read(tmp_path)["finished"]
    assert "Stopped after 1.4 s" in capsys.readouterr().out


def answer(*codes, certain=0.9):
    rows = np.full((len(codes), 7), (1 - certain) / 6)
    rows[np.arange(len(codes)), codes] = certain
    return rows


PICTURE = np.zeros((100, 200, 3), np.uint8)


def test_answers_are_smoothed_as_a_leaky_integrator_does():
    tracker = tracks.Tracker(smoothing=0.5)
    for step, code in enumerate((3, 3, 0, 0, 0)):
        (track,) = tracker.update(step / 4, PICTURE, np.array([[0, 0, 50, 50]]), answer(code))
    old = np.exp(-np.arange(1, 4) / 4 / 0.5)
    expected = answer(0) + old[:, np.newaxis] * (answer(3) - answer(0))
    np.testing.assert_allclose(np.array(track.smoothed)[2:], expected)
    assert track.moments[3].seconds == 0
    assert track.moments[0].seconds == 1
    assert track.moments[0].probability == pytest.approx(expected[-1][0])


def test_a_face_is_followed_where_its_frames_overlap_and_for_a_second_of_absence():
    tracker = tracks.Tracker(smoothing=0)
    left, right = np.array([0, 0, 40, 40]), np.array([100, 0, 40, 40])
    for step in range(4):
        frames = np.array([left, right])[:: 1 if step % 2 else -1] + step * np.array([5, 0, 0, 0])
        tracker.update(step / 10, PICTURE, frames, answer(1, 2))
    tracker.update(0.5, PICTURE, np.zeros((0, 4), int), np.zeros((0, 7)))
    tracker.update(1.2, PICTURE, left[np.newaxis] + [18, 0, 0, 0], answer(3))
    tracker.update(3.0, PICTURE, left[np.newaxis] + [18, 0, 0, 0], answer(3))
    one, other = tracker.counted()
    assert {len(one.seconds), len(other.seconds)} == {4, 5}
    for track in (one, other):
        assert np.ptp([frame[0] for frame in track.frames]) <= 20


def test_what_the_detector_finds_once_is_no_face():
    tracker = tracks.Tracker(smoothing=0)
    for step in range(20):
        frames = np.array([[0, 0, 40, 40], [100, 10 * step, 30, 30]])[: 1 + (step % 6 == 0)]
        tracker.update(step / 10, PICTURE, frames, answer(*range(len(frames))))
    assert [track.number for track in tracker.counted()] == [1]


def test_overlap_is_that_of_pixels_counted_one_by_one():
    frames = np.array([[0, 0, 10, 10], [5, 5, 10, 4], [30, 0, 3, 3]])
    masks = np.zeros((3, 40, 40), bool)
    for mask, (x, y, width, height) in zip(masks, frames, strict=True):
        mask[y : y + height, x : x + width] = True
    both = (masks[:, np.newaxis] & masks).sum(axis=(2, 3))
    either = (masks[:, np.newaxis] | masks).sum(axis=(2, 3))
    np.testing.assert_allclose(tracks.overlap(frames, frames), both / either)
    assert tracks.overlap(frames[:0], frames).shape == (0, 3)


def test_an_mp4_lasts_as_long_as_its_uneven_frames(tmp_path):
    writer = video.Writer(tmp_path / "uneven.mp4", 10)
    shades = ((0.0, 0), (0.2, 80), (0.31, 160), (1.0, 240))
    for seconds, shade in shades:
        writer.add(seconds, Image.new("RGB", (33, 21), (shade,) * 3))
    writer.close()
    frames, _ = frames_of(tmp_path / "uneven.mp4")
    assert frames[0].shape == (20, 32, 3)
    seen = [round(frame.mean() / 80) for frame in frames]
    assert seen == [0, 0, 1, 2, 2, 2, 2, 2, 2, 2, 3]


def test_panels_cover_no_face_and_a_face_that_does_not_count_is_not_marked():
    picture = np.full((300, 500, 3), 90, np.uint8)
    tracker = tracks.Tracker(smoothing=0)
    frames = np.array([[20, 60, 150, 150], [190, 60, 150, 150]])
    for step in range(tracks.SEEN):
        shown = tracker.update(step, picture, frames, answer(3, 4))
        drawn = np.asarray(annotated.draw(picture, shown))
        assert (drawn == picture).all() == (step < tracks.SEEN - 1)
    for left, top, width, height in frames + np.array([4, 4, -8, -8]):
        assert (drawn[top : top + height, left : left + width] == 90).all()


def test_seconds_without_a_face_are_missing_in_the_figure():
    tracker = tracks.Tracker(smoothing=0, patience=10)
    for seconds in (0, 0.1, 0.2, 5.0, 5.1):
        tracker.update(seconds, PICTURE, np.array([[0, 0, 40, 40]]), answer(3))
    footage = tracks.Footage("a$b.mp4", "a model", 6.0, tracker.counted(), 0.0, 1.0)
    (axes,) = timeline.draw(footage).axes
    (x0, x1) = axes.get_xlim()
    assert (x0, x1) == (0, 6)
    for shape in axes.collections:
        ends = [path.vertices[:, 0] for path in shape.get_paths()]
        assert [(round(x.min(), 1), round(x.max(), 1)) for x in ends] == [(0, 0.2), (5, 5.1)]


def call(*arguments):
    """Run the script as a person does."""
    return subprocess.run(
        [sys.executable, "predict.py", *map(str, arguments)],
        cwd=provenance.PROJECT,
        capture_output=True,
        text=True,
        timeout=300,
    )


def test_what_cannot_be_read_is_one_line_and_nothing_is_left(tmp_path):
    broken, empty = tmp_path / "broken.mp4", tmp_path / "empty.mp4"
    broken.write_bytes(b"\0\0\0\x18ftypmp42" + bytes(2000))
    empty.write_bytes(b"")
    out = tmp_path / "out"
    for source, reason in (
        (broken, "expected a video, found none that can be read"),
        ("97", "--video 97: expected a camera with this number, found none"),
    ):
        result = call("--video", source, "--out", out)
        assert result.returncode == 2
        (line,) = result.stderr.splitlines()  # nothing of FFmpeg's or OpenCV's
        assert reason in line
    for source, reason in (
        (empty, "expected a video, found none that can be read"),
        (tmp_path / "none.mp4", "expected a video or the number of a camera, found nothing"),
    ):
        with pytest.raises(ValueError, match=reason):
            start("--video", source, "--out", out)
    assert not out.exists()


class Camera:
    """Shows a face; after six frames somebody presses Ctrl-C."""

    def __init__(self, number, face):
        assert number == 0
        self.left, self.face = 6, np.repeat(face[..., np.newaxis], 3, axis=2)

    def isOpened(self):
        return True

    def get(self, key):
        return -1.0

    def read(self):
        self.left -= 1
        if not self.left:
            signal.raise_signal(signal.SIGINT)
        return True, self.face

    def release(self):
        self.face = None


def test_a_camera_is_watched_until_ctrl_c(run, drawn, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(tracks, "PATIENCE", 60)  # this machine may be busy
    monkeypatch.setattr(cv2, "VideoCapture", lambda number: Camera(number, drawn[3]))
    start("--model", run, "--video", "0", "--whole-image", "--out", tmp_path)
    assert {row["label"] for row in read_rows(tmp_path)} == {"happy"}
    assert sum(int(row["frames"]) for row in read_rows(tmp_path)) == 6
    assert "Stopped" not in capsys.readouterr().out
    with np.load(tmp_path / "video.npz") as arrays:
        assert (np.diff(arrays["seconds"]) > 0).all()


def test_a_video_without_a_face_and_a_missing_opencv_are_said(run, tmp_path, monkeypatch):
    film = write_film(tmp_path / "grey.mp4", [np.full((48, 48), 90, np.uint8)])
    arguments = ["--model", run, "--video", film, "--out", tmp_path / "out"]
    with pytest.raises(ValueError, match=r"grey\.mp4: expected a face .* none in 10 frames"):
        start(*arguments)
    assert [path.name for path in (tmp_path / "out").iterdir() if path.name[0] != "."] == []
    monkeypatch.setitem(sys.modules, "cv2", None)
    for more in ([], ["--whole-image"]):
        with pytest.raises(ValueError, match="opencv-python-headless"):
            start(*arguments, *more)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--video", "a.mp4", "--data", "sample"], "not allowed with argument --data"),
        (["--video", "a.mp4", "--photos", "a.jpg"], "not allowed with argument"),
        (["--every", "3"], "expected --video with it"),
        (["--every", "0", "--video", "a.mp4"], "1 or more"),
    ],
)
def test_flags_that_do_not_fit_are_refused(arguments, message, capsys):
    with pytest.raises(SystemExit, match="2"):
        start(*arguments)
    assert message in capsys.readouterr().err
