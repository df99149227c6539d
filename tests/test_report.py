"""The page of the report: what it shows, what it leaves open, and what it runs again."""

import base64
import html.parser
import importlib
import json
import subprocess
import sys
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest

import report
from common import contents, page, records
from common.figures import overview
from common.runs import provenance, storage

ROOT = Path(__file__).parents[1]
PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg=="
)
DATA_HASH, ROWS = "d" * 64, 40
LOOKERS = {"confusion": 9, "saliency": 3, "filter_vis": 4, "adversarial": 3}
# Stands in for every script: notes how it was called, then writes what `project` told it to.
FAKE = """
import json, shutil, sys
from pathlib import Path
here = Path(__file__)
orders = json.loads((here.parent / "orders.json").read_text())[here.stem]
with (here.parent / "calls.txt").open("a") as calls:
    print(here.stem, *sys.argv[1:], file=calls)
out = Path(sys.argv[sys.argv.index("--out") + 1])
out.mkdir(parents=True, exist_ok=True)
if orders.get("fails"):
    (out / "config.json").write_text("{}")
    print("Traceback", "ValueError: it <b>broke</b>", "", sep="\\n", file=sys.stderr)
    sys.exit(3)
for name in orders["writes"]:
    shutil.copy(here.parent / "template" / name, out)
print("Faces look alike.", "Wrote much.", "Next: rest", sep="\\n")
"""


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project folder of scripts that only pretend, with the run of a CNN in pretrained/."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(provenance, "PROJECT", tmp_path)
    template = make_run(tmp_path / "template")
    orders = {}
    for stages, script in (
        *(((key,), script) for key, (_, script) in contents.MODELS.items()),
        (("confusion",), "confusion.py"),
        (("saliency",), "saliency.py"),
        (("filter_vis", "filter_vis_semi_supervised"), "filter_vis.py"),
        (("adversarial",), "adversarial.py"),
    ):
        (tmp_path / script).write_text(FAKE, encoding="utf-8")
        images = [file.replace("*", "x") for name in stages for file, *_ in contents.FIGURES[name]]
        tables = [file for name in stages for file, *_ in contents.TABLES.get(name, ())]
        for file in images:
            (template / file).write_bytes(PNG)
        for file in tables:
            columns = contents.TABLES[stages[0]][0][2] or ("class", "share")
            (template / file).write_text(",".join(columns) + "\n" + ",".join("0" * len(columns)))
        orders[Path(script).stem] = {"writes": images + tables}
    for key in contents.MODELS:
        orders[Path(contents.MODELS[key][1]).stem]["writes"] += RUN_FILES
    storage.write_json(tmp_path / "orders.json", orders)
    make_run(tmp_path / "pretrained" / "cnn")
    return tmp_path


RUN_FILES = [
    *("config.json", "metrics.json", "history.csv", "predictions.npz", "model.keras", "curves.png")
]


def make_run(folder, *, weights=b"weights", command="python train_cnn.py --epochs 3"):
    """Write what a finished run leaves, and return its folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.keras").write_bytes(weights)
    (folder / "curves.png").write_bytes(PNG)
    config = {"command": command, "data_hash": DATA_HASH, "flags": {"seed": 77}}
    storage.write_json(folder / "config.json", config)
    metrics = {"accuracy": 0.625, "interval_95": [0.47, 0.758], "n": ROWS, "macro_f1": 0.5}
    metrics |= {"best_epoch": 2, "epochs": 3, "seconds_per_epoch": 2.5, "parameters": 1234}
    metrics["model_sha256"] = storage.sha256(folder / "model.keras")
    storage.write_json(folder / "metrics.json", metrics)
    row = {"epoch": 1, "loss": 2.0, "accuracy": 0.4, "validation_loss": 1.5}
    row |= {"validation_accuracy": 0.5, "seconds": 2.0}
    best = row | {"epoch": 2, "validation_accuracy": 0.6, "validation_loss": 1.25}
    storage.write_table(folder / "history.csv", [row, best, row | {"epoch": 3}])
    labels = np.arange(ROWS) % 7
    probabilities = np.eye(7, dtype=np.float32)[(labels + (np.arange(ROWS) >= 25)) % 7]
    storage.write_arrays(
        folder / "predictions.npz", rows=np.arange(ROWS), labels=labels, probabilities=probabilities
    )
    return folder


def calls(project):
    path = project / "calls.txt"
    return path.read_text().splitlines() if path.exists() else []


def change_orders(project, script, **changes):
    path = project / "orders.json"
    orders = json.loads(path.read_text())
    orders[script] |= changes
    path.write_text(json.dumps(orders))


class Reader(html.parser.HTMLParser):
    """Collects the tags of a page, the text of its headings and of all of it."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.headings, self.text, self.inside = [], [], "", None
        self.feed(text)
        self.text = " ".join(self.text.split())

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.inside = tag
        if tag == "h2":
            self.headings.append("")

    def handle_data(self, data):
        if self.inside == "h2":
            self.headings[-1] += data
        if self.inside != "style":
            self.text += data

    def handle_endtag(self, tag):
        self.inside = None
        self.text += " "

    def all(self, tag):
        return [attrs for name, attrs in self.tags if name == tag]


def make_page(*argv, out="outputs/report"):
    report.main(list(argv))
    return Reader(Path(out, "report.html").read_text(encoding="utf-8"))


def test_the_whole_report_in_order(project, capsys):
    make_run(project / "pretrained" / "dnn", command="python train_dnn.py")
    student = make_run(project / "pretrained" / "semi_supervised", weights=b"student")
    for file in ("ledger.png", "comparison.png", "ledger.csv", "comparison.csv"):
        (student / file).write_bytes((project / "template" / file).read_bytes())
    (student / "comparison.txt").write_text("The student is level.\n")
    config = storage.read_json(student / "config.json")
    config |= {"stamps": ["leak: it saw them"]}
    config["flags"] |= {"teacher": "cnn_of_then", "initial_weights": ["one", "two"]}
    storage.write_json(student / "config.json", config)
    results = project / "results"
    results.mkdir()
    (results / "data_twins.csv").write_text("rows,share\ncopies,0.04309\n")
    (results / "data_notes.txt").write_text("Labels are doubtful.\n")
    (results / "accuracy_networks.csv").write_text("network,accuracy\nseven,0.7071\n")
    shown = {"folder": "nets/seven", "seed": 7, "data": "abc", "weights": "def"}
    facts = {"command": "python -m benchmarks.scores", "runs": [shown]}
    storage.write_json(results / "made.json", {"accuracy_networks": facts})
    (results / "benchmark_loading.csv").write_text("way,seconds\npandas,55.74\n")
    (results / "self_training.csv").write_text("unlabelled,difference\n0.5,0.01\n")
    seen = make_page()

    assert [heading.split(". ", 1)[0] for heading in seen.headings] == [
        str(number + 1) for number in range(len(contents.PARTS))
    ]
    assert [heading.split(". ", 1)[1] for heading in seen.headings] == [
        title for title, *_ in contents.PARTS
    ]
    images = seen.all("img")
    assert len(images) == sum(map(len, contents.FIGURES.values())) + 1
    assert all(image["alt"] and image["src"].startswith("data:image/png;") for image in images)
    for published in ("0.69407", "0.41794", "67 of 80"):
        assert published in seen.text
    assert "0.625 [0.470, 0.758]" in seen.text
    for sentence in ("Faces look alike.", "Stamped: leak: it saw them.", "The student is level."):
        assert sentence in seen.text
    assert "began with the weights of one, two" in seen.text
    assert "learned from the answers of cnn_of_then as" in seen.text
    assert "right on 62.5% and the DNN on 62.5%" in seen.text
    assert "Labels are doubtful." in seen.text
    assert "0.0431" in seen.text
    assert "55.7" in seen.text
    assert "0.707" in seen.text
    assert "Networks alone and averaged" in seen.text
    scored = "Made by python -m benchmarks.scores · run nets/seven , seed 7, data abc , weights def"
    assert scored in seen.text
    assert "Wrote much" not in seen.text
    # The one gap: the fake weights hold no layers, for either network.
    assert seen.text.count("Missing: ") == seen.text.count("Missing: Layers of the") == 2
    printed = capsys.readouterr().out
    assert "Wrote report.html" in printed
    assert "Wrote overview.png" in printed
    assert Path("outputs/report/overview.png").is_file()


def test_pictures_on_a_sheet_keep_their_shape_and_fill_the_rows(tmp_path):
    shapes = {"wide": (20, 60), "tall": (50, 20), "square": (30, 30)}
    for name, shape in shapes.items():
        matplotlib.image.imsave(tmp_path / f"{name}.png", np.zeros(shape))
    figure = overview.sheet(
        [[tmp_path / "wide.png", tmp_path / "square.png"], [tmp_path / "tall.png"]], width=10
    )
    width, height = figure.get_size_inches()
    boxes = [axes.get_position() for axes in figure.axes]
    for box, name in zip(boxes, ("wide", "square", "tall"), strict=True):
        rows, columns = shapes[name]
        assert box.width * width / (box.height * height) == pytest.approx(columns / rows)
    assert boxes[0].height == pytest.approx(boxes[1].height)
    assert boxes[1].x1 == pytest.approx(boxes[2].x1) == pytest.approx(1 - overview.MARGIN)
    assert boxes[0].y0 > boxes[2].y1
    assert boxes[2].y0 == pytest.approx(overview.MARGIN * width / height)


def test_each_figure_says_what_made_it(project):
    seen = make_page()
    weights = storage.sha256(project / "pretrained" / "cnn" / "model.keras")
    for command in (
        "python train_cnn.py --epochs 3",
        "python saliency.py --model pretrained/cnn --seed 0 --out outputs/report/saliency",
    ):
        assert (
            f"Made by {command} · run pretrained/cnn , seed 77, data {DATA_HASH[:12]} , weights "
            f"{weights[:12]}"
        ) in seen.text
    assert seen.text.count("Made by ") >= len(seen.all("img"))
    record = storage.read_json(project / "outputs/report/saliency/stage.json")
    assert record["weights"] == {"pretrained/cnn": weights}
    assert {"command", "seconds", "versions", "machine"} <= record.keys()


def test_the_page_needs_nothing_but_itself(project):
    seen = make_page()
    for tag, attributes in seen.tags:
        assert tag not in ("script", "link", "iframe", "object", "embed", "base")
        for name in ("src", "href", "srcset", "data", "action", "poster"):
            assert attributes.get(name, "#").startswith(("#", "data:image/"))
        assert not any(name.startswith("on") for name in attributes)
    anchors = {attributes.get("id") for _, attributes in seen.tags}
    assert {link["href"][1:] for link in seen.all("a")} <= anchors
    text = Path("outputs/report/report.html").read_text(encoding="utf-8")
    assert "url(" not in text
    assert "@import" not in text


def test_a_missing_run_is_a_gap_with_its_command(project):
    seen = make_page("--no-run", "--dnn", "runs/dnn")
    assert calls(project) == []
    assert "Missing: the DNN, runs/dnn." in seen.text
    for command in (
        "python train_dnn.py --seed 0 --out runs/dnn",
        "python semi_supervised.py --seed 0 --ceiling pretrained/cnn --out pretrained/semi_super",
        "python report.py --dnn runs/dnn",
        "python -m benchmarks.training",
        "python -m benchmarks.honest_data",
    ):
        assert command in seen.text
    assert "Missing: saliency.py on pretrained/cnn." in seen.text
    assert "It waits for pretrained/semi_supervised." in seen.text
    assert "--no-run" not in seen.text


def test_hostile_text_stays_text(project):
    hostile = "python x.py '<script>alert(1)</script>' \"><img src=http://x.invalid/y onerror=z>"
    make_run(project / "pretrained" / "cnn", command=hostile)
    seen = make_page()
    assert hostile in seen.text
    assert not seen.all("script")
    assert all("onerror" not in image for image in seen.all("img"))


def test_what_is_finished_is_not_run_again(project, capsys):
    make_page()
    assert [line.split()[0] for line in calls(project)] == list(LOOKERS)
    make_page("--data", "elsewhere")
    assert len(calls(project)) == len(LOOKERS)
    assert capsys.readouterr().out.count("finished before") == len(LOOKERS)

    # A stage goes again when its figure is gone, ...
    Path("outputs/report/saliency/saliency.png").unlink()
    make_page("--data", "elsewhere")
    assert [line.split()[0] for line in calls(project)[len(LOOKERS) :]] == ["saliency"]
    assert calls(project)[-1].endswith("--data elsewhere")

    # ... and all of them when the weights are others, without which the old figures do not count.
    make_run(project / "pretrained" / "cnn", weights=b"others")
    seen = make_page("--no-run")
    assert "Missing: saliency.py on pretrained/cnn." in seen.text
    assert not Path("outputs/report/overview.png").exists()
    make_page()
    assert Path("outputs/report/overview.png").exists()
    assert len(calls(project)) == 2 * len(LOOKERS) + 1


def test_weights_that_the_run_did_not_measure_are_refused(project):
    (project / "pretrained" / "cnn" / "model.keras").write_bytes(b"other weights")
    seen = make_page()
    assert calls(project) == []
    assert "expected the weights that metrics.json measured" in seen.text


def test_faces_that_were_left_out_for_want_of_data_come_later(project):
    writes = json.loads((project / "orders.json").read_text())["confusion"]["writes"]
    without = [name for name in writes if name not in contents.NEED_DATA]
    change_orders(project, "confusion", writes=without)
    seen = make_page()
    assert (
        "Missing: The most confident mistakes, outputs/report/confusion/mistakes.png" in seen.text
    )
    assert "confusion.png" not in seen.text
    change_orders(project, "confusion", writes=writes)
    assert "The most confident mistakes, outputs" not in make_page().text
    assert [line.split()[0] for line in calls(project)].count("confusion") == 2


def test_a_stage_that_fails_leaves_a_gap_and_status_1(project, capsys):
    change_orders(project, "saliency", fails=True)
    with pytest.raises(SystemExit) as stopped:
        report.main([])
    assert stopped.value.code == 1
    assert "[2/5] saliency: ValueError: it <b>broke</b> (" in capsys.readouterr().out
    text = Path("outputs/report/report.html").read_text(encoding="utf-8")
    assert "ValueError: it &lt;b&gt;broke&lt;/b&gt;" in text
    assert "ValueError" in Path("outputs/report/saliency.errors.log").read_text()
    change_orders(project, "saliency", fails=False)
    make_page()
    assert [line.split()[0] for line in calls(project)] == [*LOOKERS, "saliency"]

    change_orders(project, "adversarial", writes=["examples.png"])
    Path("outputs/report/adversarial/stage.json").unlink()
    with pytest.raises(SystemExit):
        report.main([])
    assert "expected it to write targets.png" in capsys.readouterr().out


def test_from_scratch_trains_in_order_and_goes_on_where_it_stopped(project, capsys):
    argv = ["--from-scratch", "--epochs", "3", "--data", "faces", "--seed", "5", "--out", "full"]
    change_orders(project, "semi_supervised", fails=True)
    with pytest.raises(SystemExit):
        report.main(argv)
    started = calls(project)
    assert started[:3] == [
        "train_cnn --seed 5 --data faces --epochs 3 --out full/cnn",
        "train_dnn --seed 5 --data faces --epochs 3 --out full/dnn",
        "semi_supervised --seed 5 --data faces --epochs 3 --ceiling full/cnn "
        "--out full/semi_supervised",
    ]
    assert "[7/8] filter_vis_semi_supervised: waits for full/semi_supervised" in (
        capsys.readouterr().out
    )
    change_orders(project, "semi_supervised", fails=False)
    seen = make_page(*argv, out="full")
    again = calls(project)[len(started) :]
    assert again[0] == f"{started[2]} --resume"
    assert [line.split()[0] for line in again] == ["semi_supervised", "filter_vis"]
    assert "full/semi_supervised , seed 77" in seen.text
    make_page(*argv, out="full")
    assert len(calls(project)) == len(started) + 2


def test_the_scripts_know_the_flags_of_their_stages():
    argv = ["--from-scratch", "--epochs", "3", "--data", "faces"]
    args = report.build_parser().parse_args(argv)
    planned = [*report._training(args), *report._looking(args)]
    assert len(planned) == 8
    for stage in planned:
        script, *flags = [*stage.argv, *stage.where]
        known = importlib.import_module(Path(script).stem).build_parser().parse_args(flags)
        assert (known.out, known.data, known.seed) == (stage.folder, "faces", 0)


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["--epochs", "3"], "--epochs: expected --from-scratch"),
        (["--from-scratch", "--dnn", "x"], "--dnn: expected no run beside --from-scratch"),
        (["--out", "pretrained/cnn/model.keras"], "expected a folder to write to"),
    ],
)
def test_bad_input_is_one_line(project, argv, said):
    with pytest.raises(ValueError, match=said):
        report.main(argv)


def test_a_network_is_not_taken_for_another(project):
    folder = make_run(project / "pretrained" / "dnn")
    config = storage.read_json(folder / "config.json")
    storage.write_json(folder / "config.json", config | {"architecture": "cnn"})
    with pytest.raises(ValueError, match="pretrained/dnn: expected a run of the dnn, found one of"):
        report.main(["--no-run"])
    assert not (project / "outputs").exists()


@pytest.mark.parametrize("damage", ["[]", "{", '{"flags": 3}', '{"model_sha256": 1}'])
@pytest.mark.parametrize("name", ["config.json", "metrics.json", "history.csv", "predictions.npz"])
def test_damaged_runs_are_gaps(project, name, damage):
    make_run(project / "pretrained" / "dnn")
    (project / "pretrained" / "dnn" / name).write_text(damage)
    seen = make_page("--no-run")
    assert "Missing: CNN and DNN side by side." in seen.text
    assert len(seen.headings) == len(contents.PARTS)


@pytest.mark.parametrize(
    ("run", "total", "trainable", "layers"),
    [
        ("cnn", 1_985_607, 1_983_303, {"conv2d_6": ("11 x 11 x 256", 590_080)}),
        ("dnn", 1_996_167, 1_991_047, {"dense_1": ("512", 1_180_160), "logits": ("7", 903)}),
    ],
)
def test_layers_are_the_reports(run, total, trainable, layers):
    rows = records.layer_table(records.read(ROOT / "pretrained" / run))
    table = {row["layer"]: (row["output"], row["parameters"]) for row in rows}
    assert table["all"] == ("", total)
    assert table["trainable"] == ("", trainable)
    assert table["non-trainable"] == ("", total - trainable)
    assert table.items() >= layers.items()


def test_cells_and_intervals_of_a_table(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text(
        "name,recall,recall 95 % low,recall 95 % high,n,empty\na,0.12345,.1,.2,28709,\n"
    )
    block = page.table("t", page.read_table(path))
    assert [name for name, _ in block["header"]] == ["name", "recall", "recall 95 %", "n", "empty"]
    assert [text for text, _ in block["rows"][0]] == ["a", "0.123", "[0.100, 0.200]", "28,709", ""]
    with pytest.raises(ValueError, match="expected a table"):
        page.read_table(path, ["missing"])


def test_the_page_is_made_without_tensorflow():
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from common import parts\n"
        "assert not {'tensorflow', 'keras'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code, ROOT], check=True, timeout=60)
