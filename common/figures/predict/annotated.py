"""A frame of a video with the faces in it and their expressions drawn onto its pixels."""

import functools
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from common.data.tracks import Track
from common.data.video import written_size
from common.figures import style
from common.labels import CLASS_NAMES

LINE = 14  # pixels, of text
PANEL = (112, 7 * LINE + 6)  # pixels, with seven bars
NAME = 52  # pixels, of a name beside its bar
LIGHT, DARK = (255, 255, 255, 205), (32, 32, 32)


def draw(colours: np.ndarray, tracks: Sequence[Track]) -> Image.Image:
    """Return a frame as `video.Writer` writes it: a box, a label and seven bars for each face.

    Args:
        colours: uint8 (height, width, 3).
        tracks: of the faces in it, whose last entries are drawn. One without a number is not.
    """
    height, width = colours.shape[:2]
    picture = Image.fromarray(colours)
    size = written_size(width, height)
    if picture.size != size:
        picture = picture.resize(size, Image.Resampling.BILINEAR)
    canvas = ImageDraw.Draw(picture, "RGBA")
    tracks = [track for track in tracks if track.number]
    boxes = [_box(track.frames[-1] * size[0] / width) for track in tracks]
    taken = list(boxes)
    for track, box in zip(tracks, boxes, strict=True):
        _draw_box(canvas, size, box, track)
        if panel := _free_place(box, taken, size):
            taken.append(panel)
            _draw_bars(canvas, panel, track.smoothed[-1])
    return picture


def _box(frame):
    """Return left, top, right, bottom of a frame."""
    left, top, width, height = map(float, frame)
    return left, top, left + width, top + height


def _draw_box(canvas, size, box, track):
    """Draw the frame of a face, with its number, label and probability above."""
    colour = style.CLASS_COLOURS[CLASS_NAMES[track.label]]
    outer = (box[0] - 1, box[1] - 1, box[2] + 1, box[3] + 1)
    for edges, shade in ((outer, "white"), (box, colour)):
        canvas.rectangle(edges, outline=shade, width=2)
    said = f"{track.number} {CLASS_NAMES[track.label]} {track.smoothed[-1][track.label]:.2f}"
    across, down = canvas.textlength(said, font=_font()) + 8, LINE + 4
    x = float(np.clip(box[0], 0, max(0, size[0] - across)))
    y = float(np.clip(box[1] - down, 0, size[1] - down))
    canvas.rectangle((x, y, x + across, y + down), fill=colour)
    canvas.text((x + 4, y + 2), said, fill="white", font=_font())


def _free_place(box, taken, size):
    """Return where a panel covers no face and no other panel beside or below a face, or None."""
    left, top, right, bottom = box
    corners = ((right + 4, top), (left - 4 - PANEL[0], top), (left, bottom + 4))
    for x, y in corners:
        y = max(0, min(y, size[1] - PANEL[1])) if y == top else y
        place = (x, y, x + PANEL[0], y + PANEL[1])
        inside = x >= 0 and y >= 0 and place[2] <= size[0] and place[3] <= size[1]
        if inside and not any(_meet(place, other) for other in taken):
            return place
    return None


def _meet(one, other):
    """Return whether two boxes share a pixel."""
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _draw_bars(canvas, panel, smoothed):
    """Draw the seven probabilities on a light panel."""
    left, top = panel[:2]
    canvas.rectangle(panel, fill=LIGHT)
    for place, (name, value) in enumerate(zip(CLASS_NAMES, smoothed, strict=True)):
        y, x = top + 3 + place * LINE, left + NAME + 4
        canvas.text((left + 4, y), name, fill=DARK, font=_font(LINE - 4))
        long = (PANEL[0] - NAME - 8) * float(value)
        canvas.rectangle((x, y + 2, x + long, y + LINE - 3), fill=style.CLASS_COLOURS[name])


@functools.cache
def _font(size=LINE - 2):
    """Return the font that comes with Pillow."""
    return ImageFont.load_default(size)
