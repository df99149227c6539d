"""Finding the images of a run in another copy of the data, whatever its order and encoding.

FER-2013 is handed around as tables in several orders, some rows with other pixels, and as JPEG
files, whose pixels are off by a little. Two numbers identify an image: a hash of its pixels, and
an outline of 128 bits, the signs of its lowest frequencies, that survives small changes.
"""

import hashlib
from dataclasses import dataclass

import numpy as np

FREQUENCIES = 12  # down and across; 144 without the mean, of which the lowest 128 are kept
WORDS = 2  # of 64 bits an outline
NEAR = 12  # bits of 128 in which outlines of one image may differ
BLOCK = 2_000  # images whose outlines are compared at once


@dataclass(frozen=True, eq=False)
class Fingerprints:
    """What identifies n images.

    Attributes:
        exact: uint64 (n,), of all pixels.
        outline: uint64 (n, 2).
    """

    exact: np.ndarray
    outline: np.ndarray


def fingerprints(images: np.ndarray) -> Fingerprints:
    """Return the `Fingerprints` of images, uint8 (n, 48, 48)."""
    from scipy.fft import dctn

    exact = [
        int.from_bytes(hashlib.blake2b(image.tobytes(), digest_size=8).digest(), "little")
        for image in images
    ]
    down, across = np.divmod(np.arange(FREQUENCIES**2), FREQUENCIES)
    lowest = np.argsort(down + across, kind="stable")[1 : 1 + 64 * WORDS]
    outline = np.empty((len(images), WORDS), "<u8")
    for start in range(0, len(images), BLOCK):
        waves = dctn(images[start : start + BLOCK].astype(np.float32), axes=(1, 2))
        signs = waves[:, down[lowest], across[lowest]] > 0
        packed = np.ascontiguousarray(np.packbits(signs, axis=1))
        outline[start : start + BLOCK] = packed.view("<u8")
    return Fingerprints(np.array(exact, np.uint64), outline.astype(np.uint64))


def match(known: Fingerprints, held_out: np.ndarray, images: np.ndarray) -> np.ndarray:
    """Return where each held-out image of a run stands among other images.

    Every given image belongs to the known one that it is nearest to, if it is near; one that is as
    near to an image that was trained on counts as that. So nothing that was trained on is taken
    for held out, and no image is taken twice.

    Args:
        known: of all images of the run, trained on and held out.
        held_out: int64 (m,), rows of `known` that were held out.
        images: uint8 (k, 48, 48), where to look.

    Returns:
        int64 (m,): rows of `images`, -1 where an image is not there.
    """
    given = fingerprints(images)
    trained = np.ones(len(known.exact), bool)
    trained[held_out] = False
    copies: dict[
        int, list[int]
    ] = {}  # pixels of held-out images -> their rows that are not found yet
    for number in held_out.tolist():
        copies.setdefault(int(known.exact[number]), []).append(number)
    found = np.full(len(known.exact), -1)
    for row, key in enumerate(given.exact.tolist()):
        if copies.get(key):
            found[copies[key].pop(0)] = row
    # Whatever has no twin to the pixel may be the same image in another encoding.
    left = np.flatnonzero(~np.isin(given.exact, known.exact))
    missing = held_out[found[held_out] < 0]
    wanted = np.concatenate([np.flatnonzero(trained), missing])  # of equals the first is taken
    for _, row, number in sorted(_near(known.outline[wanted], given.outline[left])):
        key = int(known.exact[wanted[number]])
        if not trained[wanted[number]] and copies[key]:
            found[copies[key].pop(0)] = left[row]
    return found[held_out]


def seen(known: Fingerprints, trained: np.ndarray, images: np.ndarray) -> np.ndarray:
    """Return bool (k,): the image was trained on, itself or in another encoding.

    As in `match`, an image belongs to the known one that it is nearest to, if it is near.

    Args:
        known: of all images of the run.
        trained: int64 (m,), rows of `known` that were trained on.
        images: uint8 (k, 48, 48).
    """
    given = fingerprints(images)
    was_seen = np.isin(given.exact, known.exact[trained])
    left = np.flatnonzero(~np.isin(given.exact, known.exact))
    others = np.setdiff1d(np.arange(len(known.exact)), trained)
    wanted = np.concatenate([trained, others])  # of equals the first is taken
    for _, row, number in _near(known.outline[wanted], given.outline[left]):
        was_seen[left[row]] = number < len(trained)
    return was_seen


def share_known(known: Fingerprints, images: np.ndarray) -> float:
    """Return the share of images, uint8 (k, 48, 48), that are among the known ones or like one."""
    given = fingerprints(images)
    near = {row for _, row, _ in _near(known.outline, given.outline)}
    return len(near) / max(len(images), 1)


def _near(known, given):
    """Yield (bits between them, row of given, row of known) of outlines and their nearest."""
    if not len(known):
        return
    for start in range(0, len(given), BLOCK // 10):
        block = given[start : start + BLOCK // 10]
        bits = sum(np.bitwise_count(block[:, np.newaxis, word] ^ known[:, word]) for word in (0, 1))
        for row, number in enumerate(bits.argmin(axis=1)):
            if bits[row, number] <= NEAR:
                yield int(bits[row, number]), start + row, int(number)
