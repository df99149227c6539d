"""Runs side by side, here or on a Dask cluster, each brought to its end once.

The lock of a run folder keeps two processes apart that were given the same run: the second waits,
and then finds it finished or goes on with it.
"""

import argparse
import concurrent.futures
import contextlib
import os
import queue
import secrets
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from common import outputs
from common.runs import lock, storage
from common.sweep import pace, stages
from common.sweep.stages import Stage

PERIOD = 30  # seconds between two lines of progress
RETRIES = 3  # of a script on a cluster that was killed, by a machine out of memory for one
MARK = ".sweep"  # file by which a worker knows that it sees our folder


def finish_all(
    runs: Sequence[Stage], out: Path, *, workers: int | None = None, cluster: str | None = None
) -> dict[str, str]:
    """Bring runs to their end that are not finished, saying how far they are.

    Args:
        runs: whose folders are all different.
        out: folder for logs/.
        workers: runs at once on this machine; None for one, or one on each GPU.
        cluster: address of a Dask scheduler whose workers run them instead.

    Returns:
        name of each run that failed -> the last line of its error.
    """
    waiting = [run for run in runs if not stages.is_finished(run)]
    failures: dict[str, str] = {}
    if not waiting:
        return failures
    out.mkdir(parents=True, exist_ok=True)
    opened = _cluster(cluster, out) if cluster else _local(out, workers or max(1, len(_gpus())))
    with opened as (submit, at_once):
        pending = {submit(run): run for run in waiting}
        began = said = time.monotonic()
        while pending:
            done, _ = concurrent.futures.wait(pending, PERIOD, "FIRST_COMPLETED")
            for future in done:
                run = pending.pop(future)
                if failure := _outcome(future, run):
                    failures[run.name] = failure
                minutes = (time.monotonic() - began) / 60
                print(f"{run.name}: {failure or 'finished'} ({minutes:.1f} min)", flush=True)
            if pending and time.monotonic() - said >= PERIOD:
                said = time.monotonic()
                unfinished = list(pending.values())
                running = [run for run in unfinished if (run.folder / lock.OWNER).exists()]
                left, over = pace.left(unfinished, at_once()), len(runs) - len(pending)
                line = pace.describe(over - len(failures), len(failures), len(runs), running, left)
                print(line, flush=True)
    return failures


def complete(runs: Sequence[Stage], out: Path, args: argparse.Namespace) -> None:
    """Do the same with the flags of `cli.add_engine`; raise a ValueError if a run fails."""
    failures = finish_all(runs, out, workers=args.workers, cluster=args.cluster)
    for name, failure in failures.items():
        more = f" (and {len(failures) - 1} more)" if len(failures) > 1 else ""
        raise ValueError(f"{name}: {failure}: see {out / 'logs' / name}.errors.log{more}")


def _outcome(future, run):
    """Return the last line of the error of a run that is over, or an empty string."""
    try:
        failure, files = future.result()
    except (Exception, concurrent.futures.CancelledError) as error:
        return " ".join(str(error).split()) or f"lost with its cluster ({type(error).__name__})"
    for name, content in files.items():
        with storage.atomic_write(run.folder / name) as temporary:
            temporary.write_bytes(content)
    if not failure and not stages.is_finished(run):
        failure = f"{run.folder}: expected its results, found none: is the folder shared in part?"
    return failure


def _finish(run, out, environment=None):
    """Bring a run to its end; return the last line of its error, or an empty string."""
    if failure := lock.wait(run.folder, stages.STOPPED):
        return failure
    try:
        outputs.read(run.folder)
    except ValueError:
        return stages.finish(run, out / "logs", environment)
    try:  # to run again what is finished with other flags would change nothing
        stages.manifest(run)
    except ValueError as error:
        return str(error)
    return ""


@contextlib.contextmanager
def _local(out, workers) -> Iterator:
    """Yield (submit, at_once) of processes on this machine, spread over its GPUs."""
    gpus = _gpus()
    free: queue.SimpleQueue[dict[str, str]] = queue.SimpleQueue()
    for number in range(workers):
        free.put({"CUDA_VISIBLE_DEVICES": gpus[number % len(gpus)]} if gpus else {})

    def task(run):
        environment = free.get()
        try:
            return _finish(run, out, environment), {}
        finally:
            free.put(environment)

    pool = concurrent.futures.ThreadPoolExecutor(workers)
    try:
        yield lambda run: pool.submit(task, run), lambda: workers
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        stages.let_go()
        raise
    pool.shutdown()


@contextlib.contextmanager
def _cluster(address, out) -> Iterator:
    """Yield (submit, at_once) of the workers of a Dask cluster."""
    try:
        import distributed
    except ImportError as error:
        raise ValueError(
            '--cluster: expected Dask, found none: pip install "dask[distributed]"'
        ) from error
    token = secrets.token_hex(8)
    storage.write_text(out / MARK, token)
    with distributed.Client(address) as client:
        executor = client.get_executor(pure=False, retries=RETRIES)

        def at_once():
            return sum(client.nthreads().values())

        print(f"{address}: {at_once()} workers; see {client.dashboard_link}", flush=True)
        try:
            yield lambda run: executor.submit(remote, run, out, token), at_once
        except BaseException:
            executor.shutdown(wait=False)
            raise


def remote(run: Stage, out: Path, token: str) -> tuple[str, dict[str, bytes]]:
    """Bring a run to its end on a worker of a cluster, which was started in the project's folder.

    Args:
        run: whose folder is, seen from there, the same one as for all, or one of that worker.
        out: folder of the sweep.
        token: what the file `MARK` there holds.

    Returns:
        the last line of its error or an empty string, and, where the folder is not shared, what a
        finished run holds besides its state: name -> content.

    Raises:
        RuntimeError: the script was killed, so that another worker may try.
    """
    failure = _finish(run, out)
    if failure.startswith(stages.KILLED):
        raise RuntimeError(failure)
    with contextlib.suppress(OSError):
        if failure or (out / MARK).read_text(encoding="utf-8") == token:
            return failure, {}
    for state in run.folder.rglob("state"):
        shutil.rmtree(state)
    files = [path for path in run.folder.rglob("[!.]*") if path.is_file()]
    last_the_manifest = sorted(files, key=lambda path: (path.name == "manifest.json", path))
    return "", {str(path.relative_to(run.folder)): path.read_bytes() for path in last_the_manifest}


def _gpus():
    """Return the numbers of the GPUs that this machine offers, as CUDA counts them."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return [gpu for gpu in visible.split(",") if gpu and gpu != "-1"]
    if not shutil.which("nvidia-smi"):
        return []
    listed = subprocess.run(
        ["nvidia-smi", "-L"], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    return [str(number) for number in range(listed.stdout.count("GPU "))]
