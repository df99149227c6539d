"""Time and memory to load FER-2013's training rows, against pandas and str.split.

python -m benchmarks.loading --data data/fer2013
"""

import argparse
import gzip
import shutil
import tempfile
from pathlib import Path

from benchmarks import timing
from common import cli

MEASURE = """
import resource, sys, time
start = time.perf_counter()
{work}
seconds = time.perf_counter() - start
unit = 1024 if sys.platform == "darwin" else 1  # bytes there, KiB elsewhere
print(seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024 / unit)
"""
OURS = """
from common.data import loading
found = loading.load({path!r}, cache={cache!r})
assert found.train_images.shape == (28709, 48, 48)
"""
PANDAS = """
import numpy as np, pandas as pd
table = pd.read_csv({path!r})
pixels = table['feature'].str.split(' ', expand=True).astype('uint8').to_numpy()
assert pixels.shape == (28709, 2304)
"""


def main():
    """Alternate cold, cached and pandas, and publish the table."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--data", type=Path, default=Path("data/fer2013"))
    options.add_argument("--rounds", type=cli.positive, default=3)
    args = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        plain, cache = Path(folder) / "train.csv", Path(folder) / "cache"
        with gzip.open(args.data / "train.csv.gz") as packed, plain.open("wb") as file:
            shutil.copyfileobj(packed, file)
        ours = MEASURE.format(work=OURS.format(path=str(plain), cache=str(cache)))
        pandas = MEASURE.format(work=PANDAS.format(path=str(plain)))
        measured: dict[str, list] = {"cold": [], "cached": [], "pandas str.split": []}
        for _ in range(args.rounds):
            shutil.rmtree(cache, ignore_errors=True)
            measured["cold"].append(timing.in_process(ours))
            measured["cached"].append(timing.in_process(ours))
            measured["pandas str.split"].append(timing.in_process(pandas))
    medians = timing.medians(measured)
    slowest = medians["pandas str.split"][0]
    timing.publish(
        "benchmark_loading",
        [
            {
                "28,709 rows of plain CSV": name,
                "seconds": seconds,
                "peak MiB": memory,
                "times as fast as pandas": slowest / seconds,
            }
            for name, (seconds, memory) in medians.items()
        ],
        title="Loading the data",
    )


if __name__ == "__main__":
    main()
