"""Time of gradient ascent for all filters of conv2d_2, against a plain loop and tf-keras-vis.

    python -m benchmarks.ascent
    python -m benchmarks.ascent --steps 5 --filters 2 --rounds 1

All climb the same mean activations, after the activation function, the same number of steps, one
contender after the other in one process, the rivals once more as they come, with the settings that
TensorFlow chooses, in a process of their own. The loop ascends one filter after the other with a
compiled step, as the Keras example on what convolutions learn does: with the number of the filter
as a Python integer, for which the step is compiled anew, and, better, as a tensor. tf-keras-vis
runs without its modifiers and regularisers, one filter at a time as its documentation shows and all
in one batch. Contenders that take filters one at a time may be measured on a few; their time is
scaled up to all.
"""

import warnings

from benchmarks import timing

LAYER, AFTER, FILTERS = "conv2d_2", "leaky_re_lu_2", 64
LOOPS = (
    "loop of the Keras example",
    "that loop, compiled once",
    "tf-keras-vis, one filter at a time",
)


def main():
    """Alternate the contenders and publish the table."""
    args = timing.flags(__doc__, steps=100, filters=4, rounds=2)
    seconds = timing.against_rivals("ascent", args, rounds=args.rounds)
    seconds = {
        key: value * FILTERS / args.filters if key[0] in LOOPS else value
        for key, value in seconds.items()
    }
    ours = next(iter(seconds.values()))
    timing.publish(
        "benchmark_ascent",
        [
            {
                "ascent": name,
                "settings": settings,
                "filters": FILTERS,
                "steps": args.steps,
                "seconds": value,
                "ours is times as fast": value / ours,
            }
            for (name, settings), value in seconds.items()
        ],
        title="Activation maximisation, beside other libraries",
    )


def contenders(options):
    """Return every way to ascend; those that take filters one at a time take the first few."""
    # tf-keras-vis calls the model with a list of one image batch, at which Keras wonders.
    warnings.filterwarnings("ignore", message="The structure of `inputs`")
    import keras
    import tensorflow as tf
    from tf_keras_vis.activation_maximization import ActivationMaximization

    from common.ascent import maximise, responses
    from common.models import registry

    keras.utils.set_random_seed(0)
    model = registry.build("cnn")
    submodel = keras.Model(model.input, model.get_layer(AFTER).output)
    units = responses.layer_units(model, LAYER)
    start = maximise.white_noise(units, seed=0)
    few = units[: options.filters]

    def step(image, unit):
        with tf.GradientTape() as tape:
            tape.watch(image)
            loss = tf.reduce_mean(submodel(image, training=False)[..., unit])
        return image + maximise.STEP * tf.math.l2_normalize(tape.gradient(loss, image)) * 48

    def climb(compiled, unit):
        image = tf.constant(start[int(unit)][None, ..., None])
        for _ in range(options.steps):
            image = compiled(image, unit)
        image.numpy()

    once = tf.function(step)

    def loop_compiled_once():
        for unit in few:
            climb(once, tf.constant(unit))

    def loop_of_keras_example():
        each = tf.function(step)
        for unit in few:
            climb(each, int(unit))

    maximisation = ActivationMaximization(submodel)

    def tf_keras_vis(score, images):
        maximisation(
            score,
            seed_input=tf.constant(images[..., None]),
            input_range=(0, 1),
            input_modifiers=[],
            regularizers=[],
            steps=options.steps,
            optimizer=keras.optimizers.RMSprop(maximise.STEP),
        )

    def tf_keras_vis_loop():
        for unit in few:
            tf_keras_vis(lambda maps, unit=unit: maps[..., unit], start[unit][None])

    return {
        "ours": lambda: maximise.ascend(
            model, LAYER, units, maximise.Options(steps=options.steps), start=start
        ),
        LOOPS[0]: loop_of_keras_example,
        LOOPS[1]: loop_compiled_once,
        LOOPS[2]: tf_keras_vis_loop,
        "tf-keras-vis, all in one batch": lambda: tf_keras_vis(
            lambda maps: [maps[unit, ..., unit] for unit in units], start
        ),
    }


if __name__ == "__main__":
    main()
