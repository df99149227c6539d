"""A network as a list of steps and one string of weights: what the demo page computes with."""

import base64
from collections.abc import Callable
from typing import Any

import numpy as np

LARGEST = 2**23 - 1  # of a weight as a whole number of 24 bits


def describe(model: Any) -> tuple[dict, str]:
    """Return (description, weights) of a model that ends in `logits` and a softmax.

    Steps take the values of earlier ones by number; value 0 is the image. What does nothing at
    inference is left out, and batch normalisation becomes a factor and a shift for each channel.

    Args:
        model: built by Keras' functional API, each layer used once.

    Returns:
        description: {"steps", "logits"}: a list of {"kind", "inputs", "arrays", ...}, where an
            array is [start, length, unit], and the number of the value that holds the logits.
        weights: base64 of all arrays, one after the other, as `pack` makes it.

    Raises:
        ValueError: a layer, or a setting of one, that the page cannot compute.
    """
    numbers = {id(model.inputs[0]): 0}  # of the value that a tensor is
    steps, packed, start = [], [], 0
    for layer in model.layers:
        if type(layer).__name__ == "InputLayer":
            continue
        tensors = layer.input if isinstance(layer.input, list) else [layer.input]
        inputs = [numbers[id(tensor)] for tensor in tensors]
        for step in _steps_of(layer):
            arrays = {}
            for name, array in step.pop("arrays", {}).items():
                data, unit = pack(array)
                arrays[name] = [start, array.size, unit]
                packed.append(data)
                start += array.size
            steps.append(step | {"inputs": inputs, "arrays": arrays})
            inputs = [len(steps)]
        numbers[id(layer.output)] = inputs[0]
    logits = numbers[id(model.get_layer("logits").output)]
    weights = base64.b64encode(b"".join(packed)).decode("ascii")
    return {"steps": steps, "logits": logits}, weights


def pack(array: np.ndarray) -> tuple[bytes, float]:
    """Return (bytes, unit): an array as whole multiples of a unit, 24 bits each, the lowest first.

    An array is right to 2^-24 of its largest entry. For weights that is nearly as good as float32
    at three quarters of the size; half precision changes probabilities by up to 0.002.
    """
    values = np.asarray(array, np.float64).ravel()
    unit = float(np.abs(values).max(initial=0)) / LARGEST or 1.0
    whole = np.rint(values / unit).astype("<i4")
    return whole.view(np.uint8).reshape(-1, 4)[:, :3].tobytes(), unit


def _steps_of(layer) -> list[dict]:
    """Return the steps of a layer: none where it does nothing, more where it has an activation."""
    kind = type(layer).__name__
    if kind not in KINDS:
        raise ValueError(
            f"layer {layer.name}: expected one that the demo page can compute "
            f"({', '.join(KINDS)}), found {kind}: leave it out with --format onnx litert"
        )
    made = KINDS[kind](layer)
    steps = [] if made is None else [made]
    if kind in ("Conv2D", "Dense"):
        steps += filter(None, [_activation(layer)])
    return steps


def _require(layer, **expected):
    """Refuse a layer with a setting that no step has."""
    for name, value in expected.items():
        found = getattr(layer, name)
        if found not in (value, list(value) if isinstance(value, tuple) else value):
            raise ValueError(
                f"layer {layer.name}: expected {name} {value!r} for the demo page, found "
                f"{found!r}: leave it out with --format onnx litert"
            )


def _standardisation(layer):
    rank = len(layer.input.shape)
    axes = layer.axis if isinstance(layer.axis, list | tuple) else [layer.axis]
    _require(layer, center=False, scale=False)
    if sorted(axis % rank for axis in axes) != list(range(1, rank)):
        raise ValueError(
            f"layer {layer.name}: expected axes of a whole image for the demo page, found "
            f"{list(axes)}: leave it out with --format onnx litert"
        )
    return {"kind": "standardise", "epsilon": layer.epsilon}


def _convolution(layer):
    _require(layer, data_format="channels_last", dilation_rate=(1, 1), groups=1)
    kernel, bias = _weights(layer)
    return {
        "kind": "convolve",
        "kernel": kernel.shape,  # rows, columns, channels, filters
        "strides": list(layer.strides),
        "same": layer.padding == "same",
        "arrays": {"weights": kernel, "bias": bias},
    }


def _dense(layer):
    kernel, bias = _weights(layer)
    return {"kind": "dense", "arrays": {"weights": kernel, "bias": bias}}


def _weights(layer):
    """Return (kernel, bias) of a layer, a bias of zeros where it has none."""
    kernel = np.asarray(layer.kernel)
    return kernel, np.asarray(layer.bias) if layer.use_bias else np.zeros(kernel.shape[-1])


def _normalisation(layer):
    _require(layer, axis=-1 if layer.axis == -1 else len(layer.input.shape) - 1)
    mean, variance = (
        np.asarray(array, np.float64) for array in (layer.moving_mean, layer.moving_variance)
    )
    factor = (np.asarray(layer.gamma) if layer.scale else 1) / np.sqrt(variance + layer.epsilon)
    shift = (np.asarray(layer.beta) if layer.center else 0) - mean * factor
    return {"kind": "scale", "arrays": {"factor": factor, "shift": shift}}


def _pooling(kind):
    def step(layer):
        _require(layer, data_format="channels_last", padding="valid")
        return {"kind": kind, "size": list(layer.pool_size), "strides": list(layer.strides)}

    return step


def _over_all(kind):
    def step(layer):
        _require(layer, data_format="channels_last", keepdims=False)
        return {"kind": kind}

    return step


def _rectifier(layer):
    _require(layer, max_value=None, threshold=0)
    return {"kind": "rectify", "slope": float(layer.negative_slope)}


def _activation(layer):
    """Return the step of an activation by name, or None for the identity."""
    name = layer.activation.__name__
    steps = {
        "linear": None,
        "relu": {"kind": "rectify", "slope": 0.0},
        "softmax": {"kind": "softmax"},
    }
    if name not in steps:
        raise ValueError(
            f"layer {layer.name}: expected an activation that the demo page can compute "
            f"({', '.join(steps)}), found {name}: leave it out with --format onnx litert"
        )
    return steps[name]


def _last_axis(kind):
    def step(layer):
        _require(layer, axis=-1)
        return {"kind": kind}

    return step


KINDS: dict[str, Callable[[Any], dict | None]] = {  # Keras' layers, and the steps they are
    "LayerNormalization": _standardisation,
    "Conv2D": _convolution,
    "Dense": _dense,
    "BatchNormalization": _normalisation,
    "LeakyReLU": lambda layer: {"kind": "rectify", "slope": float(layer.negative_slope)},
    "ReLU": _rectifier,
    "Activation": _activation,
    "MaxPooling2D": _pooling("largest"),
    "AveragePooling2D": _pooling("mean"),
    "GlobalMaxPooling2D": _over_all("largest_of_all"),
    "GlobalAveragePooling2D": _over_all("mean_of_all"),
    "Add": lambda layer: {"kind": "add"},
    "Concatenate": _last_axis("concatenate"),
    "Flatten": lambda layer: {"kind": "flatten"},
    "Dropout": lambda layer: None,
    "Softmax": _last_axis("softmax"),
}
