"""Time of gradient ascent for all filters of conv2d_2, against a plain loop and tf-keras-vis.

    python -m benchmarks.ascent
    python -m benchmarks.ascent --steps 5 --filters 2 --rounds 1

All climb the same mean activations, after the activation function, the same number of steps, one
contender after the other in one process. The loop ascends one filter after the other with a
compiled step, as the Keras example on what convolutions learn does (that compiles anew for each
filter; this one does not). tf-keras-vis runs without its modifiers and regularisers, one filter at
a time as its documentation shows and all in one batch. Contenders that take filters one at a time
may be measured on a few; their time is scaled up to all.
"""

import argparse
import warnings

from benchmarks import timing

LAYER, AFTER = "conv2d_2", "leaky_re_lu_2"


def main():
    """Alternate the contenders and publish the table."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--steps", type=int, default=100)
    options.add_argument("--filters", type=int, default=8, help="of the one-at-a-time contenders")
    options.add_argument("--rounds", type=int, default=3)
    args = options.parse_args()
    # tf-keras-vis calls the model with a list of one image batch, at which Keras wonders.
    warnings.filterwarnings("ignore", message="The structure of `inputs`")
    import keras
    import tensorflow as tf
    from tf_keras_vis.activation_maximization import ActivationMaximization

    from common import ascent, models

    keras.utils.set_random_seed(0)
    model = models.build("cnn")
    submodel = keras.Model(model.input, model.get_layer(AFTER).output)
    units = ascent.layer_units(model, LAYER)
    start = ascent.white_noise(units, seed=0)
    few = units[: args.filters]

    @tf.function
    def step(image, unit):
        with tf.GradientTape() as tape:
            tape.watch(image)
            loss = tf.reduce_mean(submodel(image, training=False)[..., unit])
        return image + ascent.STEP * tf.math.l2_normalize(tape.gradient(loss, image)) * 48

    def loop():
        for unit in few:
            image = tf.constant(start[unit][None, ..., None])
            for _ in range(args.steps):
                image = step(image, tf.constant(unit))
            image.numpy()

    maximisation = ActivationMaximization(submodel)

    def tf_keras_vis(score, images):
        maximisation(
            score,
            seed_input=tf.constant(images[..., None]),
            input_range=(0, 1),
            input_modifiers=[],
            regularizers=[],
            steps=args.steps,
            optimizer=keras.optimizers.RMSprop(ascent.STEP),
        )

    def tf_keras_vis_loop():
        for unit in few:
            tf_keras_vis(lambda maps, unit=unit: maps[..., unit], start[unit][None])

    def tf_keras_vis_batch():
        tf_keras_vis(lambda maps: [maps[unit, ..., unit] for unit in units], start)

    seconds = timing.alternate(
        {
            "ours": lambda: ascent.maximise(model, LAYER, units, start=start, steps=args.steps),
            "loop over filters": loop,
            "tf-keras-vis, one filter at a time": tf_keras_vis_loop,
            "tf-keras-vis, all in one batch": tf_keras_vis_batch,
        },
        rounds=args.rounds,
    )
    for name in ("loop over filters", "tf-keras-vis, one filter at a time"):
        seconds[name] *= len(units) / len(few)
    timing.publish(
        "ascent",
        [
            {
                "ascent": name,
                "filters": len(units),
                "steps": args.steps,
                "seconds": value,
                "ours is times as fast": value / seconds["ours"],
            }
            for name, value in seconds.items()
        ],
    )


if __name__ == "__main__":
    main()
