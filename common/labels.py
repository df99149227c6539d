"""The seven expressions of FER-2013, their codes, and the shape of a face image."""

CLASS_NAMES = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
NUM_CLASSES = len(CLASS_NAMES)

IMAGE_SIZE = 48
IMAGE_SHAPE = (IMAGE_SIZE, IMAGE_SIZE)  # rows, columns of one uint8 grey image
INPUT_SHAPE = (IMAGE_SIZE, IMAGE_SIZE, 1)  # what a model takes, float32 in [0, 1]
NUM_PIXELS = IMAGE_SIZE * IMAGE_SIZE


def class_code(name):
    """Return the code 0-6 of a class given by name or by number.

    Args:
        name: "happy", "Happy", "3" or 3.

    Raises:
        ValueError: the name is none of the seven; the message lists them.
    """
    text = str(name).strip().lower()
    if text in CLASS_NAMES:
        return CLASS_NAMES.index(text)
    if text.isdecimal() and int(text) < NUM_CLASSES:
        return int(text)
    known = ", ".join(f"{code} {label}" for code, label in enumerate(CLASS_NAMES))
    raise ValueError(f"unknown class {name!r}: expected a name or number of {known}")
