"""FGSM: one step along the sign (or, in l2, the direction) of the gradient.

Source: Goodfellow, Shlens & Szegedy 2015, "Explaining and harnessing adversarial examples",
section 4.
"""

from keras import Model
from numpy import ndarray

from common.attacks import engine
from common.attacks.registry import Budget


def perturb(model: Model, images: ndarray, labels: ndarray, budget: Budget) -> ndarray:
    """Return images moved by `budget.eps` along `direction`; errors are those of `engine`."""
    return engine.move(images, direction(model, images, labels, budget), budget)


def direction(model: Model, images: ndarray, labels: ndarray, budget: Budget) -> ndarray:
    """Return the steepest perturbations of size 1, float32 like images."""
    return engine.steepest(model, images, labels, budget)
