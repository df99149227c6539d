"""PGD images a second on the report's CNN, against adversarial-robustness-toolbox.

    python -m benchmarks.attacks --images 64 --steps 10 --rounds 3

Both take the same steps from the same start (the images themselves), in batches of the same
size, one after the other in one process, and the toolbox once more with the settings that
TensorFlow chooses; the toolbox sees the model as its documentation shows. How far apart the results
are is part of the table. A gradient's sign is all that counts, so a gradient of zero but for
rounding may move a pixel the other way in one of them.
"""

import argparse
import warnings

from benchmarks import timing

EPS, STEP = 8 / 255, 2 / 255


def main():
    """Alternate both and publish the table."""
    args = timing.flags(__doc__, images=64, steps=10, rounds=2, batch_sizes=[32, 64])
    table = []
    for batch_size in args.batch_sizes:
        one = argparse.Namespace(images=args.images, steps=args.steps, batch_size=batch_size)
        seconds = timing.against_rivals("attacks", one, rounds=args.rounds)
        ours, agreement = next(iter(seconds.values())), same(one)
        table += [
            {
                "PGD": name,
                "settings": settings,
                "batch size": batch_size,
                "steps": args.steps,
                "images a second": args.images / value,
                "ours is times as fast": value / ours,
                "pixels equal to 1e-5": agreement,
            }
            for (name, settings), value in seconds.items()
        ]
    timing.publish("benchmark_attacks", table, title="Attacks, beside other libraries")


def same(options):
    """Return the share of pixels on which both agree to 1e-5."""
    import numpy as np

    ours, theirs = (attack() for attack in contenders(options).values())
    return np.isclose(ours, theirs, atol=1e-5).mean()


def contenders(options):
    """Return both attacks on the same model, images and labels."""
    warnings.filterwarnings("ignore")
    import keras
    import numpy as np
    from art.attacks.evasion import ProjectedGradientDescent
    from art.estimators.classification import TensorFlowV2Classifier

    from common.attacks import engine, pgd
    from common.attacks.registry import Budget
    from common.models import prediction, registry

    keras.utils.set_random_seed(0)
    model = prediction.logits_model(registry.build("cnn"))
    images = np.random.default_rng(0).random((options.images, 48, 48, 1)).astype(np.float32)
    labels = engine.predict_logits(model, images).argmax(1)
    classifier = TensorFlowV2Classifier(
        model=model,
        nb_classes=7,
        input_shape=(48, 48, 1),
        loss_object=keras.losses.CategoricalCrossentropy(from_logits=True),
        clip_values=(0, 1),
    )
    theirs = ProjectedGradientDescent(
        classifier,
        norm=np.inf,
        eps=EPS,
        eps_step=STEP,
        max_iter=options.steps,
        batch_size=options.batch_size,
        verbose=False,
    )
    budget = Budget(
        EPS, steps=options.steps, step_size=STEP, restarts=0, batch_size=options.batch_size
    )
    return {
        "ours": lambda: pgd.perturb(model, images, labels, budget),
        "ART": lambda: theirs.generate(images, keras.utils.to_categorical(labels, 7)),
    }


if __name__ == "__main__":
    main()
