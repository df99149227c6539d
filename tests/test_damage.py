"""One damage at a time to the files of a run: every reader refuses it in one line with its name."""

import contextlib
import gzip
import io
import json
import math
import shutil
import struct
import tarfile
import zipfile
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from common import comparison, outputs
from common.data import archives, loading, splits, tables
from common.runs import records, resume, schema, storage
from common.training import keep_run

VALUES = (
    *(None, True, -1, 0.5, 10**400, float("nan"), float("inf"), 1e308, "x", "", "\n", "'"),
    *([], ["x"], [None], [[]], {}, {"x": {}}, {"seed": None}),
)
ROWS = np.arange(40)
ARRAYS = (  # that no honest file has under any name, with the exception of some names
    *(np.array(3), np.array("x"), np.array([]), np.zeros((0, 7)), np.zeros((3, 2, 2))),
    *(np.full(30, np.nan), np.array(["a", "b"]), np.arange(30) - 5, np.arange(30) * 10**12),
    *(np.zeros(30, int), np.ones((30, 7)), np.zeros(30, "V4"), np.zeros(10**6, "U0")),
    *(np.array([None, {}], object), np.zeros(2, [("a", int)]), np.array(1 + 1j)),
)
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


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run folder with every file that is read."""
    folder = tmp_path_factory.mktemp("whole") / "run"
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
    labels = ROWS[:30] % 7
    storage.write_arrays(
        folder / "predictions.npz", rows=ROWS[:30], labels=labels, probabilities=probabilities
    )
    best = {"epoch": 1, "validation_accuracy": 0.5}
    for epoch in (1, 2):
        record = {"history": history[:epoch], "best": best}
        resume.save_state(folder, epoch, {"0000": np.full(3, epoch, np.float32)}, record)
    read_all(folder)
    return folder


class Variable:
    """Stands for one of Keras."""

    shape = (3,)
    value = None

    def assign(self, value):
        self.value = value


class Model:
    """Stands for one of Keras, with one variable."""

    def __init__(self):
        self.variables = [Variable()]
        self.optimizer = type("Optimizer", (), {"variables": []})


@pytest.fixture(autouse=True)
def saved(monkeypatch):
    """Which files the stand-in of a model was saved to."""
    paths = []
    monkeypatch.setattr(keep_run.checkpoints, "save", lambda path, *_: paths.append(path))
    return paths


def restore(folder):
    model = Model()
    done = keep_run.KeepRun(folder, "cnn", 3).restore(model)
    assert done in (1, 2)  # the damaged state, or the one before it
    np.testing.assert_array_equal(model.variables[0].value, np.full(3, done))


READERS = (
    records.read,
    records.load_predictions,
    records.load_history,
    lambda run: records.load_together([run, run]),
    lambda run: splits.load(run / "split.npz"),
    lambda run: comparison.table({"run": run}),
    outputs.identity,
    restore,
)


def read_all(folder, damaged=None):
    """Call every reader; return whether one refused, and check how."""
    refused = False
    for reader in READERS:
        try:
            reader(folder)
        except (ValueError, FileNotFoundError) as error:
            message = str(error)
            assert damaged is not None, message
            assert str(folder) in message
            assert Path(damaged).name in message, message
            assert "\n" not in message
            assert len(message) < 1_000
            refused = True
    return refused


def changed_json(path, generator):
    record = json.loads(path.read_text())
    place = record["flags"] if "flags" in record and generator.random() < 0.3 else record
    name = generator.choice(list(place))
    if generator.random() < 0.2:
        del place[name]
    else:
        place[name] = VALUES[generator.integers(len(VALUES))]
    path.write_text(json.dumps(record))


def changed_arrays(path, generator):
    with np.load(path) as archive:
        arrays = dict(archive)
    name = generator.choice(list(arrays))
    if generator.random() < 0.1:
        del arrays[name]
    else:
        arrays[name] = ARRAYS[generator.integers(len(ARRAYS))]
    with path.open("wb") as file:
        np.savez(file, **arrays)


def changed_state(path, generator):
    with np.load(path) as archive:
        arrays = dict(archive)
    record = json.loads(arrays["record"].tobytes())
    place = [record, record["best"], record["history"][0]][generator.integers(3)]
    place[generator.choice(list(place))] = VALUES[generator.integers(len(VALUES))]
    arrays["record"] = np.frombuffer(json.dumps(record).encode(), np.uint8)
    with path.open("wb") as file:
        np.savez(file, **arrays)


def changed_table(path, generator):
    lines = [line.split(",") for line in path.read_text().splitlines()]
    if generator.random() < 0.4:
        column = generator.integers(len(lines[0]))
        lines = [[*line[:column], *line[column + 1 :]] for line in lines]
    else:
        line = lines[generator.integers(len(lines))]
        line[generator.integers(len(line))] = generator.choice(["", "x", "nan", "-7", "1e999", '"'])
    path.write_text("".join(",".join(line) + "\n" for line in lines))


def truncated(path, generator):
    content = path.read_bytes()
    path.write_bytes(content[: generator.integers(len(content))])


def flipped(path, generator):
    content = bytearray(path.read_bytes())
    content[generator.integers(len(content))] ^= 1 << generator.integers(8)
    path.write_bytes(content)


def replaced(path, generator):
    nested = "[" * 100_000, '{"a":' * 100_000, "null", "[]", "\0" * 50, "PK\x05\x06" + "\0" * 18
    path.write_text(nested[generator.integers(len(nested))])


KINDS = {
    "config.json": changed_json,
    "metrics.json": changed_json,
    "history.csv": changed_table,
    "split.npz": changed_arrays,
    "predictions.npz": changed_arrays,
    "state/epoch-00002.npz": changed_state,
}


@pytest.mark.parametrize("name", KINDS)
def test_any_damage_is_refused_in_one_line_that_names_the_file(whole, tmp_path, name):
    generator = np.random.default_rng(list(name.encode()))
    refused = 0
    for number in range(64):
        folder = tmp_path / str(number)
        shutil.copytree(whole, folder)
        special = (truncated, flipped, replaced, changed_arrays if "state" in name else KINDS[name])
        damage = KINDS[name] if number % 2 else special[number // 2 % len(special)]
        damage(folder / name, generator)
        refused += read_all(folder, name)
        shutil.rmtree(folder)
    assert refused > 20 or "state" in name  # where the generation before it is taken


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("architecture", ["cnn"]),
        ("flags", None),
        ("command", None),
        ("command", ["python"]),
        ("data_hash", 7),
    ],
)
def test_a_configuration_with_another_type_is_refused(whole, tmp_path, name, damage):
    config = storage.read_json(whole / "config.json") | {name: damage}
    storage.write_json(tmp_path / "config.json", config)
    with pytest.raises(ValueError, match=rf"config\.json: expected {name} to be .*, found"):
        storage.read_json(tmp_path / "config.json")


@pytest.mark.parametrize("command", [None, "", "python", "python 'a\nb.py'", "x 'y"])
def test_a_remedy_is_named_whatever_the_command_is(tmp_path, command):
    (tmp_path / "config.json").write_text(json.dumps({"command": command}))
    assert records.remedy(tmp_path) == f"train it with python train_cnn.py --out {tmp_path}"


def test_an_encrypted_state_is_passed_over_for_the_one_before_it(whole, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(whole, folder)
    newest = folder / "state" / "epoch-00002.npz"
    content = bytearray(newest.read_bytes())
    for mark, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = content.find(mark)
        while at >= 0:
            content[at + place] |= 1  # the flag of an encrypted member
            at = content.find(mark, at + 4)
    newest.write_bytes(content)
    with zipfile.ZipFile(newest) as archive, pytest.raises(RuntimeError, match="encrypted"):
        archive.read("record.npy")
    assert resume.load_state(folder)[0]["0000"][0] == 1


def test_a_state_that_is_not_finite_is_passed_over_for_the_one_before_it(whole, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(whole, folder)
    record = resume.load_state(folder)[1]
    resume.save_state(folder, 2, {"0000": np.array([1, np.nan, 3], np.float32)}, record)
    model = Model()
    assert keep_run.KeepRun(folder, "cnn", 3).restore(model) == 1
    np.testing.assert_array_equal(model.variables[0].value, [1, 1, 1])


def test_a_state_that_is_passed_over_is_named(whole, tmp_path, capsys):
    folder = tmp_path / "run"
    shutil.copytree(whole, folder)
    (folder / "state" / "epoch-00002.npz").write_bytes(b"")
    restore(folder)
    said = capsys.readouterr().out
    assert f"{folder / 'state' / 'epoch-00002.npz'}: " in said
    assert said.endswith(": passed over, going on after epoch 1.\n")


def test_the_best_weights_are_made_again_as_a_kill_may_have_come_before_them(
    whole, tmp_path, saved
):
    folder = tmp_path / "run"
    shutil.copytree(whole, folder)
    restore(folder)  # whose best epoch is the one before
    assert not saved
    (folder / "state" / "epoch-00002.npz").unlink()
    restore(folder)
    assert saved == [folder / "model.keras"]


@pytest.mark.parametrize("left", ["damaged", "other network", "none"])
def test_training_never_starts_again_in_silence(whole, tmp_path, left):
    folder = tmp_path / "run"
    shutil.copytree(whole, folder)
    model = Model()
    if left == "other network":
        model.variables[0].shape = (4,)
    else:
        for path in (folder / "state").iterdir():
            path.write_bytes(b"") if left == "damaged" else path.unlink()
    named = "state" if left == "none" else r"epoch-00002\.npz"
    with pytest.raises(ValueError, match=f"{named}: .* no finished epoch is left .*--overwrite"):
        keep_run.KeepRun(folder, "cnn", 3).restore(model)
    assert model.variables[0].value is None


def test_rows_beyond_the_data_are_refused(whole, small_data, tmp_path):
    dataset = loading.load(small_data)
    split = splits.Split(ROWS, ROWS[:30] + 1_000, 0, dataset.data_hash)
    with pytest.raises(ValueError, match="of 210 training rows, found row 1,029"):
        splits.check(split, dataset)
    splits.save(tmp_path / "split.npz", split)
    with pytest.raises(ValueError, match=r"split\.npz: .* found row 1,029"):
        splits.load_of_run(tmp_path, small_data)
    with pytest.raises(ValueError, match=r"split\.npz: .* found row 1,029"):
        splits.seen_by(tmp_path, dataset)


@pytest.mark.parametrize("name", ["cnn", "dnn", "semi_supervised", "ensemble/compact_0"])
def test_finished_runs_of_before_load(name):
    run = Path(__file__).parents[1] / "pretrained" / name
    records.read(run)
    if (run / "history.csv").exists():
        records.load_history(run)
        comparison.table({"run": run})
    if (run / "split.npz").exists():
        splits.load(run / "split.npz")


# What a small file may cost.


def npy(shape, dtype="<f8", content=b""):
    """The bytes of an array whose header promises a shape."""
    header = repr({"descr": dtype, "fortran_order": False, "shape": shape}).encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + content


BOMBS = {
    "zeros": {"rows.npy": npy((2 * 10**7,), content=bytes(16 * 10**7))},
    "a header that promises more": {"rows.npy": npy((10**11,))},
    "a header that promises less": {"rows.npy": npy((1,), content=bytes(800))},
    "a hundred million nothings": {"rows.npy": npy((10**8,), "<U0")},
    "many arrays": {f"{number}.npy": b"" for number in range(storage.MAX_ARRAYS + 1)},
    "deep header": {"rows.npy": npy(0).replace(b"0", b"(" * 200 + b")" * 200)},
}


@pytest.mark.parametrize("kind", BOMBS)
@pytest.mark.parametrize(
    "reader", [storage.read_arrays, splits.load, lambda path: records.load_predictions(path.parent)]
)
def test_small_archives_that_unpack_to_much_are_refused(tmp_path, kind, reader, monkeypatch):
    path = tmp_path / "predictions.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in BOMBS[kind].items():
            archive.writestr(name, content)
    read = []
    monkeypatch.setattr(np.lib.format, "read_array", lambda *args, **_: read.append(args))
    with pytest.raises(ValueError, match=r"predictions\.npz: "):
        reader(path)
    assert not read


def test_a_large_directory_is_refused_before_it_is_read(tmp_path, monkeypatch):
    path = tmp_path / "a.npz"
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(storage.MAX_ARRAYS + 1):
            archive.writestr(str(number), b"")
    monkeypatch.setattr(zipfile, "ZipFile", None)
    with pytest.raises(ValueError, match="expected at most 10,000 files in the archive"):
        storage.read_arrays(path)


def test_a_packing_that_is_slow_is_refused(tmp_path):
    path = tmp_path / "a.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_BZIP2) as archive:
        archive.writestr("a.npy", npy((10**6,), content=bytes(8 * 10**6)))
    with pytest.raises(ValueError, match="another compression"):
        storage.read_arrays(path)


def test_an_array_as_large_as_its_file_is_read_whatever_the_limit(tmp_path):
    np.savez(tmp_path / "a.npz", a=np.arange(1000))
    assert len(storage.read_arrays(tmp_path / "a.npz", limit=10)["a"]) == 1000
    np.savez_compressed(tmp_path / "b.npz", a=np.zeros(1000))
    with pytest.raises(ValueError, match="expected at most 1,000 bytes of arrays, found 8,"):
        storage.read_arrays(tmp_path / "b.npz", limit=1000)


def gzipped(content):
    return gzip.compress(content * (2**20 // len(content)) * 20, 1)  # 20 MB


def tarred(members, mode="w"):
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode=mode) as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return stream.getvalue()


HEADER = b"label,feature\n"
DATA_BOMBS = {
    "gzip of zeros": gzip.compress(HEADER) + gzipped(b"0 " * 8),
    "gzip of blank lines": gzip.compress(HEADER) + gzipped(b"\n"),
    "gzip of nearly blank lines": gzip.compress(HEADER) + gzipped(b" \t\r\n"),
    "gzip in a tar.gz": tarred({"a.csv.gz": gzip.compress(HEADER) + gzipped(b"0 " * 8)}, "w:gz"),
    "tar.gz of zeros": gzip.compress(tarred({"a.csv": HEADER + bytes(20 * 2**20)}), 1),
}


@pytest.mark.parametrize("kind", DATA_BOMBS)
def test_small_data_files_that_unpack_to_much_are_refused(tmp_path, monkeypatch, kind):
    monkeypatch.setattr(archives, "SMALL_UNPACKED_BYTES", 2**20)
    monkeypatch.setattr(archives, "MAX_BLANK_LINES", 10_000)
    if "blank" in kind:
        monkeypatch.setattr(archives, "SMALL_UNPACKED_BYTES", 2**30)
    monkeypatch.setattr(archives, "MAX_RATIO", 2)
    monkeypatch.setattr(tables, "MAX_LINE_BYTES", 2**30)
    (tmp_path / "source").write_bytes(DATA_BOMBS[kind])
    with pytest.raises(ValueError, match=r"source.*bytes when unpacked, and few blank lines"):
        loading.load(tmp_path / "source", cache=tmp_path / "cache")


def test_the_limit_grows_with_the_file_and_holds_for_what_is_nested(tmp_path):
    (tmp_path / "a").write_bytes(bytes(100))
    file = archives.File("a", ("a",), partial(open, tmp_path / "a", "rb"))
    assert archives.plain(file)[0].limit == archives.SMALL_UNPACKED_BYTES
    with (tmp_path / "a").open("r+b") as large:
        large.truncate(2**26)
    file = archives.plain(file)[0]
    assert file.limit == 2**26 * archives.MAX_RATIO
    with (tmp_path / "a").open("r+b") as large:
        large.truncate(2**34)
    assert archives.plain(file)[0].limit == 2**26 * archives.MAX_RATIO
    (tmp_path / "b.zip").write_bytes(b"")
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as archive:
        archive.writestr("c", b"x")
    file, head = archives.plain(archives.File("b", ("b",), partial(open, tmp_path / "b.zip", "rb")))
    with contextlib.ExitStack() as stack:
        assert archives.members(file, head, stack)[0].limit == archives.SMALL_UNPACKED_BYTES


def test_a_tar_gz_is_unpacked_once(tmp_path, monkeypatch):
    noise = np.random.default_rng(0)
    packed = {f"{number}.gz": gzip.compress(noise.bytes(50_000)) for number in range(20)}
    content = tarred(packed, "w:gz")
    (tmp_path / "source").write_bytes(content)
    rewound = []
    rewind = gzip._GzipReader._rewind
    monkeypatch.setattr(
        gzip._GzipReader, "_rewind", lambda self: rewound.append(self) or rewind(self)
    )
    with pytest.raises(ValueError, match="expected a data set, found none"):
        loading.load(tmp_path / "source", cache=tmp_path / "cache")
    assert not rewound


def test_a_zip_with_a_large_directory_is_refused_before_it_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "MAX_ROWS", 50)
    with zipfile.ZipFile(tmp_path / "source", "w") as archive:
        for number in range(51):
            archive.writestr(str(number), b"")
    monkeypatch.setattr(zipfile, "ZipFile", None)
    with pytest.raises(ValueError, match="expected at most 50 files in the archive, found more"):
        loading.load(tmp_path / "source", cache=tmp_path / "cache")


def test_numbers_are_kinds():
    assert schema.number(0, 1).fits(1)
    for value in (True, "1", None, math.nan, math.inf, -1, 10**400):
        assert not schema.number(0, 1).fits(value)
