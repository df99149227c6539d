"""One process at a time in an output folder.

The operating system holds the lock and drops it when its owner dies, however that happens. Beside
it a record says who the owner is, for the message, and for a file system that several machines
share without passing locks on: there the record's time, renewed while the owner lives, counts.
"""

import json
import os
import socket
import threading
import time
from pathlib import Path

import filelock

from common.runs import storage

LOCK, OWNER = ".lock", ".owner.json"
RENEWAL = 20  # seconds between two signs of life
SILENCE = 10 * RENEWAL  # after which an owner on another machine counts as dead

_held: dict[Path, tuple[filelock.BaseFileLock, threading.Event]] = {}


def acquire(folder: Path) -> None:
    """Take the lock of a folder until `release` or the end of the process.

    A process that holds it already keeps it. Temporary files that a killed owner left are deleted.

    Args:
        folder: exists and can be written.

    Raises:
        ValueError: another process holds it; the message names host, process and time.
    """
    folder = Path(folder).resolve()
    if folder in _held:
        return
    lock = filelock.FileLock(folder / LOCK, timeout=0, thread_local=False)
    try:
        lock.acquire()
    except filelock.Timeout:
        raise ValueError(_refusal(folder, _owner(folder))) from None
    owner = _owner(folder)
    if owner and owner["host"] != socket.gethostname() and owner["silent"] < SILENCE:
        lock.release()
        raise ValueError(_refusal(folder, owner))
    for leftover in folder.rglob(".*.tmp*"):  # of a write that was killed
        inner = [place for place in leftover.parents if folder in place.parents]
        if not any((place / OWNER).exists() for place in inner):  # those belong to somebody else
            storage.retried(leftover.unlink, missing_ok=True)
    record = {
        "host": socket.gethostname(),
        "process": os.getpid(),
        "since": time.strftime("%Y-%m-%d %H:%M:%S"),
    }
    (folder / OWNER).write_text(json.dumps(record), encoding="utf-8")
    stopped = threading.Event()
    _held[folder] = lock, stopped
    threading.Thread(target=_renew, args=(folder / OWNER, stopped), daemon=True).start()


def wait(folder: Path, stopped: threading.Event) -> str:
    """Return once no other process holds the lock of a folder, which is made when missing.

    Returns:
        an empty string, or what was waited for if `stopped` was set meanwhile.
    """
    folder.mkdir(parents=True, exist_ok=True)
    told = False
    while True:
        try:
            acquire(folder)
        except ValueError as error:
            if not told:
                print(f"Waiting: {error}", flush=True)
            told = True
            if stopped.wait(1):
                return str(error)
        else:
            release(folder)
            return ""


def release(folder: Path) -> None:
    """Give back the lock of a folder, if this process holds it."""
    folder = Path(folder).resolve()
    if folder not in _held:
        return
    lock, stopped = _held.pop(folder)
    stopped.set()
    storage.retried((folder / OWNER).unlink, missing_ok=True)
    lock.release()


def _renew(path, stopped):
    """Touch the owner's record until the lock is given back or the process ends."""
    while not stopped.wait(RENEWAL):
        try:
            os.utime(path)
        except OSError:  # the folder was deleted, or a share is away for a moment
            continue


def _owner(folder):
    """Return the record of the owner with "silent", seconds since its last sign, or None."""
    path = folder / OWNER
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        known = {name: str(record[name]) for name in ("host", "process", "since")}
        return known | {"silent": time.time() - path.stat().st_mtime}
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _refusal(folder, owner):
    who, gone = "another process", ""
    if owner:
        who = f"process {owner['process']} on {owner['host']}, since {owner['since']}"
        if owner["host"] != socket.gethostname():
            gone = f" (at most {SILENCE} seconds if that machine is gone)"
    return f"{folder}: in use by {who}: wait for it{gone}, stop it, or choose another --out"
