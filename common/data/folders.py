"""Folders of image files, one folder a class."""

import warnings

import numpy as np

from common.data import archives, tables
from common.labels import IMAGE_SHAPE, class_code

IMAGE_SIGNATURES = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")  # PNG, JPEG
IMAGE_MODES = ("L", "LA", "RGB", "RGBA", "P", "1")  # 8 bits or fewer a channel


def read_images(path, images):
    """Return the arrays of class folders train/<class>/ and test/<class>/, sorted by class."""
    if not any(
        len(file.parts) > 2 and file.parts[-3].lower() in (tables.TRAIN, tables.TEST)
        for file in images
    ):
        raise ValueError(
            f"{path}: expected images in train/<class>/ and test/<class>/, found {len(images):,} "
            "images elsewhere; to classify photos without labels use predict.py --photos"
        )
    if len(images) > archives.MAX_ROWS:
        raise ValueError(f"{path}: expected at most {archives.MAX_ROWS:,} images, found more")
    rows = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's remarks on images that are refused below
        for file in images:  # in the order of the archive: a tar.gz can only be read forwards
            part, folder, name = ("", *file.parts)[-3:]
            if part.lower() not in (tables.TRAIN, tables.TEST):
                raise ValueError(f"{file.name}: expected to lie in train/<class>/ or test/<class>/")
            try:
                code = class_code(folder)
            except ValueError as error:
                raise ValueError(f"{file.name}: {error}") from error
            rows.append((part.lower(), code, name, file.name, _decode(file)))
    rows.sort(key=lambda row: row[:4])
    arrays = {}
    for wanted in (tables.TRAIN, tables.TEST):
        chosen = [row for row in rows if row[0] == wanted]
        pixels = np.array([row[4] for row in chosen], dtype=np.uint8)
        arrays[f"{wanted}_images"] = pixels.reshape(-1, *IMAGE_SHAPE)
        arrays[f"{wanted}_labels"] = np.array([row[1] for row in chosen], dtype=np.int64)
    arrays["test_ids"] = np.arange(len(arrays["test_images"]), dtype=np.int64)
    return arrays


def _decode(file):
    """Return uint8 (48, 48) grey values of a PNG or JPEG file."""
    from PIL import Image

    try:
        with file.open() as stream, Image.open(stream, formats=("PNG", "JPEG")) as image:
            (width, height), mode, pixels = image.size, image.mode, None
            if image.size == IMAGE_SHAPE[::-1] and mode in IMAGE_MODES:
                pixels = np.asarray(image.convert("L"))
    except Exception as error:  # a decoder fed with damaged bytes may raise anything
        raise ValueError(f"{file.name}: not a readable image ({error})") from error
    if pixels is None:
        raise ValueError(
            f"{file.name}: expected 48x48 pixels of 8 bits, found {width}x{height} (mode {mode})"
        )
    return pixels
