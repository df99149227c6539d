"""Images a second in training the report's CNN, against `keras.fit` with default settings.

    python -m benchmarks.training --steps 12 --rounds 5

Both train the same model on batches of 64 with flips and shifts of 0.1. The alternative is Keras'
own: float32, TensorFlow's default settings for this processor, its RandomFlip and
RandomTranslation layers mapped over a shuffled dataset. Every measurement is a process of its own.
"""

from benchmarks import timing

SETUP = """
import time, warnings
warnings.filterwarnings("ignore")
import numpy as np
steps = {steps}
images = np.random.default_rng(0).integers(0, 256, (64 * steps, 48, 48), dtype=np.uint8)
labels = np.arange(64 * steps) % 7

def measure(model, data):
    model.fit(data.take(2), verbose=0)
    start = time.perf_counter()
    model.fit(data, verbose=0)
    return 64 * steps / (time.perf_counter() - start)
"""
OURS = """
import tensorflow as tf
from common.models import blocks, prediction, registry
from common.training import batches, devices, recipes
hardware = devices.prepare(seed=0, precision={precision!r})
with blocks.precision(hardware.precision):
    model = prediction.logits_model(registry.build("cnn", fused=True))
recipe = recipes.RECIPES["sgd"]
model.compile(recipes.optimizer(recipe, 1000), recipes.loss(recipe), metrics=["accuracy"])
augmented = lambda name, count: batches.batches(
    batches.labelled(images, labels, "none"), batch_size=64, augmentation=name, seed=0,
    first_step=0, last_step=count,
)
rate = measure(model, augmented("report", steps))
seconds = []
for name in ("none", "report", "none", "report"):
    start = time.perf_counter()
    for batch in augmented(name, 20 * steps):
        pass
    seconds.append((time.perf_counter() - start) / (20 * steps))
print(rate, (seconds[3] - seconds[2]) / (64 / rate))
"""
KERAS = """
import keras, tensorflow as tf
from common.models import registry
model = registry.build("cnn")
model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
change = keras.Sequential([
    keras.layers.RandomFlip("horizontal"),
    keras.layers.RandomTranslation(0.1, 0.1, fill_mode="nearest"),
])
data = (
    tf.data.Dataset.from_tensor_slices((images, labels)).shuffle(len(images)).batch(64)
    .map(lambda x, y: (change(tf.cast(x, tf.float32)[..., None] / 255, training=True), y))
    .prefetch(2)
)
print(measure(model, data), 0)
"""


def main():
    """Alternate the contenders and publish the table."""
    args = timing.flags(__doc__, steps=12, rounds=5)
    # `common` switches oneDNN on where nothing is said; the alternative gets TensorFlow's choice.
    untouched = "import tensorflow\n"
    setup = SETUP.format(steps=args.steps)
    contenders = {
        "ours, precision auto": setup + OURS.format(precision="auto"),
        "ours, float32": setup + OURS.format(precision="float32"),
        "keras.fit, default settings": untouched + setup + KERAS,
    }
    printed = timing.in_processes(contenders, rounds=args.rounds)
    rates = {name: [rate for rate, _ in rounds] for name, rounds in printed.items()}
    timing.publish(
        "benchmark_training",
        [
            {
                "training the CNN": name,
                "images a second": rate,
                **timing.ratios(rates[name], rates["keras.fit, default settings"]),
                "augmentation's share of a step": share,
            }
            for name, (rate, share) in timing.medians(printed).items()
        ],
        title="Training the CNN",
    )


if __name__ == "__main__":
    main()
