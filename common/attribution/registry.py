"""The methods of attribution by name, without Keras: a new one is its module and a line here."""

import importlib
from dataclasses import dataclass
from types import ModuleType


@dataclass(frozen=True)
class Method:
    """What is known of a method before it is imported."""

    title: str
    colour: str
    contribution: bool = False  # its maps are contributions, not sensitivities (`maps`)
    convolution: bool = False  # it explains by one, `Options.layer`, so the model must have some
    module: str | None = None  # with `attribute`; `common.attribution.<name>` unless named


METHODS = {
    "gradient": Method("gradient", "#0072B2"),
    "gradient_times_input": Method("gradient x input", "#56B4E9", contribution=True),
    "smooth_gradient": Method("SmoothGrad", "#D55E00"),
    "integrated_gradients": Method("integrated gradients", "#009E73", contribution=True),
    "guided_backpropagation": Method("guided backpropagation", "#CC79A7"),
    "grad_cam": Method("Grad-CAM", "#E69F00", contribution=True, convolution=True),
    "layer_cam": Method("LayerCAM", "#000000", contribution=True, convolution=True),
    "occlusion": Method("occlusion", "#7A5195", contribution=True),
}
# Method and pixels of smoothing. In results/saliency_methods.csv occlusion and, smoothed over 1
# pixel, integrated gradients score higher, but take many times as long. The last is for a model
# without convolutions.
DEFAULT, SMOOTHING = "layer_cam", 2.0
DEFAULT_OF_ANY = "smooth_gradient"


def method(name: str) -> Method:
    """Return what is known of a method, or raise a ValueError that lists those that exist."""
    if name not in METHODS:
        raise ValueError(f"unknown method {name!r}: expected one of {', '.join(METHODS)}")
    return METHODS[name]


def load(name: str) -> ModuleType:
    """Return the module of a method, with the function `attribute` that `engine` describes."""
    return importlib.import_module(method(name).module or f"common.attribution.{name}")


def by_convolution() -> list[str]:
    """Return the names of the methods that explain by a convolution."""
    return [name for name, known in METHODS.items() if known.convolution]


def describe(name: str, smoothing: float) -> str:
    """Return how figures and sentences name the maps of a method."""
    smoothed = f", smoothed over {smoothing:g} pixel{'s' * (smoothing != 1)}" * bool(smoothing)
    return f"{method(name).title}{smoothed}"
