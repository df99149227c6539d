"""Arguments and errors on the command line."""

import argparse
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from common import cli, quiet

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        (cli.positive, {"1": 1, "80": 80}, ["0", "-1", "1.5", "x", ""]),
        (cli.non_negative, {"0": 0, "7": 7}, ["-1", "1e3", "4294967296"]),
        (cli.positive_number, {"0.5": 0.5}, ["0", "nan", "inf", "-2"]),
        (cli.non_negative_number, {"0": 0.0}, ["nan", "-0.1"]),
        (cli.fraction, {"0": 0.0, "0.9": 0.9}, ["1", "-0.1", "nan"]),
        (
            cli.column_pair,
            {"id,predicted_label": ("id", "predicted_label"), "a, b": ("a", "b")},
            ["id", "id,", "a,b,c", "id,id", 'a",b'],
        ),
        (cli.path, {"a b": Path("a b")}, ["", " "]),
        (cli.emotion, {"happy": 3, "Sad": 4, "6": 6}, ["joy", "7", "-1"]),
    ],
)
def test_argument_types(kind, good, bad):
    assert {text: kind(text) for text in good} == good
    for text in bad:
        with pytest.raises(argparse.ArgumentTypeError, match=r"expected .*found|unknown class"):
            kind(text)


def test_a_folder_of_runs_stands_for_all_of_them(tmp_path):
    for name in ("b/seed_1", "b/seed_0", "a"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "config.json").write_text("{}", encoding="utf-8")
    options = cli.parser("")
    cli.add_model(options, many=True)
    given = [str(tmp_path / name) for name in ("a", "b", "missing")]
    expected = [tmp_path / name for name in ("a", "b/seed_0", "b/seed_1", "missing")]
    assert options.parse_args(["--model", *given]).model == expected


@pytest.mark.parametrize(
    ("raised", "status", "said"),
    [
        ("ValueError('train.csv: row 3')", 2, "script.py: train.csv: row 3"),
        ("FileNotFoundError(2, 'No such file', 'a.csv')", 2, "script.py: [Errno 2]"),
        ("KeyboardInterrupt()", 130, "stopped"),
    ],
)
def test_errors_are_one_line_and_a_status(tmp_path, raised, status, said):
    script = tmp_path / "script.py"
    script.write_text(
        f"import sys\nsys.path.insert(0, {str(ROOT)!r})\nfrom common import cli\n"
        f"def main():\n    raise {raised}\ncli.run(main)\n",
        encoding="utf-8",
    )
    result = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=60)
    assert result.returncode == status
    assert result.stderr.strip().startswith(said)
    assert len(result.stderr.strip().splitlines()) == 1


def run_script(tmp_path, body, *arguments, **options):
    """Run a script whose `main` is `body`, and return what came of it."""
    script = tmp_path / "script.py"
    lines = "".join(f"    {line}\n" for line in body.splitlines())
    script.write_text(
        f"import os, sys\nsys.path[:0] = [{str(tmp_path)!r}, {str(ROOT)!r}]\n"
        "from common import cli\n"
        f"def main():\n    cli.parser('').parse_args()\n{lines}cli.run(main)\n",
        encoding="utf-8",
    )
    return subprocess.run(
        [sys.executable, script, *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        **options,
    )


@pytest.fixture
def noisy(tmp_path):
    """A package that takes TensorFlow's name and writes to file descriptor 2 as its C++ does."""
    (tmp_path / "tensorflow.py").write_text(
        "import os\nos.write(2, b'I0000 a line of the start\\n')\n", encoding="utf-8"
    )
    return tmp_path


SAY = (
    "early = sys.stderr  # as a progress bar keeps it\nimport tensorflow\n"
    "os.write(2, b'W0000 later\\n')\nprint('ours', file=early)\nprint('too', file=sys.stderr)\n"
)


def test_what_tensorflow_says_at_its_start_is_kept_from_the_terminal(noisy):
    result = run_script(noisy, SAY)
    assert (result.returncode, result.stderr) == (0, "ours\ntoo\n")
    result = run_script(noisy, SAY + "raise ValueError('bad')")
    assert (result.returncode, result.stderr) == (2, "ours\ntoo\nscript.py: bad\n")


def test_what_tensorflow_says_is_shown_when_something_fails(noisy):
    for failure in ("raise RuntimeError('bug')", "os.abort()"):
        result = run_script(noisy, SAY + failure)
        assert result.returncode not in (0, 2)
        assert result.stderr.startswith("ours\ntoo\n")
        assert "I0000 a line of the start\nW0000 later\n" in result.stderr
    result = run_script(noisy, SAY + "raise RuntimeError('bug')")
    assert result.stderr.endswith("RuntimeError: bug\n")
    assert "Traceback" in result.stderr


def test_verbose_shows_what_tensorflow_says(noisy):
    result = run_script(noisy, SAY, "--verbose")
    assert result.stderr == "I0000 a line of the start\nW0000 later\nours\ntoo\n"


@pytest.mark.parametrize(
    "raised",
    [
        "raise type('ResourceExhaustedError', (Exception,), {})('OOM when allocating\\nmuch')",
        "raise RuntimeError('RESOURCE_EXHAUSTED: out of memory')",
        "raise MemoryError",
    ],
)
def test_too_little_memory_is_one_line_with_what_to_lower(tmp_path, raised):
    result = run_script(tmp_path, raised)
    assert result.returncode == 2
    assert len(result.stderr.splitlines()) == 1
    assert "out of memory: lower --batch-size" in result.stderr


def test_names_that_the_terminal_cannot_show_are_escaped(tmp_path):
    environment = os.environ | {"PYTHONIOENCODING": "cp1252"}
    result = run_script(tmp_path, "print('\\u9854 \\udce9')", env=environment)
    assert (result.returncode, result.stdout) == (0, "\\u9854 \\udce9\n")


def test_defaults_are_found_from_any_folder(tmp_path, monkeypatch):
    options = cli.parser("")
    monkeypatch.chdir(ROOT)
    cli.add_model(options)
    cli.add_out(options, "any.py")
    args = options.parse_args([])
    assert args.model == Path("pretrained/cnn")  # short where it can be
    monkeypatch.chdir(tmp_path)
    options = cli.parser("")
    cli.add_model(options, many=True)
    assert options.parse_args([]).model[0].resolve() == ROOT / "pretrained" / "cnn"
    assert args.out == Path("outputs/any")  # from where one stands


def test_a_notebooks_way_of_drawing_stops_no_script(tmp_path):
    body = (
        "from common.figures import style\nfrom common.runs import storage\n"
        "from pathlib import Path\n"
        f"style.save(style.new_figure(2, 2), Path({str(tmp_path)!r}) / 'a.png', source='s')\n"
    )
    environment = os.environ | {"MPLBACKEND": "module://matplotlib_inline.backend_inline"}
    result = run_script(tmp_path, body, env=environment)
    assert (result.returncode, result.stderr) == (0, "")
    assert (tmp_path / "a.png").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_an_interruption_is_one_word_whatever_a_library_makes_of_it(tmp_path):
    again = "import os, signal, time\nos.kill(os.getpid(), signal.SIGINT)\ntime.sleep(5)\n"
    indent = "\n        ".join(again.splitlines())
    wrapped = f"try:\n        {indent}\n    except BaseException as e:\n        "
    for body in (
        again,
        f"{wrapped}raise RuntimeError('pybind11: REPLACED BY') from e",  # as TensorFlow's tracing
        f"{wrapped}os.kill(os.getpid(), signal.SIGINT)\n        raise",  # two in a row
    ):
        (tmp_path / "script.py").write_text(
            f"from common import cli\ndef main():\n    {body.replace(chr(10), chr(10) + '    ')}\n"
            "cli.run(main)\n"
            if body is again
            else f"from common import cli\ndef main():\n    {body}\ncli.run(main)\n"
        )
        result = subprocess.run(
            [sys.executable, tmp_path / "script.py"],
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert (result.returncode, result.stderr.strip()) == (130, "stopped")


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_an_interruption_that_python_drops_comes_again(tmp_path):
    body = (
        "import signal, time\n"
        "class Late:\n"
        "    def __del__(self):\n"
        "        os.kill(os.getpid(), signal.SIGINT)\n"
        "        time.sleep(0.01)\n"
        "late = Late()\n"
        "del late\n"
        "for _ in range(100):\n    time.sleep(0.1)\n"
    )
    result = run_script(tmp_path, body)
    assert (result.returncode, result.stderr.strip()) == (130, "stopped")


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.parametrize(("end", "told"), [("os.kill(os.getpid(), 2)", False), ("pass", True)])
def test_what_is_left_half_done_complains_of_no_interruption(tmp_path, end, told):
    body = (
        "import time\n"
        "class Open:\n"
        "    def __del__(self):\n"
        "        raise ValueError('still open')\n"
        f"left = Open()\n{end}\ntime.sleep(0.1)\n"
    )
    assert ("still open" in run_script(tmp_path, body).stderr) == told


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_an_interruption_of_a_script_that_is_done_changes_nothing(tmp_path):
    body = (
        "import atexit, os, signal\n"
        "atexit.register(os.kill, os.getpid(), signal.SIGINT)\n"
        "print('done')\n"
    )
    result = run_script(tmp_path, body)
    assert (result.returncode, result.stdout, result.stderr) == (0, "done\n", "")


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_an_interruption_before_the_imports_are_done_gives_no_traceback():
    probe = (
        "import os, runpy, signal, sys\n"
        "def find(self, name, *_):\n"
        "    if name == 'common.quiet':\n        os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, type('Hook', (), {'find_spec': find})())\n"
        f"sys.argv = [{str(ROOT / 'train_cnn.py')!r}]\n"
        "runpy.run_path(sys.argv[0], run_name='__main__')\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", probe], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert (result.returncode, result.stderr) == (130, "")


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_an_interruption_that_reaches_the_keeper_of_lines_changes_nothing():
    command = [sys.executable, "-ISc", quiet.KEEPER]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as keeper:
        keeper.stdin.write(b"one\n")
        keeper.stdin.flush()
        time.sleep(1)  # it has begun
        keeper.send_signal(signal.SIGINT)
        said = keeper.communicate(quiet.SHOW, timeout=20)[1]
    assert said == b"one\n"


def test_a_keeper_that_was_killed_is_not_missed():
    silence = quiet.Silence.__new__(quiet.Silence)
    reading, writing = os.pipe()
    os.close(reading)
    silence._keeper, silence._before = subprocess.Popen([sys.executable, "-c", ""]), sys.stderr
    before = os.dup(quiet.STANDARD_ERROR)
    try:
        os.dup2(writing, quiet.STANDARD_ERROR)
        silence.end(show=True)
    finally:
        os.dup2(before, quiet.STANDARD_ERROR)
