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
from common import outputs
from common.figures.report import overview
from common.report import contents, page, results
from common.runs import provenance, storage
from common.sweep import stages

ROOT = Path(__file__).parents[1]
PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg=="
)
DATA_HASH, ROWS = "d" * 64, 40
LOOKERS = {
    "confusion": ("confusion", "mistakes"),
    "saliency": ("saliency",),
    "filter_vis": ("ascent_conv2d_1_step90", "classes"),
    "adversarial": ("examples", "targets", "robustness"),
}
# Stands in for every script: notes how it was called, then writes what `project` told it to.
FAKE = """
import json, shutil, sys, types
from pathlib import Path
sys.path.insert(0, {root!r})
from common import outputs
style = types.ModuleType("common.figures.style")  # Matplotlib takes long to import
style.save = lambda figure, path, source: shutil.copy(figure, path)
sys.modules[style.__name__] = style
here = Path(__file__)
orders = json.loads((here.parent / "orders.json").read_text())[here.stem]
with (here.parent / "calls.txt").open("a") as calls:
    print(here.stem, *sys.argv[1:], file=calls)
flags = dict(zip(sys.argv[1:], sys.argv[2:]))
out = Path(flags["--out"])
out.mkdir(parents=True, exist_ok=True)
template = here.parent / "template"
if orders["trains"]:
    (out / "config.json").write_text("{{}}")
if orders.get("fails"):
    print("Traceback", "ValueError: it <b>broke</b>", "", sep="\\n", file=sys.stderr)
    sys.exit(3)
if orders["trains"]:
    for path in template.iterdir():
        shutil.copy(path, out)
output = outputs.Output(
    out, models=[Path(flags["--model"])] if "--model" in flags else [out],
    argv=[flag for flag in sys.argv[1:] if flag != "--resume"],
    run={{}} if orders["trains"] else None,
)
for name in orders["shows"]:
    title = name.capitalize()
    output.add(
        name, title=title, caption=f"How to read {{name}}.", figure=template / "x.png",
        table=[{{"class": "fear", "share": 0.25, "hidden": 7}} | orders.get("row", {{}})],
        columns=("class", "share"),
        sentences=["Faces look alike."],
        arrays={{"numbers": [4, 9]}} if name == "robustness" else None,
    )
output.add("untitled", table=[{{"secret": 1}}], arrays={{"a": [1]}})
for name in orders.get("misses", ()):
    output.miss(name, name.capitalize(), "There are no data.")
if orders.get("stops"):
    sys.exit(0)
output.finish("Next: rest")
"""


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project folder of scripts that only pretend, with the run of a CNN in pretrained/."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(provenance, "PROJECT", tmp_path)
    monkeypatch.setattr(results, "FOLDER", tmp_path / "results")
    make_run(tmp_path / "template")
    (tmp_path / "template" / "x.png").write_bytes(PNG)
    orders = {name: {"trains": False, "shows": shown} for name, shown in LOOKERS.items()}
    row = {"attack": "pgd", "in_8_bits": "no", "size_255": 2, "all": 0.31, "standard_error": 0.1}
    orders["adversarial"]["row"] = row
    for network in contents.MODELS.values():
        orders[Path(network.training.split()[0]).stem] = {
            "trains": True,
            "shows": ["curves", "layers"],
        }
    for name in orders:
        (tmp_path / f"{name}.py").write_text(FAKE.format(root=str(ROOT)), encoding="utf-8")
    storage.write_json(tmp_path / "orders.json", orders)
    make_run(tmp_path / "pretrained" / "cnn")
    return tmp_path


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
    row |= {"validation_accuracy": 0.5, "learning_rate": 0.01, "seconds": 2.0}
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
    config = storage.read_json(student / "config.json")
    config |= {"stamps": ["leak: it saw them"]}
    config["flags"] |= {"teacher": "cnn_of_then", "initial_weights": ["one", "two"]}
    storage.write_json(student / "config.json", config)
    made = {"command": "python semi_supervised.py"}
    output = outputs.Output(student, run=made, models=[student])
    (student / "ledger.png").write_bytes(PNG)
    output.add("layers", title="Layers again", table=[{"layer": "logits", "parameters": 903}])
    output.add("ledger", title="Pseudo-labels", table=[{"class": "sad", "right": 0.6544}])
    output.say("The student is level.")
    output.finish()
    make_run(project / "pretrained" / "ensemble" / "compact_0", weights=b"compact")
    make_run(project / "pretrained" / "robust", weights=b"robust")
    for name, title, row in (
        ("data_notes", "Twins", {"rows": "copies", "share": 0.04309}),
        ("benchmark_loading", "Loading the data", {"way": "pandas", "seconds": 55.74}),
        ("self_training_dnn", "Self-training", {"unlabelled": 0.5, "difference": 0.01}),
        ("saliency_methods", "Faithful maps", {"method": "LayerCAM", "score": 0.21}),
        ("faults", "Faults", {"fault": "killed", "survived": 1}),
    ):
        output = results.study(name)
        output.add(name, title=title, table=[row], sentences=[f"{title} is doubtful."])
        output.finish()
    seven = make_run(Path("nets/seven"), weights=b"seven")
    output = results.study("accuracy_networks", [seven])
    table = [{"network": "seven", "accuracy": 0.7071}]
    output.add("networks", title="Networks alone and averaged", table=table)
    output.finish()
    capsys.readouterr()
    seen = make_page()

    assert [heading.split(". ", 1)[0] for heading in seen.headings] == [
        str(number + 1) for number in range(len(contents.PARTS))
    ]
    assert [heading.split(". ", 1)[1] for heading in seen.headings] == [
        title for title, *_ in contents.PARTS
    ]
    images = seen.all("img")
    of_runs_and_stages = ["Loss and accuracy of the CNN by epoch"]
    of_runs_and_stages += ["Loss and accuracy of the DNN by epoch", "CNN and DNN side by side"]
    of_runs_and_stages += ["Confusion", "Mistakes", "Confusion of all networks", "Saliency"]
    of_runs_and_stages += ["Ascent_conv2d_1_step90", "Classes"]
    bonus = ", semi-supervised CNN (bonus 2.1)"
    of_runs_and_stages += [f"Ascent_conv2d_1_step90{bonus}", f"Classes{bonus}"]
    of_runs_and_stages += ["Examples", "Targets", "Robustness"]
    of_runs_and_stages += ["Accuracy of all networks under attack, 2 faces"]
    of_runs_and_stages += ["compact CNN and robust compact CNN side by side"]
    for names in (("Saliency",), ("Ascent_conv2d_1_step90", "Classes")):
        for network in ("compact CNN", "robust compact CNN"):
            of_runs_and_stages += [f"{name}, {network}" for name in names]
    assert [image["alt"] for image in images] == of_runs_and_stages
    assert all(image["src"].startswith("data:image/png;") for image in images)
    for published in ("0.69407", "0.41794", "67 of 80"):
        assert published in seen.text
    ours = "Ours: 0.625 [0.470, 0.758] of 40 held-out images."
    for score in ("0.69407, on the public half of the test images", "lost"):
        assert f"The report: {score}. {ours}" in seen.text
    for sentence in ("Faces look alike.", "Caveat: leak: it saw them.", "The student is level."):
        assert sentence in seen.text
    assert "began with the weights of one, two" in seen.text
    assert "learned from the answers of cnn_of_then as" in seen.text
    assert "right on 62.5% and the DNN on 62.5%" in seen.text
    assert "They differ most in" in seen.text
    assert "Recognised of 2 faces in spite of PGD of 2/255, with one standard error:" in seen.text
    assert "CNN 0.31 ± 0.10, DNN 0.31 ± 0.10, semi-supervised CNN 0.31 ± 0.10" in seen.text
    assert "How to read saliency." in seen.text
    assert "Twins is doubtful." in seen.text
    assert "0.654" in seen.text
    assert "0.0431" in seen.text
    assert "55.7" in seen.text
    assert "0.707" in seen.text
    assert "Networks alone and averaged" in seen.text
    weights = storage.sha256(seven / "model.keras")[:12]
    assert f"run nets/seven , seed 77, data {DATA_HASH[:12]} , weights {weights}" in seen.text
    # Only columns that a manifest names, and nothing that has no title or stands elsewhere.
    assert "hidden" not in seen.text
    assert "secret" not in seen.text
    assert "Layers again" not in seen.text
    assert "Next: rest" not in seen.text
    # The gaps: two of the runs in pretrained/ have no manifest.
    assert seen.text.count("Missing: ") == seen.text.count("Missing: Layers of the") == 2
    printed = capsys.readouterr().out
    assert "gaps: 2." in printed
    assert "Wrote overview.png, report.html and manifest.json to outputs/report." in printed
    assert Path("outputs/report/overview.png").is_file()
    shown = outputs.read("outputs/report/cnn_and_dnn")
    assert [run["folder"] for run in shown["runs"]] == ["pretrained/cnn", "pretrained/dnn"]
    # Figures of other weights do not count.
    make_run(project / "pretrained" / "cnn", weights=b"others")
    make_page("--no-run")
    assert not Path("outputs/report/overview.png").exists()


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
    record = outputs.read(project / "outputs/report/saliency")
    assert {run["folder"]: run["weights"] for run in record["runs"]} == {"pretrained/cnn": weights}
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
        "python semi_supervised.py --ceiling pretrained/cnn --seed 0 --out pretrained/semi_super",
        "python report.py --dnn runs/dnn",
        "python -m benchmarks.training",
        "python -m experiments.honest_data",
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
    assert "--data elsewhere" in calls(project)[-1]

    # ... and all of them when the weights are others, without which the old figures do not count.
    make_run(project / "pretrained" / "cnn", weights=b"others")
    seen = make_page("--no-run")
    assert "Missing: saliency.py on pretrained/cnn." in seen.text
    make_page()
    assert len(calls(project)) == 2 * len(LOOKERS) + 1


def test_weights_that_the_run_did_not_measure_are_refused(project):
    (project / "pretrained" / "cnn" / "model.keras").write_bytes(b"other weights")
    seen = make_page()
    assert calls(project) == []
    assert "expected the weights that metrics.json measured" in seen.text


def test_what_was_left_out_for_want_of_data_comes_later(project):
    change_orders(project, "confusion", shows=["confusion"], misses=["mistakes"])
    seen = make_page()
    assert "Missing: Mistakes. There are no data." in seen.text
    assert "This fills the gap: python report.py" in seen.text
    assert [image["alt"] for image in seen.all("img")].count("Confusion") == 1
    change_orders(project, "confusion", shows=["confusion", "mistakes"], misses=[])
    assert "Missing: Mistakes" not in make_page().text
    make_page()
    assert [line.split()[0] for line in calls(project)].count("confusion") == 2


def test_a_stage_that_was_stopped_is_a_gap_that_says_so(project, capsys):
    make_page()
    change_orders(project, "saliency", stops=True)
    Path("outputs/report/saliency/saliency.png").unlink()
    with pytest.raises(SystemExit):
        report.main([])
    assert "saliency: outputs/report/saliency/manifest.json: the output is unfinished" in (
        capsys.readouterr().out
    )
    seen = make_page("--no-run")
    assert (
        "Missing: saliency.py on pretrained/cnn. outputs/report/saliency/manifest.json: the "
        in (seen.text)
    )
    assert "run again python saliency.py --model pretrained/cnn" in seen.text
    assert "Saliency" not in [image["alt"] for image in seen.all("img")]


def test_what_was_made_with_other_flags_is_made_again(project):
    make_page("--seed", "1")
    assert "was made with other flags: python saliency.py" in make_page("--no-run").text
    make_page("--seed", "2")
    assert len(calls(project)) == 2 * len(LOOKERS)
    folder, reads = Path("outputs/report/saliency"), (Path("pretrained/cnn"),)
    arguments = ["saliency.py", "--model", "pretrained/cnn", "--seed", "2"]
    finished = stages.manifest(stages.Stage("saliency", folder, arguments, reads))
    assert finished["outputs"][0]["title"] == "Saliency"
    other = stages.Stage("saliency", folder, arguments, (Path("pretrained/dnn"),))
    make_run(project / "pretrained" / "dnn")
    with pytest.raises(ValueError, match="of other weights than pretrained/dnn has now"):
        stages.manifest(other)  # whose manifest does not name that run


def test_a_stage_that_fails_leaves_a_gap_and_status_1(project, capsys):
    change_orders(project, "saliency", fails=True)
    with pytest.raises(SystemExit) as stopped:
        report.main([])
    assert stopped.value.code == 1
    assert "[2/13] saliency: ValueError: it <b>broke</b> (" in capsys.readouterr().out
    text = Path("outputs/report/report.html").read_text(encoding="utf-8")
    assert "ValueError: it &lt;b&gt;broke&lt;/b&gt;" in text
    assert "ValueError" in Path("outputs/report/saliency.errors.log").read_text()
    change_orders(project, "saliency", fails=False)
    make_page()
    assert [line.split()[0] for line in calls(project)] == [*LOOKERS, "saliency"]


def test_from_scratch_trains_in_order_and_goes_on_where_it_stopped(project, capsys):
    argv = ["--from-scratch", "--epochs", "3", "--data", "faces", "--seed", "5", "--out", "full"]
    change_orders(project, "semi_supervised", fails=True)
    with pytest.raises(SystemExit):
        report.main(argv)
    started = calls(project)
    assert started[:3] == [
        "train_cnn --seed 5 --data faces --epochs 3 --out full/cnn",
        "train_dnn --seed 5 --data faces --epochs 3 --out full/dnn",
        "semi_supervised --ceiling full/cnn --seed 5 --data faces --epochs 3 "
        "--out full/semi_supervised",
    ]
    assert started[4].endswith(
        "--epochs 12 --initial-weights full/compact --adversarial-training 2 "
        "--seed 5 --data faces --epochs 3 --out full/robust"
    )
    assert "[9/18] filter_vis_semi_supervised: waits for full/semi_supervised" in (
        capsys.readouterr().out
    )
    change_orders(project, "semi_supervised", fails=False)
    seen = make_page(*argv, out="full")
    again = calls(project)[len(started) :]
    assert again[0] == f"{started[2]} --resume"
    assert [line.split()[0] for line in again] == ["semi_supervised", "filter_vis", "adversarial"]
    assert "full/semi_supervised , seed 77" in seen.text
    make_page(*argv, out="full")
    assert len(calls(project)) == len(started) + 3


def test_the_scripts_know_the_flags_of_their_stages():
    argv = ["--from-scratch", "--epochs", "3", "--data", "faces"]
    args = report.build_parser().parse_args(argv)
    models = {key: args.out / key for key in contents.MODELS}
    planned = [*report.training_stages(args, models), *report.looking_stages(args, models)]
    assert len(planned) == 18
    for stage in planned:
        script, *flags = [*stage.arguments, "--out", str(stage.folder)]
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


@pytest.mark.parametrize(
    "damage", ["[]", "{", '{"flags": 3}', '{"model_sha256": 1}', "epoch,loss\n1,2\n"]
)
@pytest.mark.parametrize("name", ["config.json", "metrics.json", "history.csv", "predictions.npz"])
def test_damaged_runs_are_gaps(project, name, damage):
    make_run(project / "pretrained" / "dnn")
    (project / "pretrained" / "dnn" / name).write_text(damage)
    seen = make_page("--no-run")
    assert "Missing: CNN and DNN side by side." in seen.text
    assert len(seen.headings) == len(contents.PARTS)


@pytest.mark.parametrize("damage", [{"accuracy": "x"}, {"n": []}, {"interval_95": 1}])
def test_a_score_that_is_none_takes_no_page_along(project, damage):
    run = make_run(project / "pretrained" / "semi_supervised")
    storage.write_json(run / "metrics.json", storage.read_json(run / "metrics.json") | damage)
    seen = make_page("--no-run")
    assert len(seen.headings) == len(contents.PARTS)
    assert "The report: lost." not in seen.text


@pytest.mark.parametrize(
    "damage",
    [
        "[]",
        "{",
        '{"flags": 3}',
        '{"command": "x", "runs": [], "gaps": [], "outputs": [3], "finished": true}',
        '{"command": "x", "runs": [{}], "gaps": [], "outputs": [], "finished": true}',
        '{"command": "x", "runs": [], "gaps": [], "finished": true, "outputs": '
        '[{"name": "a", "sentences": [], "files": {"figure": "../secret.png"}}]}',
    ],
)
def test_damaged_manifests_are_gaps(project, damage):
    (project / "secret.png").write_bytes(PNG)
    for folder in ("pretrained/cnn", "outputs/report/saliency", "results"):
        Path(folder).mkdir(parents=True, exist_ok=True)
        (Path(folder) / "manifest.json").write_text(damage)
    (project / "results" / "data_x.json").write_text(damage)
    seen = make_page("--no-run")
    for missing in ("the CNN, pretrained/cnn", "saliency.py on pretrained/cnn"):
        assert f"Missing: {missing}. " in seen.text
    assert "Missing: results/data_*.json. " in seen.text
    assert not seen.all("img")


def test_a_run_from_before_there_were_manifests(project):
    folder = make_run(project / "pretrained" / "dnn")
    seen = make_page("--no-run")
    assert "Epoch 2 of 3 is kept" in seen.text
    assert "Loss and accuracy of the DNN by epoch" in [image["alt"] for image in seen.all("img")]
    assert (
        "Missing: Layers of the DNN, and what else its run holds. pretrained/dnn was trained "
        "before runs kept a manifest. This fills the gap: python train_dnn.py --resume --out "
        "pretrained/dnn"
    ) in seen.text
    (folder / "curves.png").unlink()
    assert "Epoch 2 of 3 is kept" in make_page("--no-run").text


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
        "from common.report import sections\n"
        "assert not {'tensorflow', 'keras'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code, ROOT], check=True, timeout=60)
