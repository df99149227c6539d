"""Many runs: what is run, stopped by kills, on a cluster, and what their scores come to."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import sweep
from common import cli, metrics, outputs
from common.runs import lock, provenance, records, storage
from common.sweep import engine, leash, merging, pace, plan, stages

ROOT = Path(__file__).parents[1]
QUICK = '''
"""A script that keeps its run like a training script does, and learns nothing."""
import time
import numpy as np
from common import cli, outputs
from common.runs import records, resume, storage

def build_parser():
    options = cli.parser(__doc__)
    cli.add_data(options)
    cli.add_out(options, __file__)
    cli.add_seed(options)
    cli.add_training(options, epochs=3)
    cli.add_folds(options)
    return options

def main():
    options = build_parser()
    args = options.parse_args()
    if args.resume:
        resume.restore_flags(args, options, None)
    resume.create(args, architecture="dnn", data_hash="d")
    if args.learning_rate == 13:
        raise ValueError("it broke")
    arrays, record = resume.load_state(args.out) or ({"w": np.full(9, args.seed / 7)}, {"history": []})
    history = record["history"]
    while len(history) < args.epochs:
        time.sleep(0.15)
        arrays = {"w": np.sin(3 * arrays["w"] + (args.learning_rate or 0.5))}
        row = dict.fromkeys(("loss", "accuracy", "validation_loss", "validation_accuracy"), 0.5)
        row |= {"epoch": len(history) + 1, "learning_rate": 0.1, "seconds": 0.15}
        history.append(row)
        best = {"epoch": len(history), "validation_accuracy": 0.5}
        (args.out / "model.keras").write_bytes(arrays["w"].tobytes())
        resume.save_state(args.out, len(history), arrays, {"history": history, "best": best})
        storage.write_table(args.out / "history.csv", history)
    rows = np.arange(70) + 70 * (args.fold or 0)
    labels = rows % 7
    chosen = np.where(np.sin(rows * (1 + arrays["w"][0])) > 0, labels, (labels + 1) % 7)
    probabilities = np.full((70, 7), 0.05) + 0.65 * np.eye(7)[chosen]
    output = outputs.Output(args.out, run=storage.read_json(args.out / "config.json"), models=[args.out])
    output.add("predictions", arrays={"rows": rows, "labels": labels, "probabilities": probabilities})
    right = float((chosen == labels).mean())
    measured = {"n": 70, "accuracy": right, "interval_95": [right / 2, 1.0], "best_epoch": args.epochs,
        "epochs": args.epochs, "seconds_per_epoch": 0.15, "parameters": 9, "model_sha256": storage.sha256(args.out / "model.keras")}
    storage.write_json(output.file("metrics.json"), measured)
    output.finish()

if __name__ == "__main__":
    cli.run(main)
'''  # noqa: E501
VARY = ["--vary", "learning-rate=0.5,0.7", "--vary", "seed=0,1,2"]
RUNS = [f"learning-rate-{rate}/seed-{seed}" for rate in (0.5, 0.7) for seed in (0, 1, 2)]


@pytest.fixture(scope="module")
def quick(tmp_path_factory):
    """A copy of the project whose train_dnn.py takes half a second."""
    folder = tmp_path_factory.mktemp("project")
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "common", folder / "common", ignore=ignore)
    shutil.copy(ROOT / "sweep.py", folder)
    (folder / "train_dnn.py").write_text(QUICK, encoding="utf-8")
    return folder


@pytest.fixture
def inside(quick, tmp_path, monkeypatch):
    """The same for calls in this process, which write to a temporary folder."""
    monkeypatch.setattr(provenance, "PROJECT", quick)
    monkeypatch.chdir(tmp_path)
    plan._parser.cache_clear()
    yield quick
    plan._parser.cache_clear()


def start(project, *words):
    return subprocess.Popen(
        [sys.executable, "sweep.py", *words],
        cwd=project,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def wait_for(condition, seconds=120):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.01)


def is_whole(path):
    try:
        return bool(storage.read_json(path))
    except ValueError:
        return False


def is_finished(run):
    manifest = run / outputs.MANIFEST
    return manifest.exists() and storage.read_json(manifest)["finished"]


def same(one, other, runs):
    """Compare the runs of two sweeps bit by bit, and what both say of them."""
    for run in runs:
        first, second = (folder / run / "model.keras" for folder in (one, other))
        assert first.read_bytes() == second.read_bytes()
        history = records.load_history(other / run)
        assert [row["epoch"] for row in history] == list(range(1, len(history) + 1))
    tables = [pd.read_csv(folder / "settings.csv") for folder in (one, other)]
    pd.testing.assert_frame_equal(*tables)
    assert len(tables[0]) == 2
    assert list(tables[0]["runs"]) == [3, 3]


@pytest.fixture(scope="module")
def serial(quick):
    """A sweep that nothing disturbed, one run after the other."""
    with start(quick, "train_dnn.py", *VARY, "--out", "serial", "--", "--epochs", "4") as whole:
        said = whole.communicate(timeout=300)[0]
    assert whole.returncode == 0, said
    assert "6 runs in serial: 0 finished, 0 to go on with, 6 to start." in said
    return quick / "serial"


def test_a_killed_sweep_takes_its_scripts_along_and_goes_on(quick, serial):
    runs = RUNS
    words = ["train_dnn.py", *VARY, "--out", "killed", "--workers", "2", "--", "--epochs", "4"]
    for epoch, run in ((1, runs[0]), (2, runs[3])):
        with start(quick, *words) as process:
            state = quick / "killed" / run / "state" / f"epoch-{epoch:05d}.npz"
            wait_for(state.exists)
            process.kill()
        # Its scripts end, too, and hold nothing.
        lock.wait(quick / "killed" / run, threading.Event())
        assert not is_finished(quick / "killed" / run)
    finished = sum(is_finished(quick / "killed" / run) for run in runs)
    assert finished >= 2  # before the run that was seen, one beside it may still have run
    with start(quick, *words) as last:
        said = last.communicate(timeout=300)[0]
    assert last.returncode == 0, said
    assert f"6 runs in killed: {finished} finished, " in said
    same(quick / "serial", quick / "killed", runs)
    with start(quick, *words) as again:
        said = again.communicate(timeout=60)[0]
    assert "6 finished, 0 to go on with, 0 to start" in said
    same(quick / "serial", quick / "killed", runs)
    assert (quick / "killed" / "settings.png").is_file()
    named = argv_runs(quick / "killed" / "learning-rate-0.5")
    assert [path.name for path in named] == ["seed-0", "seed-1", "seed-2"]


def test_a_worker_of_a_cluster_that_is_killed_loses_nothing(quick, serial, tmp_path):
    """Its nanny and its script die with it, in the middle of an epoch."""
    pytest.importorskip("distributed")
    import psutil

    with contextlib.ExitStack() as stack:

        def dask(*words):
            process = subprocess.Popen(
                [sys.executable, "-m", "dask", *words],
                cwd=quick,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            stack.callback(process.wait)
            stack.callback(process.terminate)
            return process

        place = str(tmp_path / "scheduler.json")
        dask("scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard",
             "--scheduler-file", place)  # fmt: skip
        wait_for(lambda: is_whole(place))  # Dask writes it piece by piece
        address = storage.read_json(place)["address"]
        nannies = [
            dask("worker", address, "--nthreads", "1", "--no-dashboard", "--local-directory",
                 str(tmp_path / name)) for name in "ab"
        ]  # fmt: skip
        words = ["train_dnn.py", *VARY, "--out", "cluster", "--cluster", address]
        with start(quick, *words, "--", "--epochs", "4") as process:
            states = quick / "cluster"
            wait_for(lambda: list(states.glob("*/*/state/epoch-00002.npz")))
            run = next(states.glob("*/*/state/epoch-00002.npz")).parents[1]
            script = psutil.Process(storage.read_json(run / lock.OWNER)["process"])
            worker = script.parent()
            (nanny,) = (one for one in nannies if one.pid == worker.ppid())
            for victim in (nanny.pid, worker.pid, script.pid):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(victim, signal.SIGKILL)
            said = process.communicate(timeout=300)[0]
    assert process.returncode == 0, said
    assert said.count(": finished (") == 6
    same(serial, states, RUNS)


def argv_runs(folder):
    options = cli.parser("")
    cli.add_model(options, many=True)
    return options.parse_args(["--model", str(folder)]).model


def test_a_run_that_fails_is_named_and_the_others_go_on(inside, capsys):
    words = ["train_dnn.py", "--vary", "learning-rate=13,0.5", "--out", "out", "--"]
    with pytest.raises(SystemExit, match="1"):
        sweep.main([*words, "--epochs", "1"])
    said = capsys.readouterr().out
    assert "Failed: learning-rate-13: train_dnn.py: it broke (see out/logs/learning-rate-13" in said
    table = pd.read_csv("out/runs.csv")
    assert list(table["failure"].fillna("")) == ["train_dnn.py: it broke", ""]
    assert list(pd.read_csv("out/settings.csv")["learning-rate"]) == [0.5]
    assert outputs.read("out")["finished"]
    # The same folder with other flags: nothing is overwritten.
    with pytest.raises(SystemExit, match="1"):
        sweep.main([*words, "--epochs", "2"])
    assert "was started with --epochs 1, found 2" in capsys.readouterr().out


def test_a_run_that_another_process_holds_is_waited_for(inside):
    (unit,) = plan.units("train_dnn.py", [], ["--epochs", "1"], Path("out"))
    Path("out/run").mkdir(parents=True)
    hold = (
        "import sys, time; from common.runs import lock; lock.acquire(sys.argv[1]); "
        "print('holds', flush=True); time.sleep(1.5)"
    )
    holder = [sys.executable, "-c", hold, str(Path("out/run").resolve())]
    with subprocess.Popen(holder, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "holds\n"
        assert engine.finish_all([unit.stage], Path("out")) == {}
        assert process.poll() == 0
    assert stages.is_finished(unit.stage)


def test_waiting_for_another_process_ends_with_this_one(inside, capsys):
    folder, stopped = Path("out/run"), threading.Event()
    folder.mkdir(parents=True)
    record = {"host": "elsewhere", "process": 7, "since": "2026-01-01 00:00"}
    storage.write_json(folder / lock.OWNER, record)
    threading.Timer(0.2, stopped.set).start()
    assert "in use by process 7 on elsewhere" in lock.wait(folder, stopped)
    assert "Waiting: out/run: in use by process 7" in capsys.readouterr().out.replace(
        str(Path.cwd()) + os.sep, ""
    )


def test_data_that_moved_are_known_by_their_content(inside, monkeypatch):
    (unit,) = plan.units("train_dnn.py", [], ["--epochs", "1", "--data", "here"], Path("out"))
    assert engine.finish_all([unit.stage], Path("out")) == {}
    (moved,) = plan.units("train_dnn.py", [], ["--epochs", "1", "--data", "there"], Path("out"))
    hashes = {"there": "d"}
    monkeypatch.setattr(stages, "_data_hash", lambda place: hashes[place])
    assert stages.is_finished(moved.stage)
    hashes["there"] = "other"
    with pytest.raises(ValueError, match="was made of other data: python train_dnn"):
        stages.manifest(moved.stage)


def test_without_a_shared_folder_the_results_come_back_and_the_worker_keeps_its_own(
    inside, tmp_path, monkeypatch
):
    (unit,) = plan.units("train_dnn.py", [], ["--epochs", "1"], Path("out"))
    (tmp_path / "worker").mkdir()
    monkeypatch.chdir(tmp_path / "worker")
    failure, files = engine.remote(unit.stage, Path("out"), "token")
    assert not failure
    assert list(files)[-1] == "manifest.json"
    monkeypatch.chdir(tmp_path)
    future = engine.concurrent.futures.Future()
    future.set_result((failure, files))
    assert engine._outcome(future, unit.stage) == ""
    assert stages.is_finished(unit.stage)
    # A worker that sees our folder sends nothing.
    storage.write_text(Path("out") / engine.MARK, "token")
    assert engine.remote(unit.stage, Path("out"), "token") == ("", {})


def test_a_killed_script_is_tried_again_by_a_cluster(inside, monkeypatch):
    (unit,) = plan.units("train_dnn.py", [], ["--epochs", "1"], Path("out"))
    monkeypatch.setattr(stages, "finish", lambda *_: f"{stages.KILLED} 9")
    with pytest.raises(RuntimeError, match="killed by signal 9"):
        engine.remote(unit.stage, Path("out"), "token")


def test_every_combination_is_a_run_and_repeats_share_a_folder():
    vary = [("augmentation", ["report", "none"]), ("--seed", ["0", "1"]), ("batch_size", ["8"])]
    units = plan.units("train_cnn.py", vary, ["--data", "sample"], Path("out"))
    names = [unit.stage.name for unit in units]
    assert names[:2] == [f"augmentation-report_batch-size-8/seed-{seed}" for seed in (0, 1)]
    assert len(names) == 4
    args = plan.parse(units[3].stage)
    assert (args.augmentation, args.seed, args.batch_size, args.data) == ("none", 1, 8, "sample")
    assert units[3].repeat == {"seed": "1"}
    (alone,) = plan.units("train_cnn.py", [("fold", ["0"])], ["--folds", "2"], Path("out"))
    assert alone.stage.folder == Path("out/fold-0")


@pytest.mark.parametrize(
    ("script", "vary", "flags", "message"),
    [
        ("confusion.py", [("seed", ["0"])], [], "expected a script that trains"),
        ("train_dnn.py", [("seed", ["0"])], ["--seed", "1"], "stands nowhere else"),
        ("train_dnn.py", [("seed", ["0"]), ("seed", ["1"])], [], "stands nowhere else"),
        ("train_dnn.py", [("out", ["a"])], [], "stands nowhere else"),
        ("train_dnn.py", [("seed", ["0"])], ["--overwrite"], "--overwrite: expected flags of"),
        ("train_dnn.py", [("teacher", ["a/b", "a:b"])], [], "differ by letters or digits"),
    ],
)
def test_what_makes_no_sweep_is_refused(script, vary, flags, message):
    with pytest.raises(ValueError, match=message):
        plan.units(script, vary, flags, Path("out"))


def test_flags_that_the_script_does_not_know_are_refused_before_anything_runs(tmp_path, capsys):
    words = ["train_dnn.py", "--vary", "augmentation=none,wild", "--out", str(tmp_path / "out")]
    with pytest.raises(SystemExit, match="2"):
        sweep.main([*words, "--", "--data", "sample"])
    assert "train_dnn.py: error: argument --augmentation" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_the_plan_says_how_long_it_takes_by_an_earlier_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    earlier = Path("outputs/before")
    storage.write_json(earlier / "config.json", {"architecture": "dnn", "flags": {"data": "faces"}})
    storage.write_json(earlier / "metrics.json", {"seconds_per_epoch": 60.0})
    words = ["train_dnn.py", *VARY, "--plan", "--workers", "2", "--", "--epochs", "10"]
    sweep.main([*words, "--data", "faces"])
    said = capsys.readouterr().out
    assert "6 runs in outputs/sweep: 0 finished, 0 to go on with, 6 to start." in said
    assert "About 30 min with 2 at once, by the 60 s an epoch of outputs/before." in said
    sweep.main([*words, "--data", "others"])
    assert "no earlier run is like them" in capsys.readouterr().out
    assert not Path("outputs/sweep").exists()


def test_the_time_left_is_that_of_the_longest_run_or_of_all_shared_out(tmp_path):
    units = plan.units("train_dnn.py", [("seed", list("0123"))], ["--epochs", "10"], tmp_path)
    runs = [unit.stage for unit in units]
    row = dict.fromkeys(("loss", "accuracy", "validation_loss", "validation_accuracy"), 0.5)
    row |= {"learning_rate": 0.1, "seconds": 3.0}
    storage.write_table(
        runs[0].folder / "history.csv", [row | {"epoch": epoch} for epoch in range(1, 5)]
    )
    assert pace.left(runs, 2) == pytest.approx((6 + 30) * 3 / 2)
    assert pace.left(runs, 100) == pytest.approx(30)
    assert pace.left(runs[1:], 2) is None
    assert pace.left([], 2, 5.0) == 0
    student = ["semi_supervised.py", "--epochs", "5", "--rounds", "2"]
    assert pace.epochs_of(stages.Stage("s", tmp_path, student, trains=True)) == 15


def made_unit(folder, setting, repeat, rows, right, *, scored=True):
    """A finished run whose answers are right where `right` says, bool (n,)."""
    labels = rows % 7
    chosen = np.where(right, labels, (labels + 1) % 7)
    probabilities = 0.05 + 0.65 * np.eye(7)[chosen]
    config = {"command": "python train_dnn.py", "data_hash": "d", "architecture": "dnn"}
    config["flags"] = {"seed": 0, "validation": None if scored else 0}
    storage.write_json(folder / "config.json", config)
    (folder / "model.keras").write_bytes(b"weights")
    measured = {"model_sha256": storage.sha256(folder / "model.keras")}
    if scored:
        interval = metrics.wilson_interval(int(right.sum()), len(rows))
        measured |= {"accuracy": right.mean(), "interval_95": interval, "n": len(rows)}
        storage.write_arrays(
            folder / "predictions.npz", rows=rows, labels=labels, probabilities=probabilities
        )
    storage.write_json(folder / "metrics.json", measured)
    row = {"epoch": 1, "loss": 1.0, "accuracy": 0.5, "learning_rate": 0.1, "seconds": 1.0}
    row |= {"validation_loss": 1.0, "validation_accuracy": 0.5} if scored else {}
    storage.write_table(folder / "history.csv", [row])
    return plan.Unit(stages.Stage(folder.name, folder, [], trains=True), setting, repeat)


def test_scores_are_means_over_seeds_and_differences_are_paired(tmp_path):
    generator, rows = np.random.default_rng(0), np.arange(200)
    right = {
        (rate, seed): generator.random(200) < skill
        for rate, skill in (("1", 0.5), ("2", 0.7))
        for seed in range(3)
    }
    units = [
        made_unit(tmp_path / f"rate-{rate}/seed-{seed}", {"rate": rate}, {"seed": seed}, rows, mask)
        for (rate, seed), mask in right.items()
    ]
    first, second = merging.settings(units)
    gains = np.array([right["2", seed].mean() - right["1", seed].mean() for seed in range(3)])
    mean, half = metrics.mean_interval(gains)
    row = second.row
    assert (row["runs"], row["pairs"], row["n"], row["rate"]) == (3, 3, 200, "2")
    assert row["difference"] == pytest.approx(mean)
    assert row["difference 95 % high"] == pytest.approx(mean + half)
    mean, half = metrics.mean_interval(np.array([right["1", seed].mean() for seed in range(3)]))
    assert first.row["accuracy"] == pytest.approx(mean)
    assert first.row["95 % low"] == pytest.approx(mean - half)
    assert first.row["difference"] is None
    votes = sum(right["1", seed].astype(int) for seed in range(3))
    assert first.row["together"] == pytest.approx((votes >= 2).mean())
    assert first.folder == tmp_path / "rate-1"
    # One seed each: the images are the pairs.
    _, alone = merging.settings([units[0], units[3]])
    expected = metrics.difference_interval(right["2", 0], right["1", 0])
    assert alone.row["difference 95 % low"] == pytest.approx(expected[1])
    table = merging.each(units, {"seed-1": "it broke"})
    assert [row["failure"] for row in table] == ["", "it broke", ""] * 2


def test_folds_come_to_one_score_on_every_row(tmp_path):
    generator = np.random.default_rng(1)
    parts = [np.arange(100) + 100 * number for number in range(3)]
    right = [generator.random(100) < 0.6 for _ in parts]
    units = [
        made_unit(tmp_path / f"fold-{number}", {}, {"fold": number}, part, mask)
        for number, (part, mask) in enumerate(zip(parts, right, strict=True))
    ]
    (setting,) = merging.settings(units)
    assert setting.name == "all runs"
    assert setting.row["n"] == 300
    assert setting.row["together"] == pytest.approx(np.mean(right))
    low, high = metrics.wilson_interval(int(np.sum(right)), 300)
    assert (setting.row["together 95 % low"], setting.row["together 95 % high"]) == (low, high)


def test_settings_with_and_without_a_score_share_a_figure(tmp_path):
    from common.figures.training import settings

    right = np.arange(70) < 40
    units = [
        made_unit(tmp_path / name, {"validation": name}, {}, np.arange(70), right, scored=scored)
        for name, scored in (("3000", True), ("0", False))
    ]
    result = merging.settings(units)
    curves = settings.draw(result).axes[0]
    assert curves.get_ylabel() == "accuracy"
    assert len(curves.lines) == 2
    assert "no validation score" in settings.sentences(result)[1]


def test_runs_without_validation_rows_have_no_score(tmp_path):
    from common.figures.training import settings

    nothing = np.zeros(0, bool)
    unit = made_unit(tmp_path / "a/seed-0", {}, {"seed": 0}, np.arange(0), nothing, scored=False)
    made = merging.settings([unit])
    assert settings.sentences(made) == ["all runs: one run, no validation score."]
    settings.draw(made)


def test_programs_that_a_script_starts_do_not_wait_for_its_leash(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "import subprocess, sys\n"
        "reads = [sys.executable, '-c', 'import sys; print(len(sys.stdin.read()))']\n"
        "print(subprocess.run(reads, capture_output=True, text=True, timeout=30).stdout)\n"
    )
    command = [sys.executable, leash.__file__, str(script)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout.read().strip() == b"0"


def test_the_order_of_flags_changes_nothing():
    """A finished stage is not run again because its flags were written in another order."""
    command = "python confusion.py --model a b --seed 0 --top-k 3 --data here --out {}"
    other = "python confusion.py --seed 0 --data there --out x --top-k 3 --model a b"
    assert stages._flags(command) == stages._flags(other)
    assert stages._flags(command) != stages._flags(other.replace("a b", "b a"))
    assert stages._flags(command) != stages._flags(other.replace("--seed 0", "--seed 1"))
