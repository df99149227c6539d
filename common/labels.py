"""The seven expressions of FER-2013, their codes, and the shape of a face image."""

CLASS_NAMES = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
NUM_CLASSES = len(CLASS_NAMES)
SYNONYMS = {  # words of other copies of FER-2013 and of kindred sets
    "angry": ("anger",),
    "disgust": ("disgusted",),
    "fear": ("fearful", "afraid"),
    "happy": ("happiness",),
    "sad": ("sadness",),
    "surprise": ("surprised",),
    "neutral": (),
}
CODES = {word: code for code, name in enumerate(CLASS_NAMES) for word in (name, *SYNONYMS[name])}

IMAGE_SIZE = 48
IMAGE_SHAPE = (IMAGE_SIZE, IMAGE_SIZE)  # rows, columns of one uint8 grey image
INPUT_SHAPE = (IMAGE_SIZE, IMAGE_SIZE, 1)  # what a model takes, float32 in [0, 1]
NUM_PIXELS = IMAGE_SIZE * IMAGE_SIZE


def class_code(name: str | int) -> int:
    """Return the code 0-6 of a class given by name, by a common synonym or by number.

    Args:
        name: "happy", "Happiness", "3", "3.0", 3 or "3_happy" (of which the name counts).

    Raises:
        ValueError: the name is none of the seven; the message lists them.
    """
    text = str(name).strip().lower()
    word = text.lstrip("0123456789").lstrip(" _-.") or text
    if word in CODES:
        return CODES[word]
    number = text.removesuffix(".0")
    if number.isdecimal() and int(number) < NUM_CLASSES:
        return int(number)
    known = ", ".join(f"{code} {label}" for code, label in enumerate(CLASS_NAMES))
    eight = number == "7" or word == "contempt"
    hint = "; CK+ and AffectNet have an eighth class, contempt: leave it out" if eight else ""
    raise ValueError(f"unknown class {name!r}: expected a name or number of {known}{hint}")
