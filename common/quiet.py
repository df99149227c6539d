"""Keeps the lines that TensorFlow's C++ writes at its start from the terminal.

No setting silences all of them. They go to file descriptor 2, which therefore leads to a small
process from the import of TensorFlow on. It keeps the lines, and shows them when this process
fails or is killed. What Python writes to `sys.stderr` goes to the terminal as ever.
"""

import contextlib
import os
import subprocess
import sys
from typing import Any

STANDARD_ERROR = 2
DROP, SHOW = b"drop what was kept\n", b"show what was kept\n"
KEEPER = f"""
import collections, signal, sys
signal.signal(signal.SIGINT, signal.SIG_IGN)  # Windows sends Ctrl-C to all programs of a console
kept = collections.deque(maxlen=1000)
for line in sys.stdin.buffer:
    if line == {DROP!r}:
        sys.exit()
    if line == {SHOW!r}:
        break
    kept.append(line)
sys.stderr.buffer.writelines(line for line in kept if line.strip())
"""


class Silence:
    """Begins when TensorFlow is first imported, if it ever is, and lasts until `end`."""

    def __init__(self) -> None:
        """Wait for TensorFlow, unless standard error is no real file."""
        self._keeper: Any = None  # a process
        self._before = sys.stderr
        try:
            real = sys.stderr.fileno() == STANDARD_ERROR
        except (AttributeError, OSError, ValueError):  # a notebook, or a test that captures
            real = False
        if real:
            # At once, as progress bars and others keep the stream that they find here.
            sys.stderr = open(  # noqa: SIM115 (some keep it to the end of the process)
                os.dup(STANDARD_ERROR),
                "w",
                buffering=1,
                encoding=self._before.encoding,
                errors=self._before.errors,
            )
            sys.meta_path.insert(0, self)

    def find_spec(self, name, _path=None, _target=None):
        """Find no module, as any import hook may; begin when it is TensorFlow that is wanted."""
        if name == "tensorflow":
            sys.meta_path.remove(self)
            self._begin()

    def _begin(self):
        os.environ["TF_CPP_MIN_LOG_LEVEL"] = "1"  # its warnings are kept: they explain a failure
        self._keeper = subprocess.Popen(
            [sys.executable, "-ISc", KEEPER],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is not meant for it
        )
        with self._keeper.stdin as pipe:
            os.dup2(pipe.fileno(), STANDARD_ERROR)

    def end(self, *, show: bool = False) -> None:
        """Let standard error be what it was, having shown what was kept if asked to."""
        if self in sys.meta_path:
            sys.meta_path.remove(self)
        if sys.stderr is not self._before:
            sys.stderr.flush()
        if self._keeper is not None:
            with contextlib.suppress(OSError):  # it was killed
                os.write(STANDARD_ERROR, b"\n" + (SHOW if show else DROP))
            os.dup2(sys.stderr.fileno(), STANDARD_ERROR)
            self._keeper.wait()
            self._keeper = None
        sys.stderr = self._before


def off() -> None:
    """Let TensorFlow say everything: what `--verbose` asks for."""
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "0"
    for hook in [hook for hook in sys.meta_path if isinstance(hook, Silence)]:
        sys.meta_path.remove(hook)
