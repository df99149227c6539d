"""Atomic files, recalled flags and the state of a run."""

import argparse
import os
import subprocess
from pathlib import Path, PureWindowsPath

import numpy as np
import pytest

from common import cli
from common.runs import lock, provenance, resume, storage


def options(*, finished_runs=True):
    parser = argparse.ArgumentParser()
    cli.add_data(parser)
    cli.add_out(parser, "train.py")
    cli.add_seed(parser)
    cli.add_training(parser)
    if finished_runs:
        cli.add_finished_runs(parser)
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


def restored(folder, *flags):
    args = parse(folder, "--resume", *flags)
    resume.restore_flags(args, options(), ["--out", str(folder), "--resume", *flags])
    return args


def test_resume_recalls_the_flags(tmp_path):
    resume.create(parse(tmp_path, "--epochs", "7", "--recipe", "adamw"), architecture="cnn")
    args = restored(tmp_path)
    assert (args.epochs, args.recipe, args.seed) == (7, "adamw", 0)
    assert resume.create(args, architecture="cnn")["flags"]["epochs"] == 7
    with pytest.raises(ValueError, match="started with architecture cnn, found dnn"):
        resume.create(args, architecture="dnn")
    with pytest.raises(ValueError, match=r"started with --epochs 7, found 9: .*--initial-weights "):
        restored(tmp_path, "--epochs", "9")
    with pytest.raises(ValueError, match="started with --epochs 7, found 80"):
        restored(tmp_path, "--epochs", "80")  # the default, typed
    assert restored(tmp_path, "--epochs", "7").epochs == 7
    with pytest.raises(ValueError, match="expected a run to resume"):
        restored(tmp_path / "other")


def test_a_run_at_a_constant_rate_may_get_more_epochs(tmp_path):
    flags = ("--epochs", "7", "--recipe", "report")
    begun = resume.create(parse(tmp_path, *flags), architecture="cnn")
    with pytest.raises(ValueError, match="started with --epochs 7, found 6"):
        restored(tmp_path, "--epochs", "6")
    for name in ("metrics.json", "predictions.npz", "model.keras"):  # it is finished
        (tmp_path / name).write_text("{}")
    config = resume.create(restored(tmp_path, "--epochs", "80"), architecture="cnn")  # the default
    assert config["flags"]["epochs"] == restored(tmp_path).epochs == 80
    assert config["command"].startswith(begun["command"] + "; python ")
    visible = {path.name for path in tmp_path.iterdir() if path.name[0] != "."}
    assert visible == {"config.json", "model.keras"}


def test_an_average_of_weights_is_of_the_epochs_that_were_planned(tmp_path):
    flags = ("--epochs", "7", "--recipe", "report", "--average-from", "0.5")
    resume.create(parse(tmp_path, *flags), architecture="cnn")
    with pytest.raises(ValueError, match="started with --epochs 7, found 9"):
        restored(tmp_path, "--epochs", "9")


def test_students_get_no_more_epochs_than_their_teacher_had(tmp_path):
    flags = ("--epochs", "7", "--recipe", "report")
    resume.create(parse(tmp_path, *flags), architecture="cnn")
    parser = options(finished_runs=False)
    argv = ["--out", str(tmp_path), "--resume", "--epochs", "9"]
    with pytest.raises(ValueError, match=r"started with --epochs 7, found 9: .* another --out$"):
        resume.restore_flags(parser.parse_args(argv), parser, argv)


def test_caveats_of_before_are_caveats(tmp_path):
    config = resume.create(parse(tmp_path), caveats=["leak: all"])
    config["stamps"] = config.pop("caveats")
    storage.write_json(tmp_path / "config.json", config)
    with pytest.raises(ValueError, match="started with caveats"):
        resume.create(parse(tmp_path, "--resume"), caveats=[])
    resumed = resume.create(parse(tmp_path, "--resume"), caveats=["leak: all"])
    assert resumed["caveats"] == ["leak: all"]
    assert "stamps" not in resumed


def test_resume_takes_other_data_and_another_rate_and_records_them(tmp_path):
    begun = resume.create(parse(tmp_path, "--data", "here"), architecture="cnn", data_hash="d")
    moved = restored(tmp_path, "--data", "there")
    assert moved.data == "there"
    with pytest.raises(ValueError, match="was started with data_hash d, found e"):
        resume.create(moved, architecture="cnn", data_hash="e")
    assert storage.read_json(tmp_path / "config.json")["flags"]["data"] == "here"
    config = resume.create(moved, architecture="cnn", data_hash="d")
    assert config["flags"]["data"] == "there"
    assert config["command"] == begun["command"]
    slower = restored(tmp_path, "--learning-rate", "0.25")
    config = resume.create(slower, architecture="cnn", data_hash="d")
    assert config["command"].startswith(begun["command"] + "; python ")
    assert restored(tmp_path).learning_rate == 0.25
    assert storage.read_json(tmp_path / "config.json") == config
    storage.write_json(tmp_path / "metrics.json", {})
    with pytest.raises(ValueError, match="is finished"):
        resume.create(restored(tmp_path, "--learning-rate", "0.1"), architecture="cnn")


@pytest.mark.parametrize(
    ("flag", "value"),
    [
        ("epochs", "x"),
        ("epochs", None),
        ("epochs", 0),
        ("epochs", [3]),
        ("batch_size", 2.5),
        ("recipe", "lion"),
        ("recipe", {}),
        ("tensorboard", "yes"),
        ("learning_rate", float("nan")),
    ],
)
def test_a_damaged_flag_is_refused_on_resuming(tmp_path, flag, value):
    config = resume.create(parse(tmp_path), architecture="cnn")
    config["flags"][flag] = value
    storage.write_json(tmp_path / "config.json", config)
    message = rf"config\.json, flags: expected what --{flag.replace('_', '-')} takes, found"
    with pytest.raises(ValueError, match=message):
        restored(tmp_path)


def test_flags_of_before_are_recalled(tmp_path):
    config = resume.create(parse(tmp_path), architecture="cnn")
    config["flags"] |= {"batch_statistics": "plain", "gone": {"x": 1}}
    storage.write_json(tmp_path / "config.json", config)
    assert restored(tmp_path).batch_statistics == "precise"


def test_what_a_kill_left_half_written_is_gone_after_resuming(tmp_path):
    resume.create(parse(tmp_path), architecture="cnn")
    writing = storage.atomic_write(tmp_path / "state" / "epoch-00001.npz")
    half = writing.__enter__()  # and never leave, as after a kill
    half.write_bytes(b"half")
    lock.release(tmp_path)  # as the system does when a process dies
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
    visible = [path.name for path in tmp_path.iterdir() if not path.name.startswith(".")]
    assert visible == ["config.json"]


@pytest.mark.parametrize("flag", ["--teacher", "--initial-weights"])
@pytest.mark.parametrize("part", [".", "teacher"])
def test_a_run_that_is_read_is_not_written_over(tmp_path, flag, part):
    resume.create(parse(tmp_path), architecture="cnn")
    storage.write_json(tmp_path / "teacher" / "config.json", {})
    with pytest.raises(ValueError, match=rf"^{flag} .*, which --overwrite deletes: choose another"):
        resume.create(parse(tmp_path, "--overwrite", flag, str(tmp_path / part)))
    assert (tmp_path / "config.json").exists()
    assert (tmp_path / "teacher" / "config.json").exists()
    resume.create(parse(tmp_path, "--overwrite", flag, str(tmp_path.parent / "other")))


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


def test_a_file_that_another_program_has_open_is_written_a_little_later(tmp_path, monkeypatch):
    tries, replace = [], Path.replace

    def refused(self, target):
        tries.append(target)
        if len(tries) < 3:
            raise PermissionError(13, "Access is denied")
        return replace(self, target)

    monkeypatch.setattr(storage, "WAITS", (0, 0, 0))
    monkeypatch.setattr(Path, "replace", refused)
    storage.write_text(tmp_path / "history.csv", "later")
    assert (tmp_path / "history.csv").read_text() == "later"
    assert len(tries) == 3
    monkeypatch.setattr(storage, "WAITS", (0,))
    tries.clear()
    with pytest.raises(PermissionError, match=r"another program has the file open.*history\.csv"):
        storage.write_text(tmp_path / "history.csv", "never")
    assert (tmp_path / "history.csv").read_text() == "later"


def test_the_commit_is_not_that_of_a_repository_around_the_project(tmp_path, monkeypatch):
    for words in ("init -q", "-c user.name=a -c user.email=a@b commit -q --allow-empty -m a"):
        subprocess.run(["git", *words.split()], cwd=tmp_path, check=True)
    monkeypatch.setattr(provenance, "PROJECT", tmp_path)
    assert provenance.provenance()["git_commit"]
    monkeypatch.setattr(provenance, "PROJECT", tmp_path / "unpacked")
    (tmp_path / "unpacked").mkdir()
    assert provenance.provenance()["git_commit"] is None


@pytest.mark.parametrize(
    ("path", "text"),
    [
        (PureWindowsPath(r"outputs\train_cnn"), "outputs/train_cnn"),
        (PureWindowsPath(r"C:\my runs\a"), '"C:/my runs/a"'),
        (Path("it's"), '"it\'s"'),
        ("plain", "plain"),
    ],
)
def test_a_command_can_be_pasted_anywhere(path, text):
    assert provenance.typed("python", "a.py", "--model", path) == f"python a.py --model {text}"
