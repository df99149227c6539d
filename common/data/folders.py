"""Folders of image files, one folder a class."""

import warnings

import numpy as np

from common.data import archives, foreign, tables
from common.labels import IMAGE_SHAPE, class_code

SIGNATURES = {  # of image files -> Pillow's name of the format
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"\xff\xd8\xff": "JPEG",
    b"BM": "BMP",
    b"RIFF": "WEBP",
    b"II*\x00": "TIFF",
    b"MM\x00*": "TIFF",
    b"GIF8": "GIF",
}
MAX_PIXELS = 4_000_000  # of an image in a class folder, which shows one face
SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff", ".gif")
FEW, FEW_SHARE = 3, 0.01  # files that are passed over: so many, or this share of all


def read_images(path: str, images: list[archives.File], empty: list[str]) -> dict:
    """Return the arrays of class folders.

    The folder of a file names its class, a folder further up its part (train, val, test); without
    such a folder all are training images. Files of another size are scaled.

    Args:
        path: of the data set, for messages.
        images: the image files.
        empty: what is wrong with files that are images by name alone.

    Raises:
        ValueError: there are too many, or more than a few are in no class folder or unreadable.
    """
    if len(images) > archives.MAX_ROWS:
        raise ValueError(f"{path}: expected at most {archives.MAX_ROWS:,} images, found more")
    named = any(_part(file) for file in images)
    rows, strays, scaled = [], list(empty), 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's remarks on images that are refused below
        for file in images:  # in the order of the archive: a tar.gz can only be read forwards
            part = _part(file) if named else tables.TRAIN
            try:
                if part is None or len(file.parts) < 2:
                    raise ValueError(f"{file.name}: expected to lie in train/<class>/")
                try:
                    code = class_code(file.parts[-2])
                except ValueError as error:
                    raise ValueError(f"{file.name}: {error}") from error
                pixels, was_scaled = _decode(file)
            except ValueError as error:
                strays.append(str(error))
                continue
            scaled += was_scaled
            rows.append((part, code, file.parts[-1], file.name, pixels))
    if not rows or len(strays) > max(FEW, FEW_SHARE * len(images)):
        raise ValueError(
            f"{path}: expected images in train/<class>/ and test/<class>/, found {len(strays):,} "
            f"of {len(images):,} that are not ({strays[0]}); to classify photographs without "
            "labels use predict.py --photos"
        )
    notes = [f"Passed over: {stray}" for stray in strays]
    if scaled:
        notes.append(f"{scaled:,} images were scaled to 48x48 grey pixels.")
    if any(row[0] == tables.PUBLIC for row in rows):
        notes.append(tables.VALIDATION_NOTE)
    if not named:
        notes.append("No folder is named train or test: all images are training images.")
    rows.sort(key=lambda row: row[:4])
    return tables.arrays_of(
        np.array([row[4] for row in rows], dtype=np.uint8).reshape(-1, *IMAGE_SHAPE),
        np.array([row[1] for row in rows], dtype=np.int64),
        np.array([row[0] for row in rows]),
        notes,
    )


def _part(file):
    """Return the part that a folder above the class folder names, or None."""
    words = [part.lower() for part in file.parts[:-2]]
    return next((tables.PARTS[word] for word in reversed(words) if word in tables.PARTS), None)


def _decode(file):
    """Return uint8 (48, 48) grey values of an image file, and whether it was scaled."""
    from PIL import Image

    try:
        with (
            file.open() as stream,
            Image.open(stream, formats=tuple(set(SIGNATURES.values()))) as image,
        ):
            if image.width * image.height > MAX_PIXELS:
                raise ValueError(f"{image.width}x{image.height} pixels are no 48x48 face")
            grey, scaled = image.convert("L"), image.size != IMAGE_SHAPE[::-1]
            if image.mode.startswith("I"):  # 16 bits, which `convert` would cut off
                grey = Image.fromarray((np.asarray(image) // 257).astype(np.uint8))
            if scaled:
                shrinks = min(grey.size) >= max(IMAGE_SHAPE)
                method = Image.Resampling.HAMMING if shrinks else Image.Resampling.BICUBIC
                grey = grey.resize(IMAGE_SHAPE[::-1], method)
            return np.asarray(grey), scaled
    except Exception as error:  # a decoder fed with damaged bytes may raise anything
        reason = foreign.printable(str(error))
        raise ValueError(f"{file.name}: not a readable image ({reason})") from error
