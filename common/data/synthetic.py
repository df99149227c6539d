"""Draw the sample data: small grey pictures of people that were never born, in seven expressions.

A face is some sixty numbers. Those that an expression moves stand in `ACTIONS` and `PROTOTYPES`,
after the action units (AU) of Ekman and Friesen's Facial Action Coding System; the rest (who it
is, how the head is held, the light, the camera) are drawn from the spans in `IDENTITY` and the
odds in `EXTRAS`. Shapes are painted with soft edges straight onto the pixels, many faces at once.

Lengths are in half images: (0, 0) is the middle of the picture, u runs to the right, v runs down,
and one unit is 24 pixels. Tones run from 0 (black) to 1 (white).
"""

from types import SimpleNamespace

import numpy as np

from common.labels import IMAGE_SHAPE, IMAGE_SIZE, NUM_CLASSES, class_code

PIXEL = 2 / IMAGE_SIZE
# The share of each class in a drawn data set: FER-2013's order, less uneven.
CLASS_SHARES = (0.14, 0.06, 0.14, 0.22, 0.16, 0.12, 0.16)
# What an expression moves: (at rest, standard deviation from face to face). Down is positive.
ACTIONS = {
    "brow_inner": (0.0, 0.025),
    "brow_outer": (0.0, 0.025),
    "brow_gap": (0.13, 0.012),  # from the middle of the face to the inner end of a brow
    "lid_upper": (0.085, 0.010),  # how far the lid stands above the middle of the eye
    "lid_lower": (0.055, 0.007),  # and below it
    "lid_slant": (0.0, 0.012),
    "cheek": (0.0, 0.10),  # cheeks, wrinkles and folds: 0 smooth, 1 deep
    "nose_wrinkle": (0.0, 0.08),
    "frown": (0.0, 0.12),
    "forehead": (0.0, 0.12),
    "fold": (0.15, 0.15),  # from the nose to the corners of the mouth
    "mouth_width": (0.26, 0.022),
    "mouth_height": (0.52, 0.012),
    "corner": (-0.01, 0.020),  # how far the corners hang
    "opening": (0.0, 0.012),
    "upper_lip": (0.0, 0.010),  # how far the lip is pulled up towards the nose
    "teeth": (0.3, 0.15),  # the part of the opening that shows teeth
    "lips": (1.0, 0.15),  # thickness, 1 usual
}
STRENGTHS = ("cheek", "nose_wrinkle", "frown", "forehead", "fold", "opening", "teeth")  # 0 to 1
# fmt: off
PROTOTYPES: tuple[tuple[str, dict], ...] = (  # what is not named stays at rest; "apart" adds AU 25
    ("neutral", dict()),
    # AU 6 + 12; the same, lips apart
    ("happy", dict(cheek=0.8, lid_lower=0.025, fold=0.8, mouth_width=0.38, corner=-0.17)),
    ("happy", dict(cheek=1.0, lid_upper=0.07, lid_lower=0.02, fold=1.0, mouth_width=0.41,
                   mouth_height=0.49, corner=-0.19, opening=0.22, teeth=0.7, lips=0.8)),
    # AU 1 + 4 + 15
    ("sad", dict(brow_inner=-0.13, brow_outer=0.06, brow_gap=0.09, lid_upper=0.06, lid_slant=0.04,
                 frown=0.4, forehead=0.3, fold=0.4, mouth_height=0.55, corner=0.14)),
    # AU 1 + 2 + 5 + 26
    ("surprise", dict(brow_inner=-0.16, brow_outer=-0.16, lid_upper=0.14, lid_lower=0.085,
                      forehead=0.8, fold=0.0, mouth_width=0.18, mouth_height=0.57, opening=0.34,
                      teeth=0.1)),
    # AU 1 + 2 + 4 + 5 + 20 + 26
    ("fear", dict(brow_inner=-0.15, brow_outer=-0.03, brow_gap=0.08, lid_upper=0.13, frown=0.5,
                  forehead=0.8, mouth_width=0.36, corner=0.06, opening=0.15, teeth=0.45,
                  lips=0.8)),
    # AU 4 + 5 + 7 + 23; the same, teeth bared
    ("angry", dict(brow_inner=0.13, brow_outer=-0.05, brow_gap=0.07, lid_upper=0.075,
                   lid_lower=0.03, lid_slant=-0.03, frown=1.0, mouth_width=0.24, corner=0.05,
                   lips=0.4)),
    ("angry", dict(brow_inner=0.13, brow_outer=-0.06, brow_gap=0.07, lid_lower=0.035,
                   lid_slant=-0.03, frown=1.0, fold=0.7, mouth_width=0.31, corner=0.05,
                   opening=0.22, teeth=1.0, lips=0.7)),
    # AU 9 + 15 + 16
    ("disgust", dict(brow_inner=0.09, brow_outer=0.03, lid_upper=0.045, lid_lower=0.015,
                     cheek=0.5, nose_wrinkle=1.0, frown=0.4, fold=1.0, mouth_width=0.28,
                     mouth_height=0.5, corner=0.12, opening=0.06, upper_lip=0.07, teeth=0.5,
                     lips=1.2)),
)
# What makes a person and a photograph: (lowest, highest), drawn evenly.
IDENTITY = dict(
    skin=(0.38, 0.85), hair=(0.05, 0.55), iris=(0.05, 0.35),
    lip_tone=(0.55, 0.85),  # of the skin's
    face_width=(0.62, 0.74), face_length=(0.82, 0.94),
    taper=(0.02, 0.22),  # how much the face narrows towards the chin
    eye_apart=(0.29, 0.34), eye_width=(0.15, 0.19), gaze_u=(-0.03, 0.03), gaze_v=(-0.03, 0.01),
    brow_half=(0.022, 0.05), brow_arch=(0.03, 0.09), nose_length=(0.16, 0.27),
    nose_width=(0.10, 0.15), hairline=(-0.80, -0.48), hair_curve=(0.0, 0.7), parting=(-0.3, 0.3),
    hair_end=(-0.2, 0.3),  # where hair stops beside the face, unless it is long
    lopsided=(-0.2, 0.2),  # one brow and one corner of the mouth higher than the other
    shift_u=(-0.11, 0.11), shift_v=(-0.11, 0.11), zoom=(0.98, 1.28), tilt=(-0.20, 0.20),  # radians
    yaw=(-0.22, 0.22),  # how much nearer one half of the face is
    light_u=(-0.4, 0.4), light_v=(-0.25, 0.05), shirt=(0.1, 0.9), phase=(0.0, 6.28),
    background=(0.05, 0.95), background_u=(-0.3, 0.3), background_v=(-0.3, 0.3), waves=(0.0, 0.12),
    hand_u=(-0.6, 0.6), hand_v=(-0.2, 0.8), hand_turn=(0.0, 3.14),
    blur=(0.0, 0.9), noise=(0.0, 0.028), contrast=(0.75, 1.3), exposure=(-0.08, 0.12),
)
EXTRAS = dict(long_hair=0.3, bald=0.08, beard=0.18, glasses=0.12, hand=0.06)  # odds


def draw_dataset(
    num_train: int = 3500, num_test: int = 700, *, seed: int = 0
) -> tuple[np.ndarray, ...]:
    """Return `(train_images, train_labels, test_images, test_labels)`, the same for the same seed.

    Images are uint8 (n, 48, 48), labels int64 (n,). Train and test come from two separate random
    streams, so a longer training set leaves the test rows as they are.
    """
    arrays = []
    streams = np.random.SeedSequence(seed).spawn(2)
    for size, stream in zip((num_train, num_test), streams, strict=True):
        rng = np.random.default_rng(stream)
        middles = (np.arange(size) + 0.5) / max(size, 1)
        labels = np.searchsorted(np.cumsum(CLASS_SHARES)[:-1], middles, side="right")
        labels = rng.permutation(labels.astype(np.int64))
        arrays += [draw_faces(labels, rng=rng), labels]
    return tuple(arrays)


def draw_faces(
    labels: np.ndarray, *, rng: np.random.Generator, chunk: int = 16
) -> np.ndarray:
    """Return one drawn face a label, uint8 (n, 48, 48).

    Args:
        labels: class codes 0-6, (n,).
        rng: the `numpy.random.Generator` to draw from.
        chunk: faces painted at a time; it changes memory and speed, never a pixel.

    Raises:
        ValueError: a label is none of the seven codes.
    """
    labels = np.asarray(labels)
    if labels.ndim != 1 or not np.isin(labels, np.arange(NUM_CLASSES)).all():
        raise ValueError(f"expected a list of class codes 0-6, found {labels!r}")
    people = _draw_actions(labels, rng) | _draw_identity(len(labels), rng)
    images = np.empty((len(labels), *IMAGE_SHAPE), np.uint8)
    for start in range(0, len(labels), chunk):
        rows = slice(start, start + chunk)
        face = SimpleNamespace(**{key: column[rows, None, None] for key, column in people.items()})
        images[rows] = _photograph(_paint_face(face), face, rng)
    return images


def _draw_actions(labels, rng):
    """Return {action: float32 (n,)}: a prototype of the label, at some intensity, and scatter."""
    rest, spread = np.array(list(ACTIONS.values())).T
    resting = dict(zip(ACTIONS, rest, strict=True))
    table = np.array([list((resting | moves).values()) for _, moves in PROTOTYPES])
    codes = np.array([class_code(name) for name, _ in PROTOTYPES])
    size = len(labels)
    # The highest random score among the prototypes of the class: each is equally likely.
    scores = rng.random((size, len(codes)))
    chosen = np.where(codes == labels[:, None], scores, -1.0).argmax(axis=1)
    other = rng.integers(len(codes), size=size)
    # Most faces are clear; a few are faint, and some carry a trace of another feeling.
    intensity = rng.beta(5, 1.5, size=(size, 1)) * 1.25
    trace = np.clip(rng.normal(-0.2, 0.2, size=(size, 1)), 0, 0.5)
    values = rest + intensity * ((1 - trace) * table[chosen] + trace * table[other] - rest)
    values += spread * rng.standard_normal(values.shape)
    actions = dict(zip(ACTIONS, values.T.astype(np.float32), strict=True))
    return actions | {key: np.clip(actions[key], 0, 1) for key in STRENGTHS}


def _draw_identity(size, rng):
    """Return {trait: float32 (n,)}: spans drawn evenly, extras 0 or 1."""
    traits = {key: rng.uniform(*span, size) for key, span in IDENTITY.items()}
    traits |= {key: rng.random(size) < odds for key, odds in EXTRAS.items()}
    return {key: column.astype(np.float32) for key, column in traits.items()}


def _cover(depth):
    """Return how much of each pixel a shape covers, from the pixel's depth inside the edge."""
    return np.clip(depth / PIXEL + 0.5, 0, 1)


def _ellipse(u, v, radius_u, radius_v):
    """Return the depth inside an ellipse around (0, 0), exact along its shorter axis."""
    return (1 - np.sqrt((u / radius_u) ** 2 + (v / radius_v) ** 2)) * np.minimum(radius_u, radius_v)


def _stroke(distance, half_width):
    """Return the cover of a line, from each pixel's distance to its middle."""
    return _cover(half_width - np.abs(distance))


def _paint(image, cover, tone):
    """Lay a tone over the image where it is covered."""
    image += cover * (tone - image)


def _paint_face(face):
    """Return float32 (n, 48, 48): the people before a background, seen by a perfect camera."""
    line = (np.arange(IMAGE_SIZE, dtype=np.float32) + 0.5) * PIXEL - 1
    right, down = line[None, None, :], line[None, :, None]
    waves = np.sin(5 * right + face.phase) * np.sin(4 * down + 2 * face.phase)
    image = face.background + face.background_u * right + face.background_v * down
    image = np.clip(image, 0, 1) + face.waves * waves

    # From the picture to the upright face: shift, turn, scale, then bring one half nearer.
    right, down = right - face.shift_u, down - face.shift_v
    cosine, sine = np.cos(face.tilt) / face.zoom, np.sin(face.tilt) / face.zoom
    u, v = cosine * right + sine * down, cosine * down - sine * right
    u += face.yaw * (u**2 - 0.1)

    _paint_head(image, face, u, v)
    # Eyes, nose and mouth stay within these rows, however the head is held.
    for paint, rows in (
        (_paint_eyes, np.s_[:38]),
        (_paint_nose, np.s_[14:]),
        (_paint_mouth, np.s_[22:]),
    ):
        paint(image[:, rows], face, u[:, rows], v[:, rows])

    # Now and then a hand gets in the way.
    cosine, sine = np.cos(face.hand_turn), np.sin(face.hand_turn)
    u, v = u - face.hand_u, v - face.hand_v
    across, along = cosine * u + sine * v, cosine * v - sine * u
    finger = (across / 0.14) % 1 - 0.5
    hand = np.minimum(0.28 - np.abs(across), 0.5 - np.abs(along) - 0.3 * finger**2)
    _paint(image, face.hand * _cover(hand), face.skin * (1 - 2 * finger**2))
    return image * (1 + face.light_u * line[None, None, :] + face.light_v * line[None, :, None])


def _paint_head(image, face, u, v):
    """Paint shoulders, hair, ears, the shaded face, its forehead and its beard."""
    side = np.abs(u)
    strands = np.sin(61 * u + 9 * v * v + face.phase) + np.sin(29 * u - 17 * v + 3 * face.phase)
    hair = face.hair * (1.1 + 0.12 * strands - 0.5 * side + face.light_u * u)
    chin = np.where(v > 0, face.face_length + 0.3 * face.opening, face.face_length)
    narrow = side * (1 + face.taper * v)

    _paint(image, _cover(v - 0.95 - 0.15 * side), face.shirt)
    _paint(image, _cover(np.minimum(0.36 - side, v)), 0.65 * face.skin)
    behind = _ellipse(side, np.minimum(v, 0), face.face_width + 0.12, face.face_length + 0.06)
    end = face.hair_end + 2 * face.long_hair
    not_bald = 1 - face.bald
    _paint(image, _cover(np.minimum(behind, end - v)) * not_bald, 0.8 * hair)
    ear = _ellipse(side - face.face_width - 0.01, v - 0.02, 0.08, 0.17)
    _paint(image, _cover(ear) * (1 - face.long_hair), 0.8 * face.skin)

    inside = _ellipse(narrow, v, face.face_width, chin)
    round_u, round_v = narrow / face.face_width, v / chin
    shade = 1.08 - 0.35 * (round_u**2 + round_v**2) ** 2 + face.light_u * u
    glow = np.clip(1 - ((side - 0.34) / 0.2) ** 2 - ((v - 0.18) / 0.16) ** 2, 0, 1)
    shade += (0.05 + 0.12 * face.cheek) * glow
    _paint(image, _cover(inside), face.skin * shade)
    ripple = np.abs((v - face.brow_inner) % 0.12 - 0.06)
    ripple = _cover(0.012 - ripple) * _cover(np.minimum(0.4 - side, 0.13 - np.abs(v + 0.6)))
    image *= 1 - 0.4 * face.forehead * ripple
    jaw = np.minimum(inside, v - np.maximum(0.74 - 0.9 * side, 0.1))
    moustache = np.minimum(0.04 - np.abs(v - face.mouth_height + 0.15), 0.26 - side)
    beard = np.clip(6 * np.maximum(jaw, moustache), 0, 1)
    _paint(image, 0.7 * beard * face.beard, hair)
    hairline = face.hairline + face.hair_curve * (u - face.parting) ** 2
    _paint(image, _cover(np.minimum(behind, np.minimum(hairline - v, end - v))) * not_bald, hair)


def _paint_eyes(image, face, u, v):
    """Paint both eyes, the brows and what moves between and below them; a few wear glasses."""
    side, sign = np.abs(u), np.sign(u)
    x, y = (side - face.eye_apart) / face.eye_width, v + 0.14
    image *= 1 - 0.3 * np.clip(1 - (x / 1.7) ** 2 - ((y + 0.05) / 0.2) ** 2, 0, 1)
    bulge, slant = np.clip(1 - x**2, 0, 1), face.lid_slant * x
    upper, lower = slant - face.lid_upper * bulge, slant + face.lid_lower * bulge
    near = _cover((1.05 - np.abs(x)) * face.eye_width)
    opened = _cover(np.minimum(y - upper, lower - y)) * near
    _paint(image, opened, 0.42 + 0.42 * face.skin)
    iris_u, iris_v = u - sign * face.eye_apart - face.gaze_u, y - face.gaze_v
    radius = np.hypot(iris_u, iris_v)
    _paint(image, opened * _cover(0.085 - radius), face.iris * np.clip(radius / 0.07, 0, 1))
    _paint(image, opened * _cover(0.02 - np.hypot(iris_u + 0.03, iris_v + 0.03)), 1.0)
    _paint(image, near * _stroke(y - upper, 0.022), 0.15 * face.skin)
    image *= 1 - 0.4 * near * _stroke(y - lower, 0.014)
    image *= 1 - 0.3 * near * _stroke(y - upper + 0.06, 0.012)
    image *= 1 - 0.35 * near * face.cheek * _stroke(y - lower - 0.07, 0.016)

    s = (side - face.brow_gap) / 0.36  # along a brow: 0 inner end, 1 outer end
    brow = -0.34 + face.brow_inner + (face.brow_outer - face.brow_inner) * s
    brow += 0.15 * face.lopsided * sign - 4 * face.brow_arch * s * (1 - s)
    ends = _cover(0.36 * np.minimum(s, 1 - s))
    _paint(image, ends * _stroke(v - brow, face.brow_half * (1.2 - 0.5 * s)), 0.6 * face.hair)
    between = _cover(0.11 - np.abs(v + 0.32)) * _stroke(side - 0.05, 0.014)
    image *= 1 - 0.5 * face.frown * between

    frame = _stroke(_ellipse(side - face.eye_apart, y - 0.01, 0.22, 0.19), 0.02)
    bridge = _stroke(y, 0.015) * _cover(face.eye_apart - 0.22 - side)
    _paint(image, 0.9 * face.glasses * np.maximum(frame, bridge), 0.08)


def _paint_nose(image, face, u, v):
    """Paint the nose, its wrinkles and the folds from its wings to the corners of the mouth."""
    side, wrinkle = np.abs(u), face.nose_wrinkle
    tip = face.nose_length - 0.04 * wrinkle
    along = _cover(np.minimum(v + 0.15, tip - v))
    shadow = np.where(face.light_u > 0, u, -u) + 0.075  # falls on the side away from the light
    image *= 1 - 0.2 * along * np.clip(1 - np.abs(shadow) / 0.07, 0, 1)
    image *= 1 + 0.1 * along * np.clip(1 - side / 0.05, 0, 1)
    below = _cover(face.nose_width - side) * _stroke(v - tip - 0.03 + 2 * u**2, 0.016)
    image *= 1 - 0.4 * below
    image *= 1 - 0.6 * _cover(_ellipse(side - 0.06, v - tip, 0.035, 0.022))
    ripple = _cover(0.014 - np.abs((v + 0.6 * side) % 0.09 - 0.045))
    image *= 1 - 0.5 * wrinkle * ripple * _cover(np.minimum(0.13 - side, 0.11 - np.abs(v + 0.06)))
    s = (v - tip + 0.05) / (face.mouth_height + 0.03 - tip)
    fold = face.nose_width + 0.02 + (face.mouth_width + 0.06 - face.nose_width) * s
    fold = _stroke(side - fold, 0.018) * np.clip(5 * np.minimum(s, 1 - s), 0, 1)
    image *= 1 - 0.4 * face.fold * fold


def _paint_mouth(image, face, u, v):
    """Paint the lips, what shows between them, and the shadow under the lower lip."""
    t = u / face.mouth_width
    bow = np.clip(1 - t**2, 0, 1)
    round_bow = np.sqrt(bow)
    middle = face.mouth_height + face.corner * (0.6 - bow) + 0.1 * face.lopsided * np.clip(t, -1, 1)
    opening, lips = face.opening, np.maximum(face.lips, 0.2)
    upper = middle - (0.4 * opening + face.upper_lip) * round_bow
    lower = middle + 0.6 * opening * round_bow
    inside = _cover((1 - np.abs(t)) * face.mouth_width)
    lip_up = upper - 0.05 * lips * round_bow * (1 - 0.3 * np.clip(1 - np.abs(t) * 4, 0, 1))
    lip_down = lower + 0.07 * lips * round_bow
    lip = inside * _cover(np.minimum(v - lip_up, lip_down - v))
    _paint(image, lip, face.skin * face.lip_tone)
    image *= 1 - 0.25 * inside * _stroke(v - lip_down - 0.05, 0.03) * bow
    mouth = inside * _cover(np.minimum(v - upper, lower - v))
    _paint(image, mouth, 0.08)
    teeth = mouth * _cover(upper + (lower - upper) * face.teeth - v)
    _paint(image, teeth * np.clip(20 * opening - 0.5, 0, 1), 0.6 + 0.3 * face.skin)
    # Where the lips meet, or where clenched teeth do.
    meet = inside * _stroke(v - middle, 0.018) * np.clip(1 - 12 * opening, 0.3, 1)
    _paint(image, 0.8 * meet, 0.15 * face.skin)


def _photograph(image, face, rng):
    """Return the image as a cheap camera keeps it: blurred, out of contrast, noisy, uint8."""
    for view in (image, image.swapaxes(1, 2)):
        inner = view[:, 1:-1]
        inner += face.blur * (0.25 * (view[:, :-2] + view[:, 2:]) - 0.5 * inner)
    image = 0.5 + face.exposure + face.contrast * (image - 0.5)
    image += face.noise * rng.standard_normal(image.shape, dtype=np.float32)
    return (255 * np.clip(image, 0, 1) + 0.5).astype(np.uint8)
