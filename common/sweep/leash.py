"""Runs a script that ends with the process that started it, however that ends.

    python common/sweep/leash.py train_cnn.py --data sample

Standard input must be a pipe whose other end the starter holds and never writes to: the operating
system closes it when the starter dies, also by kill -9, and here that is the sign to end. A script
loses nothing by this, as it would not by a kill. The script itself finds an empty standard input:
on Windows, programs that it starts would wait for one that is being read.
"""

import os
import runpy
import sys
import threading
from pathlib import Path


def _end_with_starter(pipe):
    os.read(pipe, 1)  # unbuffered: a buffer's lock would trouble a regular end
    os._exit(1)


if __name__ == "__main__":
    pipe, empty = os.dup(0), os.open(os.devnull, os.O_RDONLY)
    os.dup2(empty, 0)
    threading.Thread(target=_end_with_starter, args=(pipe,), daemon=True).start()
    sys.argv = sys.argv[1:]
    sys.path[0] = str(Path(sys.argv[0]).parent)
    runpy.run_path(sys.argv[0], run_name="__main__")
