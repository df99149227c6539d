"""What became of each fault, and a process that may fail in any way while it is found out."""

import csv
import multiprocessing
import resource
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

GOOD = ("unharmed", "refused")  # goes on as if nothing had been; one line that names the file
BAD = ("wrong result", "lost epoch", "traceback", "hang", "code executed", "over the limits")
MEMORY, SECONDS = 2 * 1024**3, 60  # that any file may cost: bytes, seconds of processor time
PATIENCE = 600  # seconds until a process counts as hanging, on a machine with other work
ROOM = 6 * 1024**3  # bytes that a process may ask for, so that a fault does not take the machine
FORK = multiprocessing.get_context("fork")


@dataclass(frozen=True)
class Outcome:
    """What became of one fault: its kind, one of `GOOD` and `BAD`, and what it cost."""

    kind: str
    outcome: str
    note: str = ""  # on what is bad, with which the fault can be made again
    memory: float = 0  # bytes at the worst moment, beyond those before
    seconds: float = 0  # of processor time


def supervised(
    check: Callable[[int], Outcome], count: int, *, patience: float = PATIENCE
) -> list[Outcome]:
    """Return the outcomes of check(0) ... check(count - 1), each one whatever it does.

    They run one after another in a process with bounded memory, and in another one after each that
    hangs or kills it. Memory and processor time are measured.
    """
    outcomes: list[Outcome] = []
    while len(outcomes) < count:
        receiver, sender = FORK.Pipe(duplex=False)
        process = FORK.Process(target=_work, args=(check, len(outcomes), count, sender))
        process.start()
        sender.close()
        while len(outcomes) < count:
            name, found = f"case {len(outcomes)}", None
            if receiver.poll(patience):
                try:
                    found = receiver.recv()
                except EOFError:
                    process.join()
                    outcomes.append(
                        Outcome("?", "over the limits", f"{name} ended with {process.exitcode}")
                    )
                    break
            if found is None:
                outcomes.append(Outcome("?", "hang", name))
                break
            outcomes.append(found)
        process.kill()
        process.join()
        receiver.close()
    return outcomes


def _work(check, first, count, sender):
    """Check in a loop, and send what became of each."""
    resource.setrlimit(resource.RLIMIT_AS, (_memory("VmSize") + ROOM, resource.RLIM_INFINITY))
    for number in range(first, count):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak starts here
        began, held = time.process_time(), _memory("VmRSS")
        found = check(number)
        memory, seconds = _memory("VmHWM") - held, time.process_time() - began
        outcome, note = found.outcome, found.note
        if outcome in GOOD and (memory > MEMORY or seconds > SECONDS):
            outcome = "over the limits"
            note = f"{found.kind} {number}: {memory / 2**20:.0f} MB, {seconds:.0f} s"
        sender.send(Outcome(found.kind, outcome, note, memory, seconds))
    sender.close()


def _memory(field):
    """Return a field of the status of this process, in bytes."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(field):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"/proc/self/status: expected {field}, found none")


def refusal(error: BaseException, *named: object) -> str:
    """Return "refused" for an error in one line that names a file, else "traceback".

    Args:
        error: that a reader raised.
        named: what the message must contain.
    """
    message = str(error)
    told = (
        isinstance(error, ValueError | OSError) and message.isprintable() and len(message) < 1_500
    )
    return "refused" if told and all(str(name) in message for name in named) else "traceback"


def table(outcomes: list[Outcome]) -> list[dict]:
    """Return a row a kind of fault, with its outcomes by number and the worst costs."""
    rows = []
    for kind in dict.fromkeys(found.kind for found in outcomes):
        here = [found for found in outcomes if found.kind == kind]
        counts = {name: sum(found.outcome == name for found in here) for name in (*GOOD, *BAD)}
        costs = {
            "most memory (MB)": round(max(found.memory for found in here) / 2**20),
            "most processor time (s)": f"{max(found.seconds for found in here):.2f}",
        }
        rows.append({"fault": kind, "cases": len(here)} | counts | costs)
    return rows


def read(path: Path) -> list[dict]:
    """Return the rows of a table that was written."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    counts = ("cases", *GOOD, *BAD)
    return [row | {name: int(row[name]) for name in counts} for row in rows]
