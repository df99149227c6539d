"""PGD: many projected gradient steps from random points of the ball, the best of them kept.

Source: Madry et al. 2018, "Towards deep learning models resistant to adversarial attacks".
"""

from dataclasses import replace

import numpy as np
from keras import Model
from numpy import ndarray

from common.attacks import engine
from common.attacks.registry import Budget
from common.models.prediction import checked

STEP = 2.5  # times eps / steps: it can cross its ball 1.25 times (section 5)


def perturb(model: Model, images: ndarray, labels: ndarray, budget: Budget) -> ndarray:
    """Return images after `budget.steps` steps, the best of `budget.restarts` starts each.

    The best one has the largest margin: it is misread (or read as the target) if any start led to
    that. The random starts do not depend on the batch size. Errors are those of `engine`.
    """
    images, labels = checked(model, images, labels)
    if budget.restarts == 0:
        return engine.ascend(model, images, images, labels, budget, step=STEP)
    best, best_margin = images, -np.inf
    for _ in range(budget.restarts):
        starts = _random_points(images, budget)
        found = engine.ascend(model, images, starts, labels, budget, step=STEP)
        if budget.restarts == 1:
            return found
        logits = engine.predict_logits(model, found, budget.batch_size)
        margin = engine.margins(logits, labels, budget)
        better = (margin > best_margin).reshape(-1, *[1] * (images.ndim - 1))
        best, best_margin = np.where(better, found, best), np.maximum(margin, best_margin)
    return best


def _random_points(images, budget):
    """Return a random point of the ball around each image, cut to [0, 1]."""
    eps, generator = engine.for_each(budget.eps, images, "eps"), budget.random()
    if budget.norm == "linf":
        return engine.move(images, generator.uniform(-1, 1, images.shape), budget)
    direction = generator.standard_normal(images.shape)
    direction /= np.maximum(engine.lengths(direction), engine.TINY)
    share = generator.random(len(images)) ** (1 / np.prod(images.shape[1:]))  # even in volume
    return engine.move(images, direction, replace(budget, eps=eps * share))
