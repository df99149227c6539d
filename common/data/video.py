"""Videos and cameras: their frames one after another, and writing an MP4 of frames."""

import contextlib
import math
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

RATES = (1, 120)  # frames a second that a file may claim
USUAL_RATE = 25.0  # where it claims others, as files do that a browser recorded
CAMERA_RATE = 15.0  # of the MP4 made of a camera's frames
LONGEST_GAP = 10.0  # seconds between two frames; more is damage
WRITTEN_SIDE = 1280  # pixels; the longer side of an MP4 at most
INSTALL = 'needs OpenCV 4 ({reason}): pip install "opencv-python-headless>=4.13,<5"'


@dataclass(eq=False)
class Video:
    """An open video or camera.

    Attributes:
        name: as the user gave it.
        camera: whether it is a camera, whose frames end only when it is closed.
        rate: frames a second; of a camera those that are to be written.
        count: frames in the file as it says, None if it says none.
        failed: whether a file ended before the frames that it says it has.
    """

    name: str
    camera: bool
    rate: float
    count: int | None
    failed: bool = False
    _capture: Any = field(default=None, repr=False)
    _first: Any = field(default=None, repr=False)

    def frames(self) -> Iterator[tuple[float, np.ndarray]]:
        """Yield (seconds since the first frame, colours uint8 (height, width, 3)) of each frame.

        The seconds of a file are those it names, which need not be evenly apart; of a camera those
        that have passed.
        """
        colours, read, begun, zero, last = self._first, 0, time.monotonic(), None, 0.0
        while colours is not None:
            if self.camera:
                seconds = time.monotonic() - begun
            else:
                named = self._capture.get(_cv2().CAP_PROP_POS_MSEC) / 1000
                zero = named if zero is None else zero
                seconds = named - zero
                if read and not last < seconds <= last + LONGEST_GAP:  # it names none, or nonsense
                    seconds = last + 1 / self.rate
                    zero = named - seconds if math.isfinite(named) else 0.0
            yield seconds, colours
            read, last = read + 1, seconds
            colours = _read(self._capture)
        self.failed = self.count is not None and read < 0.9 * self.count


@contextlib.contextmanager
def opened(source: str) -> Iterator[Video]:
    """Yield an open `Video`, whose first frame has been read.

    Args:
        source: a file in any format that FFmpeg reads; or a whole number, a camera's: 0 is the
            first one.

    Raises:
        ValueError: OpenCV is not installed, there is no such file or camera, or it shows nothing.
    """
    camera = source.isdecimal() and not Path(source).exists()
    if not camera and not Path(source).is_file():
        raise ValueError(f"{source}: expected a video or the number of a camera, found nothing")
    cv2 = _cv2()
    if camera:
        capture = cv2.VideoCapture(int(source[:4]))
    else:
        # FFmpeg alone: others take digits in a name for those of a series of pictures.
        capture = cv2.VideoCapture(source, cv2.CAP_FFMPEG)
    try:
        first = _read(capture) if capture.isOpened() else None
        if first is None:
            raise ValueError(_nothing(source, camera))
        rate, count = (capture.get(key) for key in (cv2.CAP_PROP_FPS, cv2.CAP_PROP_FRAME_COUNT))
        if camera:
            rate, count = CAMERA_RATE, 0
        elif not RATES[0] <= rate <= RATES[1]:  # also where it is no number
            rate, count = USUAL_RATE, 0
        known = int(count) if 0 < count < 2**31 else None
        yield Video(source, camera, float(rate), known, _capture=capture, _first=first)
    finally:
        capture.release()


class Writer:
    """Writes frames that come at any time into an MP4 of an even rate.

    A frame is written as often as it takes to fill the time until the next one, so the MP4 lasts as
    long as what it shows. Its size is that of the first frame, at most 1280 pixels the longer way.
    The file is opened at the first frame, and one without frames is not written.
    """

    def __init__(self, path: Path, rate: float):
        """Take note.

        Args:
            path: of the file, which ends in .mp4.
            rate: its frames a second.
        """
        self.path, self.rate = path, rate
        self._writer: Any = None
        self._size = (0, 0)
        self._waiting: Any = None  # the frame until the time of whose end is known
        self._written = 0

    def add(self, seconds: float, picture: Image.Image) -> None:
        """Write a picture that is shown from `seconds` after the first one on.

        Raises:
            ValueError: OpenCV cannot write this kind of file here.
        """
        if self._writer is None:
            self._open(picture)
        if picture.size != self._size:
            picture = picture.resize(self._size, Image.Resampling.BILINEAR)
        while self._waiting is not None and self._written < round(seconds * self.rate):
            self._write()
        self._waiting = np.ascontiguousarray(np.asarray(picture)[:, :, ::-1])

    def close(self) -> None:
        """Finish the file; what was written until then can be played."""
        if self._writer is not None:
            self._write()
            self._writer.release()
            self._writer = None

    def _open(self, picture):
        cv2 = _cv2()
        self._size = written_size(*picture.size)
        code = cv2.VideoWriter.fourcc(*"mp4v")
        self._writer = cv2.VideoWriter(str(self.path), cv2.CAP_FFMPEG, code, self.rate, self._size)
        if not self._writer.isOpened():
            self._writer = None
            raise ValueError(f"--video {INSTALL.format(reason='this one cannot write MP4')}")

    def _write(self):
        self._writer.write(self._waiting)
        self._written += 1


def written_size(width: int, height: int) -> tuple[int, int]:
    """Return width and height as `Writer` writes them, both even, as the format wants them."""
    scale = min(1.0, WRITTEN_SIDE / max(width, height))
    across, down = (max(2, round(side * scale / 2) * 2) for side in (width, height))
    return across, down


def _cv2():
    """Return OpenCV, told to be quiet and to open nothing but files.

    Raises:
        ValueError: it is not installed.
    """
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    # A playlist could name addresses on the network.
    os.environ.setdefault("OPENCV_FFMPEG_CAPTURE_OPTIONS", "protocol_whitelist;file")
    try:
        import cv2
    except ImportError as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"--video {INSTALL.format(reason=reason)}") from error
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    return cv2


def _read(capture):
    """Return the next frame, uint8 (height, width, 3) red first, or None at the end."""
    good, frame = capture.read()
    if not good or frame is None or not frame.size:
        return None
    return np.ascontiguousarray(frame[:, :, ::-1])


def _nothing(source, camera):
    """Return what to say of a source that shows no frame."""
    if camera:
        return (
            f"--video {source}: expected a camera with this number, found none that gives pictures:"
            " connect one, close programs that use it, or name a file"
        )
    return (
        f"{source}: expected a video, found none that can be read (damaged, empty, or a format "
        "that OpenCV does not know): save it as MP4"
    )
