"""Images a second in prediction with the report's CNN, against Keras' `model.predict`.

    python -m benchmarks.prediction --rows 2048 --rounds 3

The alternative is `model.predict` as it comes: batches of 32, TensorFlow's default settings for
this processor, which may leave oneDNN off. The same with oneDNN switched on tells how much of the
gain that is, and other batch sizes of ours whether the one in use is the best. Every measurement
is a process of its own; ours includes making its graph, as every first call does. In float32 the
convolutions run at what the processor can multiply: the processor's own time (ms an image, all
cores added up, hardly disturbed by other work on the machine) tells how much is left beside them.
Ours with --half computes in bfloat16, as predict.py --half does.
"""

from benchmarks import timing

SETUP = """
import time
import numpy as np
from common import cli
from common.data import pixels
from common.models import checkpoints, prediction
images = np.random.default_rng(0).integers(0, 256, ({rows}, 48, 48), dtype=np.uint8)
run = cli.of_project("pretrained/cnn")
model = checkpoints.load(run)[0]
half = checkpoints.load(run, half=True)[0]

def measure(predict):
    by_keras = model.predict(pixels.to_inputs(images[:64]), verbose=0)
    difference = np.abs(predict(images[:64]) - by_keras).max()
    start, began = time.perf_counter(), time.process_time()
    predict(images)
    seconds, busy = time.perf_counter() - start, time.process_time() - began
    print(len(images) / seconds, 1000 * busy / len(images), difference)
"""
OURS = """
measure(lambda images: prediction.predict(model, images, batch={batch} or prediction.BATCH))
"""
HALF = """
measure(lambda images: prediction.predict(half, images))
"""
KERAS = """
measure(lambda images: model.predict(pixels.to_inputs(images), verbose=0))
"""


def main():
    """Alternate the contenders and publish the table."""
    args = timing.flags(__doc__, rows=2048, rounds=3, batch_sizes=[16, 64, 128, 256])
    # `common` switches oneDNN on where nothing is said; the alternative gets TensorFlow's choice.
    untouched = "import tensorflow\n"
    setup = SETUP.format(rows=args.rows)
    baseline = "model.predict, default settings"
    contenders = {
        "ours": setup + OURS.format(batch=0),
        "ours, --half": setup + HALF,
        baseline: untouched + setup + KERAS,
        "model.predict, oneDNN on": setup + KERAS,
        **{
            f"ours, batches of {batch}": setup + OURS.format(batch=batch)
            for batch in args.batch_sizes
        },
    }
    medians = timing.medians(timing.in_processes(contenders, rounds=args.rounds))
    timing.publish(
        "benchmark_prediction",
        [
            {
                "prediction with the CNN": name,
                "images a second": rate,
                "times as fast": rate / medians[baseline][0],
                "processor ms an image": busy,
                "largest difference of a probability": difference,
            }
            for name, (rate, busy, difference) in medians.items()
        ],
        title="Prediction",
    )


if __name__ == "__main__":
    main()
