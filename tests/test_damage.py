"""Damages to the files of a run, and small files that unpack to much.

Many more, at random, are made by `experiments.faults`.
"""

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

from common import comparison
from common.data import agreement, archives, loading, splits, tables
from common.runs import records, resume, schema, storage
from common.training import keep_run
from experiments.faults import records as damages


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run folder with every file that is read."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    return damages.whole_run(folder)


@pytest.fixture(autouse=True)
def saved(monkeypatch):
    """Which files the stand-in of a model was saved to."""
    paths = []
    monkeypatch.setattr(keep_run.checkpoints, "save", lambda path, *_: paths.append(path))
    return paths


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
    model = damages.Model()
    assert keep_run.KeepRun(folder, "cnn", 3).restore(model) == 1
    np.testing.assert_array_equal(model.variables[0].value, [1, 1, 1])


def test_a_state_that_is_passed_over_is_named(whole, tmp_path, capsys):
    folder = tmp_path / "run"
    shutil.copytree(whole, folder)
    (folder / "state" / "epoch-00002.npz").write_bytes(b"")
    damages.restore(folder)
    said = capsys.readouterr().out
    assert f"{folder / 'state' / 'epoch-00002.npz'}: " in said
    assert said.endswith(": passed over, going on after epoch 1.\n")


def test_the_best_weights_are_made_again_as_a_kill_may_have_come_before_them(
    whole, tmp_path, saved
):
    folder = tmp_path / "run"
    shutil.copytree(whole, folder)
    damages.restore(folder)  # whose best epoch is the one before
    assert not saved
    (folder / "state" / "epoch-00002.npz").unlink()
    damages.restore(folder)
    assert saved == [folder / "model.keras"]


@pytest.mark.parametrize("left", ["damaged", "other network", "none"])
def test_training_never_starts_again_in_silence(whole, tmp_path, left):
    folder = tmp_path / "run"
    shutil.copytree(whole, folder)
    model = damages.Model()
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
    split = splits.Split(np.arange(40), np.arange(40)[:30] + 1_000, 0, dataset.data_hash)
    with pytest.raises(ValueError, match="of 210 training rows, found row 1,029"):
        agreement.check(split, dataset)
    splits.save(tmp_path / "split.npz", split)
    with pytest.raises(ValueError, match=r"split\.npz: .* found row 1,029"):
        splits.load_of_run(tmp_path, small_data)
    with pytest.raises(ValueError, match=r"split\.npz: .* found row 1,029"):
        agreement.seen_by(tmp_path, dataset)


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
