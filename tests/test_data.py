"""Tests of common.data: every layout gives the same arrays, every damage one clear error."""

import gzip
import hashlib
import io
import os
import tarfile
import tracemalloc
import zipfile
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from common.data import agreement, archives, loading, pixels, splits, synthetic, tables
from common.labels import CLASS_NAMES

NUM_TRAIN, NUM_PUBLIC, NUM_PRIVATE = 16, 4, 3
NUM_TEST = NUM_PUBLIC + NUM_PRIVATE


def make_truth():
    generator = np.random.default_rng(7)
    return SimpleNamespace(
        train_images=generator.integers(0, 256, (NUM_TRAIN, 48, 48), dtype=np.uint8),
        train_labels=np.sort(np.arange(NUM_TRAIN) % 7),
        test_images=generator.integers(0, 256, (NUM_TEST, 48, 48), dtype=np.uint8),
        test_labels=np.sort(generator.integers(0, 7, NUM_TEST)),
        test_usage=np.array(["public"] * NUM_PUBLIC + ["private"] * NUM_PRIVATE),
    )


TRUTH = make_truth()


def pixel_text(image):
    return " ".join(map(str, image.ravel()))


def table(header, rows, *, newline="\n"):
    return newline.join([header, *rows, ""]).encode()


PIXELS = [pixel_text(image) for image in TRUTH.train_images]


def train_rows(quote=""):
    return [
        f"{label},{quote}{text}{quote}"
        for label, text in zip(TRUTH.train_labels, PIXELS, strict=True)
    ]


def test_rows():
    return [f"{number},{pixel_text(image)}" for number, image in enumerate(TRUTH.test_images)]


test_rows.__test__ = False

HOMEWORK_TRAIN = table("label,feature", train_rows())
HOMEWORK_TEST = table("id,feature", test_rows())
KAGGLE_TRAIN = table("emotion,pixels", train_rows(quote='"'))
KAGGLE_TEST = table("pixels", [f'"{pixel_text(image)}"' for image in TRUTH.test_images])


def full_table(header, template):
    """All rows in one table, private rows before public ones before training rows."""
    usages = np.where(TRUTH.test_usage == "public", "PublicTest", "PrivateTest")
    parts = [
        *zip(TRUTH.test_labels, TRUTH.test_images, usages, strict=True),
        *zip(TRUTH.train_labels, TRUTH.train_images, ["Training"] * NUM_TRAIN, strict=True),
    ]
    parts = parts[NUM_PUBLIC:NUM_TEST] + parts[:NUM_PUBLIC] + parts[NUM_TEST:]
    return table(
        header,
        [template.format(e=label, p=pixel_text(image), u=usage) for label, image, usage in parts],
    )


FER2013 = full_table("emotion,pixels,Usage", "{e},{p},{u}")
ICML = full_table("emotion, Usage, pixels", "{e}, {u},{p}")


def image_bytes(image, kind="PNG"):
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, kind)
    return stream.getvalue()


def class_folders(folder_name=lambda code: CLASS_NAMES[code]):
    files = {}
    for part in ("train", "test"):
        images, labels = getattr(TRUTH, f"{part}_images"), getattr(TRUTH, f"{part}_labels")
        for number, (image, code) in enumerate(zip(images, labels, strict=True)):
            files[f"{part}/{folder_name(code)}/{number:03}.png"] = image_bytes(image)
    return files


def as_zip(files):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return stream.getvalue()


def as_tar(files, mode="w"):
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode=mode) as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return stream.getvalue()


def write(folder, files):
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


HOMEWORK = {"train.csv": HOMEWORK_TRAIN, "test.csv": HOMEWORK_TEST}
KAGGLE_DOWNLOAD = {
    "example_submission.csv": b"Id,Category\n1,2\n",
    "fer2013.tar.gz": as_tar(
        {"fer2013/README": b"read me", "fer2013/fer2013.csv": FER2013}, "w:gz"
    ),
    "icml_face_data.csv": ICML,
    "train.csv": KAGGLE_TRAIN,
    "test.csv": KAGGLE_TEST,
}
WINDOWS = {
    name: b"\xef\xbb\xbf" + content.replace(b"\n", b"\r\n").rstrip()
    for name, content in HOMEWORK.items()
}
SHUFFLED = {
    "a": table(" Feature ,LABEL", [",".join(row.split(",")[::-1]) for row in train_rows()]),
    "b": table('"feature","id"', [",".join(row.split(",")[::-1]) for row in test_rows()]),
}
LAYOUTS = {  # files below the source; a name without a folder or ending: the source itself
    "homework": HOMEWORK,
    "homework gzipped": {f"{name}.gz": gzip.compress(c) for name, c in HOMEWORK.items()},
    "homework with misleading names": {"test.zip": HOMEWORK_TRAIN, "train.png": HOMEWORK_TEST},
    "homework in a subfolder with notes": {
        "README.md": b"# notes",
        "sub/train.csv": HOMEWORK_TRAIN,
        "sub/test.csv": HOMEWORK_TEST,
        "__MACOSX/train.csv": b"junk",
        ".hidden.csv": HOMEWORK_TRAIN,
    },
    "homework with BOM, CRLF and no final newline": WINDOWS,
    "homework with shuffled columns": SHUFFLED,
    "homework zip": as_zip(HOMEWORK),
    "homework zip of gzipped tables": as_zip(
        {f"{name}.gz": gzip.compress(c) for name, c in HOMEWORK.items()}
    ),
    "homework tar": as_tar(HOMEWORK),
    "homework tar.gz": as_tar(HOMEWORK, "w:gz"),
    "one zip a table": {f"{name}.zip": as_zip({name: c}) for name, c in HOMEWORK.items()},
    "zip in a zip": as_zip({"inner.zip": as_zip(HOMEWORK)}),
    "zip in a tar.gz": as_tar({"inner.zip": as_zip(HOMEWORK)}, "w:gz"),
    "fer2013.csv": FER2013,
    "fer2013.csv gzipped": gzip.compress(FER2013),
    "icml_face_data.csv": ICML,
    "kaggle tables": {"train.csv": KAGGLE_TRAIN, "test.csv": KAGGLE_TEST},
    "kaggle download": as_zip(KAGGLE_DOWNLOAD),
    "kaggle download in a folder": {"download.zip": as_zip(KAGGLE_DOWNLOAD)},
    "kaggle download unpacked": {**KAGGLE_DOWNLOAD, "fer2013/fer2013.csv": FER2013},
    "class folders": class_folders(),
    "class folders by number": class_folders(str),
    "class folders capitalised": class_folders(lambda code: CLASS_NAMES[code].upper()),
    "class folders zip": as_zip(class_folders()),
    "class folders tar.gz, test first": as_tar(
        {f"./archive/{name}": c for name, c in reversed(class_folders().items())}, "w:gz"
    ),
}


def place(tmp_path, content):
    """Write a layout and return the path to load."""
    if isinstance(content, dict):
        return write(tmp_path / "source", content)
    (tmp_path / "source").write_bytes(content)
    return tmp_path / "source"


def load(tmp_path, content):
    return loading.load(place(tmp_path, content), cache=tmp_path / "cache")


def same(left, right):
    return left.dtype == right.dtype and np.array_equal(left, right)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_the_same_arrays(tmp_path, layout):
    faces = load(tmp_path, LAYOUTS[layout])
    assert same(faces.train_images, TRUTH.train_images)
    assert same(faces.train_labels, TRUTH.train_labels)
    assert same(faces.test_images, TRUTH.test_images)
    assert same(faces.test_ids, np.arange(NUM_TEST))
    assert faces.data_hash == load(tmp_path / "again", HOMEWORK).data_hash
    assert faces.source == str(tmp_path / "source")
    labelled = not any(word in layout for word in ("homework", "kaggle tables", "zip a", "zip in"))
    assert (faces.test_labels is not None) == labelled
    if labelled:
        assert same(faces.test_labels, TRUTH.test_labels)
    knows_usage = labelled and "class" not in layout
    assert (faces.test_usage is not None) == knows_usage
    if knows_usage:
        assert list(faces.test_usage) == list(TRUTH.test_usage)


@pytest.fixture(autouse=True)
def _again_exists(tmp_path):
    (tmp_path / "again").mkdir()


def test_one_table_alone_leaves_the_other_side_empty(tmp_path):
    faces = load(tmp_path, HOMEWORK_TRAIN)
    assert faces.train_images.shape == (NUM_TRAIN, 48, 48)
    assert faces.test_images.shape == (0, 48, 48)
    assert faces.test_images.dtype == np.uint8
    faces = load(
        tmp_path / "again", table("id,feature", [f"90,{pixel_text(TRUTH.test_images[0])}"])
    )
    assert faces.train_images.shape == (0, 48, 48)
    assert list(faces.test_ids) == [90]


def test_blank_lines_do_not_shift_the_line_number(tmp_path):
    rows = train_rows()
    rows[3] = "9," + rows[3].split(",")[1]
    with pytest.raises(ValueError, match=r"row 4 \(line 7\), column label.*0-6, found '9'"):
        load(tmp_path, table("label,feature", ["", "", *rows]))


def test_jpeg_and_colour_images_are_read_as_grey(tmp_path):
    grey = np.full((48, 48), 77, dtype=np.uint8)
    files = {
        "train/0/a.jpg": image_bytes(grey, "JPEG"),
        "train/6/b.png": image_bytes(np.stack([grey] * 3, axis=-1)),
    }
    faces = load(tmp_path, files)
    assert np.all(faces.train_images == 77)
    assert list(faces.train_labels) == [0, 6]
    assert load(tmp_path / "again", {"0/a.png": b"", **files}).train_images.shape == (2, 48, 48)


def test_the_train_folder_alone_can_be_the_source(tmp_path):
    source = place(tmp_path, class_folders())
    faces = loading.load(source / "train", cache=tmp_path / "cache")
    assert same(faces.train_images, TRUTH.train_images)
    assert len(faces.test_images) == 0


def changed(column, text, row=2):
    rows = [row.split(",") for row in train_rows()]
    rows[row][column] = text
    return table("label,feature", [",".join(fields) for fields in rows])


def changed_pixel(text):
    values = PIXELS[2].split()
    values[16] = text
    return changed(1, " ".join(values))


def png(height, width, dtype=np.uint8):
    return image_bytes(np.zeros((height, width), dtype=dtype))


def with_wrong_bytes(content, at):
    return content[:at] + bytes(b ^ 0xFF for b in content[at : at + 8]) + content[at + 8 :]


def encrypted_zip():
    content = bytearray(as_zip({"a.csv": HOMEWORK_TRAIN}))
    content[6] |= 1  # the local header's flag
    content[content.rindex(b"PK\x01\x02") + 8] |= 1
    return bytes(content)


def zip_that_leads_nowhere():
    content = bytearray(as_zip(HOMEWORK))
    at = content.rindex(b"PK\x05\x06") + 16  # where the directory starts
    content[at : at + 4] = (2**32 - 2).to_bytes(4, "little")
    return bytes(content)


def zip_with_a_wrong_name():
    return as_zip({"\u00e4.csv": HOMEWORK_TRAIN}).replace("\u00e4".encode(), b"\xff\xff")


ONE_ROW = train_rows()[0]
BAD = {  # content of the source, what the message must say
    "empty": (b"", "found an empty file"),
    "header only": (b"label,feature\n", "expected rows below the header, found none"),
    "header without newline": (b"label,feature", "expected rows below the header"),
    "binary junk": (bytes(range(256)) * 9, "line 1: expected a header of label,feature"),
    "unknown header": (b"foo,bar\n1,2\n", "found 'foo,bar'"),
    "column twice": (b"label,feature,feature\n", "expected one column of pixels"),
    "no header": (table(ONE_ROW, []), r"expected a header.*characters\)"),
    "label 7": (
        changed(0, "7"),
        r"row 3 \(line 4\), column label: expected a label 0-6, found '7'",
    ),
    "label -1": (changed(0, "-1"), "column label.*found '-1'"),
    "label 1.5": (changed(0, "1.5"), "column label.*found '1.5'"),
    "label empty": (changed(0, ""), "column label.*found ''"),
    "label name": (changed(0, "joyful"), "column label.*found 'joyful'"),
    "pixel 256": (
        changed_pixel("256"),
        r"source, row 3 \(line 4\), column feature: .* 0-255, found '256' as pixel 17$",
    ),
    "pixel -1": (changed_pixel("-1"), "found '-1' as pixel 17"),
    "pixel +1": (changed_pixel("+1"), r"found '\+1' as pixel 17"),
    "pixel 1.5": (changed_pixel("1.5"), r"found '1\.5' as pixel 17"),
    "pixel nan": (changed_pixel("nan"), "found 'nan' as pixel 17"),
    "pixel not ASCII": (changed_pixel("2\u00b2"), "as pixel 17"),
    "pixel long": (
        changed_pixel("9" * 5000),
        r"found '9{40}'\.\.\. \(5,000 characters\) as pixel 17",
    ),
    "pixel missing": (changed_pixel(""), "expected 2,304 pixels, found 2,303"),
    "pixel extra": (changed_pixel("1 2"), "expected 2,304 pixels, found 2,305"),
    "pixel with carriage return": (changed_pixel("1\r2"), "row 3"),
    "space as a carriage return": (
        changed(1, PIXELS[2].replace(" ", "\r", 1)),
        "row 3.*found a line break",
    ),
    "pixels empty": (changed(1, ""), r"row 3 \(line 4\).*expected 2,304 pixels, found 0"),
    "all pixels empty": (table("label,feature", ["1,", "2,"]), "row 1 .*found 0"),
    "every row short": (table("label,feature", ["1,1 2 3", "2,4 5 6"]), "row 1 .*found 3"),
    "column missing": (changed(0, "1", row=5).replace(b"1,", b"1 ", 1), "expected 2 columns"),
    "column extra": (changed(0, "1,2"), r"row 3 \(line 4\): expected 2 columns.*found 3"),
    "quotes and a carriage return": (
        changed(1, '1"\r2,5'),
        r"row 3 \(line 4\): expected a row of a table",
    ),
    "gigantic field": (changed(1, "1 " * 70_000), "row 3 .*expected fewer than 65,536 characters"),
    "old Mac line ends": (HOMEWORK_TRAIN.replace(b"\n", b"\r"), "expected a header"),
    "repeated id": (
        table("id,feature", [test_rows()[0], test_rows()[1], test_rows()[0]]),
        r"row 3 \(line 4\), column id: expected every id once, found 0 again \(first in row 1\)",
    ),
    "bad id": (table("id,feature", ["x," + ONE_ROW[2:]]), "column id.*whole number, found 'x'"),
    "huge id": (table("id,feature", ["9" * 30 + "," + ONE_ROW[2:]]), "column id"),
    "bad usage": (table("emotion,pixels,Usage", [f"{ONE_ROW},Tset"]), "usage.*found 'Tset'"),
    "gzip cut off": (gzip.compress(HOMEWORK_TRAIN)[:-2000], "damaged or cut off"),
    "gzip cut off at once": (gzip.compress(HOMEWORK_TRAIN)[:5], "damaged or cut off"),
    "gzip with wrong bytes": (
        with_wrong_bytes(gzip.compress(HOMEWORK_TRAIN), 40_000),
        "source.*(damaged|row)",
    ),
    "gzip with wrong checksum": (
        with_wrong_bytes(gzip.compress(HOMEWORK_TRAIN), -8)[: len(gzip.compress(HOMEWORK_TRAIN))],
        "damaged or cut off",
    ),
    "zip cut off": (as_zip(HOMEWORK)[:-40], "damaged or cut off"),
    "zip with wrong bytes": (
        with_wrong_bytes(as_zip(HOMEWORK), 30_000),
        "train.csv.*(damaged|row)",
    ),
    "zip with a directory that leads nowhere": (
        zip_that_leads_nowhere(),
        "train.csv: damaged or cut off",
    ),
    "zip with a name that is no UTF-8": (zip_with_a_wrong_name(), "source: damaged or cut off"),
    "zip with a password": (encrypted_zip(), "damaged or cut off.*password"),
    "tar cut off": (as_tar(HOMEWORK)[:60_000], "damaged or cut off"),
    "tar.gz cut off": (as_tar(HOMEWORK, "w:gz")[:30_000], "damaged or cut off"),
    "zip of nothing": (as_zip({"readme": b"hello"}), "readme, line 1: expected a header"),
    "zip too deep": (
        as_zip({"a": as_zip({"b": as_zip(HOMEWORK)})}),
        "expected at most 2 archives in each other",
    ),
    "zip with a path that leads out": (
        as_zip({"../train.csv": HOMEWORK_TRAIN}),
        r"expected names inside the archive, found \.\./train\.csv",
    ),
    "zip with a Windows path that leads out": (
        as_zip({"a\\..\\..\\train.csv": HOMEWORK_TRAIN}),
        "expected names inside the archive",
    ),
    "tar with an absolute path": (as_tar({"/etc/x": HOMEWORK_TRAIN}), "expected names inside"),
    "empty folder": ({"source.d/.keep": b""}, "expected a data set, found none in 0 files"),
    "notes only": ({"a.txt": b"a", "b.txt": b"b"}, "found none in 2 files.*a.txt, line 1"),
    "two training tables": (
        {"a.csv": HOMEWORK_TRAIN, "b.csv": KAGGLE_TRAIN, "c.csv": HOMEWORK_TEST},
        r"expected one train table, found 2 \(.*a\.csv and .*b\.csv\); pass one",
    ),
    "spoiled training table": (
        {"train.csv": b"labels,features\n", "test.csv": HOMEWORK_TEST},
        "train.csv, line 1: expected a header.*; to go without it",
    ),
    "cut off training table": (
        {"train.csv.gz": gzip.compress(HOMEWORK_TRAIN)[:9], "test.csv": HOMEWORK_TEST},
        "train.csv.gz: damaged.*; to go without it",
    ),
    "photos": ({"a.png": png(48, 48), "b.png": png(99, 90)}, r"predict\.py --photos"),
    "one photo": (png(48, 48), r"predict\.py --photos"),
    "unknown class": ({"train/joy/a.png": png(48, 48)}, "a.png: unknown class 'joy'.*0 angry"),
    "unknown class number": ({"train/7/a.png": png(48, 48)}, "unknown class '7'"),
    "image cut off": ({"train/happy/a.png": png(48, 48)[:60]}, r"a\.png: not a readable image"),
    "image of junk": ({"test/happy/a.png": png(48, 48)[:8] + b"junk" * 99}, "not a readable image"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_gives_one_clear_line(tmp_path, case):
    content, message = BAD[case]
    with pytest.raises(ValueError, match=message) as caught:
        load(tmp_path, content)
    assert "\n" not in str(caught.value)
    assert "source" in str(caught.value)  # the file is named
    assert len(str(caught.value)) < 600
    assert not (tmp_path / "cache").exists()


def test_a_path_that_is_no_file_is_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ValueError, match="expected a regular file or a folder"):
        loading.load(tmp_path / "pipe", cache=tmp_path / "cache")


def test_more_rows_images_or_members_than_allowed_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "MAX_ROWS", NUM_TRAIN - 1)
    for number, content in enumerate(
        [HOMEWORK_TRAIN, class_folders(), as_zip(class_folders()), as_tar(class_folders(), "w:gz")]
    ):
        folder = tmp_path / str(number)
        folder.mkdir()
        with pytest.raises(ValueError, match="more"):
            load(folder, content)


def test_a_packed_bomb_costs_neither_memory_nor_disk(tmp_path):
    bomb = gzip.compress(b"label,feature\n" + b"1" * 20_000_000, 1)
    for number, content in enumerate([bomb, as_zip({"a.csv": b"label,feature\n" + b"1" * 10**7})]):
        folder = tmp_path / str(number)
        folder.mkdir()
        tracemalloc.start()
        with pytest.raises(ValueError, match="expected fewer than"):
            load(folder, content)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 5_000_000
        assert os.listdir(folder) == ["source"]


def test_a_missing_path_says_both_ways_on(tmp_path, monkeypatch):
    monkeypatch.setattr(loading, "DATA_FOLDER", write(tmp_path / "data", {"README.md": b"# Data"}))
    for source in (tmp_path / "nowhere", None):
        with pytest.raises(FileNotFoundError) as caught:
            loading.load(source, cache=tmp_path / "cache")
        message = str(caught.value)
        assert "kaggle competitions download -c challenges-in-representation" in message
        assert "-p data\n" in message
        assert "--data sample" in message


def test_without_a_source_the_data_folder_is_read(tmp_path, monkeypatch):
    files = {"README.md": b"# Data", "download.zip": as_zip(KAGGLE_DOWNLOAD)}
    monkeypatch.setattr(loading, "DATA_FOLDER", write(tmp_path / "data", files))
    faces = loading.load(None, cache=tmp_path / "cache")
    assert same(faces.train_images, TRUTH.train_images)


def test_links_that_lead_back_up_are_followed_once(tmp_path):
    source = place(tmp_path, {"deep/train.csv": HOMEWORK_TRAIN})
    write(tmp_path / "elsewhere", {"test.csv": HOMEWORK_TEST})
    (source / "linked").symlink_to(tmp_path / "elsewhere")
    (source / "deep" / "loop").symlink_to(source)
    (source / "dangling").symlink_to(tmp_path / "nothing")
    faces = loading.load(source, cache=tmp_path / "cache")
    assert len(faces.train_images) == NUM_TRAIN
    assert len(faces.test_images) == NUM_TEST


# ---------------------------------------------------------------- properties of the table reader


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    seed=st.integers(0, 2**32 - 1),
    num_rows=st.integers(1, 9),
    chunk=st.integers(1, 4),
    newline=st.sampled_from(["\n", "\r\n"]),
    quote=st.sampled_from(["", '"']),
    packed=st.booleans(),
)
def test_random_images_survive_the_round_trip(
    tmp_path, monkeypatch, seed, num_rows, chunk, newline, quote, packed
):
    monkeypatch.setattr(tables, "CHUNK_ROWS", chunk)
    generator = np.random.default_rng(seed)
    images = generator.integers(0, 256, (num_rows, 48, 48), dtype=np.uint8)
    labels = generator.integers(0, 7, num_rows)
    rows = [
        f"{quote}{label}{quote},{quote}{pixel_text(image)}{quote}"
        for label, image in zip(labels, images, strict=True)
    ]
    content = table("label,feature", rows, newline=newline)
    (tmp_path / "source").write_bytes(gzip.compress(content, 1) if packed else content)
    faces = loading.load(tmp_path / "source", cache=tmp_path / "cache")
    assert same(faces.train_images, images)
    assert same(faces.train_labels, labels)


NOT_A_PIXEL = st.one_of(
    st.integers(256, 10**30).map(str),
    st.integers(-(10**30), -1).map(str),
    st.floats().map(repr),
    st.text(st.characters(exclude_characters='," \n\t'), min_size=1, max_size=6).filter(
        lambda text: not (text.isascii() and text.strip().strip('"').isdecimal())
    ),
    st.just(""),
)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(row=st.integers(0, NUM_TRAIN - 1), pixel=st.integers(1, 2302), text=NOT_A_PIXEL)
def test_one_wrong_pixel_always_names_its_row(tmp_path, row, pixel, text):
    values = PIXELS[row].split()
    values[pixel] = text
    (tmp_path / "source").write_bytes(changed(1, " ".join(values), row=row))
    with pytest.raises(ValueError, match=rf"source, row {row + 1} \(line {row + 2}\)"):
        loading.load(tmp_path / "source", cache=tmp_path / "cache")


JUNK_HEADS = {
    "nothing": b"",
    "table": b"label,feature\n",
    "gzip": gzip.compress(b"label,feature\n")[:14],
    "zip": as_zip({"train.csv": HOMEWORK_TRAIN})[:40],
    "tar": as_tar({"train.csv": HOMEWORK_TRAIN})[:600],
}


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(content=st.binary(max_size=300), head=st.sampled_from(sorted(JUNK_HEADS)))
def test_junk_never_raises_anything_but_a_value_error(tmp_path, content, head):
    (tmp_path / "source").write_bytes(JUNK_HEADS[head] + content)
    with pytest.raises(ValueError, match="source"):
        loading.load(tmp_path / "source", cache=tmp_path / "cache")


# ------------------------------------------------------------------------------------- the cache


@pytest.fixture
def count_reads(monkeypatch):
    reads = []
    read_source = loading._read_source
    monkeypatch.setattr(
        loading, "_read_source", lambda *args: reads.append(1) or read_source(*args)
    )
    return reads


def test_the_second_start_reads_the_cache(tmp_path, count_reads):
    first = load(tmp_path, FER2013)
    second = loading.load(tmp_path / "source", cache=tmp_path / "cache")
    assert len(count_reads) == 1
    for name in ("train_images", "train_labels", "test_images", "test_ids", "test_labels"):
        assert same(getattr(first, name), getattr(second, name))
    assert list(first.test_usage) == list(second.test_usage)
    assert first.data_hash == second.data_hash
    assert len(os.listdir(tmp_path / "cache")) == 1


def test_what_is_not_known_stays_none_in_the_cache(tmp_path, count_reads):
    for _ in range(2):
        faces = (
            load(tmp_path, HOMEWORK_TRAIN)
            if not count_reads
            else loading.load(tmp_path / "source", cache=tmp_path / "cache")
        )
        assert faces.test_labels is None
        assert faces.test_usage is None
    assert len(count_reads) == 1


def test_a_changed_file_is_read_again(tmp_path, count_reads):
    source = place(tmp_path, HOMEWORK)
    before = loading.load(source, cache=tmp_path / "cache")
    rows = train_rows()
    rows[0] = f"6,{rows[0].split(',')[1]}"
    status = (source / "train.csv").stat()
    (source / "train.csv").write_bytes(table("label,feature", rows))  # of the same size
    os.utime(source / "train.csv", ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    after = loading.load(source, cache=tmp_path / "cache")
    assert len(count_reads) == 2
    assert after.train_labels[0] == 6
    assert after.data_hash != before.data_hash
    (source / "test.csv").unlink()
    assert len(loading.load(source, cache=tmp_path / "cache").test_images) == 0
    assert len(os.listdir(tmp_path / "cache")) == 1


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"",
        lambda content: b"junk" * 100,
        lambda content: content[: len(content) // 2],
        lambda content: with_wrong_bytes(content, 20_000),  # in the middle of the pixels
        lambda content: with_wrong_bytes(content, 60),  # in an array's header
        lambda content: with_wrong_bytes(content, len(content) - 60),  # in the zip's directory
    ],
)
def test_a_damaged_cache_is_ignored_and_written_again(tmp_path, count_reads, damage):
    source = place(tmp_path, HOMEWORK)
    loading.load(source, cache=tmp_path / "cache")
    (cached,) = (tmp_path / "cache").iterdir()
    cached.write_bytes(damage(cached.read_bytes()))
    faces = loading.load(source, cache=tmp_path / "cache")
    assert same(faces.train_images, TRUTH.train_images)
    loading.load(source, cache=tmp_path / "cache")
    assert len(count_reads) == 2


def test_a_cache_with_pickled_objects_is_never_unpickled(tmp_path):
    source = place(tmp_path, HOMEWORK)
    loading.load(source, cache=tmp_path / "cache")
    (cached,) = (tmp_path / "cache").iterdir()
    with np.load(cached) as stored:
        arrays = dict(stored)

    class Trap:
        def __reduce__(self):
            return (os.mkdir, (str(tmp_path / "trapped"),))

    arrays["train_labels"] = np.array([Trap()], dtype=object)
    np.savez(cached, **arrays)
    assert same(loading.load(source, cache=tmp_path / "cache").train_labels, TRUTH.train_labels)
    assert not (tmp_path / "trapped").exists()


def test_a_cache_that_cannot_be_written_is_no_error(tmp_path):
    source = place(tmp_path, HOMEWORK)
    (tmp_path / "taken").write_text("a file, not a folder")
    faces = loading.load(source, cache=tmp_path / "taken" / "cache")
    assert same(faces.train_images, TRUTH.train_images)


def test_files_that_change_while_they_are_read_are_not_cached(tmp_path, monkeypatch):
    source = place(tmp_path, HOMEWORK_TRAIN)
    read_source = loading._read_source

    def read_and_touch(*args):
        arrays = read_source(*args)
        source.write_bytes(KAGGLE_TEST)
        return arrays

    monkeypatch.setattr(loading, "_read_source", read_and_touch)
    loading.load(source, cache=tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


# ------------------------------------------------------------------------------ the drawn sample


def test_the_sample_is_drawn_once_with_known_test_labels(tmp_path, monkeypatch):
    drawn = []

    def draw_dataset():
        drawn.append(1)
        return TRUTH.train_images, TRUTH.train_labels, TRUTH.test_images, TRUTH.test_labels

    monkeypatch.setattr(synthetic, "draw_dataset", draw_dataset)
    for _ in range(2):
        faces = loading.load("sample", cache=tmp_path)
        assert faces.source == "sample"
        assert same(faces.train_images, TRUTH.train_images)
        assert same(faces.test_labels, TRUTH.test_labels)
        assert same(faces.test_ids, np.arange(NUM_TEST))
    assert len(drawn) == 1


# ------------------------------------------------------------------------------ looking at faces


def make_faces(images, labels, test_images=None):
    arrays = {
        "train_images": np.asarray(images, dtype=np.uint8),
        "train_labels": np.asarray(labels, dtype=np.int64),
        "test_images": np.empty((0, 48, 48), np.uint8) if test_images is None else test_images,
    }
    return loading.Dataset(
        **arrays,
        test_ids=np.arange(len(arrays["test_images"])),
        test_labels=None,
        test_usage=None,
        source="here",
        data_hash=loading._hash(arrays),
    )


def test_duplicate_groups_are_those_of_a_pairwise_comparison():
    images = TRUTH.train_images[[3, 1, 3, 0, 1, 3]].copy()
    groups = pixels.duplicate_groups(images)
    expected = np.all(images[:, None] == images[None, :], axis=(2, 3))
    assert np.array_equal(groups[:, None] == groups[None, :], expected)
    assert list(groups) == [0, 1, 0, 2, 1, 0]
    assert groups.dtype == np.int64


def test_describe_counts_what_was_put_in():
    flat = np.full((48, 48), 9, dtype=np.uint8)
    images = [*TRUTH.train_images[[0, 1, 1, 1, 2, 2]], flat]
    labels = [0, 3, 3, 4, 5, 5, 6]  # image 1 stands there as happy and as sad
    test_images = np.stack([TRUTH.train_images[2], flat, TRUTH.test_images[0]])
    text = "\n".join(loading.describe(make_faces(images, labels, test_images)))
    assert "7 training rows and 3 test rows from here" in text
    assert "angry 1, disgust 0, fear 0, happy 2, sad 1, surprise 2, neutral 1" in text
    assert "3 training rows repeat an image" in text
    assert "1 images stand there with contradictory labels" in text
    assert "2 test images also stand among the training rows" in text
    assert "1 training and 1 test images are flat" in text


def test_describe_takes_an_empty_side():
    nothing = np.empty((0, 48, 48), dtype=np.uint8)
    assert "0 training rows" in loading.describe(make_faces(nothing, [], TRUTH.test_images))[0]
    assert "0 test rows" in loading.describe(make_faces(TRUTH.train_images, TRUTH.train_labels))[0]


def test_the_hash_never_changes():
    """It stands in the records of published runs."""
    expected = hashlib.sha256()
    for array in (TRUTH.train_images, TRUTH.train_labels, TRUTH.test_images):
        expected.update(str(array.shape).encode() + array.tobytes())
    made = make_faces(TRUTH.train_images, TRUTH.train_labels, TRUTH.test_images)
    assert made.data_hash == expected.hexdigest()


def test_the_hash_covers_pixels_labels_and_shapes():
    images, labels = TRUTH.train_images, TRUTH.train_labels
    hashes = {
        make_faces(images, labels).data_hash,
        make_faces(images[::-1], labels).data_hash,
        make_faces(images, labels[::-1]).data_hash,
        make_faces(images, labels, TRUTH.test_images).data_hash,
        make_faces(images[:-1], labels, images[-1:]).data_hash,
    }
    assert len(hashes) == 5
    assert make_faces(images.copy(order="F"), labels).data_hash in hashes


def test_inputs_are_float32_between_0_and_1():
    inputs = pixels.to_inputs(np.array([[[0, 51, 255]]], dtype=np.uint8))
    assert inputs.dtype == np.float32
    assert inputs.shape == (1, 1, 3, 1)
    assert np.allclose(inputs.ravel(), [0, 0.2, 1])


# -------------------------------------------------------------------------------------- the split


def small_faces(pattern):
    """Faces of which rows with the same number in the pattern are identical."""
    images = np.zeros((len(pattern), 48, 48), dtype=np.uint8)
    images[:, 0, 0], images[:, 0, 1] = np.divmod(np.asarray(pattern), 256)
    return make_faces(images, np.zeros(len(pattern)))


@settings(max_examples=40, deadline=None)
@given(
    pattern=st.lists(st.integers(0, 60), min_size=60, max_size=120),
    validation=st.integers(7, 40),
    seed=st.integers(0, 10**6),
)
def test_a_split_is_exact_disjoint_and_keeps_identical_images_together(pattern, validation, seed):
    pattern += list(range(1000, 1040))  # enough rows without a double to fill any gap
    faces = small_faces(pattern)
    drawn = splits.draw(faces, seed=seed, validation=validation)
    assert len(drawn.validation_rows) == validation
    everything = np.concatenate([drawn.train_rows, drawn.validation_rows])
    assert np.array_equal(np.sort(everything), np.arange(len(pattern)))
    assert np.all(np.diff(drawn.train_rows) > 0)
    pattern = np.array(pattern)
    assert not set(pattern[drawn.train_rows]) & set(pattern[drawn.validation_rows])


def test_the_seed_alone_decides_the_rows():
    faces = small_faces(range(400))
    first, again, other = (splits.draw(faces, seed=seed, validation=60) for seed in (1, 1, 2))
    assert np.array_equal(first.validation_rows, again.validation_rows)
    assert not np.array_equal(first.validation_rows, other.validation_rows)
    assert np.any(np.diff(first.validation_rows) < 0)  # in the order drawn
    assert first.train_rows.dtype == first.validation_rows.dtype == np.int64


def test_the_rows_of_a_seed_never_change():
    """Runs that were published name validation images by number; this definition must stay."""
    drawn = splits.draw(small_faces([*range(40), 5, 6]), seed=0, validation=8)
    assert drawn.validation_rows.tolist() == [24, 34, 27, 11, 3, 4, 23, 2]


def test_every_row_is_equally_likely_to_be_held_out():
    faces = small_faces(range(100))
    counts = np.zeros(100)
    for seed in range(300):
        counts[splits.draw(faces, seed=seed, validation=20).validation_rows] += 1
    # Binomial(300, 0.2): mean 60, standard deviation 6.9
    assert abs(counts.mean() - 60) < 1e-9
    assert counts.min() > 60 - 5 * 6.9
    assert counts.max() < 60 + 5 * 6.9


@pytest.mark.parametrize("validation", [-1, 6, 94, 100, 3000])
def test_a_split_with_too_few_rows_on_a_side_is_refused(validation):
    with pytest.raises(ValueError, match="at least 7 rows on each side"):
        splits.draw(small_faces(range(100)), seed=0, validation=validation)


def test_a_split_that_would_tear_identical_images_apart_is_refused():
    with pytest.raises(ValueError, match="groups of identical images"):
        splits.draw(small_faces([0] * 50 + [1] * 50), seed=0, validation=20)


def test_small_data_sets_hold_out_fewer_rows():
    assert splits.default_validation_size(28_709) == 3_000
    assert splits.default_validation_size(10_000) == 3_000
    assert splits.default_validation_size(3_500) == 525


def test_a_split_survives_the_disk(tmp_path):
    drawn = splits.draw(small_faces(range(50)), seed=3, validation=9)
    splits.save(tmp_path / "split.npz", drawn)
    loaded = splits.load(tmp_path / "split.npz")
    assert same(loaded.train_rows, drawn.train_rows)
    assert same(loaded.validation_rows, drawn.validation_rows)
    assert (loaded.seed, loaded.data_hash) == (drawn.seed, drawn.data_hash)


def test_a_file_that_is_no_split_is_refused(tmp_path):
    path = tmp_path / "split.npz"
    with pytest.raises(FileNotFoundError):
        splits.load(path)
    splits.save(path, splits.draw(small_faces(range(50)), seed=3, validation=9))
    good = path.read_bytes()
    rows = np.arange(9)
    named = {"train_rows": rows, "seed": 0, "data_hash": "0"}

    def saved(save, *args, **arrays):
        stream = io.BytesIO()
        save(stream, *args, **arrays)
        return stream.getvalue()

    for content in (
        b"",
        b"junk",
        good[:-30],
        with_wrong_bytes(good, 200),
        saved(np.save, rows),
        saved(np.savez, other=rows),
        saved(np.savez, **named, validation_rows=rows),  # the same rows on both sides
        saved(np.savez, **named, validation_rows=rows + 0.5),
        saved(np.savez, **named, validation_rows=-1 - rows),
        saved(np.savez, **named, validation_rows=np.array([None, {}])),
    ):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"split\.npz: expected a split as saved with a run"):
            splits.load(path)


def test_a_split_of_other_data_is_refused():
    faces, other = small_faces(range(50)), small_faces(range(51))
    drawn = splits.draw(faces, seed=0, validation=10)
    agreement.check(drawn, faces)
    with pytest.raises(
        ValueError, match=f"other data: .*{other.data_hash[:16]}.*--data of the run"
    ):
        agreement.check(drawn, other)


@pytest.mark.parametrize("count", [1, 3])
def test_a_message_about_members_with_endless_names_is_short(tmp_path, count):
    path = tmp_path / "a.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        for number in range(count):
            archive.addfile(tarfile.TarInfo("a" * 5_000 + f"{number}.txt"), io.BytesIO())
    with pytest.raises(ValueError, match=r"a\.tar\.gz") as caught:
        loading.load(path, cache=tmp_path / "cache")
    assert len(str(caught.value)) < 1_000


def test_what_a_message_shows_of_a_file_is_short_and_printable(tmp_path):
    source = tmp_path / "source"
    long = as_zip({"train.csv": HOMEWORK_TRAIN}).replace(b"train.csv", b"\x1b[2J\n\x07xx", 1)
    for content in (table("label,feature,\x1b[2J" + ",x" * 500, ["1,2"]), long):
        source.write_bytes(content)
        with pytest.raises(ValueError, match="source") as caught:
            loading.load(source, cache=tmp_path / "cache")
        assert str(caught.value).isprintable()
        assert len(str(caught.value)) < 700 + len(str(source))
