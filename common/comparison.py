"""Tables and sentences about finished runs: their scores, beside the report, side by side."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from common import metrics
from common.labels import CLASS_NAMES, NUM_CLASSES
from common.runs import provenance, records, storage

if TYPE_CHECKING:
    import pandas as pd
ANY_OTHER = "any other"  # class than the predicted one, but for those REPORT has a row of their own
REPORT = (  # what the report, part 3, states: true class, predicted class, wording, fraction
    ("happy", "happy", "", 0.90),
    ("surprise", "surprise", "", 0.78),
    ("disgust", "disgust", "a little over", 0.50),
    ("fear", "fear", "a little over", 0.50),
    ("sad", "sad", "a little over", 0.50),
    ("disgust", "angry", "", 0.19),
    ("disgust", "sad", "", 0.12),
    ("fear", "angry", "", 0.13),
    ("fear", "sad", "", 0.16),
    ("sad", "angry", "", 0.11),
    ("sad", "fear", "", 0.15),
    ("sad", "neutral", "", 0.15),
    ("fear", "surprise", "", 0.07),
    (ANY_OTHER, "surprise", "at most", 0.02),
    (ANY_OTHER, "disgust", "at most", 0.01),
)
MEASURED = {  # column of `table` -> key of metrics.json, low and high of its interval
    "parameters": "parameters",
    "validation accuracy": "accuracy",
    "95 % low": "low",
    "95 % high": "high",
    "n": "n",
    "macro F1": "macro_f1",
    "epochs": "epochs",
    "epoch kept": "best_epoch",
    "seconds an epoch": "seconds_per_epoch",
}


@dataclass(frozen=True, eq=False, kw_only=True)
class Evaluation:
    """What a model says of labelled images, and what follows from it."""

    name: str  # of the model, as figures call it
    rows: np.ndarray  # int64 (m,), of the data; by default those that it held out
    labels: np.ndarray  # int64 (m,), their true codes 0-6
    probabilities: np.ndarray  # float64 (m, 7), with sum 1
    images: np.ndarray  # uint8 (m, 48, 48), or (0, 48, 48) without the data
    classes: Sequence[int] = range(NUM_CLASSES)  # true classes whose faces are shown
    faces: int = 40  # shown on a page
    seed: int = 0  # of the bootstrap
    what: str = "validation rows"  # that are scored
    caveat: str = "The epoch kept was chosen on these rows, which flatters a little."

    @cached_property
    def predictions(self) -> np.ndarray:
        """The most probable codes, int64 (m,)."""
        return self.probabilities.argmax(axis=1)

    @cached_property
    def confidences(self) -> np.ndarray:
        """The probabilities of these, float64 (m,)."""
        return self.probabilities.max(axis=1)

    @cached_property
    def counts(self) -> np.ndarray:
        """The confusion matrix, int64 (7, 7), rows the true class."""
        return metrics.confusion_counts(self.labels, self.predictions)

    @cached_property
    def scores(self) -> list[dict]:
        """The scores of every class with 95 % intervals, one row a class.

        The intervals of precision and recall are Wilson's, those of F1 are from the bootstrap.
        Without rows recall is 0 with the interval from 0 to 1: nothing is known of it. So is
        precision where a class is never predicted.
        """
        scores = metrics.class_scores(self.counts)
        f1_low, f1_high = self._bootstrap(lambda drawn: drawn.f1)
        table = []
        for code, name in enumerate(CLASS_NAMES):
            right, support = self.counts[code, code], scores.support[code]
            predicted = self.counts[:, code].sum()
            row = {"class": name, "rows": int(support), "predicted": int(predicted)}
            for measure, values, (low, high) in (
                ("precision", scores.precision, metrics.wilson_interval(right, predicted)),
                ("recall", scores.recall, metrics.wilson_interval(right, support)),
                ("F1", scores.f1, (f1_low[code], f1_high[code])),
            ):
                row[measure] = float(values[code])
                row |= {f"{measure} 95 % low": float(low), f"{measure} 95 % high": float(high)}
            table.append(row)
        return table

    @cached_property
    def calibration(self) -> tuple[float, dict[str, np.ndarray]]:
        """The expected calibration error, and its bins (see `metrics`)."""
        return metrics.expected_calibration_error(self.probabilities, self.labels)

    @cached_property
    def summary(self) -> list[dict]:
        """The measures of all rows together, one row a measure.

        The 95 % interval of the accuracy is Wilson's, those of macro F1 and balanced accuracy are
        from the bootstrap; the negative log-likelihood (nats) and the expected calibration error
        have none.
        """
        scores = metrics.class_scores(self.counts)
        low, high = self._bootstrap(lambda drawn: (drawn.macro_f1, drawn.balanced_accuracy))
        likelihood = metrics.negative_log_likelihood(self.probabilities, self.labels)
        error, _ = self.calibration
        interval = metrics.wilson_interval(np.trace(self.counts), len(self.labels))
        table = (
            ("accuracy", scores.accuracy, *interval),
            ("macro F1", scores.macro_f1, float(low[0]), float(high[0])),
            ("balanced accuracy", scores.balanced_accuracy, float(low[1]), float(high[1])),
            ("negative log-likelihood", likelihood, None, None),
            ("expected calibration error", error, None, None),
        )
        columns = ("measure", "value", "95 % low", "95 % high")
        return [dict(zip(columns, row, strict=True)) for row in table]

    @property
    def accuracy(self) -> str:
        """The accuracy with its 95 % interval, in words."""
        return "accuracy {value:.3f} [{95 % low:.3f}, {95 % high:.3f}]".format(**self.summary[0])

    @property
    def headline(self) -> str:
        """Two lines to stand above a figure: the model and its accuracy."""
        return f"{self.name}\n{self.accuracy}, n = {len(self.labels):,}"

    @property
    def mistakes(self) -> np.ndarray:
        """Positions of the shown faces that are mistaken, the most confident first."""
        return self._shown(self.predictions != self.labels, self.confidences)

    @property
    def hits(self) -> np.ndarray:
        """Positions of the shown faces that are recognised, the most confident first."""
        return self._shown(self.predictions == self.labels, self.confidences)

    def _shown(self, chosen, order_by):
        order = np.argsort(-order_by, kind="stable")
        return order[(chosen & np.isin(self.labels, self.classes))[order]]

    def _bootstrap(self, measure):
        return metrics.bootstrap_interval(
            self.labels,
            self.predictions,
            lambda drawn: measure(metrics.class_scores(drawn)),
            seed=self.seed,
        )


@dataclass(frozen=True, eq=False, kw_only=True)
class PairedEvaluation(Evaluation):
    """The same beside another model on the same rows."""

    other: Evaluation

    @property
    def differences(self) -> tuple[np.ndarray, np.ndarray]:
        """Positions of the shown faces that only this model has right, and only the other.

        First come those where it gives the true class the most probability more than the other.
        """
        each = np.arange(len(self.labels))
        gain = (self.probabilities - self.other.probabilities)[each, self.labels]
        right, other_right = (one.predictions == self.labels for one in (self, self.other))
        only_other = self._shown(other_right & ~right, gain)[::-1]
        return self._shown(right & ~other_right, gain), only_other


def report_table(counts: np.ndarray) -> list[dict]:
    """Return the fractions that the report states beside the same here: a list of dictionaries.

    "compatible" says whether the 95 % interval of the fraction here reaches what is stated; "a
    little over" is taken as up to 0.1 more. Where no face of the class was held out, "here" and
    "difference" are None and anything is compatible.

    Args:
        counts: int (7, 7), rows the true class.
    """
    fractions, totals = metrics.row_fractions(counts), np.sum(counts, axis=1)
    named = {(true, predicted) for true, predicted, _, _ in REPORT}
    rows = []
    for true, predicted, wording, stated in REPORT:
        column = CLASS_NAMES.index(predicted)
        candidates = [
            code
            for code, name in enumerate(CLASS_NAMES)
            if name == true
            or (true == ANY_OTHER and name != predicted and (name, predicted) not in named)
        ]
        candidates = [code for code in candidates if totals[code]] or candidates
        code = candidates[np.argmax(fractions[candidates, column])]
        low, high = metrics.wilson_interval(counts[code, column], totals[code])
        here = float(fractions[code, column]) if totals[code] else None
        slack = 0.1 if wording == "a little over" else 0
        rows.append(
            {
                "true": true,
                "predicted": predicted,
                "report": f"{wording} {stated:.2f}".strip(),
                "here": here,
                "95 % low": low,
                "95 % high": high,
                "difference": None if here is None else here - stated,
                "compatible": low <= stated + slack and (high >= stated or wording == "at most"),
                "class here": CLASS_NAMES[code],
                "rows here": int(totals[code]),
            }
        )
    return rows


def paired_table(
    labels: np.ndarray, predictions_a: np.ndarray, predictions_b: np.ndarray
) -> list[dict]:
    """Return what two models get right on the same rows: a list of dictionaries.

    The first row is over all classes, the others are one class each, where accuracy is the recall
    of that class; a class without rows is left out. The p-value is McNemar's, exact, and not
    corrected for there being several classes.

    Args:
        labels: true codes 0-6, (n,), at least one.
        predictions_a: predicted codes 0-6 of model A, (n,).
        predictions_b: the same of model B.
    """
    labels = metrics.checked_labels(labels)
    correct_a, correct_b = (np.asarray(p) == labels for p in (predictions_a, predictions_b))
    chosen = {"all": np.ones(len(labels), bool)}
    chosen |= {name: labels == code for code, name in enumerate(CLASS_NAMES)}
    rows = []
    for name, mask in chosen.items():
        if not mask.any():
            continue
        test = metrics.mcnemar(correct_a[mask], correct_b[mask])
        difference, low, high = metrics.difference_interval(correct_a[mask], correct_b[mask])
        rows.append(
            {
                "class": name,
                "rows": int(mask.sum()),
                "accuracy a": float(correct_a[mask].mean()),
                "accuracy b": float(correct_b[mask].mean()),
                "difference": difference,
                "95 % low": low,
                "95 % high": high,
                "both right": test.both,
                "only a right": test.only_a,
                "only b right": test.only_b,
                "neither right": test.neither,
                "p": test.p_value,
            }
        )
    return rows


def paired_sentences(
    name_a: str, name_b: str, differences: list[dict], *, what: str = "validation rows"
) -> list[str]:
    """Return what a paired comparison says, in three sentences.

    Args:
        name_a: how to call model A within a sentence, "the CNN" for example.
        name_b: the same for model B.
        differences: a `paired_table`.
        what: the rows are.
    """
    overall, *classes = differences
    p_value = overall["p"]
    clear = [
        f"{row['class']} ({100 * row['difference']:+.1f})"
        for row in classes
        if row["p"] < 0.05 / len(classes)  # Bonferroni: some class differs by chance
    ]
    return [
        f"On the same {overall['rows']:,} {what} {name_a} is right on "
        f"{overall['accuracy a']:.1%} and {name_b} on {overall['accuracy b']:.1%}: a difference "
        f"of {100 * overall['difference']:+.1f} points "
        f"[{100 * overall['95 % low']:+.1f}, {100 * overall['95 % high']:+.1f}].",
        f"{overall['only a right']:,} rows only {name_a} gets right, "
        f"{overall['only b right']:,} only {name_b} (McNemar's exact test: p "
        f"{'< 1e-12' if p_value < 1e-12 else f'= {p_value:.2g}'}).",
        f"Their recall differs for {', '.join(clear)} points (the same test, corrected for "
        f"{len(classes)} classes)."
        if clear
        else "For no single class does their recall differ (the same test, corrected for "
        f"{len(classes)} classes).",
    ]


def table(named_runs: dict[str, Path]) -> "pd.DataFrame":
    """Return a DataFrame with one row a run: accuracy with interval, size, time.

    Args:
        named_runs: dictionary of name -> run folder, finished.

    Raises:
        ValueError: a run has no `metrics.json`, or one that lacks a number.
    """
    import pandas as pd  # slow to import

    rows = []
    for name, run in named_runs.items():
        path = Path(run) / "metrics.json"
        if not path.exists():
            raise ValueError(f"{path}: expected a finished run, found none: {records.remedy(run)}")
        result = storage.read_json(path)
        if not records.is_scored(run):
            raise ValueError(f"{run}: {records.UNSCORED}")
        try:
            result["low"], result["high"] = result["interval_95"]
            row = {"model": name} | {column: result[key] for column, key in MEASURED.items()}
            row["machine"] = _machine(run)
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f"{path}: expected the numbers of a finished run, found one missing ({error})"
            ) from error
        rows.append(row)
    return pd.DataFrame(rows)


def sentences(name_a: str, run_a: Path, name_b: str, run_b: Path) -> list[str]:
    """Return what the comparison of two runs says, in plain sentences."""
    _, labels, probabilities = records.load_together([run_a, run_b])
    differences = paired_table(labels, *probabilities.argmax(axis=2))
    both = table({name_a: run_a, name_b: run_b})
    # The slower one first: "0.03 times as long" is hard to picture.
    slower, faster = both.sort_values("seconds an epoch", ascending=False).to_dict("records")
    ratio = slower["seconds an epoch"] / max(faster["seconds an epoch"], 1e-9)
    took = (
        f"an epoch of the {slower['model']} took {ratio:.1f} times as long as one of the "
        f"{faster['model']}"
    )
    if slower["machine"] != faster["machine"]:
        took = "their times are those of different machines"
    return [
        *paired_sentences(f"the {name_a}", f"the {name_b}", differences),
        f"They have {both['parameters'][0]:,} and {both['parameters'][1]:,} parameters; {took}.",
    ]


def _machine(run):
    """Return the machine that a run was trained on, "?" where it has no record of it."""
    machine = storage.read_json(Path(run) / "config.json").get("machine")
    return provenance.machine_name(machine) if machine else "?"
