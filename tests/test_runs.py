"""Atomic files, recalled flags and the state of a run."""

import argparse
import os
from pathlib import Path

import numpy as np
import pytest

from common import cli
from common.runs import resume, storage


def options():
    parser = argparse.ArgumentParser()
    cli.add_data(parser)
    cli.add_out(parser, "train.py")
    cli.add_seed(parser)
    cli.add_training(parser)
    return parser


def parse(folder, *flags):
    return options().parse_args(["--out", str(folder), *flags])


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "table.csv"
    storage.write_text(path, "old")

    def fail():
        with storage.atomic_write(path) as temporary:
            temporary.write_text("half", encoding="utf-8")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert path.read_text(encoding="utf-8") == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_json_takes_arrays_and_paths(tmp_path):
    storage.write_json(
        tmp_path / "a.json", {"a": np.float32(0.5), "b": np.arange(2), "c": Path("x")}
    )
    assert storage.read_json(tmp_path / "a.json") == {"a": 0.5, "b": [0, 1], "c": "x"}


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", None])
def test_no_json_is_one_line(tmp_path, content):
    path = tmp_path / "config.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ValueError, match=r"config\.json: expected a JSON file") as caught:
        storage.read_json(path)
    assert "\n" not in str(caught.value)


def test_two_generations_of_state_are_kept_and_a_damaged_one_is_passed_over(tmp_path):
    for epoch in (1, 2, 3):
        resume.save_state(tmp_path, epoch, {"w": np.full(1000, epoch, np.float32)}, {"at": epoch})
    names = sorted(path.name for path in (tmp_path / "state").iterdir())
    assert names == ["epoch-00002.npz", "epoch-00003.npz"]
    newest = tmp_path / "state" / names[-1]
    arrays, record = resume.load_state(tmp_path)
    assert record == {"at": 3}
    np.testing.assert_array_equal(arrays["w"], np.full(1000, 3, np.float32))

    whole = newest.read_bytes()
    for damaged in (whole[:-200], b"", whole[:3000] + b"\xff" * 200 + whole[3200:]):
        newest.write_bytes(damaged)
        assert resume.load_state(tmp_path)[1] == {"at": 2}
    (tmp_path / "state" / names[0]).write_bytes(b"")
    assert resume.load_state(tmp_path) is None


def test_resume_recalls_the_flags(tmp_path):
    resume.create(parse(tmp_path, "--epochs", "7", "--recipe", "adamw"), architecture="cnn")
    args = parse(tmp_path, "--resume")
    resume.restore_flags(args, options())
    assert (args.epochs, args.recipe, args.seed) == (7, "adamw", 0)
    assert resume.create(args, architecture="cnn")["flags"]["epochs"] == 7
    with pytest.raises(ValueError, match="started with architecture cnn, found dnn"):
        resume.create(args, architecture="dnn")
    with pytest.raises(ValueError, match="started with --epochs 7, found 9"):
        resume.restore_flags(parse(tmp_path, "--resume", "--epochs", "9"), options())
    with pytest.raises(ValueError, match="expected a run to resume"):
        resume.restore_flags(parse(tmp_path / "other", "--resume"), options())


def test_what_a_kill_left_half_written_is_gone_after_resuming(tmp_path):
    resume.create(parse(tmp_path), architecture="cnn")
    writing = storage.atomic_write(tmp_path / "state" / "epoch-00001.npz")
    half = writing.__enter__()  # and never leave, as after a kill
    half.write_bytes(b"half")
    resume.create(parse(tmp_path, "--resume"), architecture="cnn")
    assert not half.exists()
    assert (tmp_path / "config.json").exists()


def test_a_run_is_not_written_over_unless_asked(tmp_path):
    resume.create(parse(tmp_path), architecture="cnn")
    resume.save_state(tmp_path, 1, {}, {})
    (tmp_path / "model.keras").write_bytes(b"x")
    with pytest.raises(ValueError, match="holds a run already"):
        resume.create(parse(tmp_path), architecture="cnn")
    assert (tmp_path / "model.keras").exists()
    storage.write_json(tmp_path / "teacher" / "config.json", {})
    resume.create(parse(tmp_path, "--overwrite"), architecture="cnn")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.json"]


def test_the_record_says_how_it_was_made(tmp_path):
    config = resume.create(parse(tmp_path), architecture="cnn")
    assert config["command"].startswith("python ")
    assert {"python", "keras", "numpy"} <= set(config["versions"])
    assert config["machine"]["cpus"] >= 1


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path):
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(ValueError, match="expected a folder to write to") as caught:
        storage.check_writable(tmp_path / "file" / "folder")
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is always full")
def test_a_full_disk_leaves_no_half_file(tmp_path):
    path = tmp_path / "a.json"

    def fail():
        with storage.atomic_write(path), open("/dev/full", "w") as full:
            full.write("x")

    with pytest.raises(OSError, match="No space left"):
        fail()
    assert list(tmp_path.iterdir()) == []
