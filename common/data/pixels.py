"""Images as the model takes them, and which of them are the same."""

import numpy as np


def duplicate_groups(images):
    """Return int64 (n,): the same number for two rows if and only if they are identical.

    Numbers count from 0 in the order of first appearance.

    Args:
        images: uint8 (n, 48, 48).
    """
    numbers = {}
    return np.array(
        [numbers.setdefault(image.tobytes(), len(numbers)) for image in images], dtype=np.int64
    )


def to_inputs(images):
    """Return what a model takes, float32 (n, 48, 48, 1) in [0, 1], from uint8 (n, 48, 48)."""
    inputs = images[..., np.newaxis].astype(np.float32)
    inputs /= 255
    return inputs
