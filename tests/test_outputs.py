import json
import signal
import subprocess
import sys
import types

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from common import outputs
from common.figures import style
from common.outputs import Output
from common.runs import provenance, storage

COMMAND = "python script.py --out here"
FACTS = {"command": "python train.py", "started": "before", "git_commit": "abc", "flags": {}}


@pytest.fixture(autouse=True)
def script(monkeypatch):
    """Results are those of one script."""
    monkeypatch.setattr(sys, "argv", ["script.py"])


def names(folder):
    """Return the names of all files in a folder, sorted; none is a leftover of a write."""
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))


def earlier(folder):
    """Finish an output of two results, a and b, as an earlier time would have."""
    output = Output(folder, command="python script.py --earlier")
    output.add("a", table=[{"x": 1}], sentences=["old a"])
    output.add("b", table=[{"x": 1}])
    output.finish()


class TestResult:
    def test_has_a_file_of_each_kind_and_stands_in_the_manifest(self, tmp_path, capsys):
        output = Output(tmp_path, command=COMMAND)
        figure = style.new_figure(2, 2)
        output.add(
            "robustness",
            title="Robustness",
            caption="How to read it.",
            figure=figure,
            table=[{"size": 1, "accuracy": 0.123456789, "best": None}],
            arrays={"curve": np.arange(3)},
            sentences=["It falls."],
            columns=("size",),
        )
        output.finish("Next: nothing.")
        assert names(tmp_path) == [
            *("manifest.json", "observations.txt"),
            *("robustness.csv", "robustness.npz", "robustness.png"),
        ]
        assert (tmp_path / "robustness.csv").read_text() == "size,accuracy,best\n1,0.123457,\n"
        with np.load(tmp_path / "robustness.npz") as stored:
            assert stored["curve"].tolist() == [0, 1, 2]
        with Image.open(tmp_path / "robustness.png") as image:
            assert image.text["Description"] == COMMAND
        record = outputs.read(tmp_path)
        assert record["outputs"][0] == {
            "name": "robustness",
            "title": "Robustness",
            "caption": "How to read it.",
            "columns": ["size"],
            "sentences": ["It falls."],
            "files": {
                "table": "robustness.csv",
                "arrays": "robustness.npz",
                "figure": "robustness.png",
            },
        }
        assert record["command"] == COMMAND
        assert record["finished"] is True
        assert record["gaps"] == record["runs"] == record["stale"] == []
        printed = capsys.readouterr().out.splitlines()
        assert printed[0] == "It falls."
        assert all(name in printed[-2] for name in names(tmp_path))
        assert printed[-1] == "Next: nothing."

    def test_names_the_runs_and_weights_that_it_is_of(self, tmp_path):
        run = tmp_path / "run"
        run.mkdir()
        storage.write_json(run / "config.json", {"flags": {"seed": 5}, "data_hash": "abc"})
        (run / "model.keras").write_bytes(b"weights")
        output = Output(tmp_path / "out", argv=["--model", str(run)], models=[run])
        output.finish()
        assert outputs.read(tmp_path / "out")["runs"] == [
            {
                "folder": str(run),
                "seed": 5,
                "data_hash": "abc",
                "weights": storage.sha256(run / "model.keras"),
            }
        ]
        assert output.source.startswith(f"{run}: python ")
        assert output.source.endswith(f"--model {run}")

    def test_has_a_folder_that_can_be_written(self, tmp_path):
        (tmp_path / "file").write_text("mine")
        with pytest.raises(ValueError, match="file: expected a folder to write to"):
            Output(tmp_path / "file")
        assert (tmp_path / "file").read_text() == "mine"

    def test_of_no_run_is_refused_before_anything_is_written(self, tmp_path):
        with pytest.raises(ValueError, match=r"config.json: expected a JSON file of a run"):
            Output(tmp_path, models=[tmp_path / "run"])
        assert not names(tmp_path)

    def test_that_is_added_again_replaces_the_first(self, tmp_path):
        output = Output(tmp_path)
        output.miss("a", "A", "Not yet.")
        output.add("a", table=[{"x": 1}], arrays={"x": np.zeros(1)}, sentences=["first"])
        output.add("a", table=[{"x": 2}], sentences=["second"])
        output.finish()
        assert (tmp_path / "a.csv").read_text() == "x\n2\n"
        assert (tmp_path / "observations.txt").read_text() == "second\n"
        assert names(tmp_path) == ["a.csv", "manifest.json", "observations.txt"]
        assert outputs.read(tmp_path)["gaps"] == []

    def test_that_is_missing_is_named_with_the_reason(self, tmp_path, capsys):
        earlier(tmp_path)
        output = Output(tmp_path)
        output.add("b", table=[{"x": 1}])
        output.miss("a", "The first", "There is no data.")
        output.finish()
        gap = {"name": "a", "title": "The first", "reason": "There is no data."}
        assert outputs.read(tmp_path)["gaps"] == [gap]
        assert "The first: left out. There is no data." in capsys.readouterr().out
        assert names(tmp_path) == ["b.csv", "manifest.json"]

    def test_may_be_a_file_that_another_function_writes(self, tmp_path):
        output = Output(tmp_path)
        path = output.file("films/a.gif")
        path.parent.mkdir()
        path.write_bytes(b"GIF")
        output.finish()
        assert path == tmp_path / "films" / "a.gif"
        assert outputs.read(tmp_path)["outputs"][0]["files"] == {"other": "films/a.gif"}

    def test_after_the_end_makes_it_unfinished_again(self, tmp_path):
        output = Output(tmp_path)
        output.finish()
        output.file("a.gif")
        with pytest.raises(ValueError, match="unfinished"):
            outputs.read(tmp_path)


class TestSentences:
    def test_are_printed_in_order_and_kept(self, tmp_path, capsys):
        output = Output(tmp_path)
        output.say("First.")
        output.add("a", sentences=["Second.", "Third: café."])
        output.say("Fourth.")
        output.finish()
        said = (tmp_path / "observations.txt").read_text(encoding="utf-8").splitlines()
        assert sorted(said) == ["First.", "Fourth.", "Second.", "Third: café."]
        assert capsys.readouterr().out.splitlines()[:4] == [
            *("First.", "Second.", "Third: café.", "Fourth."),
        ]

    def test_of_an_earlier_time_go_with_it(self, tmp_path):
        earlier(tmp_path)
        Output(tmp_path).finish()
        assert names(tmp_path) == ["manifest.json"]


class TestTable:
    ROWS = (
        {"name": "x, y", "count": 1_985_607, "share": 1 / 3, "seen": True, "rest": None},
        {"name": "", "count": 0, "share": float("nan"), "seen": False, "rest": 12_345_678},
        {"name": "ü", "count": -3, "share": 1.0, "seen": True, "rest": 1e-9},
    )

    def test_a_frame_and_a_list_give_the_same_file(self, tmp_path):
        output = Output(tmp_path)
        output.add("list", table=list(self.ROWS))
        output.add("frame", table=pd.DataFrame(self.ROWS, index=[5, 5, 7]))
        written = (tmp_path / "list.csv").read_text(encoding="utf-8")
        assert (tmp_path / "frame.csv").read_text(encoding="utf-8") == written
        assert written.splitlines() == [
            "name,count,share,seen,rest",
            '"x, y",1985607,0.333333,True,',
            ",0,,False,12345678",
            "ü,-3,1,True,1e-09",
        ]

    @pytest.mark.parametrize("kind", [np.float64, np.float32, np.float16, np.int64])
    def test_numbers_of_numpy_are_written_like_those_of_python(self, tmp_path, kind):
        output = Output(tmp_path)
        values = np.array([1 / 3, 2, 0.1], kind)
        output.add("list", table=[{"x": value} for value in values])
        output.add("frame", table=pd.DataFrame({"x": values}))
        expected = [f"{float(value):.6g}" for value in values]
        for name in ("list", "frame"):
            assert (tmp_path / f"{name}.csv").read_text().splitlines() == ["x", *expected]

    @pytest.mark.parametrize("empty", [[], pd.DataFrame({"x": []})])
    def test_without_rows_is_not_written(self, tmp_path, empty):
        output = Output(tmp_path)
        output.add("a", table=empty)
        output.finish()
        assert names(tmp_path) == ["manifest.json"]


class TestShow:
    def test_takes_what_a_module_has(self, tmp_path):
        view = types.SimpleNamespace(
            TITLE="Title",
            CAPTION="Caption",
            COLUMNS=(),
            draw=lambda result: style.new_figure(1, 1),
            table=lambda result: [{"x": result}],
            arrays=lambda result: {"x": np.array(result)},
            sentences=lambda result: [f"It is {result}."],
        )
        output = Output(tmp_path)
        output.show("a", view, 3)
        output.show("b", types.SimpleNamespace(title=lambda result: f"Of {result}"), 3)
        output.show("c", view, 3, title="Other", columns=["x"], figure=None, sentences=[])
        first, second, third = output.record["outputs"]
        assert first["files"] == {"table": "a.csv", "arrays": "a.npz", "figure": "a.png"}
        assert (first["title"], first["caption"], first["columns"]) == ("Title", "Caption", [])
        assert first["sentences"] == ["It is 3."]
        assert second == {"name": "b", "title": "Of 3", "caption": "", "sentences": [], "files": {}}
        assert third["files"] == {"table": "c.csv", "arrays": "c.npz"}
        assert (third["title"], third["columns"], third["sentences"]) == ("Other", ["x"], [])


class TestUnfinished:
    def test_nothing_is_touched_before_the_first_file(self, tmp_path):
        earlier(tmp_path)
        before = (tmp_path / "manifest.json").read_bytes()
        Output(tmp_path)
        assert (tmp_path / "manifest.json").read_bytes() == before
        assert outputs.read(tmp_path)["command"] == "python script.py --earlier"

    def test_it_is_said_before_the_first_file_is_replaced(self, tmp_path, monkeypatch):
        earlier(tmp_path)

        def full(path, rows):
            assert path.read_text() == "x\n1\n"  # still the earlier one
            with pytest.raises(ValueError, match=f"unfinished: run again {COMMAND}"):
                outputs.read(tmp_path)
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(storage, "write_table", full)
        with pytest.raises(OSError, match="No space"):
            Output(tmp_path, command=COMMAND).add("a", table=[{"x": 2}])
        with pytest.raises(ValueError, match=f"unfinished: run again {COMMAND}"):
            outputs.read(tmp_path)

    def test_an_error_between_two_results_leaves_it_unfinished(self, tmp_path):
        earlier(tmp_path)
        output = Output(tmp_path, command=COMMAND)
        output.add("a", table=[{"x": 2}])
        with pytest.raises(ZeroDivisionError):
            output.add("b", table=[{"x": 1 / 0}])
        assert names(tmp_path) == ["a.csv", "b.csv", "manifest.json", "observations.txt"]
        with pytest.raises(ValueError, match=f"manifest.json: .* unfinished: run again {COMMAND}$"):
            outputs.read(tmp_path)

    def test_a_kill_between_two_results_leaves_it_unfinished(self, tmp_path):
        earlier(tmp_path)
        script = (
            "import os, signal, sys\n"
            "from common.outputs import Output\n"
            f"output = Output(sys.argv[1], command={COMMAND!r})\n"
            "output.add('a', table=[{'x': 2}])\n"
            "os.kill(os.getpid(), signal.SIGKILL)\n"
        )
        killed = subprocess.run(
            [sys.executable, "-c", script, tmp_path], cwd=provenance.PROJECT, timeout=60
        )
        assert killed.returncode == -signal.SIGKILL
        assert (tmp_path / "a.csv").read_text() == "x\n2\n"
        assert (tmp_path / "b.csv").read_text() == "x\n1\n"
        with pytest.raises(ValueError, match=f"unfinished: run again {COMMAND}"):
            outputs.read(tmp_path)
        # What the earlier time left is still known to the next, and goes.
        output = Output(tmp_path, command=COMMAND)
        output.add("a", table=[{"x": 2}])
        output.finish()
        assert names(tmp_path) == ["a.csv", "manifest.json"]
        assert outputs.read(tmp_path)["stale"] == []


class TestStale:
    def test_files_go_at_the_end_and_only_those_that_the_manifest_named(self, tmp_path):
        earlier(tmp_path)
        (tmp_path / "mine.csv").write_text("x")
        output = Output(tmp_path)
        output.add("c", arrays={"x": np.zeros(1)})
        assert {"a.csv", "b.csv", "observations.txt"} < set(names(tmp_path))
        output.finish()
        assert names(tmp_path) == ["c.npz", "manifest.json", "mine.csv"]

    def test_a_file_that_is_gone_already_is_no_error(self, tmp_path):
        earlier(tmp_path)
        (tmp_path / "b.csv").unlink()
        Output(tmp_path).finish()
        assert names(tmp_path) == ["manifest.json"]

    @pytest.mark.parametrize("part", ["outputs", "stale"])
    def test_a_hostile_manifest_deletes_nothing_outside(self, tmp_path, part):
        folder, outside = tmp_path / "out", tmp_path / "other"
        (folder / "sub").mkdir(parents=True)
        outside.mkdir()
        treasure = [tmp_path / "x", outside / "x"]
        for path in treasure:
            path.write_text("keep")
        (folder / "link").symlink_to(outside, target_is_directory=True)
        (folder / "circle").symlink_to("circle")
        hostile = [
            *("../x", "sub/../../x", "./../other/x", "link/x", "link/../x", str(outside / "x")),
            *("", ".", "..", "/", "sub", "link", "circle/x", "a\0b", "n" * 300, "none/x"),
        ]
        manifest(folder, hostile, part)
        Output(folder).finish()
        assert [path.read_text() for path in treasure] == ["keep", "keep"]
        assert (folder / "sub").is_dir()
        assert outputs.read(folder)["outputs"] == []

    @pytest.mark.parametrize(
        "content", ["", "[]", "{}", '{"outputs": 1}', "\0", '{"outputs": [1]}']
    )
    def test_what_is_no_manifest_names_nothing(self, tmp_path, content):
        (tmp_path / "manifest.json").write_text(content)
        (tmp_path / "a.csv").write_text("x")
        output = Output(tmp_path)
        output.add("b", table=[{"x": 1}])
        output.finish()
        assert names(tmp_path) == ["a.csv", "b.csv", "manifest.json"]


class TestWhatIsThere:
    def test_a_run_is_not_replaced_by_other_results(self, tmp_path):
        storage.write_json(tmp_path / "config.json", FACTS)
        output = Output(tmp_path, run=FACTS)
        output.file("model.keras").write_bytes(b"weights")
        output.finish()
        before = {path: path.read_bytes() for path in tmp_path.iterdir()}
        with pytest.raises(ValueError, match="holds a run, which stays as it is: choose another"):
            Output(tmp_path, models=[tmp_path])
        assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before

    def test_nor_are_the_results_of_another_script(self, tmp_path):
        earlier(tmp_path)
        before = {path: path.read_bytes() for path in tmp_path.iterdir()}
        with pytest.raises(ValueError, match=r"holds the results of script.py, which stay as they"):
            Output(tmp_path, command="python other.py --out here")
        assert {path: path.read_bytes() for path in before} == before
        Output(tmp_path, command="python script.py --other flags").finish()
        Output(tmp_path / "module", command="python -m experiments.one").finish()
        with pytest.raises(ValueError, match=r"holds the results of experiments\.one"):
            Output(tmp_path / "module", command="python -m experiments.two")

    def test_a_run_keeps_its_own_provenance_and_the_seconds_that_it_took(self, tmp_path):
        storage.write_json(tmp_path / "config.json", FACTS)
        Output(tmp_path, run=FACTS, spent=100).finish()
        record = outputs.read(tmp_path)
        expected = [FACTS[name] for name in ("command", "started", "git_commit")]
        assert [record[name] for name in ("command", "started", "git_commit")] == expected
        assert 100 <= record["seconds"] < 110
        assert record["versions"]["numpy"] == np.__version__  # which that run did not record
        assert "flags" not in record

    def test_runs_may_be_named_later(self, tmp_path):
        storage.write_json(tmp_path / "run" / "config.json", FACTS)
        output = Output(tmp_path / "out", command=COMMAND)
        output.name_runs([tmp_path / "run"])
        assert output.source == f"{tmp_path / 'run'}: {COMMAND}"
        output.finish()
        assert [run["folder"] for run in outputs.read(tmp_path / "out")["runs"]] == [
            str(tmp_path / "run")
        ]


class TestStudies:
    def test_share_a_folder_and_keep_apart(self, tmp_path):
        for study in ("first", "second", "first"):
            output = Output(tmp_path, study=study)
            output.add(f"{study}_table", table=[{"x": 1}], sentences=[f"Of {study}."])
            output.finish()
        assert names(tmp_path) == [
            *("first.json", "first.txt", "first_table.csv"),
            *("second.json", "second.txt", "second_table.csv"),
        ]
        assert outputs.read(tmp_path, "second.json")["finished"] is True


class TestRead:
    def test_no_manifest_is_refused(self, tmp_path):
        with pytest.raises(ValueError, match=r"manifest.json: expected a JSON file of a run"):
            outputs.read(tmp_path)

    def test_a_missing_file_is_named(self, tmp_path):
        earlier(tmp_path)
        (tmp_path / "b.csv").unlink()
        with pytest.raises(ValueError, match=r"manifest.json: expected the file b.csv beside it"):
            outputs.read(tmp_path)

    @pytest.mark.parametrize("name", ["../x", "sub/../../x", "link/x", "", "a\0b"])
    def test_a_file_outside_is_refused(self, tmp_path, name):
        folder = tmp_path / "out"
        (folder / "sub").mkdir(parents=True)
        (folder / "link").symlink_to(tmp_path, target_is_directory=True)
        (tmp_path / "x").write_text("secret")
        manifest(folder, [name], "outputs")
        with pytest.raises(ValueError, match=r"manifest.json: expected the file .* beside it"):
            outputs.read(folder)
        manifest(folder, [str(tmp_path / "x")], "outputs")
        with pytest.raises(ValueError, match=r"manifest.json: expected the file .* beside it"):
            outputs.read(folder)

    @pytest.mark.parametrize(
        "change",
        [
            {"outputs": [1]},
            {"outputs": [{"name": "a", "files": {"table": 5}, "sentences": []}]},
            {"outputs": {"a": "b"}},
            {"gaps": [{}]},
            {"runs": 3},
            {"command": None},
            {"stale": 4},
            {"stale": [4]},
        ],
    )
    def test_something_else_is_no_manifest(self, tmp_path, change):
        earlier(tmp_path)
        path = tmp_path / "manifest.json"
        storage.write_json(path, json.loads(path.read_text()) | change)
        with pytest.raises(ValueError, match=r"manifest.json: expected the manifest of an output"):
            outputs.read(tmp_path)


def manifest(folder, files, part):
    """Write a finished manifest that names these files as those of a result, or as stale."""
    Output(folder).finish()
    path = folder / "manifest.json"
    record = json.loads(path.read_text())
    if part == "stale":
        record["stale"] = files
    else:
        numbered = {str(number): name for number, name in enumerate(files)}
        record["outputs"] = [{"name": "a", "files": numbered, "sentences": []}]
    storage.write_json(path, record)
