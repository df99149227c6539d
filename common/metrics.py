"""Numbers that say how good predictions are, and how sure one can be of them.

Counts are confusion matrices: int64 (7, 7), rows the true class, columns the predicted one.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from common.labels import NUM_CLASSES

SUM_TOLERANCE = 1e-3  # a float16 softmax may miss 1 by this much
SMALLEST_PROBABILITY = float(np.finfo(np.float32).eps)  # float32 cannot come nearer to 1 than this


@dataclass(frozen=True)
class ClassScores:
    """Scores of the seven classes, arrays (7,), and three numbers over all of them."""

    precision: np.ndarray
    recall: np.ndarray
    f1: np.ndarray
    support: np.ndarray  # rows that truly belong to the class
    macro_f1: float
    balanced_accuracy: float
    accuracy: float


@dataclass(frozen=True)
class PairedTest:
    """On how many rows two models were right, and the p-value of "they are equally good"."""

    both: int
    only_a: int
    only_b: int
    neither: int
    p_value: float


def checked_labels(values: ArrayLike, name: str = "labels") -> np.ndarray:
    """Return class codes as int64 (n,).

    Args:
        values: integers 0-6, one a row.
        name: what the message calls them.

    Raises:
        ValueError: something is no class code; the message names the position.
    """
    codes = np.asarray(values)
    if codes.ndim != 1 or (codes.size and codes.dtype.kind not in "iu"):
        raise ValueError(
            f"{name}: expected one integer a row, "
            f"found shape {codes.shape} of {codes.dtype}: pass class codes 0-{NUM_CLASSES - 1}"
        )
    wrong = np.flatnonzero((codes < 0) | (codes >= NUM_CLASSES))
    if wrong.size:
        raise ValueError(
            f"{name}: expected class codes 0-{NUM_CLASSES - 1}, "
            f"found {codes[wrong[0]]} at position {wrong[0]}"
        )
    return codes.astype(np.int64)


def checked_probabilities(probabilities: ArrayLike) -> np.ndarray:
    """Return class probabilities as float64 (n, 7): none negative, every row's sum 1.

    Raises:
        ValueError: wrong shape, no rows, or a row that is no distribution (logits, for one).
    """
    probabilities = np.asarray(probabilities, np.float64)
    if probabilities.ndim != 2 or probabilities.shape[1] != NUM_CLASSES or not len(probabilities):
        raise ValueError(
            f"probabilities: expected shape (n, {NUM_CLASSES}) with n of at least 1, "
            f"found {probabilities.shape}"
        )
    with np.errstate(over="ignore", invalid="ignore"):  # infinities are refused, not warned of
        fair = np.abs(probabilities.sum(axis=1) - 1) <= SUM_TOLERANCE
    fair &= (probabilities >= 0).all(axis=1)
    if not fair.all():
        row = np.flatnonzero(~fair)[0]
        raise ValueError(
            f"probabilities: expected numbers from 0 to 1 with sum 1 in every row, "
            f"found {probabilities[row].tolist()} at position {row}: pass the softmax, not logits"
        )
    return probabilities


def confusion_counts(labels: np.ndarray, predictions: np.ndarray) -> np.ndarray:
    """Return how often each true class was predicted as each class.

    Args:
        labels: true codes 0-6, (n,).
        predictions: predicted codes 0-6, (n,).

    Returns:
        int64 (7, 7), rows the true class, columns the predicted one.

    Raises:
        ValueError: a code outside 0-6, or lengths that differ.
    """
    labels = checked_labels(labels)
    predictions = checked_labels(predictions, "predictions")
    _check_equal_length(labels=labels, predictions=predictions)
    cells = np.bincount(labels * NUM_CLASSES + predictions, minlength=NUM_CLASSES**2)
    return cells.reshape(NUM_CLASSES, NUM_CLASSES).astype(np.int64)


def row_fractions(counts: np.ndarray) -> np.ndarray:
    """Return counts divided by their row's sum: float64 (7, 7), zeros where a class has no rows."""
    counts = _checked_counts(counts)
    return _divide(counts, counts.sum(axis=1, keepdims=True))


def class_scores(counts: np.ndarray) -> ClassScores:
    """Return the `ClassScores` of a confusion matrix; a division by zero counts as 0.

    As in scikit-learn, macro-F1 is the mean over the classes that occur among labels or
    predictions, balanced accuracy the mean recall of those that occur among labels.
    """
    counts = _checked_counts(counts)
    right = np.diagonal(counts)
    support = counts.sum(axis=1)
    predicted = counts.sum(axis=0)
    recall = _divide(right, support)
    f1 = _divide(2 * right, support + predicted)
    return ClassScores(
        precision=_divide(right, predicted),
        recall=recall,
        f1=f1,
        support=support,
        macro_f1=float(f1.sum() / max(np.count_nonzero(support + predicted), 1)),
        balanced_accuracy=float(recall.sum() / max(np.count_nonzero(support), 1)),
        accuracy=float(right.sum() / max(counts.sum(), 1)),
    )


def wilson_interval(correct: int, total: int, *, confidence: float = 0.95) -> tuple[float, float]:
    """Return (low, high), Wilson's score interval of a fraction.

    With no rows at all nothing is known: (0, 1).

    Args:
        correct: how many rows are right.
        total: how many rows there are.
        confidence: how often such an interval holds the truth, between 0 and 1.

    Raises:
        ValueError: not 0 <= correct <= total.

    Source: Wilson (1927), Probable inference, the law of succession, and statistical inference.
    """
    _check_confidence(confidence)
    if not 0 <= correct <= total:
        raise ValueError(f"expected 0 <= correct <= total, found {correct} of {total}")
    if total == 0:
        return 0.0, 1.0
    from scipy.stats import binomtest  # slow to import

    interval = binomtest(correct, total).proportion_ci(confidence, method="wilson")
    return float(interval.low), float(interval.high)


def accuracy_sentence(name: object, labels: np.ndarray, predictions: np.ndarray) -> str:
    """Return the fraction of right predictions (n,) with its interval, as a sentence."""
    right, count = int((labels == predictions).sum()), len(labels)
    low, high = wilson_interval(right, count)
    return (
        f"{name}: accuracy {right / count:.4f} [{low:.4f}, {high:.4f}] (95 %), "
        f"{right:,} of {count:,}"
    )


def bootstrap_interval(
    labels: np.ndarray,
    predictions: np.ndarray,
    statistic: Callable[[np.ndarray], ArrayLike],
    *,
    samples: int = 2000,
    seed: int = 0,
    confidence: float = 0.95,
) -> tuple[np.ndarray, np.ndarray]:
    """Return (low, high), the percentile bootstrap interval of any function of counts.

    Rows drawn with replacement make counts that are multinomial in the 49 cells, so whole
    confusion matrices are drawn, not rows.

    Args:
        labels: true codes 0-6, (n,), at least one.
        predictions: predicted codes 0-6, (n,).
        statistic: takes counts (7, 7), returns a number, or an array (a recall a class, say);
            low and high have its shape.
        samples: how many times the rows are drawn.
        seed: of the draws; the same seed gives the same interval.
        confidence: how often such an interval holds the truth, between 0 and 1.

    Source: Efron and Tibshirani (1993), An introduction to the bootstrap, section 13.3.
    """
    _check_confidence(confidence)
    cells = confusion_counts(labels, predictions).ravel()
    rows = cells.sum()
    if not rows:
        raise ValueError("labels: expected at least one row to draw from, found none")
    drawn = np.random.default_rng(seed).multinomial(rows, cells / rows, size=samples)
    values = [statistic(counts) for counts in drawn.reshape(-1, NUM_CLASSES, NUM_CLASSES)]
    tail = (1 - confidence) / 2
    low, high = np.quantile(np.asarray(values, np.float64), [tail, 1 - tail], axis=0)
    return low, high


def mcnemar(correct_a: np.ndarray, correct_b: np.ndarray) -> PairedTest:
    """Return the `PairedTest` of two models on the same rows: McNemar's, exact and two-sided.

    Only rows on which exactly one model is right tell them apart; if both are equally good,
    each of these is a fair coin. Without any such row the p-value is 1.

    Args:
        correct_a: for each row, whether model A is right, (n,) bool.
        correct_b: the same for model B, same rows in the same order.

    Source: McNemar (1947), Note on the sampling error of the difference between correlated
    proportions or percentages.
    """
    both, only_a, only_b, neither = _paired_counts(correct_a, correct_b)
    p_value = 1.0
    if only_a + only_b:
        from scipy.stats import binomtest  # slow to import

        p_value = float(binomtest(only_a, only_a + only_b, 0.5).pvalue)
    return PairedTest(both, only_a, only_b, neither, p_value)


def difference_interval(
    correct_a: np.ndarray, correct_b: np.ndarray, *, confidence: float = 0.95
) -> tuple[float, float, float]:
    """Return (difference, low, high): accuracy of A minus accuracy of B on the same rows.

    Args:
        correct_a: for each row, whether model A is right, (n,) bool, at least one row.
        correct_b: the same for model B, same rows in the same order.
        confidence: how often such an interval holds the truth, between 0 and 1.

    Source: Newcombe (1998), Improved confidence intervals for the difference between binomial
    proportions based on paired data, method 10 (Wilson's intervals, joined through the
    correlation phi with continuity correction).
    """
    both, only_a, only_b, neither = _paired_counts(correct_a, correct_b)
    total = both + only_a + only_b + neither
    if not total:
        raise ValueError("correct_a: expected at least one row, found none")
    right_a, right_b = both + only_a, both + only_b
    low_a, high_a = wilson_interval(right_a, total, confidence=confidence)
    low_b, high_b = wilson_interval(right_b, total, confidence=confidence)
    fraction_a, fraction_b = right_a / total, right_b / total

    association = both * neither - only_a * only_b
    if association > 0:
        association = max(association - total / 2, 0)
    margins = right_a * (total - right_a) * right_b * (total - right_b)
    phi = association / math.sqrt(margins) if margins else 0.0

    def width(one, other):  # sqrt(one^2 - 2 phi one other + other^2), safe from rounding below 0
        return math.sqrt((one - other) ** 2 + 2 * (1 - phi) * one * other)

    difference = (only_a - only_b) / total
    return (
        difference,
        difference - width(fraction_a - low_a, high_b - fraction_b),
        difference + width(high_a - fraction_a, fraction_b - low_b),
    )


def expected_calibration_error(
    probabilities: np.ndarray, labels: np.ndarray, *, bins: int = 15
) -> tuple[float, dict[str, np.ndarray]]:
    """Return (error, table): how far confidence is from accuracy, over all and in each bin.

    The confidence of a row is its largest probability; bins have equal width, and a border
    belongs to the bin below it. The error is the mean distance, weighted by rows.

    Args:
        probabilities: (n, 7), rows with sum 1.
        labels: true codes 0-6, (n,).
        bins: how many.

    Returns:
        The error in [0, 1], and a dictionary of arrays (bins,): mean "confidence", "accuracy" and
        its 95 % interval by Wilson, "low" and "high" (all four nan where a bin is empty), and
        "count".

    Source: Guo et al. (2017), On calibration of modern neural networks, section 2.
    """
    probabilities, labels = _checked_pair(probabilities, labels)
    confidences = probabilities.max(axis=1)
    places = np.clip(np.ceil(confidences * bins).astype(int) - 1, 0, bins - 1)
    count = np.bincount(places, minlength=bins)
    right = np.bincount(places[probabilities.argmax(axis=1) == labels], minlength=bins)
    with np.errstate(invalid="ignore"):  # nan in empty bins
        confidence = np.bincount(places, weights=confidences, minlength=bins) / count
        accuracy = right / count
    error = float(np.nansum(count * np.abs(confidence - accuracy)) / len(labels))
    low, high = np.full((2, bins), np.nan)
    for place in np.flatnonzero(count):
        low[place], high[place] = wilson_interval(right[place], count[place])
    table = {"confidence": confidence, "accuracy": accuracy, "count": count}
    return error, table | {"low": low, "high": high}


def negative_log_likelihood(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Return the mean of -log(probability of the true class), in nats.

    Probabilities below the resolution of float32 (1.2e-7) count as that, so that one row at
    exactly 0 costs 15.9 nats and not infinity.

    Args:
        probabilities: (n, 7), rows with sum 1.
        labels: true codes 0-6, (n,).
    """
    probabilities, labels = _checked_pair(probabilities, labels)
    true = probabilities[np.arange(len(labels)), labels]
    return float(-np.log(np.clip(true, SMALLEST_PROBABILITY, 1)).mean())


def mean_interval(values: np.ndarray, *, confidence: float = 0.95) -> tuple[float, float]:
    """Return (mean, half_width) of repeated runs: Student's t interval is mean ± half_width.

    Args:
        values: one number a seed, at least two.
        confidence: how often such an interval holds the truth, between 0 and 1.

    Raises:
        ValueError: fewer than two values (one says nothing about the spread), or no finite ones.
    """
    _check_confidence(confidence)
    values = np.asarray(values, np.float64)
    if values.ndim != 1 or len(values) < 2 or not np.isfinite(values).all():
        raise ValueError(
            f"values: expected at least two finite numbers, found {values.tolist()}: "
            "repeat the run with another seed"
        )
    from scipy.stats import t  # slow to import

    deviation = values.std(ddof=1) / math.sqrt(len(values))
    return float(values.mean()), float(t.ppf((1 + confidence) / 2, len(values) - 1) * deviation)


def _checked_pair(probabilities, labels):
    """Return both, checked alone and to be of as many rows."""
    probabilities, labels = checked_probabilities(probabilities), checked_labels(labels)
    _check_equal_length(probabilities=probabilities, labels=labels)
    return probabilities, labels


def _divide(numerator, denominator):
    """Return the quotient as float64, 0 where the denominator is 0."""
    numerator, denominator = np.broadcast_arrays(numerator, denominator)
    zeros = np.zeros(numerator.shape)
    return np.divide(numerator, denominator, out=zeros, where=denominator > 0)


def _checked_counts(counts):
    """Return counts as an array (7, 7), or raise ValueError."""
    counts = np.asarray(counts)
    if counts.shape != (NUM_CLASSES, NUM_CLASSES) or counts.dtype.kind not in "iu":
        raise ValueError(
            f"counts: expected integers of shape ({NUM_CLASSES}, {NUM_CLASSES}), "
            f"found {counts.dtype} of shape {counts.shape}: use confusion_counts"
        )
    if counts.min() < 0:
        raise ValueError(f"counts: expected none below 0, found {counts.min()}")
    return counts


def _paired_counts(correct_a, correct_b):
    """Return how many rows both, only A, only B and neither have right, as four int."""
    paired = {"correct_a": np.asarray(correct_a), "correct_b": np.asarray(correct_b)}
    for name, correct in paired.items():
        if correct.ndim != 1 or correct.dtype != bool:
            raise ValueError(
                f"{name}: expected one bool a row, found shape {correct.shape} of "
                f"{correct.dtype}: pass predictions == labels"
            )
    _check_equal_length(**paired)
    a, b = paired.values()
    return tuple(int(np.count_nonzero(rows)) for rows in (a & b, a & ~b, ~a & b, ~a & ~b))


def _check_equal_length(**arrays):
    """Raise ValueError when two named arrays differ in length."""
    (first, one), (second, other) = arrays.items()
    if len(one) != len(other):
        raise ValueError(
            f"expected as many {second} as {first}, found {len(other)} and {len(one)}: "
            "both must be of the same rows"
        )


def _check_confidence(confidence):
    """Raise ValueError when a confidence is not between 0 and 1."""
    if not 0 < confidence < 1:
        raise ValueError(f"confidence: expected a number between 0 and 1, found {confidence}")
