"""common.kaggle: what is written is taken back, and what is broken is refused."""

import shlex

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from common import kaggle
from common.labels import CLASS_NAMES

FORMS = ["homework", "contest2013"]
GOOD = "id,label\n0,3\n1,6\n2,0\n"
IDS = [0, 1, 2]

many = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
unique_ids = st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=30, unique=True)


@st.composite
def submissions(draw):
    """Return ids and as many predictions."""
    ids = draw(unique_ids)
    return ids, draw(st.lists(st.integers(0, 6), min_size=len(ids), max_size=len(ids)))


# --- submissions


@pytest.mark.parametrize("form", FORMS)
@given(submission=submissions())
@many
def test_round_trip(tmp_path, form, submission):
    ids, predictions = submission
    path = tmp_path / "submission.csv"
    kaggle.write_submission(path, ids, predictions, form=form)
    assert kaggle.check_submission(path, ids) == len(ids)
    lines = path.read_text().splitlines()
    if form == "homework":
        assert lines.pop(0) == "id,label"
        assert [line.split(",")[0] for line in lines] == [str(number) for number in ids]
    assert [int(line.split(",")[-1]) for line in lines] == predictions
    assert [file.name for file in tmp_path.iterdir()] == ["submission.csv"]


def test_exact_bytes(tmp_path):
    path = tmp_path / "submission.csv"
    kaggle.write_submission(path, np.array(IDS, np.int32), np.array([3, 6, 0], np.uint8))
    assert path.read_bytes() == GOOD.encode()
    kaggle.write_submission(path, IDS, [3, 6, 0], form="contest2013")
    assert path.read_bytes() == b"3\n6\n0\n"


@pytest.mark.parametrize(
    ("ids", "predictions", "form", "message"),
    [
        ([0, 1, 0], [1, 2, 3], "homework", "every id once, found 0 2 times, first at position 0"),
        ([0, 1.5], [1, 2], "homework", "expected one integer a row"),
        ([True, False], [1, 2], "homework", "expected one integer a row"),
        ([2**64], [1], "homework", "expected one integer a row"),
        (np.array([2**63], np.uint64), [1], "homework", "expected one integer a row"),
        ([], [], "homework", "at least one row"),
        ([0, 1], [1, 7], "homework", "predictions: expected class codes 0-6, found 7"),
        ([0, 1], [1.0, 2.0], "contest2013", "predictions: expected one integer a row"),
        ([0, 1], [1], "contest2013", r"predictions an id \(2\), found 1"),
        ([0, 1], [1, 2], "2013", "form: expected one of homework, contest2013, found '2013'"),
    ],
)
def test_nothing_is_written_on_an_error(tmp_path, ids, predictions, form, message):
    path = tmp_path / "submission.csv"
    path.write_text("what stood here before")
    with pytest.raises(ValueError, match=message):
        kaggle.write_submission(path, ids, predictions, form=form)
    assert path.read_text() == "what stood here before"
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "row 1: expected the header 'id,label' .* found an empty file"),
        ("\n", "row 1: expected the header"),
        ("Id,Label\n0,3\n1,6\n2,0\n", "row 1: expected the header .* found 'Id,Label'"),
        ("label,id\n3,0\n6,1\n0,2\n", "row 1: expected the header"),
        ("0,3\n1,6\n2,0\n", "row 1: expected the header .* found '0,3'"),
        ("\ufeff" + GOOD, "row 1: .* found a byte-order mark"),
        ("id,label,score\n0,3,1\n", "row 1: expected the header"),
        ("id,label\n0,3\n1,6,9\n2,0\n", r"row 3: expected 2 columns \(id,label\), found 3"),
        ("id,label\n0,3\n1\n2,0\n", "row 3: expected 2 columns .* found 1 in '1'"),
        ("id,label\n0,3\n\n1,6\n2,0\n", "row 3: expected 2 columns"),
        ("id;label\n0;3\n", "row 1: expected the header"),
        ("id,label\n0,3\n1,6.0\n2,0\n", "row 3, column label: .* found '6.0'"),
        ("id,label\n0,3\n1,happy\n2,0\n", "row 3, column label: .* found 'happy'"),
        ("id,label\n0,3\n1,7\n2,0\n", "row 3, column label: .* found '7'"),
        ("id,label\n0,3\n1,-1\n2,0\n", "row 3, column label: .* found '-1'"),
        ("id,label\n0,3\n1, 6\n2,0\n", "row 3, column label: .* found ' 6'"),
        ("id,label\n0,3\n1,\n2,0\n", "row 3, column label: .* found ''"),
        ("id,label\n0,3\n1,\u0664\n2,0\n", "row 3, column label"),
        ("id,label\n0,3\n0,6\n2,0\n", r"row 3, column id: .* found 0 again \(first in row 2\)"),
        ("id,label\n0,3\n1,6\n9,0\n", "row 4, column id: expected an id of the test rows, found"),
        ("id,label\n0,3\n1.0,6\n2,0\n", "row 3, column id: .* found '1.0'"),
        ("id,label\n0,3\n01,6\n2,0\n", "row 3, column id: .* found '01'"),
        ("id,label\n0,3\n2,0\n", "row 4: expected 3 predictions, found 2, .* id 1 is missing"),
        ("id,label\n", "row 2: expected 3 predictions, found 0, .* id 0 is missing"),
        (GOOD + "3,1\n", "row 5, column id"),
        ("3\n6\n", "row 3: expected 3 labels, found 2"),
        ("3\n6\n0\n1\n", "row 4: expected 3 labels, found 4"),
        ("3\n7\n0\n", "row 2, column label: .* found '7'"),
        ("3\n6,1\n0\n", r"row 2: expected 1 columns \(label\), found 2"),
        ("label\n3\n6\n0\n", "row 1: expected the header .* found 'label'"),
    ],
)
def test_what_kaggle_would_refuse(tmp_path, text, message):
    path = tmp_path / "submission.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=message) as caught:
        kaggle.check_submission(path, IDS)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_other_refusals(tmp_path):
    path = tmp_path / "submission.csv"
    with pytest.raises(ValueError, match="expected a CSV file, found No such file"):
        kaggle.check_submission(path, IDS)
    path.write_bytes(b"id,label\n0,3\n1,\xff\n")
    with pytest.raises(ValueError, match="row 3: expected UTF-8 text"):
        kaggle.check_submission(path, IDS)
    path.write_text(GOOD)
    with pytest.raises(ValueError, match="at least one row"):
        kaggle.check_submission(path, [])


@pytest.mark.parametrize(
    "text", [GOOD, GOOD[:-1], GOOD.replace("\n", "\r\n"), "3\n6\n0\n", "3\n6\n0"]
)
def test_what_kaggle_would_take(tmp_path, text):
    path = tmp_path / "submission.csv"
    path.write_bytes(text.encode())
    assert kaggle.check_submission(path, np.array(IDS)) == 3


def test_rows_may_be_in_any_order(tmp_path):
    path = tmp_path / "submission.csv"
    path.write_text("id,label\n2,0\n0,3\n1,6\n")
    assert kaggle.check_submission(path, IDS) == 3


def drop(lines, at):
    return lines[:at] + lines[at + 1 :]


CORRUPTIONS = {
    "row lost": drop,
    "row twice": lambda lines, at: [*lines[: at + 1], *lines[at:]],
    "blank row": lambda lines, at: [*lines[:at], "", *lines[at:]],
    "column more": lambda lines, at: [*lines[:at], lines[at] + ",0", *lines[at + 1 :]],
    "label of two digits": lambda lines, at: [*lines[:at], lines[at] + "0", *lines[at + 1 :]],
    "label lost": lambda lines, at: [*lines[:at], lines[at][:-1], *lines[at + 1 :]],
    "label of none": lambda lines, at: [*lines[:at], lines[at][:-1] + "7", *lines[at + 1 :]],
    "quotes": lambda lines, at: [*lines[:at], f'"{lines[at]}"', *lines[at + 1 :]],
    "blank before": lambda lines, at: [*lines[:at], " " + lines[at], *lines[at + 1 :]],
}


@pytest.mark.parametrize("form", FORMS)
@given(
    submission=submissions(),
    corruption=st.sampled_from(sorted(CORRUPTIONS)),
    position=st.integers(0, 10**6),
)
@many
def test_any_corruption_is_refused(tmp_path, form, submission, corruption, position):
    path = tmp_path / "submission.csv"
    kaggle.write_submission(path, *submission, form=form)
    lines = path.read_text().splitlines()
    lines = CORRUPTIONS[corruption](lines, position % len(lines))
    path.write_text("".join(f"{line}\n" for line in lines))
    with pytest.raises(ValueError, match="row"):
        kaggle.check_submission(path, submission[0])


@given(submission=submissions(), position=st.integers(0, 10**6), byte=st.binary(max_size=2))
@many
def test_changed_bytes_are_refused_unless_the_file_still_is_a_submission(
    tmp_path, submission, position, byte
):
    ids, predictions = submission
    path = tmp_path / "submission.csv"
    kaggle.write_submission(path, ids, predictions)
    content = path.read_bytes()
    position %= len(content)
    path.write_bytes(content[:position] + byte + content[position + 1 :])
    try:
        assert kaggle.check_submission(path, ids) == len(ids)
    except ValueError as error:
        assert "\n" not in str(error)  # noqa: PT017 (both outcomes are right)
    else:
        header, *rows = path.read_text(encoding="utf-8").rstrip("\n").split("\n")
        assert header == "id,label"
        assert sorted(int(row.split(",")[0]) for row in rows) == sorted(ids)
        assert {row.split(",")[1] for row in rows} <= set("0123456")


# --- the command


def test_submit_command_is_quoted(tmp_path):
    path = tmp_path / "my run" / "it's.csv"
    words = shlex.split(kaggle.submit_command(path))
    assert words == [
        *["kaggle", "competitions", "submit", "-c", "ml2017-hw3"],
        *["-f", str(path), "-m", "my run/it's.csv"],
    ]
    assert kaggle.submit_command("outputs/cnn/submission.csv", form="contest2013") == (
        "kaggle competitions submit -c "
        "challenges-in-representation-learning-facial-expression-recognition-challenge "
        "-f outputs/cnn/submission.csv -m cnn/submission.csv"
    )
    with pytest.raises(ValueError, match="form: expected one of"):
        kaggle.submit_command(path, form="other")


def test_submit_command_can_be_pasted_into_any_shell():
    command = kaggle.submit_command("my run/submission.csv", competition="other-faces")
    assert "-c other-faces -f" in command
    assert '-f "my run/submission.csv" -m "my run/submission.csv"' in command  # cmd has no '
    assert shlex.split(kaggle.submit_command("a$b/s.csv"))[6] == "a$b/s.csv"


def test_columns_of_another_competition(tmp_path):
    path, columns = tmp_path / "submission.csv", ("id", "predicted_label")
    kaggle.write_submission(path, IDS, [3, 6, 0], columns=columns)
    assert path.read_text() == GOOD.replace("label", "predicted_label")
    assert kaggle.check_submission(path, IDS, columns=columns) == 3
    with pytest.raises(ValueError, match="row 1: expected the header 'id,label'"):
        kaggle.check_submission(path, IDS)


# --- probabilities


@given(ids=unique_ids, seed=st.integers(0, 2**32 - 1), sharpness=st.sampled_from([0.1, 0.01, 5]))
@many
def test_probabilities_round_trip(tmp_path, ids, seed, sharpness):
    path = tmp_path / "probabilities.csv"
    probabilities = np.random.default_rng(seed).dirichlet([sharpness] * 7, len(ids))
    probabilities = probabilities.astype(np.float32)
    kaggle.write_probabilities(path, ids, probabilities)
    table = pd.read_csv(path)
    np.testing.assert_array_equal(table["id"], ids)
    found = table[list(CLASS_NAMES)].to_numpy(np.float32)
    np.testing.assert_array_equal(found, probabilities)
    np.testing.assert_array_equal(table["label"], probabilities.argmax(axis=1))


def test_probabilities_file(tmp_path):
    path = tmp_path / "probabilities.csv"
    kaggle.write_probabilities(path, [5], [[0.1, 0, 0, 0.7, 0.2, 0, 0]])
    assert path.read_text() == (
        f"id,{','.join(CLASS_NAMES)},label\n5,0.1,0.0,0.0,0.7,0.2,0.0,0.0,3\n"
    )


def test_label_agrees_with_the_probabilities_as_written(tmp_path):
    path = tmp_path / "probabilities.csv"
    nearly_equal = [0.5 - 1e-12, 0.5 + 1e-12, 0, 0, 0, 0, 0]  # equal in float32
    kaggle.write_probabilities(path, [0], [nearly_equal])
    assert path.read_text().endswith(",0\n")
    assert path.read_text().splitlines()[1].startswith("0,0.5,0.5,")


def test_bad_probabilities_are_not_written(tmp_path):
    path = tmp_path / "probabilities.csv"
    for ids, probabilities, message in [
        ([0, 0], np.eye(7)[:2], "every id once"),
        ([0], np.eye(7)[:2], r"rows of probabilities an id \(1\), found 2"),
        ([0], [[2, -1, 0, 0, 0, 0, 0]], "expected numbers from 0 to 1"),
        ([0], np.eye(6)[:1], r"expected shape \(n, 7\)"),
    ]:
        with pytest.raises(ValueError, match=message):
            kaggle.write_probabilities(path, ids, probabilities)
    assert not list(tmp_path.iterdir())
