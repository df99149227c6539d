"""The architectures against the report's tables, fused statistics, and loading of weights."""

import io
import zipfile

import h5py
import keras
import numpy as np
import pytest

from common.models import blocks, checkpoints, prediction, registry
from common.runs import storage

CNN_PARAMETERS = {
    "conv2d_1": 640,
    "batch_normalization_1": 256,
    "conv2d_2": 36_928,
    "batch_normalization_2": 256,
    "conv2d_3": 73_856,
    "batch_normalization_3": 512,
    "conv2d_4": 147_584,
    "batch_normalization_4": 512,
    "conv2d_5": 295_168,
    "batch_normalization_5": 1_024,
    "conv2d_6": 590_080,
    "batch_normalization_6": 1_024,
    "dense_1": 819_328,
    "batch_normalization_7": 512,
    "dense_2": 16_512,
    "batch_normalization_8": 512,
    "logits": 903,
}
DNN_DENSE = (1_180_160, 262_656, 262_656, 131_328, 65_792, 32_896, 16_512, 16_512, 16_512)
CNN_SHAPES = {
    "conv2d_1": (46, 46, 64),
    "conv2d_2": (46, 46, 64),
    "max_pooling2d_1": (23, 23, 64),
    "conv2d_4": (23, 23, 128),
    "max_pooling2d_2": (11, 11, 128),
    "conv2d_6": (11, 11, 256),
    "max_pooling2d_3": (5, 5, 256),
    "flatten": (6_400,),
    "dense_2": (128,),
    "probabilities": (7,),
}


def count(variables):
    return sum(int(np.prod(variable.shape)) for variable in variables)


def images(number=4, seed=0):
    return np.random.default_rng(seed).random((number, 48, 48, 1), dtype=np.float32)


def test_cnn_is_the_table_of_the_report():
    model = registry.build("cnn")
    found = {layer.name: layer.count_params() for layer in model.layers if layer.count_params()}
    assert found == CNN_PARAMETERS
    assert {name: model.get_layer(name).output.shape[1:] for name in CNN_SHAPES} == CNN_SHAPES
    totals = (model.count_params(), count(model.trainable_weights))
    assert totals == (1_985_607, 1_983_303)
    assert count(model.non_trainable_weights) == 2_304
    kinds = [type(layer).__name__ for layer in model.layers]
    assert kinds.count("Dropout") == 6
    assert all(
        layer.rate == 0.25 for layer in model.layers if isinstance(layer, keras.layers.Dropout)
    )
    first = kinds.index("Conv2D")
    assert kinds[first : first + 3] == ["Conv2D", "LeakyReLU", "BatchNormalization"]
    slopes = [
        layer.negative_slope for layer in model.layers if isinstance(layer, keras.layers.LeakyReLU)
    ]
    assert slopes == [0.001] * 8


def test_dnn_is_the_table_of_the_report():
    model = registry.build("dnn")
    dense = [
        layer.count_params() for layer in model.layers if isinstance(layer, keras.layers.Dense)
    ]
    assert tuple(dense) == (*DNN_DENSE, 903)
    totals = (model.count_params(), count(model.trainable_weights))
    assert totals == (1_996_167, 1_991_047)
    assert count(model.non_trainable_weights) == 5_120
    kinds = [type(layer).__name__ for layer in model.layers]
    assert kinds.count("Dropout") == 8
    first = kinds.index("Dense")
    assert kinds[first : first + 4] == ["Dense", "LeakyReLU", "BatchNormalization", "Dense"]


def test_compact_adds_a_convolution_to_its_own_input_three_times():
    model = registry.build("compact")
    assert model.count_params() == 1_169_735
    for stage, (side, filters) in enumerate([(24, 64), (12, 128), (6, 256)], start=1):
        add = model.get_layer(f"add_{stage}")
        assert add.output.shape[1:] == (side, side, filters)
        last = model.get_layer(f"batch_normalization_{2 * stage + 1}")
        before = keras.Model(model.input, add.input)(images())
        np.testing.assert_allclose(
            keras.Model(model.input, add.output)(images()), before[0] + before[1], atol=1e-6
        )
        assert last.output is add.input[1]


@pytest.mark.parametrize("architecture", sorted(registry.ARCHITECTURES))
def test_models_answer_for_flat_images_and_ignore_contrast(architecture):
    model = registry.build(architecture)
    faces = images()
    probabilities = np.asarray(model(faces))
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-6)
    assert np.isfinite(np.asarray(model(np.zeros((2, 48, 48, 1), np.float32)))).all()
    np.testing.assert_allclose(np.asarray(model(0.5 * faces + 0.3)), probabilities, atol=1e-2)
    standardised = np.asarray(model.get_layer("standardise")(faces))
    np.testing.assert_allclose(standardised.mean(axis=(1, 2, 3)), 0, atol=1e-5)
    np.testing.assert_allclose(standardised.std(axis=(1, 2, 3)), 1, atol=2e-3)


def test_fused_batch_normalization_equals_keras():
    inputs = np.random.default_rng(3).normal(2, 3, (8, 6, 5, 4)).astype(np.float32)
    results = []
    for kind in (keras.layers.BatchNormalization, blocks.FusedBatchNormalization):
        layer = kind(momentum=0.9)
        layer.build(inputs.shape)
        layer.gamma.assign([1.0, 2.0, 0.5, 3.0])
        outputs = [np.asarray(layer(inputs, training=training)) for training in (True, True, False)]
        results.append([*outputs, np.asarray(layer.moving_mean), np.asarray(layer.moving_variance)])
    for ours, theirs in zip(*results, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-4)


def test_weights_come_back_from_a_run(tmp_path):
    model = registry.build("cnn", fused=True)
    checkpoints.save(tmp_path / "model.keras", model, "cnn")
    storage.write_json(tmp_path / "config.json", {"architecture": "cnn"})
    loaded, config = checkpoints.load(tmp_path)
    assert config == {"architecture": "cnn"}
    for ours, theirs in zip(loaded.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    before = (tmp_path / "model.keras").read_bytes()
    checkpoints.save(tmp_path / "model.keras", model, "cnn")  # with other addresses and times
    assert (tmp_path / "model.keras").read_bytes() == before
    # The file is a plain Keras model that needs none of our code.
    plain = keras.models.load_model(tmp_path / "model.keras", compile=False)
    np.testing.assert_array_equal(plain(images()), loaded(images()))
    assert (tmp_path / "model.keras").stat().st_size < 0.97 * sum(
        weight.nbytes for weight in model.get_weights()
    )


def test_half_precision_is_right_to_two_digits(tmp_path):
    checkpoints.save(tmp_path / "model.keras", registry.build("compact"), "compact")
    faces = np.random.default_rng(1).integers(0, 256, (5, 48, 48), dtype=np.uint8)
    full, half = (
        checkpoints.load_weights("compact", tmp_path / "model.keras", half=h) for h in (0, 1)
    )
    answers = [prediction.predict(model, faces) for model in (full, half)]
    np.testing.assert_allclose(*answers, atol=0.02)
    assert not np.array_equal(*answers)
    assert {array.dtype for array in half.get_weights()} == {np.dtype("float32")}


def test_weights_other_than_the_measured_ones_are_refused(tmp_path):
    checkpoints.save(tmp_path / "model.keras", registry.build("dnn"), "dnn")
    storage.write_json(tmp_path / "config.json", {"architecture": "dnn"})
    digest = storage.sha256(tmp_path / "model.keras")
    storage.write_json(tmp_path / "metrics.json", {"model_sha256": digest})
    checkpoints.load(tmp_path)
    checkpoints.save(tmp_path / "model.keras", registry.build("dnn"), "dnn")
    with pytest.raises(ValueError, match="expected the weights with SHA-256"):
        checkpoints.load(tmp_path)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_not_finite_are_refused(tmp_path, value):
    model = registry.build("dnn")
    weights = model.get_weights()
    weights[-1][3] = value
    model.set_weights(weights)
    checkpoints.save(tmp_path / "model.keras", model, "dnn")
    with pytest.raises(ValueError, match=r"model\.keras, logits/bias: expected finite.*found 1 of"):
        checkpoints.load_weights("dnn", tmp_path / "model.keras")


def test_weights_that_unpack_to_much_are_refused(tmp_path):
    path = tmp_path / "model.keras"
    stored = io.BytesIO()
    with h5py.File(stored, "w") as file:
        file.create_dataset("a/b", (2**29,), "u1", chunks=(2**20,), fillvalue=0)
        file.create_dataset("a/c", (1,), "u1")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("model.weights.h5", stored.getvalue())
    assert path.stat().st_size < 10_000
    with pytest.raises(ValueError, match=r"model\.keras: expected .*at most 536,870,912 bytes"):
        checkpoints.load_weights("dnn", path)


def test_logits_come_before_the_probabilities():
    model = registry.build("dnn")
    logits = np.asarray(prediction.logits_model(model)(images()))
    expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(np.asarray(model(images())), expected, atol=1e-6)


def foreign_zip(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("model.weights.h5", b"not hdf5")
        archive.writestr("config.json", "{}")


def other_architecture(path):
    checkpoints.save(path, registry.build("dnn"), "dnn")


def truncated(path):
    checkpoints.save(path, registry.build("cnn"), "cnn")
    path.write_bytes(path.read_bytes()[:-1000])


@pytest.mark.parametrize(
    "make",
    [
        foreign_zip,
        other_architecture,
        truncated,
        lambda path: path.write_bytes(b"\x80\x04pickle"),
        lambda path: path.write_bytes(b""),
        lambda path: None,
    ],
)
def test_a_foreign_or_damaged_model_is_refused_in_one_line(tmp_path, make):
    make(tmp_path / "model.keras")
    storage.write_json(tmp_path / "config.json", {"architecture": "cnn"})
    with pytest.raises(ValueError, match=r"model\.keras: expected") as caught:
        checkpoints.load(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("config", [{}, [], {"architecture": "os.system"}])
def test_a_foreign_configuration_is_refused(tmp_path, config):
    storage.write_json(tmp_path / "config.json", config)
    with pytest.raises(ValueError, match=r"architecture|expected a JSON object"):
        checkpoints.load(tmp_path)


def test_no_folder_is_refused(tmp_path):
    with pytest.raises(ValueError, match="expected a run folder"):
        checkpoints.load(tmp_path / "missing")


def grey_faces(number, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (number, 48, 48), dtype=np.uint8)


def test_prediction_is_that_of_keras_whatever_the_number_of_rows():
    model = registry.build("dnn")
    faces = grey_faces(prediction.BATCH + 3)
    done = []
    ours = prediction.predict(model, faces, progress=done.append)
    np.testing.assert_allclose(ours, model(faces[..., None] / np.float32(255)), atol=1e-6)
    assert sum(done) == len(faces)
    assert prediction.predict(model, faces[:0]).shape == (0, 7)


def test_views_average_mirrored_and_shifted_images():
    model = registry.build("dnn")
    faces = grey_faces(4)
    inputs = faces[..., None] / np.float32(255)
    expected = (np.asarray(model(inputs)) + np.asarray(model(inputs[:, :, ::-1]))) / 2
    np.testing.assert_allclose(prediction.predict(model, faces, views=2), expected, atol=1e-6)
    padded = np.pad(inputs, ((0, 0), (3, 3), (3, 3), (0, 0)), mode="edge")
    views = [
        padded[:, down : down + 48, right : right + 48] for down in (0, 3, 6) for right in (0, 3, 6)
    ]
    views += [view[:, :, ::-1] for view in views]
    expected = np.mean([model(view) for view in views], axis=0)
    np.testing.assert_allclose(prediction.predict(model, faces, views=18), expected, atol=1e-6)
    # A face and its mirror image get the same answer.
    np.testing.assert_allclose(
        prediction.predict(model, faces[:, :, ::-1], views=10),
        prediction.predict(model, faces, views=10),
        atol=1e-6,
    )
    with pytest.raises(ValueError, match="expected one of 1, 2, 10, 18, found 3"):
        prediction.predict(model, faces, views=3)


@pytest.mark.parametrize("count", [0, 4, 7])
def test_batches_are_joined_in_whatever_structure_they_come(count):
    values = np.arange(3 * count, dtype=np.float32).reshape(count, 3)
    done, sizes = [], []

    def compute(some, others):
        sizes.append(len(some))
        return {"sums": (some + others,), "rows": some[:, 0]}

    found = prediction.in_batches(compute, values, values, size=4, progress=done.append)
    assert list(found) == ["sums", "rows"]
    np.testing.assert_array_equal(found["sums"][0], 2 * values)
    np.testing.assert_array_equal(found["rows"], values[:, 0])
    assert sum(done) == count
    assert max(sizes) <= 4
    turned = prediction.in_batches(np.transpose, values, size=4, axis=1)
    np.testing.assert_array_equal(turned, values.T)
