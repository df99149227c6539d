"""Faces followed from frame to frame of a video, and what a model says of them over time."""

import math
from dataclasses import dataclass, field

import numpy as np

from common.data import photos

OVERLAP = 0.3  # intersection over union of two frames that show one face
PATIENCE = 1.0  # seconds that a face may go unseen, as when it turns aside
SEEN = 3  # times that a face is found before it counts: the detector's errors last a frame or two
CROP_SIDE = 192  # pixels


@dataclass(eq=False)
class Moment:
    """The moment at which an expression of a face was strongest, and how it looked."""

    seconds: float
    probability: float  # smoothed
    crop: np.ndarray  # uint8 (side, side, 3), at most 192 pixels


@dataclass(eq=False)
class Track:
    """One face over time; the lists have an entry for each time it was found."""

    seconds: list[float] = field(default_factory=list)
    frames: list[np.ndarray] = field(default_factory=list)  # left, top, width, height in pixels
    answers: list[np.ndarray] = field(default_factory=list)  # (7,), the model's
    smoothed: list[np.ndarray] = field(default_factory=list)  # (7,), over time
    number: int = 0  # from 1 on, once it was found often enough to count
    moments: dict[int, Moment] = field(default_factory=dict)  # class -> where it was the label

    @property
    def label(self) -> int:
        """The most probable class at its last time."""
        return int(self.smoothed[-1].argmax())

    def add(self, seconds, frame, answer, smoothing):
        """Note where the face is and what the model says, and smooth that over time."""
        smooth = answer
        if self.smoothed and smoothing:
            weight = -math.expm1(-(seconds - self.seconds[-1]) / smoothing)
            smooth = self.smoothed[-1] + weight * (answer - self.smoothed[-1])
        for values, value in (
            (self.seconds, seconds),
            (self.frames, frame),
            (self.answers, answer),
            (self.smoothed, smooth),
        ):
            values.append(value)

    def keep_moment(self, colours):
        """Keep how the face looks if its label was never as probable before."""
        probability = float(self.smoothed[-1][self.label])
        best = self.moments.get(self.label)
        if best is None or probability > best.probability:
            crop = photos.cut_colours(colours, self.frames[-1], CROP_SIDE)
            self.moments[self.label] = Moment(self.seconds[-1], probability, crop)


class Tracker:
    """Follows faces by the overlap of their frames.

    Attributes:
        tracks: all faces found so far; what was lost before it counted is dropped.
    """

    def __init__(self, *, smoothing: float, patience: float = PATIENCE):
        """Start without a face.

        Args:
            smoothing: seconds after which an old answer has lost 63 % of its weight; 0 for none.
            patience: seconds that a face may go unseen.
        """
        self.tracks: list[Track] = []
        self._smoothing, self._patience = smoothing, patience
        self._numbered = 0

    def update(self, seconds, colours, frames, answers) -> list[Track]:
        """Take the faces of one frame; return the tracks that they belong to.

        Each face goes to the track whose last frame it overlaps most, the best pairs first; what
        overlaps none starts one.

        Args:
            seconds: when the frame is shown; later than the one before.
            colours: uint8 (height, width, 3).
            frames: int (n, 4), of the faces.
            answers: (n, 7), the probabilities of each.
        """
        self.tracks = [
            track
            for track in self.tracks
            if track.number or seconds - track.seconds[-1] <= self._patience
        ]
        near = [t for t in self.tracks if seconds - t.seconds[-1] <= self._patience]
        overlaps = overlap(frames, np.array([track.frames[-1] for track in near]).reshape(-1, 4))
        found: dict[int, Track] = {}
        for place in np.argsort(-overlaps, axis=None, kind="stable"):
            face, old = np.unravel_index(place, overlaps.shape)
            if overlaps[face, old] < OVERLAP:
                break
            if face not in found and near[old] not in found.values():
                found[int(face)] = near[old]
        for face, (frame, answer) in enumerate(zip(frames, answers, strict=True)):
            if face not in found:
                found[face] = Track()
                self.tracks.append(found[face])
            track = found[face]
            track.add(seconds, frame, answer, self._smoothing)
            track.keep_moment(colours)
            if not track.number and len(track.seconds) >= SEEN:
                self._numbered += 1
                track.number = self._numbered
        return list(found.values())

    def counted(self) -> list[Track]:
        """Return the faces that count, by number."""
        return sorted((t for t in self.tracks if t.number), key=lambda track: track.number)


def overlap(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the intersection over union of frames, (n, 4) and (m, 4), as float64 (n, m)."""
    one, other = first[:, np.newaxis].astype(float), second[np.newaxis].astype(float)
    low = np.maximum(one[..., :2], other[..., :2])
    high = np.minimum(one[..., :2] + one[..., 2:], other[..., :2] + other[..., 2:])
    shared = np.clip(high - low, 0, None).prod(axis=-1)
    return shared / (one[..., 2:].prod(axis=-1) + other[..., 2:].prod(axis=-1) - shared)


@dataclass(frozen=True, eq=False)
class Footage:
    """The faces of a video, or of what has been seen of it."""

    name: str  # of the file, or of the camera
    model: str  # its name
    seconds: float  # that were seen
    tracks: list[Track]  # at least one, each of which counts
    smoothing: float  # seconds
    gap: float  # seconds; faces that were not found for longer leave a gap in figures
