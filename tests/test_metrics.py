"""common.metrics against scikit-learn, statsmodels, published numbers and closed forms."""

import math
import subprocess
import sys
import time

import numpy as np
import pytest
import sklearn.metrics
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.contingency_tables import mcnemar as statsmodels_mcnemar
from statsmodels.stats.proportion import proportion_confint

from common import metrics

codes = st.integers(0, 6)
rows_of_codes = st.lists(st.tuples(codes, codes), min_size=1, max_size=60)


def softmax(logits):
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    return exponentials / exponentials.sum(axis=1, keepdims=True)


def paired(both, only_a, only_b, neither):
    """Return correct_a and correct_b with these counts."""
    correct_a = [True] * (both + only_a) + [False] * (only_b + neither)
    correct_b = [True] * both + [False] * only_a + [True] * only_b + [False] * neither
    return np.array(correct_a, bool), np.array(correct_b, bool)


def test_import_is_light():
    heavy = "{'scipy', 'sklearn', 'pandas', 'keras', 'tensorflow', 'matplotlib'}"
    code = f"import sys, common.metrics, common.kaggle; sys.exit(len({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# --- counts and scores


@pytest.mark.filterwarnings("ignore::UserWarning:sklearn")  # of classes that do not occur
@given(rows_of_codes)
@settings(max_examples=60, deadline=None)
def test_scores_equal_scikit_learn(rows):
    labels, predictions = np.array(rows).T
    counts = metrics.confusion_counts(labels, predictions)
    expected = sklearn.metrics.confusion_matrix(labels, predictions, labels=range(7))
    np.testing.assert_array_equal(counts, expected)
    assert counts.dtype == np.int64

    scores = metrics.class_scores(counts)
    precision, recall, f1, support = sklearn.metrics.precision_recall_fscore_support(
        labels, predictions, labels=range(7), zero_division=0
    )
    np.testing.assert_allclose(scores.precision, precision)
    np.testing.assert_allclose(scores.recall, recall)
    np.testing.assert_allclose(scores.f1, f1)
    np.testing.assert_array_equal(scores.support, support)
    macro_f1 = sklearn.metrics.f1_score(labels, predictions, average="macro", zero_division=0)
    assert scores.macro_f1 == pytest.approx(macro_f1)
    balanced = sklearn.metrics.balanced_accuracy_score(labels, predictions)
    assert scores.balanced_accuracy == pytest.approx(balanced)
    assert scores.accuracy == pytest.approx(sklearn.metrics.accuracy_score(labels, predictions))


def test_no_rows_score_zero_everywhere():
    counts = metrics.confusion_counts([], [])
    scores = metrics.class_scores(counts)
    assert not counts.any()
    assert not metrics.row_fractions(counts).any()
    assert (scores.accuracy, scores.macro_f1, scores.balanced_accuracy) == (0, 0, 0)


def test_row_fractions_sum_to_one_but_for_empty_rows():
    counts = np.arange(49).reshape(7, 7)
    counts[1] = 0
    fractions = metrics.row_fractions(counts)
    np.testing.assert_allclose(fractions.sum(axis=1), [1, 0, 1, 1, 1, 1, 1])
    np.testing.assert_allclose(fractions[3], counts[3] / counts[3].sum())


@pytest.mark.parametrize(
    ("labels", "predictions", "message"),
    [
        ([0, 7], [0, 1], "labels: expected class codes 0-6, found 7 at position 1"),
        ([0, 1], [-1, 1], "predictions: expected class codes 0-6, found -1 at position 0"),
        ([0.0, 1.0], [0, 1], "expected one integer a row"),
        ([True, False], [0, 1], "expected one integer a row"),
        ([[0, 1]], [[0, 1]], r"found shape \(1, 2\)"),
        ([0, 1], [0], "expected as many predictions as labels, found 1 and 2"),
    ],
)
def test_bad_codes_are_refused(labels, predictions, message):
    with pytest.raises(ValueError, match=message):
        metrics.confusion_counts(labels, predictions)


@pytest.mark.parametrize("counts", [np.zeros((6, 7), int), np.zeros((7, 7)), -np.eye(7, dtype=int)])
def test_bad_counts_are_refused(counts):
    with pytest.raises(ValueError, match="counts: expected"):
        metrics.class_scores(counts)


# --- intervals


@given(st.integers(1, 4000), st.floats(0, 1), st.sampled_from([0.8, 0.95, 0.99]))
@settings(max_examples=60, deadline=None)
def test_wilson_equals_statsmodels(total, fraction, confidence):
    correct = round(fraction * total)
    low, high = metrics.wilson_interval(correct, total, confidence=confidence)
    expected = proportion_confint(correct, total, alpha=1 - confidence, method="wilson")
    assert (low, high) == pytest.approx(expected, abs=1e-12)


def test_wilson_at_the_edges():
    assert metrics.wilson_interval(0, 0) == (0, 1)
    squared = 1.959963984540054**2  # closed form: none of n right gives (0, z^2 / (n + z^2))
    assert metrics.wilson_interval(0, 10) == pytest.approx((0, squared / (10 + squared)))
    for correct, total in [(3, 2), (-1, 2)]:
        with pytest.raises(ValueError, match="0 <= correct <= total"):
            metrics.wilson_interval(correct, total)
    with pytest.raises(ValueError, match="between 0 and 1, found 95"):
        metrics.wilson_interval(1, 2, confidence=95)


def test_bootstrap_is_fast_and_near_the_normal_interval():
    generator = np.random.default_rng(1)
    labels = generator.integers(0, 7, 3000)
    predictions = np.where(generator.random(3000) < 0.7, labels, (labels + 1) % 7)
    start = time.perf_counter()
    low, high = metrics.bootstrap_interval(
        labels, predictions, lambda counts: metrics.class_scores(counts).accuracy
    )
    assert time.perf_counter() - start < 2
    accuracy = np.mean(labels == predictions)
    half_width = 1.96 * math.sqrt(accuracy * (1 - accuracy) / 3000)
    assert (low, high) == pytest.approx((accuracy - half_width, accuracy + half_width), abs=0.002)


def test_bootstrap_of_an_array_is_seeded_and_grows_with_confidence():
    labels = np.repeat(np.arange(7), 20)
    predictions = np.where(np.arange(140) % 3, labels, 0)

    def interval(**options):
        return metrics.bootstrap_interval(
            labels, predictions, lambda counts: metrics.class_scores(counts).recall, **options
        )

    low, high = interval(samples=300)
    assert low.shape == high.shape == (7,)
    np.testing.assert_array_equal(interval(samples=300), (low, high))
    assert not np.array_equal(interval(samples=300, seed=1), (low, high))
    assert (low[0], high[0]) == (1, 1)  # every angry row is right, however the rows are drawn
    narrow_low, narrow_high = interval(samples=300, confidence=0.5)
    assert (narrow_high - narrow_low)[1:].max() < (high - low)[1:].min()
    with pytest.raises(ValueError, match="at least one row"):
        metrics.bootstrap_interval([], [], np.trace)


def test_mean_interval_closed_form():
    # mean 2, standard deviation 1, and Student's 97.5 % quantile for 2 degrees of freedom
    mean, half_width = metrics.mean_interval([1, 2, 3])
    assert (mean, half_width) == pytest.approx((2, 4.302652729911275 / math.sqrt(3)))
    assert metrics.mean_interval([0.7, 0.7]) == (0.7, 0)
    for values in ([0.7], [], [0.7, math.nan]):
        with pytest.raises(ValueError, match="at least two finite numbers"):
            metrics.mean_interval(values)


# --- paired comparisons

table_of_four = st.tuples(*[st.integers(0, 40)] * 4)


@given(table_of_four)
@settings(max_examples=60, deadline=None)
def test_mcnemar_equals_statsmodels(table):
    result = metrics.mcnemar(*paired(*table))
    assert (result.both, result.only_a, result.only_b, result.neither) == table
    both, only_a, only_b, neither = table
    if only_a + only_b:
        oracle = statsmodels_mcnemar([[both, only_a], [only_b, neither]], exact=True)
        assert result.p_value == pytest.approx(oracle.pvalue, rel=1e-9)
    else:
        assert result.p_value == 1


def test_mcnemar_closed_form():
    assert metrics.mcnemar(*paired(7, 5, 0, 1)).p_value == pytest.approx(2 / 2**5)


@pytest.mark.parametrize(
    ("table", "published"),
    [
        # Fagerland, Lydersen and Laake, Statistical analysis of contingency tables, chapter 8:
        # complete response before and after consolidation therapy
        ((59, 6, 16, 80), (-0.0621, -0.1186, -0.0046)),
        # Altman et al., Statistics with confidence, 2nd edition, chapter 6
        ((14, 5, 0, 22), (0.122, 0.011, 0.226)),
    ],
)
def test_difference_interval_equals_published(table, published):
    digits = len(str(published[0]).split(".")[1])
    found = metrics.difference_interval(*paired(*table))
    assert tuple(round(value, digits) for value in found) == published


@given(table_of_four.filter(any))
@settings(max_examples=60, deadline=None)
def test_difference_interval_holds_the_difference_and_is_antisymmetric(table):
    correct_a, correct_b = paired(*table)
    difference, low, high = metrics.difference_interval(correct_a, correct_b)
    assert -1 - 1e-12 <= low <= difference <= high <= 1 + 1e-12
    assert difference == pytest.approx(correct_a.mean() - correct_b.mean())
    swapped = metrics.difference_interval(correct_b, correct_a)
    assert swapped == pytest.approx((-difference, -high, -low))


def test_difference_interval_covers_as_often_as_it_says():
    generator = np.random.default_rng(0)
    chances = [0.55, 0.15, 0.08, 0.22]  # both, only A, only B, neither
    held = []
    for table in generator.multinomial(300, chances, size=400):
        _, low, high = metrics.difference_interval(*paired(*table))
        held.append(low <= 0.07 <= high)
    assert np.mean(held) == pytest.approx(0.95, abs=0.033)  # three standard errors


def test_bad_pairs_are_refused():
    right = np.array([True, False])
    with pytest.raises(ValueError, match="correct_b: expected one bool a row"):
        metrics.mcnemar(right, [3, 4])
    with pytest.raises(ValueError, match="as many correct_b as correct_a, found 1 and 2"):
        metrics.difference_interval(right, right[:1])
    with pytest.raises(ValueError, match="at least one row"):
        metrics.difference_interval(right[:0], right[:0])


# --- probabilities


def test_calibration_closed_form():
    # 0.9 confident and right 3 times in 4, 0.6 confident and never right: |.9-.75|*4/6 + .6*2/6
    sure = [0.9, 0.1, 0, 0, 0, 0, 0]
    unsure = [0.4, 0.6, 0, 0, 0, 0, 0]
    error, table = metrics.expected_calibration_error(
        [sure] * 4 + [unsure] * 2, [0, 0, 0, 1, 0, 0], bins=10
    )
    assert error == pytest.approx(0.3)
    assert table["count"].tolist() == [0, 0, 0, 0, 0, 2, 0, 0, 4, 0]  # borders: the bin below
    np.testing.assert_allclose(table["confidence"][[5, 8]], [0.6, 0.9])
    np.testing.assert_allclose(table["accuracy"][[5, 8]], [0, 0.75])
    assert np.isnan(table["accuracy"][[0, 9]]).all()


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_certain_and_right_is_perfect(dtype):
    labels = np.arange(7)
    certain = np.eye(7, dtype=dtype)
    error, table = metrics.expected_calibration_error(certain, labels)
    assert (error, table["count"][-1]) == (0, 7)
    assert metrics.negative_log_likelihood(certain, labels) == 0


@given(st.integers(0, 2**32 - 1), st.sampled_from([1, 10, 60]))
@settings(max_examples=30, deadline=None)
def test_negative_log_likelihood_equals_scikit_learn(seed, scale):
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 7, 50)
    probabilities = softmax(scale * generator.normal(size=(50, 7)).astype(np.float32))
    expected = sklearn.metrics.log_loss(labels, probabilities, labels=range(7))
    found = metrics.negative_log_likelihood(probabilities, labels)
    assert found == pytest.approx(expected, rel=1e-5, abs=1e-6)


def test_negative_log_likelihood_of_certain_and_wrong_is_finite():
    found = metrics.negative_log_likelihood(np.eye(7)[[0]], [1])
    assert found == pytest.approx(15.94, abs=0.01)


@pytest.mark.parametrize(
    "row",
    [
        [3, -2, 0, 0, 0, 0, 0],
        [0.5, 0, 0, 0, 0, 0, 0],
        [math.nan, 1, 0, 0, 0, 0, 0],
        [math.inf, -math.inf, 1, 0, 0, 0, 0],
        [1e308, 1e308, 0, 0, 0, 0, 0],
        [1, 0],
    ],
)
def test_what_is_no_distribution_is_refused(row):
    for function in (metrics.expected_calibration_error, metrics.negative_log_likelihood):
        with pytest.raises(ValueError, match="probabilities: expected"):
            function([row], [0])


def test_probabilities_and_labels_must_belong_together():
    for function in (metrics.expected_calibration_error, metrics.negative_log_likelihood):
        with pytest.raises(ValueError, match="as many labels as probabilities, found 2 and 7"):
            function(np.eye(7), [0, 1])
        with pytest.raises(ValueError, match="n of at least 1"):
            function(np.zeros((0, 7)), [])
