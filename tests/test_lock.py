"""One process at a time in a folder: refusal, a dead owner, other machines, simultaneous starts."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from common.runs import lock

ROOT = Path(__file__).parents[1]
HOLD = """
import sys, time
from common.runs import lock
try:
    lock.acquire(sys.argv[1])
except ValueError as error:
    sys.exit(f"refused: {error}")
print("holds", flush=True)
time.sleep(float(sys.argv[2]))
"""


def start(folder, seconds=60):
    return subprocess.Popen(
        [sys.executable, "-c", HOLD, folder, str(seconds)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def owner(tmp_path):
    process = start(tmp_path)
    assert process.stdout.readline() == "holds\n"
    with process:
        yield process
        process.kill()


def test_a_second_process_is_refused_and_told_who_holds_it(owner, tmp_path):
    with pytest.raises(ValueError, match=rf"in use by process {owner.pid} on .*since 20"):
        lock.acquire(tmp_path)


def test_a_killed_owner_holds_nothing_and_its_temporary_files_go(owner, tmp_path):
    leftover = tmp_path / "state" / ".epoch.abc.tmp.npz"
    leftover.parent.mkdir()
    leftover.write_bytes(b"half")
    (tmp_path / "stage").mkdir()
    (tmp_path / "stage" / lock.OWNER).touch()
    foreign = tmp_path / "stage" / ".epoch.def.tmp.npz"
    foreign.write_bytes(b"being written")
    owner.send_signal(signal.SIGKILL)
    owner.wait()
    lock.acquire(tmp_path)
    assert not leftover.exists()
    assert foreign.exists()
    lock.release(tmp_path)


def test_the_owner_may_ask_again_and_gives_back_once(tmp_path):
    lock.acquire(tmp_path)
    lock.acquire(tmp_path / ".")
    lock.release(tmp_path)
    lock.release(tmp_path)
    with start(tmp_path, 0) as process:
        assert process.communicate()[0] == "holds\n"


def test_an_owner_on_another_machine_holds_until_it_falls_silent(tmp_path):
    record = tmp_path / lock.OWNER
    record.write_text(json.dumps({"host": "elsewhere", "process": 7, "since": "2026-01-01 00:00"}))
    with pytest.raises(ValueError, match="process 7 on elsewhere"):
        lock.acquire(tmp_path)
    silent = time.time() - lock.SILENCE - 1
    os.utime(record, (silent, silent))
    lock.acquire(tmp_path)
    lock.release(tmp_path)


@pytest.mark.parametrize("content", ["", "[]", "{", '{"host": 1}'])
def test_a_damaged_record_of_a_dead_owner_stops_nobody(tmp_path, content):
    (tmp_path / lock.OWNER).write_text(content)
    lock.acquire(tmp_path)
    lock.release(tmp_path)


def test_of_simultaneous_starts_exactly_one_holds(tmp_path):
    processes = [start(tmp_path, 3) for _ in range(6)]
    said = [process.communicate() for process in processes]
    assert sum(out == "holds\n" for out, _ in said) == 1
    assert sum("refused:" in error for _, error in said) == 5


def train(data, folder, *flags):
    return subprocess.Popen(
        [sys.executable, "train_dnn.py", "--out", str(folder), *data, *flags],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_second_training_in_one_folder_is_refused_in_one_line(small_data, tmp_path):
    data = ["--data", str(small_data)]
    first = train(data, tmp_path / "run", "--epochs", "10000")
    try:
        while not (tmp_path / "run" / "config.json").exists() and first.poll() is None:
            time.sleep(0.05)
        first.send_signal(signal.SIGSTOP)  # it holds the lock, and leaves the others the processor
        before = (tmp_path / "run" / "config.json").read_bytes()
        ways = ((), ("--resume",), ("--overwrite",))
        others = [train(data, tmp_path / "run", *flags) for flags in ways]
        for other in others:
            error = other.communicate(timeout=300)[1]
            said = [line for line in error.splitlines() if line.startswith("train_dnn.py: ")]
            assert len(said) == 1
            assert f"run: in use by process {first.pid} on " in said[0]
            assert "Traceback" not in error
            assert other.returncode == 2
        assert first.poll() is None
        assert (tmp_path / "run" / "config.json").read_bytes() == before
    finally:
        first.kill()
        first.communicate()
