"""Photographs of any size: read them, find the faces, cut them out as FER-2013 has its faces."""

import contextlib
import functools
import warnings
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageOps, features

from common.labels import IMAGE_SHAPE

SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif"),
    *(".avif", ".heic", ".heif"),
)
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF", "AVIF")  # none that runs another program
MAX_PIXELS = 100_000_000  # 300 MB as colours; more is rather a trap than a photograph
REDUCTIONS = (1, 2, 4, 8)  # that a JPEG can be decoded at
CASCADE = "haarcascade_frontalface_alt2.xml"
# Found in 200 of 250 FER-2013 faces, the detector's box is centred and (median) 45.7 pixels wide:
# so FER-2013 was cut, and so photographs are cut here.
FRAME = 48 / 45.7
DETECTION_SIDE = (400, 1280)  # pixels; the longer side of a photograph while faces are looked for
SMALLEST_FACE = 1 / 32  # of the longer side
BORDER = 1 / 8  # of the longer side, repeated edge: faces that fill a photograph are found too
NEIGHBOURS = 5  # overlapping finds that make a face; fewer find more, and more that is none


def list_files(paths: Iterable[Path | str]) -> list[Path]:
    """Return the files to read: files as they are named, and the images below each folder.

    Args:
        paths: files and folders.

    Returns:
        list of Path, folders sorted by name, no file twice.

    Raises:
        ValueError: there is no such path, or a folder without images.
    """
    files = []
    for path in map(Path, paths):
        found = [path]
        if path.is_dir():
            found = sorted(
                file
                for file in path.rglob("*")
                if file.suffix.lower() in SUFFIXES
                and not file.name.startswith(".")
                and file.is_file()
            )
            if not found:
                raise ValueError(
                    f"{path}: expected a folder with photographs ({', '.join(SUFFIXES)}), "
                    "found none"
                )
        elif not path.exists():
            raise ValueError(f"{path}: expected a photograph or a folder, found nothing")
        files += found
    return list(dict.fromkeys(files))


def read_photo(path: Path | str) -> np.ndarray:
    """Return the colours of a photograph, uint8 (height, width, 3), turned upright.

    A JPEG of more than 100 megapixels comes at a half, a quarter or an eighth of its size.

    Args:
        path: JPEG, PNG, WebP, BMP, TIFF, GIF (its first picture) or AVIF; 16-bit grey is scaled.

    Raises:
        ValueError: no such image, damaged, too large, or of a kind that is not read.
    """
    return read_reduced(path)[0]


def read_reduced(path: Path | str) -> tuple[np.ndarray, int]:
    """Return (colours, reduction): see `read_photo`, and 1, 2, 4 or 8, what its sides were over."""
    colours, reduction = None, 1
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's remarks on what is refused or harmless here
            with _any_size(), Image.open(path, formats=FORMATS) as image:
                (width, height), mode = image.size, image.mode
                possible = REDUCTIONS if image.format == "JPEG" else REDUCTIONS[:1]
                fitting = [n for n in possible if width * height <= MAX_PIXELS * n**2]
                if fitting and mode != "F":
                    reduction = fitting[0]
                    if reduction > 1:
                        image.draft(mode, (width // reduction, height // reduction))
                    colours = np.asarray(_eight_bits(ImageOps.exif_transpose(image)))
    except Exception as error:  # a decoder fed with damaged bytes may raise anything
        reason = _kind_not_read(path) or " ".join(str(error).split())[:200]
        raise ValueError(f"{path}: expected a photograph, found none ({reason})") from error
    if not fitting:
        most = MAX_PIXELS * possible[-1] ** 2 // 10**6
        raise ValueError(
            f"{path}: expected at most {most} megapixels, found {width} x {height}: make it smaller"
        )
    if colours is None:
        raise ValueError(
            f"{path}: expected 8 or 16 bits a channel, found Pillow's mode {mode}: save it as JPEG "
            "or PNG"
        )
    return colours, reduction


@contextlib.contextmanager
def _any_size():
    """Let Pillow open images of any size: they are checked before they are decoded."""
    limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
    try:
        yield
    finally:
        Image.MAX_IMAGE_PIXELS = limit


def _eight_bits(image):
    """Return an image as RGB of 8 bits a channel; grey of 16 bits is scaled."""
    if image.mode.startswith("I"):
        grey = np.clip(np.asarray(image).astype(np.int64), 0, 2**16 - 1)
        image = Image.fromarray((grey // 257).astype(np.uint8))
    return image.convert("RGB")


def _kind_not_read(path):
    """Return what a file is that is known not to be read, and the way on, or "" if unknown."""
    try:
        with open(path, "rb") as file:
            head = file.read(32)
    except OSError:
        return ""
    if head[4:8] != b"ftyp":
        return ""
    if b"avif" in head[8:]:
        damaged = features.check("avif")
        return "" if damaged else "AVIF, which this Pillow does not read: save it as JPEG"
    if any(brand in head[8:] for brand in (b"hei", b"hev", b"mif1", b"msf1")):
        return "HEIC, which is not read here: save it as JPEG"
    return "a video or another MP4 file, not a picture"


def find_faces(colours: np.ndarray, *, largest: int = DETECTION_SIDE[1]) -> np.ndarray:
    """Return the frames of the faces in a photograph, int (n, 4), from left to right.

    A frame is (left, top, width, height) in pixels, square, and cut as in FER-2013; it may stick
    out of the photograph a little.

    Args:
        colours: uint8 (height, width, 3).
        largest: pixels of the longer side that are searched at most; fewer are quicker.

    Raises:
        ValueError: OpenCV is not installed, or is a version without this detector.

    Source: Viola and Jones (2001), Rapid object detection using a boosted cascade of simple
    features; Lienhart's trained cascade, as OpenCV ships it.
    """
    detector = _face_detector()
    grey = Image.fromarray(colours).convert("L")
    longer = max(grey.size)
    scale = float(np.clip(longer, DETECTION_SIDE[0], largest)) / longer
    if scale != 1:
        size = [max(1, round(side * scale)) for side in grey.size]
        grey = grey.resize(size, Image.Resampling.BILINEAR)
    smallest = round(max(grey.size) * SMALLEST_FACE)
    border = round(max(grey.size) * BORDER)
    found = detector.detectMultiScale(
        np.pad(np.asarray(grey), border, mode="edge"),
        scaleFactor=1.1,
        minNeighbors=NEIGHBOURS,
        minSize=(smallest, smallest),
    )
    boxes = np.array(found, np.float64).reshape(-1, 4)
    centres = (boxes[:, :2] + boxes[:, 2:] / 2 - border) / scale
    sides = boxes[:, 2:] * FRAME / scale
    frames = np.rint(np.hstack([centres - sides / 2, sides])).astype(int)
    return frames[np.lexsort(frames.T[::-1])]


def _face_detector():
    """Return OpenCV's detector of upright faces seen from the front.

    Raises:
        ValueError: OpenCV is not installed, or is a version without this detector.
    """
    try:
        import cv2.data

        path = Path(cv2.data.haarcascades) / CASCADE
        if not path.is_file():  # distributions leave it out, and OpenCV would say so at length
            raise ImportError(f"{path} is missing")
        return _load_cascade(path)
    except (ImportError, AttributeError) as error:  # OpenCV 5 has dropped it
        raise ValueError(
            "finding faces needs OpenCV 4 with its file of faces "
            f'({" ".join(str(error).split())}): pip install "opencv-python-headless>=4.13,<5", or '
            "pass --whole-image for photographs that show one face and little else"
        ) from error


def check_detector() -> None:
    """Raise a ValueError at once if `find_faces` could not work here."""
    _face_detector()


@functools.cache
def _load_cascade(path):
    """Return the detector in a file, read once: every frame of a video needs it."""
    import cv2

    # Read by Python: on Windows, OpenCV cannot open a path with letters beyond those of the system.
    text, detector = path.read_text(encoding="utf-8"), cv2.CascadeClassifier()
    try:
        stored = cv2.FileStorage(text, cv2.FILE_STORAGE_READ | cv2.FILE_STORAGE_MEMORY)
        if detector.read(stored.getFirstTopLevelNode()):
            return detector
    except (SystemError, cv2.error):
        pass
    raise ImportError(f"{path} holds no detector")


def whole_frame(colours: np.ndarray) -> np.ndarray:
    """Return the largest square in the middle of a photograph as its only frame, int (1, 4).

    Args:
        colours: uint8 (height, width, 3).
    """
    height, width = colours.shape[:2]
    side = min(height, width)
    return np.array([[(width - side) // 2, (height - side) // 2, side, side]])


def cut_faces(colours: np.ndarray, frames: np.ndarray) -> np.ndarray:
    """Return the faces in the frames as a model takes them: grey, uint8 (n, 48, 48).

    Where a frame sticks out of the photograph, its edge is repeated.

    Args:
        colours: uint8 (height, width, 3).
        frames: int (n, 4) of left, top, width, height.
    """
    faces = np.empty((len(frames), *IMAGE_SHAPE), np.uint8)
    for face, frame in zip(faces, frames, strict=True):
        grey = Image.fromarray(_inside(colours, frame)).convert("L")
        # Hamming's filter averages over the area of a pixel, also where sizes do not divide.
        shrinks = frame[3] > IMAGE_SHAPE[0]
        kind = Image.Resampling.HAMMING if shrinks else Image.Resampling.BICUBIC
        face[:] = np.asarray(grey.resize(IMAGE_SHAPE[::-1], kind))
    return faces


def cut_colours(colours: np.ndarray, frame: np.ndarray, most: int) -> np.ndarray:
    """Return the face in a frame in its colours, uint8 (side, side, 3), a side at most `most`."""
    image = Image.fromarray(_inside(colours, frame))
    side = min(most, int(max(frame[2:])))
    return np.asarray(image.resize((side, side), Image.Resampling.HAMMING))


def _inside(colours, frame):
    """Return the pixels in a frame; where it sticks out, the edge of the photograph is repeated."""
    (height, width), (left, top, across, down) = colours.shape[:2], frame
    rows = np.clip(np.arange(top, top + down), 0, height - 1)
    columns = np.clip(np.arange(left, left + across), 0, width - 1)
    return colours[rows][:, columns]


class Cut(NamedTuple):
    """A photograph and the faces cut out of it.

    Attributes:
        file: where it lies.
        colours: uint8 (height, width, 3).
        frames: int (n, 4), in pixels of `colours`; see `find_faces`.
        faces: uint8 (n, 48, 48).
        reduction: what the sides of the file's picture were over to give `colours`.
    """

    file: Path
    colours: np.ndarray
    frames: np.ndarray
    faces: np.ndarray
    reduction: int


def cut_all(
    files: Iterable[Path],
    *,
    whole_image: bool = False,
    say: Callable[[str], object] = print,
) -> Iterator[Cut]:
    """Yield a `Cut` of every photograph that shows a face.

    Args:
        files: paths of photographs.
        whole_image: take the middle of each photograph, look for no face.
        say: called with one line on each file that is no photograph, or shows no face.

    Raises:
        ValueError: faces are to be found, and OpenCV is not installed.
    """
    if not whole_image:
        check_detector()
    for file in files:
        try:
            colours, reduction = read_reduced(file)
        except ValueError as error:
            say(str(error))
            continue
        frames = whole_frame(colours) if whole_image else find_faces(colours)
        if len(frames):
            yield Cut(file, colours, frames, cut_faces(colours, frames), reduction)
        else:
            say(f"{file}: no face found (it must be upright and seen from the front)")
