"""After installation: no network, nothing written elsewhere, no settings of the user, any user."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from common.runs import storage

ROOT = Path(__file__).parents[1]
# What Python itself does is seen by an audit hook, before it happens.
WATCH = """
import os, runpy, sys
network = {"socket.connect", "socket.getaddrinfo", "socket.sendto", "socket.gethostbyname"}
changing = {"os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link", "os.symlink", "os.chmod"}
allowed = tuple(sys.argv[1].split(os.pathsep))
seen = sys.stderr

def inside(path):
    if isinstance(path, int):
        return True
    path = os.path.realpath(os.fsdecode(path))
    return path.startswith(allowed) or path.startswith(("/dev/", "/proc/"))

def watch(event, args):
    if event in network and not (event == "socket.connect" and isinstance(args[1], str)):
        print("VIOLATION", event, args[1:], file=seen)
    elif event in changing and not all(inside(p) for p in args[:1 if "rename" not in event else 2]):
        print("VIOLATION", event, args, file=seen)
    elif event == "open" and isinstance(args[2], int):
        writes = args[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC)
        if writes and args[0] is not None and not inside(args[0]):
            print("VIOLATION", event, args, file=seen)

sys.addaudithook(watch)
sys.argv = sys.argv[2:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def environment(home, **more):
    kept = {name: value for name, value in os.environ.items() if name in ("PATH", "LANG")}
    home = {} if home is None else {"HOME": str(home)}
    return kept | home | {"PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1"} | more


def watched(tmp_path, out, *command, **options):
    temporary = tmp_path / "temporary"
    temporary.mkdir(exist_ok=True)
    allowed = map(str, (out, temporary, ROOT / "outputs" / ".cache"))
    options["env"] |= {"TMPDIR": str(temporary)}
    return subprocess.run(
        [sys.executable, "-c", WATCH, os.pathsep.join(allowed), *map(str, command)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        **options,
    )


def test_a_script_needs_no_network_writes_nowhere_else_and_reads_no_planted_settings(
    trained_run, small_data, tmp_path
):
    home, planted = tmp_path / "home", tmp_path / "planted"
    for folder in (home / ".keras", planted):
        folder.mkdir(parents=True)
        settings = {"floatx": "float64", "backend": "jax", "image_data_format": "channels_first"}
        (folder / "keras.json").write_text(json.dumps(settings))
    before = sorted(tmp_path.rglob("*"))
    out = tmp_path / "out"
    result = watched(
        tmp_path,
        out,
        *("confusion.py", "--model", trained_run, "--data", small_data, "--out", out),
        env=environment(home, KERAS_HOME=str(planted), KERAS_BACKEND="torch"),
    )
    assert result.returncode == 0, result.stderr
    assert "VIOLATION" not in result.stderr
    made = {path for path in tmp_path.rglob("*") if out not in path.parents} - set(before)
    assert made <= {out, tmp_path / "temporary"}
    assert storage.read_json(out / "manifest.json")["finished"]


def test_the_watch_sees_what_it_should(tmp_path):
    script = tmp_path / "script.py"
    for line in ("open('{}', 'w')", "import os; os.mkdir('{}')",
                 "import socket; socket.socket().connect_ex(('127.0.0.1', 9))"):  # fmt: skip
        script.write_text(line.format(tmp_path / "elsewhere"))
        result = watched(tmp_path, tmp_path / "out", script, env=environment(tmp_path))
        assert "VIOLATION" in result.stderr, line
        (tmp_path / "elsewhere").unlink(missing_ok=True) if "open" in line else None


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0 or not shutil.which("setpriv"),
    reason="only root may become another user",
)
def test_another_user_without_a_home_trains(small_data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("nobody")
    folder.chmod(0o777)
    result = subprocess.run(
        [
            # May read everything, so that this Python and the test data need not be laid open.
            *("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"),
            *("--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"),
            *(sys.executable, "train_dnn.py", "--data", small_data, "--epochs", "1"),
            *("--out", folder / "run"),
        ],
        cwd=ROOT,
        env=environment(None, TMPDIR=str(folder)),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert (folder / "run" / "metrics.json").stat().st_uid == 65534
    assert not result.stderr.strip(), result.stderr
