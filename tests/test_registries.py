"""A new architecture is one file, the module here, and one line in the registry."""

import sys
from types import SimpleNamespace

import keras
import numpy as np
import pytest
from keras import layers

import semi_supervised
import train_cnn
import train_dnn
from common import outputs
from common.labels import INPUT_SHAPE
from common.models import blocks, checkpoints, prediction, registry
from common.runs import records
from common.sweep import plan
from common.training import measuring


def build(*, fused=False):
    """Return a small VGG: three pairs of 3x3 convolutions, no batch normalisation."""
    del fused
    inputs = keras.Input(INPUT_SHAPE, name="image")
    x = blocks.standardise(inputs)
    for block, filters in enumerate((4, 8, 16), start=1):
        for number in (2 * block - 1, 2 * block):
            x = layers.Conv2D(
                filters, 3, padding="same", activation="relu", name=f"conv2d_{number}"
            )(x)
        x = layers.MaxPooling2D(2, name=f"max_pooling2d_{block}")(x)
    x = layers.Dense(16, activation="relu", name="dense_1")(layers.Flatten(name="flatten")(x))
    return keras.Model(inputs, blocks.classify(x), name="vgg")


@pytest.fixture
def vgg(monkeypatch):
    monkeypatch.setitem(sys.modules, "common.models.vgg", SimpleNamespace(build=build))
    entry = registry.Architecture("small VGG")
    monkeypatch.setitem(registry.ARCHITECTURES, "vgg", entry)


@pytest.mark.parametrize("script", [train_cnn, semi_supervised])
def test_help_names_every_architecture_that_is_registered(script, vgg, capsys):
    with pytest.raises(SystemExit):
        script.main(["--help"])
    said = " ".join(capsys.readouterr().out.split())
    assert "{cnn,compact,vgg}" in said.replace("dnn,", "")
    assert ("'dnn': DNN" in said) == (script is semi_supervised)
    assert "'vgg': small VGG" in said


def test_a_network_that_is_registered_is_trained(small_data, tmp_path, vgg):
    folder = tmp_path / "vgg"
    told = ["--data", str(small_data), "--architecture", "vgg", "--epochs", "1"]
    train_cnn.main([*told, "--precision", "float32", "--out", str(folder)])
    model, config = checkpoints.load(folder)
    assert config["architecture"] == model.name == "vgg"
    rows, _, probabilities = records.load_predictions(folder)
    faces = np.zeros((1, 48, 48), np.uint8)
    assert probabilities.shape == (len(rows), 7)
    assert np.isfinite(prediction.predict(model, faces)).all()
    assert {"curves", "layers"} <= {entry["name"] for entry in outputs.read(folder)["outputs"]}


def test_a_network_without_convolutions_is_trained_by_the_other_script(monkeypatch, tmp_path, vgg):
    entry = registry.Architecture("small MLP", convolutional=False, module="common.models.vgg")
    monkeypatch.setitem(registry.ARCHITECTURES, "vgg", entry)
    script, *flags = plan.trainer("vgg")
    assert script == "train_dnn.py"
    assert train_dnn.build_parser().parse_args(flags).architecture == "vgg"
    assert train_dnn.build_parser().parse_args([]).architecture == "dnn"
    script, *flags = plan.trainer("compact")
    assert script == "train_cnn.py"
    assert train_cnn.build_parser().parse_args(flags).architecture == "compact"


def test_all_layers_with_parameters_are_listed():
    separable = layers.SeparableConv2D(4, 3, name="separable")
    model = keras.Sequential([keras.Input(INPUT_SHAPE), separable, layers.Dense(7)])
    *listed, every, trainable, rest = measuring.layer_table(model)
    assert sum(row["parameters"] or 0 for row in listed) == every["parameters"]
    assert every["parameters"] == trainable["parameters"] + rest["parameters"]


def test_a_name_that_is_not_registered_is_refused(capsys):
    with pytest.raises(ValueError, match="unknown architecture 'vgg': expected one of cnn, comp"):
        registry.build("vgg")
    with pytest.raises(SystemExit):
        train_cnn.main(["--architecture", "dnn"])
    assert "invalid choice: 'dnn'" in capsys.readouterr().err
