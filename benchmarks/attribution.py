"""SmoothGrad maps a second on the report's CNN, against PAIR's `saliency` and tf-keras-vis.

    python -m benchmarks.attribution --images 1 5 --samples 50 --rounds 3

All compute the same thing with the same number of noisy copies, one after the other in one process,
and the rivals once more with the settings that TensorFlow chooses. PAIR and tf-keras-vis run as
their documentation shows, PAIR with a batch of one. The multiply limit is what the convolutions and
dense layers would take if this machine did nothing but float32 matrix products at the rate measured
beside them.
"""

import argparse
import importlib
import math
import sys
import warnings
from pathlib import Path

from benchmarks import timing

SPREAD = 0.15
LIMIT = "multiply limit"
MATRIX = 2048  # rows of the square matrices whose product measures the limit


def main():
    """Alternate the contenders and publish the table."""
    args = timing.flags(__doc__, images=[1, 5], samples=50, rounds=2)
    table = []
    for count in args.images:
        one = argparse.Namespace(images=count, samples=args.samples)
        seconds = timing.against_rivals("attribution", one, rounds=args.rounds)
        products = [seconds.pop((LIMIT, "oneDNN on")), seconds.pop((LIMIT, "default"))]
        rate = 2 * MATRIX**3 / min(products)
        limit = count * args.samples * multiplications() / rate
        ours = next(iter(seconds.values()))
        table += [
            {
                "SmoothGrad": name,
                "settings": settings,
                "images": count,
                "maps a second": count / value,
                "ours is times as fast": value / ours,
                "share of the multiply limit": limit / value,
            }
            for (name, settings), value in seconds.items()
        ]
    timing.publish("benchmark_attribution", table, title="SmoothGrad, beside other libraries")


def contenders(options):
    """Return every way to make SmoothGrad maps, and a product of matrices for the limit."""
    pair = import_pair()
    # tf-keras-vis calls the model with a list of one image batch, at which Keras wonders.
    warnings.filterwarnings("ignore", message="The structure of `inputs`")
    import numpy as np
    import tensorflow as tf
    from tf_keras_vis.saliency import Saliency
    from tf_keras_vis.utils.scores import CategoricalScore

    from common.attribution import engine, smooth_gradient
    from common.models import prediction, registry

    model = prediction.logits_model(registry.build("cnn"))
    product = tf.function(tf.linalg.matmul)
    matrix = tf.random.normal((MATRIX, MATRIX), seed=0)
    theirs = Saliency(model)
    images = np.random.default_rng(0).random((options.images, 48, 48, 1)).astype(np.float32)
    targets = np.arange(options.images) % 7

    def call_model(images, call_model_args=None, expected_keys=None):
        images = tf.convert_to_tensor(images, tf.float32)
        with tf.GradientTape() as tape:
            tape.watch(images)
            score = model(images, training=False)[:, call_model_args]
        return {pair.base.INPUT_OUTPUT_GRADIENTS: tape.gradient(score, images).numpy()}

    return {
        "ours": lambda: smooth_gradient.attribute(
            model, images, targets, engine.Options(samples=options.samples), spread=SPREAD
        ),
        "tf-keras-vis": lambda: theirs(
            CategoricalScore(targets.tolist()),
            images,
            smooth_samples=options.samples,
            smooth_noise=SPREAD,
        ),
        "PAIR saliency": lambda: [
            pair.GradientSaliency().GetSmoothedMask(
                image, call_model, target, stdev_spread=SPREAD, nsamples=options.samples
            )
            for image, target in zip(images, targets, strict=True)
        ],
        LIMIT: lambda: product(matrix, matrix).numpy(),
    }


def multiplications():
    """Return the operations of one gradient: two a weight and place forward, two back."""
    from common.models import registry

    return sum(
        4 * math.prod(layer.output.shape[1:-1]) * math.prod(layer.kernel.shape)
        for layer in registry.build("cnn").layers
        if getattr(layer, "kernel", None) is not None
    )


def import_pair():
    """Return PAIR's package `saliency`, whose name our script saliency.py has as well."""
    project = Path(__file__).parents[1]
    paths = sys.path[:]
    sys.path[:] = [path for path in paths if Path(path or ".").resolve() != project]
    try:
        return importlib.import_module("saliency.core")
    finally:
        sys.path[:] = paths


if __name__ == "__main__":
    main()
