"""Seconds until `--help` of every script is answered, against importing TensorFlow first.

python -m benchmarks.startup
"""

import subprocess
import sys

from benchmarks import timing
from common.runs import provenance


def main():
    """Measure every script and publish the table."""
    scripts = sorted(path.name for path in provenance.PROJECT.glob("*.py"))

    def ask(*command):
        return lambda: subprocess.run(
            [sys.executable, *command], cwd=provenance.PROJECT, capture_output=True, check=True
        )

    contenders = {f"{name} --help": ask(name, "--help") for name in scripts}
    contenders["import tensorflow"] = ask("-c", "import tensorflow")
    seconds = timing.alternate(contenders, rounds=5)
    slowest = seconds["import tensorflow"]
    timing.publish(
        "benchmark_startup",
        [
            {"command": name, "seconds": value, "times as fast": slowest / value}
            for name, value in seconds.items()
        ],
        title="Answering --help",
    )


if __name__ == "__main__":
    main()
