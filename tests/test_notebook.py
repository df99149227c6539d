"""The notebook: executed from top to bottom on a few synthetic faces, in a copy of the project."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
STAND_IN = """
import os

Image = str


def display(path):
    assert os.path.getsize(path)
    print("shown:", path)
"""


def code_cells():
    notebook = json.loads((ROOT / "notebook.ipynb").read_text(encoding="utf-8"))
    return ["".join(c["source"]) for c in notebook["cells"] if c["cell_type"] == "code"]


def test_the_notebook_runs(small_data, tmp_path):
    # Shell lines become calls that must succeed, as IPython is no requirement of the suite.
    script = re.sub(
        r"^!(.*)$",
        lambda line: f"subprocess.run({line[1]!r}, shell=True, check=True)",
        "import subprocess\n" + "\n".join(code_cells()),
        flags=re.MULTILINE,
    )
    for setting, value in (('"DATA"] = "sample"', str(small_data)), ('"EPOCHS"] = "5"', "1")):
        assert script.count(setting) == 1
        script = script.replace(setting, f"{setting.partition(' ')[0]} = {value!r}")
    (tmp_path / "cells.py").write_text(script, encoding="utf-8")
    (tmp_path / "IPython").mkdir()  # beside cells.py, so that only the cells import it
    (tmp_path / "IPython" / "display.py").write_text(STAND_IN, encoding="utf-8")
    project = tmp_path / "upload" / "project"
    project.mkdir(parents=True)
    for path in [*ROOT.glob("*.py"), ROOT / "requirements.txt"]:
        shutil.copy(path, project)
    shutil.copytree(ROOT / "common", project / "common")
    result = subprocess.run(
        [sys.executable, tmp_path / "cells.py"],
        cwd=project.parent,  # the first cell looks for it
        env={
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        },
        capture_output=True,
        text=True,
        timeout=1200,
    )
    assert result.returncode == 0, result.stderr[-2000:]
    shown = re.findall("shown: outputs/(.*)", result.stdout)
    assert {"cnn_notebook/curves.png", "dnn_notebook/comparison.png"} <= {*shown}
    assert {"confusion", "saliency", "filters", "adversarial"} <= {s.split("_")[0] for s in shown}
    assert (project / "outputs" / "predict_notebook" / "submission.csv").exists()
