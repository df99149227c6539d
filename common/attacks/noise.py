"""Random noise of the size of an attack, the control: an attack must do more than that.

Every pixel goes up or down by eps ("linf"), or the perturbation is Gaussian with length eps ("l2"),
before it is cut to [0, 1]. Model and labels are of no matter.
"""

import numpy as np
from keras import Model
from numpy import ndarray

from common.attacks import engine
from common.attacks.registry import Budget


def perturb(model: Model, images: ndarray, labels: ndarray, budget: Budget) -> ndarray:
    """Return images moved by `budget.eps` along `direction`; errors are those of `engine`."""
    return engine.move(images, direction(model, images, labels, budget), budget)


def direction(model: Model, images: ndarray, labels: ndarray, budget: Budget) -> ndarray:
    """Return random perturbations of size 1, float32 like images."""
    if budget.norm == "linf":
        signs = budget.random().integers(0, 2, images.shape, dtype=np.int8)
        return 2 * signs.astype(np.float32) - 1
    normal = budget.random().standard_normal(images.shape)
    return (normal / np.maximum(engine.lengths(normal), engine.TINY)).astype(np.float32)
