"""ONNX and LiteRT files of a model, by Keras' own export, and what their runtimes answer."""

import importlib.util
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from common.labels import INPUT_SHAPE
from common.runs import storage

NEEDS = {"onnx": ("tf2onnx", "onnx")}  # packages, besides TensorFlow, that write it
RUNTIMES = {"onnx": "onnxruntime", "litert": "ai-edge-litert"}


def missing(form: str) -> str:
    """Return what is to be installed before that form can be written, or "" if nothing is."""
    absent = [name for name in NEEDS.get(form, ()) if not importlib.util.find_spec(name)]
    if not absent:
        return ""
    return f'needs {" and ".join(absent)}: pip install -e ".[export]" in the project\'s folder'


def write(model: Any, path: Path, form: str) -> None:
    """Write a model as Keras exports it, atomically.

    Args:
        model: of Keras, in float32; takes (n, 48, 48, 1) in [0, 1].
        path: ends in .onnx or .tflite.
        form: "onnx" or "litert".

    Raises:
        ValueError: a package is missing.
    """
    if missing(form):
        raise ValueError(f"{path.name} {missing(form)}")
    model(np.zeros((1, *INPUT_SHAPE), np.float32))  # Keras exports only what has been called
    with storage.atomic_write(path) as temporary, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of Keras, on the age of what it calls
        model.export(str(temporary), format=form, verbose=False)


def answers(path: Path, form: str, inputs: np.ndarray) -> np.ndarray | None:
    """Return the probabilities (n, 7) that a runtime gives, or None where none is installed.

    Args:
        path: of a file that `write` wrote.
        form: "onnx" or "litert".
        inputs: float32 (n, 48, 48, 1) in [0, 1].
    """
    return (_answers_of_onnx if form == "onnx" else _answers_of_litert)(path, inputs)


def comparison(path: Path, form: str, inputs: np.ndarray, expected: np.ndarray) -> str:
    """Return how far the answers of a file are from those expected, as a sentence."""
    found = answers(path, form, inputs)
    if found is None:
        return f"{path.name} was not compared with Keras: pip install {RUNTIMES[form]}"
    difference = np.abs(found - expected).max()
    return (
        f"{path.name}: probabilities differ from Keras' by at most {difference:.0e} on "
        f"{len(inputs)} synthetic faces."
    )


def _answers_of_onnx(path, inputs):
    if not importlib.util.find_spec("onnxruntime"):
        return None
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: inputs})[0]


def _answers_of_litert(path, inputs):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TensorFlow's announces its successor
        try:
            from ai_edge_litert.interpreter import Interpreter
        except ImportError:
            try:
                from tensorflow.lite.python.interpreter import Interpreter
            except ImportError:
                return None
        interpreter = Interpreter(model_content=path.read_bytes())
    place = interpreter.get_input_details()[0]["index"]
    interpreter.resize_tensor_input(place, inputs.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(place, inputs)
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
