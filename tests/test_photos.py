"""Photographs: reading them, finding the faces, cutting them out."""

import io
import struct
import sys
import types
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, features

from common.data import photos
from common.figures.predict import photographs

cv2 = pytest.importorskip("cv2")
skimage_data = pytest.importorskip("skimage.data")

FACE = (225, 114)  # column and row between the eyes and the mouth of the astronaut
FACE_WIDTH = 100


@pytest.fixture(scope="module")
def astronaut():
    return skimage_data.astronaut()


def centres(frames):
    return frames[:, :2] + frames[:, 2:] / 2


def test_the_face_of_a_photograph_is_found_and_framed_as_in_fer2013(astronaut):
    frames = photos.find_faces(astronaut)
    assert frames.shape == (1, 4)
    np.testing.assert_allclose(centres(frames)[0], FACE, atol=6)
    np.testing.assert_allclose(frames[0, 2:], FACE_WIDTH, atol=12)
    assert frames[0, 2] == frames[0, 3]


@pytest.mark.parametrize("factor", [0.5, 4])
def test_the_size_of_a_photograph_does_not_matter(astronaut, factor):
    side = round(512 * factor)
    other = np.asarray(Image.fromarray(astronaut).resize((side, side)))
    frames = photos.find_faces(other)
    np.testing.assert_allclose(
        frames / factor, photos.find_faces(astronaut), atol=0.06 * FACE_WIDTH
    )


def test_several_faces_come_from_left_to_right(astronaut):
    both = np.hstack([astronaut, astronaut[:, ::-1], astronaut])
    frames = photos.find_faces(both)
    expected = [FACE[0], 1023 - FACE[0], 1024 + FACE[0]]
    np.testing.assert_allclose(centres(frames)[:, 0], expected, atol=8)


def test_a_face_that_fills_the_photograph_is_found(astronaut):
    left, top, side, _ = photos.find_faces(astronaut)[0]
    frames = photos.find_faces(astronaut[top : top + side, left : left + side])
    assert len(frames) == 1
    np.testing.assert_allclose(frames[0], [0, 0, side, side], atol=0.12 * side)


@pytest.mark.parametrize("shape", [(1, 1), (3, 2000), (2000, 3), (40, 40)])
def test_no_face_is_found_where_there_is_none(shape):
    assert photos.find_faces(np.full((*shape, 3), 90, np.uint8)).shape == (0, 4)
    assert photos.find_faces(skimage_brick()).shape == (0, 4)


def skimage_brick():
    return np.repeat(skimage_data.brick()[..., np.newaxis], 3, axis=2)


def test_a_cut_is_close_to_opencvs_area_interpolation(astronaut):
    frames = np.array([[175, 64, 101, 101], [100, 50, 333, 333]])
    grey = np.asarray(Image.fromarray(astronaut).convert("L"))
    for face, (left, top, side, _) in zip(photos.cut_faces(astronaut, frames), frames, strict=True):
        area = cv2.resize(
            grey[top : top + side, left : left + side], (48, 48), interpolation=cv2.INTER_AREA
        )
        assert np.abs(face.astype(int) - area).mean() < 1.5


def test_a_cut_of_48_pixels_is_the_photograph_itself_and_edges_are_repeated():
    grey = np.random.default_rng(0).integers(0, 256, (60, 60), dtype=np.uint8)
    colours = np.repeat(grey[..., np.newaxis], 3, axis=2)
    inside, outside = photos.cut_faces(colours, np.array([[5, 9, 48, 48], [-7, 20, 48, 48]]))
    np.testing.assert_array_equal(inside, grey[9:57, 5:53])
    padded = np.pad(grey, 8, mode="edge")
    np.testing.assert_array_equal(outside, padded[28:76, 1:49])


def test_a_small_face_is_enlarged():
    colours = np.full((20, 20, 3), 77, np.uint8)
    np.testing.assert_array_equal(photos.cut_faces(colours, np.array([[0, 0, 20, 20]])), 77)


@pytest.mark.parametrize("shape", [(30, 50), (50, 30), (48, 48)])
def test_the_whole_frame_is_the_largest_square_in_the_middle(shape):
    left, top, width, height = photos.whole_frame(np.zeros((*shape, 3), np.uint8))[0]
    assert width == height == min(shape)
    assert left == (shape[1] - width) // 2
    assert top == (shape[0] - height) // 2


def test_a_photograph_taken_on_its_side_is_turned_upright(astronaut, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # turn clockwise to see it upright
    lying = Image.fromarray(np.rot90(astronaut[:, :400]))
    lying.save(tmp_path / "lying.png", exif=exif)
    np.testing.assert_array_equal(photos.read_photo(tmp_path / "lying.png"), astronaut[:, :400])


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "1", "LA", "CMYK"])
def test_every_kind_of_8_bit_image_is_read_as_colours(astronaut, tmp_path, mode):
    path = tmp_path / ("photo.tif" if mode == "CMYK" else "photo.png")
    source = Image.fromarray(astronaut[:40, :30])
    (source.convert("L").convert("LA") if mode == "LA" else source.convert(mode)).save(path)
    colours = photos.read_photo(path)
    assert colours.shape == (40, 30, 3)
    assert colours.dtype == np.uint8


def gigantic_png():
    """Return a PNG of a few bytes that claims 60,000 x 60,000 pixels."""

    def chunk(kind, content):
        checksum = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + checksum

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    pixels = chunk(b"IDAT", zlib.compress(b"\0" * 1000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + pixels + chunk(b"IEND", b"")


def jpeg_bytes(image, cut):
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "JPEG")
    return stream.getvalue()[:cut]


POSTSCRIPT = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "cannot identify"),
        (b"no image at all", "cannot identify"),
        (bytes(range(256)) * 40, "cannot identify"),
        (POSTSCRIPT, "cannot identify"),  # Pillow would start another program for it
    ],
    ids=["empty", "text", "binary", "postscript"],
)
def test_what_is_no_photograph_is_named_in_one_line(tmp_path, content, reason):
    path = tmp_path / "odd.jpg"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=rf"odd\.jpg: expected a photograph.*{reason}") as caught:
        photos.read_photo(path)
    assert "\n" not in str(caught.value)


def test_truncated_missing_large_and_deep_photographs_are_refused(astronaut, tmp_path, monkeypatch):
    path = tmp_path / "photo.jpg"
    path.write_bytes(jpeg_bytes(astronaut, 9000))
    with pytest.raises(ValueError, match="truncated"):
        photos.read_photo(path)
    with pytest.raises(ValueError, match="No such file"):
        photos.read_photo(tmp_path / "missing.jpg")
    Image.fromarray(np.zeros((9, 9), np.float32)).save(tmp_path / "deep.tif")
    with pytest.raises(ValueError, match="8 or 16 bits a channel, found Pillow's mode F"):
        photos.read_photo(tmp_path / "deep.tif")
    monkeypatch.setattr(photos, "MAX_PIXELS", 1_000_000)
    Image.new("L", (1001, 1000)).save(tmp_path / "large.png")
    with pytest.raises(ValueError, match="at most 1 megapixels, found 1001 x 1000"):
        photos.read_photo(tmp_path / "large.png")


def test_a_gigantic_picture_is_refused_before_it_is_decoded(tmp_path):
    path = tmp_path / "odd.jpg"
    path.write_bytes(gigantic_png())
    with pytest.raises(ValueError, match="at most 100 megapixels, found 60000 x 60000"):
        photos.read_photo(path)


def test_grey_of_16_bits_is_scaled(tmp_path):
    grey = np.arange(0, 65536, 257, dtype=np.uint16).reshape(16, 16)
    for name in ("deep.png", "deep.tif"):
        Image.fromarray(grey).save(tmp_path / name)
        colours = photos.read_photo(tmp_path / name)
        np.testing.assert_array_equal(colours[..., 1].ravel(), np.arange(256))


def test_jpegs_too_large_are_reduced_while_they_are_decoded(astronaut, tmp_path, monkeypatch):
    path = tmp_path / "large.jpg"
    Image.fromarray(astronaut).save(path, quality=95)
    frames = photos.find_faces(astronaut)
    # Pillow's own limit must not be in the way either: 200 megapixels are beyond it.
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    monkeypatch.setattr(photos, "MAX_PIXELS", 512 * 512 // 2)
    colours, reduction = photos.read_reduced(path)
    assert (colours.shape, reduction) == ((256, 256, 3), 2)
    assert Image.MAX_IMAGE_PIXELS == 1000
    (cut,) = photos.cut_all([path])
    photo = photographs.Photograph(
        path, cut.colours, cut.frames, cut.faces, np.full((1, 7), 1 / 7), "cnn", cut.reduction
    )
    (row,) = photographs.rows(photo)
    found = [row[side] for side in ("left", "top", "width", "height")]
    np.testing.assert_allclose(found, frames[0], atol=12)  # in pixels of the file
    monkeypatch.setattr(photos, "MAX_PIXELS", 512 * 512 // 65)
    with pytest.raises(ValueError, match="found 512 x 512: make it smaller"):
        photos.read_photo(path)


def test_jfif_and_avif_are_read(astronaut, tmp_path):
    Image.fromarray(astronaut).save(tmp_path / "a.jfif", "JPEG", quality=95)
    kinds = ["a.jfif"]
    if features.check("avif"):
        Image.fromarray(astronaut).save(tmp_path / "b.avif", quality=90)
        kinds.append("b.avif")
    assert [file.name for file in photos.list_files([tmp_path])] == kinds
    for name in kinds:
        error = photos.read_photo(tmp_path / name).astype(int) - astronaut
        assert np.abs(error).mean() < 8


@pytest.mark.parametrize(
    ("brand", "readable", "reason"),
    [
        (b"heic", True, "HEIC, which is not read here: save it as JPEG"),
        (b"mif1", True, "HEIC, which is not read here"),
        (b"avif", False, "AVIF, which this Pillow does not read"),
        (b"isom", True, "a video or another MP4 file"),
    ],
)
def test_what_is_not_read_is_named(tmp_path, monkeypatch, brand, readable, reason):
    path = tmp_path / "a.HEIC"
    path.write_bytes(b"\0\0\0\x18ftyp" + brand + b"\0" * 200)
    monkeypatch.setattr(features, "check", lambda name: readable)
    assert photos.list_files([tmp_path]) == [path]  # not passed over without a word
    with pytest.raises(ValueError, match=reason) as caught:
        photos.read_photo(path)
    assert "\n" not in str(caught.value)


def test_opencv_without_its_cascade_is_one_line(astronaut, monkeypatch, tmp_path, capfd):
    monkeypatch.setattr(cv2.data, "haarcascades", str(tmp_path) + "/")
    with pytest.raises(ValueError, match=r"frontalface_alt2\.xml is missing.*pip install"):
        photos.find_faces(astronaut)
    assert capfd.readouterr() == ("", "")


def test_files_are_listed_once_and_folders_by_name(tmp_path):
    for name in ("b.JPG", "a.png", "deep/c.webp", ".hidden.jpg", "notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    listed = photos.list_files([tmp_path / "notes.txt", tmp_path, tmp_path / "a.png"])
    names = [str(file.relative_to(tmp_path)) for file in listed]
    assert names == ["notes.txt", "a.png", "b.JPG", "deep/c.webp"]
    with pytest.raises(ValueError, match="nowhere: expected a photograph or a folder"):
        photos.list_files([tmp_path / "nowhere"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="expected a folder with photographs"):
        photos.list_files([tmp_path / "empty"])


@pytest.mark.parametrize("module", [None, types.SimpleNamespace(__version__="5.0")])
def test_without_the_detector_the_way_out_is_told(monkeypatch, module):
    monkeypatch.setitem(sys.modules, "cv2", module)
    with pytest.raises(ValueError, match=r"pip install .*opencv-python-headless.*--whole-image"):
        list(photos.cut_all(["any.jpg"]))


def test_photographs_without_a_face_are_said_and_passed_over(astronaut, tmp_path):
    Image.fromarray(astronaut).save(tmp_path / "face.png")
    Image.fromarray(skimage_brick()).save(tmp_path / "wall.png")
    (tmp_path / "odd.png").write_text("text")
    said = []
    files = [tmp_path / name for name in ("wall.png", "odd.png", "face.png")]
    (cut,) = photos.cut_all(files, say=said.append)
    assert cut.file == files[2]
    assert cut.frames.shape == (1, 4)
    assert cut.faces.shape == (1, 48, 48)
    assert cut.reduction == 1
    np.testing.assert_array_equal(cut.colours, astronaut)
    assert [line.split(":")[0] for line in said] == [str(file) for file in files[:2]]
    assert "no face found" in said[0]
    whole = list(photos.cut_all(files, whole_image=True, say=said.append))
    assert [len(cut.faces) for cut in whole] == [1, 1]


def test_a_long_name_is_cut():
    nothing = np.empty(0)
    for name, expected in (("é" * 120, "é" * 50), ("b" * 250, "b" * 100), ("a.b", "a")):
        photo = photographs.Photograph(Path(name), nothing, nothing, nothing, nothing, "cnn")
        assert photo.stem == expected


@pytest.mark.parametrize("count", [1, 5, 30])
def test_the_figure_frames_every_face_and_shows_its_probabilities(count):
    generator = np.random.default_rng(count)
    photo = generator.integers(0, 256, (60, 90, 3), dtype=np.uint8)
    frames = generator.integers(0, 40, (count, 4)) + 10
    faces = generator.integers(0, 256, (count, 48, 48), dtype=np.uint8)
    probabilities = generator.dirichlet(np.ones(7), count)
    file = Path("a$_$b.jpg")
    figure = photographs.draw(
        photographs.Photograph(file, photo, frames, faces, probabilities, "cnn")
    )
    assert figure.get_suptitle().startswith("a$_$b.jpg, cnn")
    shown = min(count, photographs.MAX_FACES)
    marked = [patch.get_bbox().bounds for patch in figure.axes[0].patches[::2]]
    np.testing.assert_array_equal(marked, frames[:shown])
    charts = [axes for axes in figure.axes if len(axes.patches) == 7]
    order = [[bar.get_width() for bar in axes.patches] for axes in charts]
    assert sorted(order) == sorted(probabilities[:shown].tolist())
    assert ("6 more faces not shown" in figure.get_suptitle()) == (count == 30)
