"""The seven probabilities of each face in a video over time."""

import numpy as np
from matplotlib.figure import Figure

from common.data.tracks import Footage, Track
from common.figures import style
from common.labels import CLASS_NAMES

TITLE = "The expressions in a video over time"
CAPTION = (
    "For each face the seven probabilities, stacked, smoothed over time. White: the face was not "
    "found."
)
COLUMNS = ("face", "second", "label")
MAX_FACES = 8  # drawn in one figure, those seen longest
ROW = 1.5  # inches


def table(footage: Footage) -> list[dict]:
    """Return a row for each face and second in which it was found.

    Frames are the means of the second, in pixels of the video; probabilities those of the smoothed
    ones.
    """
    return [row for track in footage.tracks for row in _seconds(track)]


def arrays(footage: Footage) -> dict[str, np.ndarray]:
    """Return an entry for each face and frame: what was drawn, and the answers before smoothing."""
    return {
        "face": np.concatenate([[track.number] * len(track.seconds) for track in footage.tracks]),
        **{
            name: np.concatenate([getattr(track, name) for track in footage.tracks])
            for name in ("seconds", "frames", "answers", "smoothed")
        },
    }


def sentences(footage: Footage) -> list[str]:
    """Return when each face was seen, and how long with which label."""
    return [_sentence(track) for track in footage.tracks]


def longest(footage: Footage) -> list[Track]:
    """Return the faces that are drawn, by number."""
    found = sorted(footage.tracks, key=lambda track: -len(track.seconds))[:MAX_FACES]
    return sorted(found, key=lambda track: track.number)


def left_out(footage: Footage) -> str:
    """Return how many faces are not drawn, as it stands at the end of a title."""
    more = len(footage.tracks) - MAX_FACES
    return f" ({more} more faces not shown)" if more > 0 else ""


def draw(footage: Footage) -> Figure:
    """Return a row a face: its seven probabilities over time."""
    shown = longest(footage)
    figure = style.new_figure(10, ROW * len(shown) + 1.3)
    rows = figure.subplots(len(shown), 1, sharex=True, squeeze=False)[:, 0]
    for axes, track in zip(rows, shown, strict=True):
        seconds, smoothed = _with_gaps(track, footage.gap)
        drawn = axes.stackplot(
            seconds,
            smoothed.T,
            labels=CLASS_NAMES,
            colors=list(style.CLASS_COLOURS.values()),
            linewidth=0,
        )
        axes.set(ylim=(0, 1), yticks=(0, 0.5, 1), ylabel=f"face {track.number}")
    rows[-1].set(xlim=(0, max(footage.seconds, 1e-3)), xlabel="seconds")
    figure.legend(handles=drawn, loc="outside right center")
    title = f"{footage.name}, {footage.model}"
    if footage.smoothing:
        title += f"; probabilities smoothed over {footage.smoothing:g} s"
    title += left_out(footage)
    style.title(figure, title)
    return figure


def _seconds(track):
    """Yield the rows of one face."""
    starts = np.floor(track.seconds).astype(int)
    frames, smoothed = np.array(track.frames), np.array(track.smoothed)
    for second in np.unique(starts):
        chosen = starts == second
        frame, row = frames[chosen].mean(axis=0), smoothed[chosen].mean(axis=0)
        yield {
            "face": track.number,
            "second": int(second),
            "frames": int(chosen.sum()),
            **dict(
                zip(("left", "top", "width", "height"), np.rint(frame).astype(int), strict=True)
            ),
            **{name: f"{p:.6f}" for name, p in zip(CLASS_NAMES, row, strict=True)},
            "label": CLASS_NAMES[row.argmax()],
        }


def _sentence(track):
    """Return when a face was seen, and in which share of its frames with which label."""
    labels = np.argmax(track.smoothed, axis=1)
    shares = np.bincount(labels, minlength=len(CLASS_NAMES)) / len(labels)
    said = ", ".join(
        f"{CLASS_NAMES[code]} {shares[code]:.0%}"
        for code in np.argsort(-shares, kind="stable")
        if shares[code] >= 0.005
    )
    return (
        f"Face {track.number}, {track.seconds[0]:.1f} to {track.seconds[-1]:.1f} s, found in "
        f"{len(labels):,} frames: {said}."
    )


def _with_gaps(track, gap):
    """Return (seconds (n,), probabilities (n, 7)), missing where the face was not found."""
    seconds, smoothed = np.array(track.seconds), np.array(track.smoothed)
    after = np.flatnonzero(np.diff(seconds) > gap) + 1
    ends = np.repeat(after, 2)  # both just after it was seen last, and just before it was again
    edges = np.column_stack([seconds[after - 1], seconds[after]]).ravel()
    missing = np.full((len(ends), smoothed.shape[1]), np.nan)
    return np.insert(seconds, ends, edges), np.insert(smoothed, ends, missing, axis=0)
