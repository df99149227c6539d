"""export.py: files and page answer as Keras does, in their own runtimes, Node and Chromium."""

import importlib.util
import json
import re
import shutil
import subprocess
from pathlib import Path

import browser
import keras
import numpy as np
import pytest
from keras import layers
from PIL import Image

import export
from common.attribution import engine, occlusion
from common.data import photos, pixels, synthetic
from common.export import demo, files, steps
from common.labels import NUM_CLASSES
from common.models import blocks, checkpoints, prediction, registry
from common.runs import records, storage

COMPACT = Path(__file__).parents[1] / "pretrained" / "ensemble" / "compact_0"
TEMPLATE = Path(demo.__file__).with_name("demo.html").read_text(encoding="utf-8")
ENGINE = re.search(r'<script id="engine">(.*?)</script>', TEMPLATE, re.DOTALL)[1]
SHOWN = "document.querySelector('.bar').dataset.probability !== undefined"


def faces(count=4, seed=0):
    """Return drawn faces, uint8 (count, 48, 48)."""
    labels = np.arange(count) % NUM_CLASSES
    return synthetic.draw_faces(labels, rng=np.random.default_rng(seed))


def every_kind():
    """Return a network with what the registry's leave out: strides, odd filters, other layers."""
    inputs = keras.Input((48, 48, 1))
    x = layers.Conv2D(5, (3, 5), strides=2, padding="same", activation="relu")(
        blocks.standardise(inputs)
    )
    x = layers.AveragePooling2D(3, strides=2)(layers.BatchNormalization(scale=False)(x))
    x = layers.Conv2D(7, 2, strides=(1, 2), use_bias=False)(x)
    x = layers.Concatenate()([layers.ReLU(negative_slope=0.1)(x), layers.Activation("relu")(x)])
    x = layers.Add()([x, x, layers.BatchNormalization(center=False)(x)])
    x = layers.Dense(9, activation="relu")(layers.Flatten()(layers.MaxPooling2D((2, 1))(x)))
    return keras.Model(inputs, blocks.classify(x))


def randomised(model):
    """Return the model with random weights, batch statistics among them."""
    generator = np.random.default_rng(0)
    for variable in model.variables:
        shape, fan = variable.shape, np.prod(variable.shape[:-1])
        values = generator.uniform(-1, 1, shape) * (np.sqrt(6 / fan) if len(shape) > 1 else 0.5)
        variable.assign(np.abs(values) + 0.5 if variable.path.endswith("variance") else values)
    return model


def node(code, given):
    """Return what JavaScript makes of `given`: the engine's functions, then `code`."""
    if not shutil.which("node"):
        pytest.skip("there is no Node here")
    script = f"{ENGINE}\nconst given = JSON.parse(require('fs').readFileSync(0));\n"
    script += f"console.log(JSON.stringify(({code})(given)));"
    done = subprocess.run(
        ["node", "-e", script], input=json.dumps(given), capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("name", [*registry.ARCHITECTURES, "every kind"])
def test_the_page_computes_every_network_as_keras_does(name):
    model = randomised(every_kind() if name == "every kind" else registry.build(name))
    description, weights = steps.describe(model)
    images = faces(2).reshape(2, -1)
    images[1] = 0  # flat; at another grey the mean in float32 is off, which weighs much here
    answers = node(
        "({network, weights, images}) => {"
        "const answer = makeNetwork(network, fromBase64(weights));"
        "return images.map((image) => answer(Float64Array.from(image, (x) => x / 255))); }",
        {
            "network": description | {"size": 48},
            "weights": weights,
            "images": images.tolist(),
        },
    )
    inputs = pixels.to_inputs(images.reshape(-1, 48, 48))
    for name, asked in (
        ("probabilities", model),
        ("logits", prediction.logits_model(model)),
    ):
        expected = asked(inputs, training=False).numpy()
        np.testing.assert_allclose([answer[name] for answer in answers], expected, atol=1e-4)


def test_weights_take_three_bytes_each():
    array = np.array([[0.5, -1.0], [1e-7, 0.0]])
    data, unit = steps.pack(array)
    assert len(data) == 12
    whole = [int.from_bytes(data[i : i + 3], "little", signed=True) for i in range(0, 12, 3)]
    assert whole[1:] == [-steps.LARGEST, 1, 0]
    np.testing.assert_allclose(np.array(whole) * unit, array.ravel(), atol=2**-24)
    assert steps.pack(np.zeros(2)) == (bytes(6), 1.0)
    read = node("(b) => Array.from(unpack(Uint8Array.from(b), [1, 2, 0.5]))", list(data))
    assert read == [-steps.LARGEST / 2, 0.5]


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (layers.GroupNormalization(1, name="odd"), r"layer odd: expected .*found GroupNorm"),
        (layers.Conv2D(2, 3, dilation_rate=2, name="odd"), r"odd: expected dilation_rate \(1, 1\)"),
        (layers.Conv2D(2, 3, activation="gelu", name="odd"), "odd: expected an activation .*gelu"),
        (layers.LayerNormalization(center=False, scale=False, name="odd"), "odd: expected axes"),
        (layers.MaxPooling2D(2, padding="same", name="odd"), "odd: expected padding 'valid'"),
    ],
)
def test_what_the_page_cannot_compute_is_refused(layer, message):
    inputs = keras.Input((48, 48, 1))
    model = keras.Model(inputs, blocks.classify(layers.Flatten()(layer(inputs))))
    with pytest.raises(ValueError, match=message) as caught:
        steps.describe(model)
    assert "--format onnx litert" in str(caught.value)


@pytest.mark.parametrize("side", [5, 20, 48, 49, 100, 331])
def test_squares_are_reduced_as_photographs_are(side):
    colours = np.random.default_rng(side).integers(0, 256, (side, side, 3), dtype=np.uint8)
    colours[: side // 2] = colours[:1]  # stripes, and noise
    rgba = np.dstack([colours, np.full((side, side), 255, np.uint8)])
    found = node(
        "({rgba, side}) => Array.from(resize(toGrey(rgba), side, 48))",
        {"rgba": rgba.ravel().tolist(), "side": side},
    )
    expected = photos.cut_faces(colours, np.array([[0, 0, side, side]]))[0]
    np.testing.assert_array_equal(np.reshape(found, (48, 48)), expected)


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """The folder of all that can be written of the compact network."""
    folder = tmp_path_factory.mktemp("export")
    export.main(["--model", str(COMPACT), "--out", str(folder)])
    return folder


@pytest.mark.parametrize("form", ["onnx", "litert"])
def test_files_answer_as_keras_does(exported, form):
    path = exported / export.FILES[form]
    if form == "onnx" and not path.exists():
        pytest.skip("there is no tf2onnx here")
    images = faces(10, seed=5)
    found = files.answers(path, form, pixels.to_inputs(images))
    if found is None:
        pytest.skip("there is no runtime here")
    expected = prediction.predict(checkpoints.load(COMPACT)[0], images)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    said = (exported / "observations.txt").read_text(encoding="utf-8")
    (difference,) = re.findall(rf"{path.name}: probabilities differ .* at most (\S+) on 70", said)
    assert float(difference) <= 1e-5
    assert f"{path.name}: probabilities differ from Keras' by at most 1e+00 on 10" in (
        files.comparison(path, form, pixels.to_inputs(images), found + 1)
    )


def test_onnx_without_its_packages_is_one_line_that_names_the_extra(
    trained_run, tmp_path, monkeypatch, capsys
):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if "onnx" in name else find(name)
    )
    out = tmp_path / "out"
    with pytest.raises(
        ValueError, match=r'^--format onnx needs tf2onnx and onnx: .*"\.\[export\]"'
    ):
        export.main(["--format", "demo", "onnx", "--out", str(out)])
    assert not out.exists()
    monkeypatch.setattr(export, "FILES", {"onnx": "model.onnx", "demo": "demo.html"})
    export.main(["--model", str(trained_run), "--out", str(out)])
    assert "ONNX: left out. It needs tf2onnx" in capsys.readouterr().out
    record = storage.read_json(out / "manifest.json")
    assert [gap["name"] for gap in record["gaps"]] == ["model.onnx"]
    assert (out / "demo.html").exists()


def test_a_run_that_is_not_finished_is_refused(trained_run, tmp_path):
    run = Path(shutil.copytree(trained_run, tmp_path / "run"))
    (run / "metrics.json").unlink()
    out = tmp_path / "out"
    with pytest.raises(ValueError, match=r"metrics\.json"):
        export.main(["--model", str(run), "--out", str(out)])
    assert not out.exists()


def test_the_page_says_what_is_known_of_a_run(trained_run, tmp_path):
    run = records.read(trained_run)
    right, n = run.metrics["accuracy"], run.metrics["n"]
    assert f"Validation accuracy {right:.3f} [" in demo.about(run)["score"]
    assert f"on {n} images that it was not trained on. The epoch kept" in demo.about(run)["score"]
    copy = Path(shutil.copytree(trained_run, tmp_path / "run"))
    config = storage.read_json(copy / "config.json")
    config["flags"] |= {"data": "sample", "validation": 0}
    storage.write_json(copy / "config.json", config)
    said = demo.about(records.read(copy))
    assert said["drawn"]
    assert said["score"].endswith("no score says how good it is.")


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """Chromium with an empty page."""
    if not browser.path():
        pytest.skip("there is no Chromium here")
    with browser.Browser(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.fixture(scope="module")
def small_page(trained_run, tmp_path_factory):
    """(page, logits model) of the DNN, which is quick."""
    path = tmp_path_factory.mktemp("demo") / "demo.html"
    model = checkpoints.load(trained_run)[0]
    demo.write(path, model, records.read(trained_run))
    return path, model


@pytest.fixture(scope="module")
def photograph(tmp_path_factory):
    """A colour picture of a drawn face, wider than high."""
    path = tmp_path_factory.mktemp("photo") / "face.png"
    face = Image.fromarray(faces(1, seed=9)[0]).resize((300, 220), Image.Resampling.BICUBIC)
    grey = np.asarray(face, np.float64)[..., np.newaxis]
    Image.fromarray((grey * [1.0, 0.8, 0.6] + [0, 20, 40]).astype(np.uint8)).save(path)
    return path


def read_in_page(page):
    """Return (frame (1, 4), probabilities (7,)) once the page has read what it shows."""
    page.wait(f"{SHOWN} && !asking && !drawing")
    left, top, side = page.value("[frame.left, frame.top, frame.side]")
    shown = page.value("[...document.querySelectorAll('.bar')].map((b) => b.dataset.probability)")
    return np.array([[left, top, side, side]]), np.array(shown, float)


def test_a_dropped_picture_is_read_as_python_reads_it(page, exported, photograph):
    page.size(360, 740)
    page.open(exported / "demo.html")
    before = len(page.events)
    page.drop(photograph)
    model, colours = checkpoints.load(COMPACT)[0], photos.read_photo(photograph)
    frame, found = read_in_page(page)
    np.testing.assert_array_equal(frame, photos.whole_frame(colours))
    expected = prediction.predict(model, photos.cut_faces(colours, frame))[0]
    np.testing.assert_allclose(found, expected, atol=1e-4)
    page.value("document.getElementById('square').focus()")
    page.press("-", shift=True)
    page.press("ArrowRight", shift=True)
    moved, found = read_in_page(page)
    assert 0 < moved[0, 2] < frame[0, 2]
    assert moved[0, 0] > frame[0, 0] + 20
    expected = prediction.predict(model, photos.cut_faces(colours, moved))[0]
    np.testing.assert_allclose(found, expected, atol=1e-4)
    top = page.value("document.getElementById('verdict').textContent")
    assert top.startswith(
        f"{demo.CLASS_NAMES[int(expected.argmax())]}, {100 * expected.max():.0f} %"
    )
    assert page.value("document.documentElement.scrollWidth") <= 360
    said = page.value("document.getElementById('about').textContent")
    assert "Labels say what people read in pictures" in said
    assert "0.664 [0.647, 0.681] (95 % interval) on 3,000 images" in said
    assert not errors(page.events[before:])


def errors(events):
    """Return what a page complained about."""
    return [e for e in events if e.get("method") in ("Log.entryAdded", "Runtime.exceptionThrown")]


def test_the_map_is_occlusion(page, small_page, photograph):
    path, model = small_page
    page.open(path)
    page.drop(photograph)
    read_in_page(page)
    page.wait("document.getElementById('map').dataset.done === 'yes'")
    found = page.value("drops.map((sums) => Array.from(sums, (drop, i) => drop / counts[i]))")
    colours = photos.read_photo(photograph)
    face = pixels.to_inputs(photos.cut_faces(colours, photos.whole_frame(colours)))
    images, classes = np.repeat(face, NUM_CLASSES, axis=0), np.arange(NUM_CLASSES)
    expected = occlusion.attribute(
        prediction.logits_model(model), images, classes, engine.Options()
    )
    np.testing.assert_allclose(np.reshape(found, expected.shape), expected, atol=1e-4)


def test_the_camera_is_read_live_and_held(page, small_page):
    path, model = small_page
    page.open(path)
    page.value("document.getElementById('camera').click()")
    page.wait(f"live && {SHOWN}")
    page.value("document.getElementById('hold').click()")
    _, found = read_in_page(page)
    face = np.array(page.value("Array.from(grey)"), np.uint8).reshape(1, 48, 48)
    assert face.std() > 1
    np.testing.assert_allclose(found, prediction.predict(model, face)[0], atol=1e-4)
    page.value("document.getElementById('camera').click()")
    assert page.value("video.srcObject === null && !live")


def test_the_page_sends_nothing_and_refuses_what_is_no_picture(page, small_page, tmp_path):
    page.open(small_page[0])
    refused = page.value(
        "new Promise((done) => { addEventListener('securitypolicyviolation', (event) => "
        "done(event.effectiveDirective)); fetch('https://example.org').catch(() => {}); })"
    )
    assert refused == "connect-src"
    odd = tmp_path / "odd.png"
    odd.write_text("no picture", encoding="utf-8")
    page.drop(odd)
    page.wait("document.getElementById('trouble').textContent.startsWith('odd.png: expected a')")
    requests = [
        e["params"]["request"]["url"] for e in page.events if "request" in e.get("params", {})
    ]
    assert {url.split(":")[0] for url in requests} <= {"file", "blob", "data"}
