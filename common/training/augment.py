"""Augmentation by name, a whole batch at a time.

Every random number comes from a stateless generator with an explicit seed, so the same batch of
the same epoch looks the same in every run, whenever it was started.
"""

import math

import tensorflow as tf

from common.training.recipes import POLICIES, Policy, entry


def augment(images: tf.Tensor, policy: Policy | str, seed: tf.Tensor) -> tf.Tensor:
    """Return randomly changed images.

    Args:
        images: float32 (n, height, width, 1) in [0, 1].
        policy: a `Policy`, or the name of one of `POLICIES`.
        seed: int (2,), for example (seed of the run, number of the batch).

    Returns:
        float32 of the same shape, in [0, 1]. Pixels that come into view repeat the nearest edge,
        as in the generator that the report used.
    """
    policy = entry(POLICIES, policy) if isinstance(policy, str) else policy
    if policy == POLICIES["none"]:
        return images
    images = tf.convert_to_tensor(images)
    height, width = images.shape[1:3]
    images = tf.raw_ops.ImageProjectiveTransformV3(
        images=images,
        transforms=_transforms(policy, tf.shape(images)[0], height, width, seed),
        output_shape=(height, width),
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="NEAREST",
    )
    return _erase(images, policy.erase, seed) if policy.erase else images


def mix(
    images: tf.Tensor, targets: tf.Tensor, weights: tf.Tensor, alpha: float, seed: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Return a batch in which each image is mixed with the one before it (mixup).

    The loss of a mixture is that mixture of both losses, weights included.

    Args:
        images: float32 (n, height, width, 1).
        targets: float32 (n, 7), rows that sum to 1.
        weights: float32 (n,), of each image in the loss.
        alpha: the shares are drawn from Beta(alpha, alpha), one a pair.
        seed: as for `augment`.

    Source: Zhang et al., "mixup: beyond empirical risk minimization", 2018, equation 2.
    """
    seed = seed + tf.constant([1 << 30, 0])  # other draws than those of `augment`
    shape = (2, tf.shape(images)[0])
    # The share is a / (a + b) of two gamma variables. Those of a small alpha are too small for
    # float32, their logarithms are not: a is a gamma variable of alpha + 1 times U^(1 / alpha).
    gamma = tf.random.stateless_gamma(shape, seed, alpha + 1.0)
    uniform = 1 - tf.random.stateless_uniform(shape, seed + 1)
    logs = tf.math.log(gamma) + tf.math.log(uniform) / alpha
    share = tf.sigmoid(logs[0] - logs[1])

    def mixed(values):
        part = tf.reshape(share, (-1, *[1] * (len(values.shape) - 1)))
        return part * values + (1 - part) * tf.roll(values, 1, axis=0)

    weight = mixed(weights)
    return mixed(images), mixed(targets * weights[:, tf.newaxis]) / weight[:, tf.newaxis], weight


def _transforms(policy, count, height, width, seed):
    """Return float32 (count, 8): where each output pixel is read, as x, y rows of a matrix."""
    draws = tf.random.stateless_uniform((5, count), seed, minval=-1.0, maxval=1.0)
    mirror = tf.where(draws[0] < 0, -1.0, 1.0) if policy.flip else tf.ones(count)
    angle = draws[1] * (policy.rotation * math.pi / 180)
    scale = 1 + draws[2] * policy.zoom
    cosine, sine = tf.cos(angle) * scale, tf.sin(angle) * scale
    # Rotation, zoom and mirror keep the centre in place; the shift comes on top.
    centre_x, centre_y = (width - 1) / 2, (height - 1) / 2
    a0, a1 = cosine * mirror, -sine
    b0, b1 = sine * mirror, cosine
    a2 = centre_x - a0 * centre_x - a1 * centre_y + draws[3] * policy.shift * width
    b2 = centre_y - b0 * centre_x - b1 * centre_y + draws[4] * policy.shift * height
    zeros = tf.zeros(count)
    return tf.stack([a0, a1, a2, b0, b1, b2, zeros, zeros], axis=1)


def _erase(images, probability, seed):
    """Return images where some have a rectangle of their own mean grey (random erasing)."""
    count, height, width = tf.shape(images)[0], images.shape[1], images.shape[2]
    draws = tf.random.stateless_uniform((5, count, 1), seed + tf.constant([0, 1 << 20]))
    area = 0.02 + 0.18 * draws[0]
    ratio = tf.exp((2 * draws[1] - 1) * math.log(2))
    half_height, half_width = tf.sqrt(area * ratio) / 2, tf.sqrt(area / ratio) / 2
    rows = (tf.range(height, dtype=tf.float32) + 0.5) / height
    columns = (tf.range(width, dtype=tf.float32) + 0.5) / width
    inside = (
        (tf.abs(rows - draws[2]) < half_height)[:, :, tf.newaxis]
        & (tf.abs(columns - draws[3]) < half_width)[:, tf.newaxis, :]
        & (draws[4] < probability)[:, :, tf.newaxis]
    )
    grey = tf.reduce_mean(images, axis=(1, 2, 3), keepdims=True)
    return tf.where(inside[..., tf.newaxis], grey, images)
