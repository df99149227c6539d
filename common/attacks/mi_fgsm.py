"""MI-FGSM: gradient steps from the image itself that keep going the way earlier ones went.

Source: Dong et al. 2018, "Boosting adversarial attacks with momentum", algorithm 1 and, for l2,
section 3.3.
"""

import tensorflow as tf
from keras import Model
from numpy import ndarray

from common.attacks import engine
from common.attacks.registry import Budget

STEP = 1.0  # times eps / steps, the paper's: straight ahead, the last one reaches the ball's edge
DECAY = 1.0  # of what was accumulated, the paper's


def perturb(model: Model, images: ndarray, labels: ndarray, budget: Budget) -> ndarray:
    """Return images after `budget.steps` steps along `accumulated`; errors are `engine`'s."""
    return engine.ascend(model, images, images, labels, budget, step=STEP, follow=accumulated)


def accumulated(gradient: tf.Tensor, before: tf.Tensor) -> tf.Tensor:
    """Return what was accumulated before, decayed, plus the gradient at an l1 norm of 1."""
    axes = list(range(1, len(gradient.shape)))
    size = tf.reduce_sum(tf.abs(gradient), axes, keepdims=True)
    return DECAY * before + gradient / tf.maximum(size, engine.TINY)
