"""Data as people hold it: other columns, words, separators, sizes and strays, each read right."""

import io

import numpy as np
import pytest
from PIL import Image

from common.data import loading
from common.labels import CLASS_NAMES

ROWS = 28
IMAGES = np.random.default_rng(0).integers(0, 256, (ROWS, 48, 48), dtype=np.uint8)
LABELS = np.arange(ROWS) % 7
TEXTS = [" ".join(map(str, image.ravel())) for image in IMAGES]
USAGE = ["Training"] * 21 + ["PublicTest"] * 4 + ["PrivateTest"] * 3
TRAIN, PUBLIC, PRIVATE = range(21), range(21, 25), range(25, 28)


def table(row, header="emotion,pixels,Usage", rows=range(ROWS)):
    return "\n".join([header, *map(row, rows), ""])


def full(label=str, usage=USAGE):
    return table(lambda i: f"{label(LABELS[i])},{TEXTS[i]},{usage[i]}")


def load(tmp_path, files):
    folder = tmp_path / "held"
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return loading.load(folder, cache=tmp_path / "cache")


def picture(image, form="PNG", change=lambda image: image):
    stream = io.BytesIO()
    change(Image.fromarray(image)).save(stream, form)
    return stream.getvalue()


def folders(names, parts=(("train", TRAIN), ("test", range(21, ROWS))), end="png", **options):
    return {
        f"{part}/{names[LABELS[i]]}/im{i:02d}.{end}".lstrip("/"): picture(IMAGES[i], **options)
        for part, rows in parts
        for i in rows
    }


def assert_images(images, labels, rows):
    """Check that exactly these rows are there, each with its label, in any order."""
    expected = sorted((int(LABELS[i]), IMAGES[i].tobytes()) for i in rows)
    assert sorted(zip(map(int, labels), (image.tobytes() for image in images), strict=True)) == (
        expected
    )


WORDS = ["train"] * 21 + ["val"] * 4 + ["test"] * 3
MIXED_CASE = dict(enumerate(name.title() for name in CLASS_NAMES))
TABLES = {
    "an unnamed column": (
        table(lambda i: f"{i},{LABELS[i]},{TEXTS[i]},{USAGE[i]}", ",emotion,pixels,Usage"),
        "columns passed over: (unnamed)",
    ),
    "a further column": (
        table(lambda i: f'{LABELS[i]},{TEXTS[i]},{USAGE[i]},"a, b"', "emotion,pixels,Usage,name"),
        "columns passed over: name",
    ),
    "labels with a point": (full(lambda code: f"{code}.0"), None),
    "labels by name": (full(MIXED_CASE.get), None),
    "semicolons": (full().replace(",", ";"), None),
    "tabs": (full().replace(",", "\t"), None),
    "UTF-16": (full().encode("utf-16"), None),
    "other words for the parts": (full(usage=WORDS), "counts as public test rows"),
}


@pytest.mark.parametrize("case", TABLES)
def test_one_table_is_read_whatever_its_dialect(tmp_path, case):
    content, note = TABLES[case]
    found = load(tmp_path, {"fer2013.csv": content})
    assert_images(found.train_images, found.train_labels, TRAIN)
    assert_images(found.test_images, found.test_labels, range(21, ROWS))
    np.testing.assert_array_equal(found.test_usage, ["public"] * 4 + ["private"] * 3)
    assert [note] == [note for said in found.notes if note in said] if note else not found.notes
    assert all(said in loading.describe(found) for said in found.notes)


def test_label_and_pixels_are_known_names_together(tmp_path):
    row = lambda i: f"{LABELS[i]},{TEXTS[i]}"  # noqa: E731
    found = load(tmp_path, {"train.csv": table(row, "label,pixels", TRAIN)})
    assert_images(found.train_images, found.train_labels, TRAIN)


def test_tables_of_one_header_are_told_apart_by_name(tmp_path):
    row = lambda i: f"{LABELS[i]},{TEXTS[i]}"  # noqa: E731
    parts = {"train": TRAIN, "val": PUBLIC, "test": PRIVATE}
    files = {f"{name}.csv": table(row, "emotion,pixels", rows) for name, rows in parts.items()}
    found = load(tmp_path, files)
    assert_images(found.train_images, found.train_labels, TRAIN)
    assert_images(found.test_images, found.test_labels, range(21, ROWS))
    assert sum("counts as public test rows" in note for note in found.notes) == 1


FOLDERS = {
    "adjectives": folders(
        ["angry", "disgusted", "fearful", "happy", "sad", "surprised", "neutral"]
    ),
    "nouns": folders(["anger", "disgust", "fear", "happiness", "sadness", "surprise", "Neutral"]),
    "numbers and names": folders([f"{code}_{name}" for code, name in enumerate(CLASS_NAMES)]),
    "BMP": folders(CLASS_NAMES, end="bmp", form="BMP"),
    "further up": {f"archive/images/{k}": v for k, v in folders(CLASS_NAMES).items()},
}


@pytest.mark.parametrize("case", FOLDERS)
def test_class_folders_of_the_common_copies_are_read(tmp_path, case):
    found = load(tmp_path, FOLDERS[case])
    assert_images(found.train_images, found.train_labels, TRAIN)
    assert_images(found.test_images, found.test_labels, range(21, ROWS))
    assert not found.notes
    assert found.test_usage is None


def test_a_validation_folder_is_not_trained_on_and_that_is_said(tmp_path):
    parts = (("train", TRAIN), ("val", PUBLIC), ("test", PRIVATE))
    found = load(tmp_path, folders(CLASS_NAMES, parts))
    assert_images(found.train_images, found.train_labels, TRAIN)
    assert list(found.test_usage) == ["public"] * 4 + ["private"] * 3
    assert "counts as public test rows" in found.notes[0]


def test_class_folders_alone_are_training_images_and_that_is_said(tmp_path):
    found = load(tmp_path, folders(CLASS_NAMES, (("", range(ROWS)),)))
    assert_images(found.train_images, found.train_labels, range(ROWS))
    assert len(found.test_images) == 0
    assert "all images are training images" in found.notes[0]


@pytest.mark.parametrize(
    "options",
    [
        {"end": "jpg", "form": "JPEG", "change": lambda im: im.convert("RGB").resize((224, 224))},
        {"change": lambda im: im.resize((96, 96), Image.Resampling.NEAREST)},
        {"change": lambda im: Image.fromarray(np.asarray(im).astype(np.uint16) * 257)},
    ],
)
def test_other_sizes_and_depths_are_scaled_and_that_is_said(tmp_path, options):
    found = load(tmp_path, folders(CLASS_NAMES, **options))
    order = np.lexsort((TRAIN, LABELS[:21]))
    pairs = zip(found.train_images, IMAGES[:21][order], strict=True)
    assert min(np.corrcoef(ours.ravel(), drawn.ravel())[0, 1] for ours, drawn in pairs) > 0.9
    assert ("28 images were scaled" in "".join(found.notes)) == (len(found.notes) > 0)


def test_a_few_strays_and_empty_files_are_passed_over_and_named(tmp_path):
    strays = {
        "preview.png": picture(np.zeros((300, 200), np.uint8)),
        "train/happy/zz.png": b"",
    }
    found = load(tmp_path, folders(CLASS_NAMES) | strays)
    assert_images(found.train_images, found.train_labels, TRAIN)
    assert all(any(name in note for note in found.notes) for name in strays)


def test_more_than_a_few_strays_are_an_error(tmp_path):
    strays = {f"more/{k}.png": picture(IMAGES[k]) for k in range(5)}
    with pytest.raises(ValueError, match="found 5 of 33 that are not"):
        load(tmp_path, folders(CLASS_NAMES) | strays)


REFUSED = {
    "a page": ({"fer2013.csv": "<!DOCTYPE html>\n<html>"}, "web page.*download the data again"),
    "a pointer": ({"fer2013.csv": "version https://git-lfs.github.com/spec/v1\n"}, "git lfs pull"),
    "Parquet": ({"train.parquet": b"PAR1" + bytes(99)}, "Parquet.*save it as CSV"),
    "7z": ({"fer2013.7z": b"7z\xbc\xaf\x27\x1c" + bytes(99)}, "7z archive: unpack"),
    "Excel": ({"fer2013.xls": b"\xd0\xcf\x11\xe0" + bytes(99)}, "Excel workbook"),
    "JSON": ({"fer2013.json": b'[{"emotion": 0}]'}, "this is JSON"),
    "eight classes": (
        {"ck.csv": full(lambda code: "7" if code == 6 else code)},
        "column emotion.*found '7'.*CK.*contempt",
    ),
    "a label between": ({"fer2013.csv": full(lambda code: f"{code}.5")}, "found '0.5'"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_data_set_is_named_in_one_line(tmp_path, case):
    files, message = REFUSED[case]
    with pytest.raises(ValueError, match=message) as caught:
        load(tmp_path, files)
    assert "\n" not in str(caught.value)
    assert next(iter(files)) in str(caught.value)
    assert str(caught.value).isprintable()


def test_a_spreadsheet_is_named(tmp_path):
    import zipfile

    path = tmp_path / "fer2013.xlsx"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("xl/workbook.xml", "<workbook/>")
    with pytest.raises(ValueError, match=r"Excel workbook \(xlsx\): save it as CSV"):
        loading.load(path, cache=tmp_path / "cache")
