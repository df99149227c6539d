"""Damages to the records of a run, one at a time, and what every reader makes of them."""

import contextlib
import io
import json
import os
import shutil
import zipfile
from functools import partial
from pathlib import Path

import numpy as np

from common import comparison, outputs
from common.data import splits
from common.runs import records, resume, schema, storage
from common.training import distillation, keep_run
from experiments.faults.files import Executes
from experiments.faults.outcomes import Outcome, refusal, supervised

VALUES: tuple = (
    *(None, True, -1, 0.5, 10**400, float("nan"), float("inf"), 1e308, "x", "", "\n", "'"),
    *([], ["x"], [None], [[]], {}, {"x": {}}, {"seed": None}),
)
ARRAYS = (  # that no honest file has under any name, with the exception of some names
    *(np.array(3), np.array("x"), np.array([]), np.zeros((0, 7)), np.zeros((3, 2, 2))),
    *(np.full(30, np.nan), np.array(["a", "b"]), np.arange(30) - 5, np.arange(30) * 10**12),
    *(np.zeros(30, int), np.ones((30, 7)), np.zeros(30, "V4"), np.zeros(10**6, "U0")),
    *(np.array([None, {}], object), np.zeros(2, [("a", int)]), np.array(1 + 1j)),
)
ROWS = np.arange(40)
METRICS = {
    "n": 30,
    "accuracy": 0.5,
    "interval_95": [0.4, 0.6],
    "macro_f1": 0.5,
    "best_epoch": 1,
    "epochs": 2,
    "seconds_per_epoch": 1.5,
    "parameters": 100,
}


class Variable:
    """Stands for one of Keras."""

    shape = (3,)
    value: np.ndarray | None = None

    def assign(self, value):
        """Keep a value."""
        self.value = value


class Model:
    """Stands for one of Keras, with one variable."""

    def __init__(self):
        """Make the variable."""
        self.variables = [Variable()]
        self.optimizer = type("Optimizer", (), {"variables": []})


def whole_run(folder: Path) -> Path:
    """Write a run folder with every file that is read, of a network of three numbers."""
    config = {
        "command": "python train_cnn.py --seed 3",
        "architecture": "cnn",
        "data_hash": "d",
        "caveats": [],
        "flags": {"seed": 3, "data": None},
    }
    storage.write_json(folder / "config.json", config)
    (folder / "model.keras").write_bytes(b"weights")
    measured = METRICS | {"model_sha256": storage.sha256(folder / "model.keras")}
    storage.write_json(folder / "metrics.json", measured)
    history = [dict.fromkeys(schema.HISTORY, 0.5) | {"epoch": epoch} for epoch in (1, 2)]
    storage.write_table(folder / "history.csv", history)
    splits.save(folder / "split.npz", splits.Split(ROWS[30:], ROWS[:30], 0, "d"))
    probabilities = np.random.default_rng(0).dirichlet(np.ones(7), 30)
    storage.write_arrays(
        folder / "predictions.npz",
        rows=ROWS[:30],
        labels=ROWS[:30] % 7,
        probabilities=probabilities,
    )
    storage.write_arrays(
        folder / "teacher_probabilities.npz",
        hashes=np.array(["h"]),
        views=np.array(1),
        mean=probabilities,
    )
    for epoch in (1, 2):
        record = {"history": history[:epoch], "best": {"epoch": 1, "validation_accuracy": 0.5}}
        resume.save_state(folder, epoch, {"0000": np.full(3, epoch, np.float32)}, record)
    with contextlib.redirect_stdout(io.StringIO()):
        output = outputs.Output(folder, run=config)
        output.add("layers", title="Layers", table=[{"layer": "a"}], sentences=["One."])
        output.finish()
    return folder


def restore(folder):
    """Go on with a run, from the state that is damaged or the one before it."""
    model = Model()
    done = keep_run.KeepRun(folder, "cnn", 3).restore(model)
    value = model.variables[0].value
    if done not in (1, 2) or value is None or not np.array_equal(value, np.full(3, done)):
        raise AssertionError(f"went on after epoch {done} with {value}")


def _answers(folder):
    """Read the answers of teachers."""
    place = folder / "teacher_probabilities.npz"
    kept = distillation._kept(place, {"hashes": np.array(["h"]), "views": np.array(1)}, 30)
    if kept is not None:
        np.testing.assert_allclose(kept.sum(axis=1), 1, atol=1e-3)


READERS = (
    records.read,
    records.load_predictions,
    records.load_history,
    records.remedy,
    lambda run: records.load_together([run, run]),
    lambda run: splits.load(run / "split.npz"),
    lambda run: comparison.table({"run": run}),
    outputs.identity,
    outputs.read,
    restore,
    _answers,
)


def _changed_json(path, generator):
    record = json.loads(path.read_text(encoding="utf-8"))
    place = record
    while True:  # go down into what is nested, now and then
        inner = [one for one in _inside(place) if isinstance(one, dict | list) and one]
        if not inner or generator.random() < 0.6:
            break
        place = inner[generator.integers(len(inner))]
    name = list(place)[generator.integers(len(place))] if isinstance(place, dict) else 0
    if generator.random() < 0.2:
        del place[name]
    else:
        place[name] = VALUES[generator.integers(len(VALUES))]
    path.write_text(json.dumps(record), encoding="utf-8")


def _inside(place):
    """Return the values of a dictionary or list."""
    return place.values() if isinstance(place, dict) else place


def _changed_arrays(path, generator):
    with np.load(path) as archive:
        arrays = dict(archive)
    name = generator.choice(list(arrays))
    if generator.random() < 0.1:
        del arrays[name]
    else:
        arrays[name] = ARRAYS[generator.integers(len(ARRAYS))]
    with path.open("wb") as file:
        np.savez(file, **arrays)


def _changed_state(path, generator):
    with np.load(path) as archive:
        arrays = dict(archive)
    record = json.loads(arrays["record"].tobytes())
    place = [record, record["best"], record["history"][0]][generator.integers(3)]
    place[generator.choice(list(place))] = VALUES[generator.integers(len(VALUES))]
    arrays["record"] = np.frombuffer(json.dumps(record).encode(), np.uint8)
    with path.open("wb") as file:
        np.savez(file, **arrays)


def _changed_table(path, generator):
    lines = [line.split(",") for line in path.read_text(encoding="utf-8").splitlines()]
    if generator.random() < 0.4:
        column = generator.integers(len(lines[0]))
        lines = [[*line[:column], *line[column + 1 :]] for line in lines]
    else:
        line = lines[generator.integers(len(lines))]
        line[generator.integers(len(line))] = generator.choice(["", "x", "nan", "-7", "1e999", '"'])
    path.write_text("".join(",".join(line) + "\n" for line in lines), encoding="utf-8")


def _truncated(path, generator):
    content = path.read_bytes()
    path.write_bytes(content[: generator.integers(len(content))])


def _flipped(path, generator):
    content = bytearray(path.read_bytes())
    content[generator.integers(len(content))] ^= 1 << generator.integers(8)
    path.write_bytes(content)


def _replaced(path, generator):
    nested = "[" * 100_000, '{"a":' * 100_000, "null", "[]", "\0" * 50, "PK\x05\x06" + "\0" * 18
    path.write_text(nested[generator.integers(len(nested))], encoding="utf-8")


def _planted(path, generator, *, marker):
    """Put an array there that writes a folder when it is unpickled."""
    with path.open("wb") as file:
        np.savez(file, rows=np.array([Executes(marker)], object))


KINDS = {
    "config.json": _changed_json,
    "metrics.json": _changed_json,
    "manifest.json": _changed_json,
    "history.csv": _changed_table,
    "split.npz": _changed_arrays,
    "predictions.npz": _changed_arrays,
    "teacher_probabilities.npz": _changed_arrays,
    "state/epoch-00002.npz": _changed_state,
}


def damage(work: Path, seed: int, count: int) -> list[Outcome]:
    """Return what became of that many damages, of each record in turn."""
    whole = whole_run(work / "whole")
    marker = work / "executed"

    def check(number):
        keep_run.checkpoints.save = lambda *_: None  # in this process: a stand-in is not saved
        generator = np.random.default_rng([seed, number])
        name = list(KINDS)[number % len(KINDS)]
        folder = work / "run"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(whole, folder)
        plant = partial(_planted, marker=marker) if name.endswith(".npz") else _replaced
        general = (_truncated, _flipped, _replaced, plant)
        way = KINDS[name] if generator.random() < 0.6 else general[generator.integers(4)]
        if number:  # the first is left whole: all of it must be read
            way(folder / name, generator)
        outcome, note = "unharmed", ""
        for reader in READERS:
            try:
                with contextlib.redirect_stdout(io.StringIO()):
                    reader(folder)
            except Exception as error:
                found = refusal(error, folder, Path(name).name)
                if found != "refused" or not number:
                    return Outcome(name, found, f"case {number}: {type(error).__name__}: {error}")
                outcome = found
        if marker.exists():
            return Outcome(name, "code executed", f"case {number}")
        return Outcome(name, outcome, note)

    return supervised(check, count)


def damage_weights(work: Path, run: Path, seed: int, count: int) -> list[Outcome]:
    """Return what became of that many damages to the weights of a trained network."""
    from common.models import checkpoints

    folder = work / "weights"
    folder.mkdir()
    shutil.copy(run / "config.json", folder)
    content = (run / "model.keras").read_bytes()
    with zipfile.ZipFile(run / "model.keras") as archive:
        members = {name: archive.read(name) for name in archive.namelist()}

    def check(number):
        generator = np.random.default_rng([seed, number])
        path = folder / "model.keras"
        if number % 3 == 0:
            changed = bytearray(members["model.weights.h5"])
            at = int(generator.integers(20_000 if number % 2 else len(changed)))
            changed[at : at + 4] = generator.bytes(4)
            with zipfile.ZipFile(path, "w") as archive:
                for name, kept in members.items():
                    archive.writestr(name, changed if name.endswith(".h5") else kept)
        else:
            path.write_bytes(content)
            (_flipped, _truncated)[number % 3 - 1](path, generator)
        try:
            checkpoints.load(folder)
        except Exception as error:
            note = f"case {number}: {type(error).__name__}: {error}"
            return Outcome("model.keras", refusal(error, str(path)), note)
        return Outcome("model.keras", "unharmed")

    return supervised(check, count)


def damage_scripts(work: Path, run: Path, seed: int, count: int) -> list[Outcome]:
    """Return what scripts make of a damaged run: one that trains, and one that looks into it."""
    import runpy
    import sys

    names = ("config.json", "metrics.json", "history.csv", "split.npz", "predictions.npz")
    folder = work / "scripted"
    project = Path(splits.__file__).parents[2]

    def check(number):
        generator = np.random.default_rng([seed, number])
        name = names[number % len(names)]
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(run, folder)
        KINDS[name](folder / name, generator)
        script, *flags = (
            ["train_dnn.py", "--resume", "--out", str(folder)],
            ["confusion.py", "--model", str(folder), "--out", str(work / "confusion")],
        )[number // len(names) % 2]
        sys.argv = [script, *flags]
        kind, outcome = f"{name}, to {script}", "unharmed"
        try:
            with open(os.devnull, "w") as null, contextlib.redirect_stdout(null):
                main = runpy.run_path(str(project / script))["main"]
                main()
        except (Exception, SystemExit) as error:
            outcome = refusal(error, str(folder))
            return Outcome(kind, outcome, f"case {number}: {type(error).__name__}: {error}")
        return Outcome(kind, outcome)

    return supervised(check, count)
