"""Training on adversarial images, so that a network withstands small perturbations.

Each step trains on images that FGSM has moved from a random point of the ball around them: one more
pass and its gradient, instead of the many of PGD. It can fail suddenly: the network learns to hide
its gradients from the one step, while PGD fools it as before, so PGD is measured after each epoch.

Source: Wong, Rice, Kolter, "Fast is better than free: revisiting adversarial training", 2020
(algorithm 3; section 5.4 on that failure, catastrophic overfitting).
"""

import keras
import numpy as np
import tensorflow as tf

from common.attacks import engine, pgd
from common.attacks.registry import Budget
from common.data.pixels import to_inputs
from common.models import prediction, registry

STEP = 1.25  # times eps; longer ones overfit catastrophically sooner (figure 2 of the source)
CHECKED = 128  # images a check


class AdversarialModel(keras.Model):
    """A model, made as `keras.Model(inputs, outputs)`, whose steps train on perturbed images.

    The perturbation raises the loss of the very network that takes the step: by the statistics of
    this batch, with the same units dropped. Finding it moves no average and no seed.

    Attributes:
        eps: largest change of a pixel, in grey levels; the images stay in [0, 1].
        seed: of the random starts, which follow from it and the number of the step alone.
    """

    eps: float
    seed: int

    def train_step(self, data):
        """Perturb a batch (images, targets, weights), and train on it as Keras does."""
        images, targets, weights = data
        return super().train_step((self.perturb(images, targets), targets, weights))

    def perturb(self, images: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
        """Return images float32 (n, 48, 48, 1) moved by up to `eps` against targets (n, 7)."""
        eps = self.eps / 255
        step = tf.cast(self.optimizer.iterations, tf.int32)
        start = tf.random.stateless_uniform(
            tf.shape(images),
            tf.stack([self.seed, -1 - step]),  # augmentation counts upwards
            minval=-eps,
            maxval=eps,
        )
        moved = tf.clip_by_value(images + start, 0.0, 1.0)
        with keras.StatelessScope(), tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(moved)
            loss = self.optimizer.scale_loss(self.loss(targets, self(moved, training=True)))
        change = moved - images + STEP * eps * tf.sign(tape.gradient(loss, moved))
        return tf.clip_by_value(images + tf.clip_by_value(change, -eps, eps), 0.0, 1.0)


class PgdCheck(keras.callbacks.Callback):
    """Adds `pgd_accuracy` to the logs of each epoch: the accuracy on attacked validation images.

    They are up to `CHECKED` images, evenly spread over those given and attacked from the same
    random starts in every epoch, by ten steps of PGD on the network in float32.

    Args:
        architecture: of the model that is trained.
        images: validation images, uint8 (m, 48, 48).
        labels: theirs, (m,).
        eps: as in training, in grey levels.
        seed: of the starts.
    """

    def __init__(self, architecture, images, labels, *, eps: float, seed: int):
        """Choose the images, and build the network that is attacked."""
        super().__init__()
        rows = np.linspace(0, len(images), min(CHECKED, len(images)), endpoint=False, dtype=int)
        self.images, self.labels = to_inputs(images[rows]), np.asarray(labels)[rows]
        self.attacked = prediction.logits_model(registry.build(architecture))
        self.eps, self.seed = eps / 255, seed

    def on_epoch_end(self, epoch, logs=None):
        """Attack the network as it was validated."""
        self.attacked.set_weights(self.model.get_weights())
        budget = Budget(self.eps, generator=np.random.default_rng(self.seed))
        found = pgd.perturb(self.attacked, self.images, self.labels, budget)
        logs["pgd_accuracy"] = 1 - float(
            engine.fooled(self.attacked, found, self.labels, budget).mean()
        )
