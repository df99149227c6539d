"""How far to believe maps: do their pixels matter, do they depend on what the model learned."""

from collections.abc import Callable
from dataclasses import dataclass

import keras
import numpy as np
from keras import Model
from numpy import ndarray
from scipy import ndimage, special, stats
from tqdm import tqdm

from common.attribution import engine, registry
from common.attribution.maps import importance
from common.models.prediction import checked

BLUR = 5.0  # pixels of deviation: a 48x48 face keeps its light and shade and loses its features


@dataclass(frozen=True)
class Faithfulness:
    """Both checks of the maps of several methods."""

    run: str  # folder of the model
    images: list[int]  # numbers of the n images
    classes: ndarray  # (n,), explained
    curves: dict[str, ndarray]  # of `compare`
    layers: list[str]  # in the order they are randomised
    correlations: dict[str, ndarray]  # method -> (layers + 1, n), with the trained model's map
    smoothing: float = 0.0  # pixels, of the maps

    def areas(self) -> dict[str, ndarray]:
        """Return for each method, and "random", the areas under its curves, (2, n)."""
        return {name: area(both) for name, both in self.curves.items()}


def check(
    model: Model,
    inputs: ndarray,
    importances: dict[str, ndarray],
    classes: ndarray,
    options: engine.Options,
    *,
    run: str,
    images: list[int],
) -> Faithfulness:
    """Return both checks of maps: method -> `maps.importance` of its maps, made with `options`.

    `run` (folder of the model) and `images` (numbers) are noted in the result.
    """
    curves = compare(model, inputs, importances, classes, seed=options.seed)
    layers: list[str] = []
    correlations = {}
    for name in importances:

        def explain(model, images, classes, name=name):
            found = registry.load(name).attribute(model, images, classes, options)
            return importance(name, found, options.smoothing)

        layers, correlations[name] = cascading_randomisation(
            model, explain, inputs, classes, seed=options.seed
        )
    return Faithfulness(run, images, classes, curves, layers, correlations, options.smoothing)


def blurred(images: ndarray) -> ndarray:
    """Return the images (n, h, w, 1) so blurred that only broad light and shade is left."""
    return ndimage.gaussian_filter(images, (0, BLUR, BLUR, 0), mode="nearest")


def deletion_insertion(
    model: Model,
    images: ndarray,
    importances: ndarray,
    classes: ndarray,
    *,
    steps: int = 24,
    fill: Callable = blurred,
    seed: int = 0,
) -> ndarray:
    """Return how the class's probability moves as pixels go, or come, most important first.

    Deletion replaces pixels of the image by those of its blurred copy; insertion starts from the
    blurred copy and puts the image's pixels in. A faithful map makes the first curve fall early
    and the second rise early: a small area under deletion, a large one under insertion. Both end
    on images the model can make sense of, unlike black or grey holes, whose edges it has never
    seen. Source: Petsiuk et al. 2018, section 4 (RISE; there deletion fills with grey).

    The pixels are divided into `steps` equal parts, those of equal importance in an order by the
    seed; `fill` takes images and returns what stands for missing pixels. What comes back is float64
    (2, n, steps + 1): deletion and insertion, probability of the class after 0, 1/steps, ..., all
    of the pixels.
    """
    images, classes = checked(model, images, classes)
    pixels = importances[0].size if len(images) else 0
    counts = np.round(np.arange(steps + 1) / steps * pixels)
    curves = np.empty((2, len(images), steps + 1))
    for place, (image, code) in enumerate(zip(images, classes, strict=True)):
        chance = np.random.default_rng([seed, place]).random(pixels)
        rank = np.empty(pixels)
        rank[np.lexsort((chance, -importances[place].ravel()))] = np.arange(pixels)
        chosen = (rank < counts[:, np.newaxis]).reshape(-1, *image.shape)
        blank = fill(image[np.newaxis])[0]
        copies = np.concatenate([np.where(chosen, blank, image), np.where(chosen, image, blank)])
        probabilities = special.softmax(engine.logits(model, copies), axis=1)
        curves[:, place] = probabilities[:, code].reshape(2, -1)
    return curves


def compare(
    model: Model,
    images: ndarray,
    importances: dict[str, ndarray],
    classes: ndarray,
    *,
    random_orders: int = 5,
    seed: int = 0,
    **options,
) -> dict[str, ndarray]:
    """Return name -> curves of `deletion_insertion` (which takes the `options`) for several maps.

    At the end comes "random", the mean of masking in several random orders.
    """

    def score(maps, seed):
        return deletion_insertion(model, images, maps, classes, seed=seed, **options)

    curves = {name: score(maps, seed=seed) for name, maps in importances.items()}
    constant = np.zeros(np.shape(images)[:3])  # all equal, so that the order is the seed's
    orders = [score(constant, seed=seed + 1 + order) for order in range(random_orders)]
    return curves | {"random": np.mean(orders, axis=0)}


def area(curves: ndarray) -> ndarray:
    """Return the area under each curve (..., steps + 1) by the trapezoidal rule, in [0, 1]."""
    return np.trapezoid(curves, dx=1 / (np.shape(curves)[-1] - 1), axis=-1)


def cascading_randomisation(
    model: Model,
    explain: Callable,
    images: ndarray,
    classes: ndarray,
    *,
    seed: int = 0,
) -> tuple[list[str], ndarray]:
    """Return how similar maps stay while the model forgets, from its top layer down.

    A copy of the model loses what it learned: one layer with a kernel after another, logits
    first, gets kernel and bias shuffled (so each layer keeps the size of its values), and stays so
    while the next follows. A map that still looks the same then shows the image, not the model.
    Source: Adebayo et al. 2018, section 4.

    `explain` takes (model, images, classes) and returns maps (n, h, w). What comes back are the
    names of the layers in the order they are randomised, and float64 (layers + 1, n): Spearman's
    rank correlation of the maps' size with that of the original; row 0, before anything is
    randomised, is 1. A map without two different values has the correlation 0, but NaN throughout
    where it is the original, of which nothing could be left.
    """
    copy = keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    generator = np.random.default_rng(seed)
    original = explain(copy, images, classes)
    names, correlations = [], [_rank_correlations(original, original)]
    layers = [layer for layer in copy.layers if getattr(layer, "kernel", None) is not None]
    for layer in tqdm(layers[::-1], desc="randomising", unit=" layers", delay=2, disable=None):
        layer.set_weights(
            [
                generator.permuted(weights.ravel()).reshape(weights.shape)
                for weights in layer.get_weights()
            ]
        )
        names.append(layer.name)
        correlations.append(_rank_correlations(original, explain(copy, images, classes)))
    blank = np.ptp(original, axis=(1, 2)) == 0
    return names, np.where(blank, np.nan, correlations)


def _rank_correlations(first, second):
    pairs = zip(*(np.abs(maps).reshape(len(maps), -1) for maps in (first, second)), strict=True)
    return np.array(
        [
            stats.spearmanr(one, other).statistic if np.ptp(one) and np.ptp(other) else 0.0
            for one, other in pairs
        ]
    )
