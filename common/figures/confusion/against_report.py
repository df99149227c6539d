"""The fractions that the report states of its confusion matrix, beside the same here."""

from common import comparison

TITLE = "The report's fractions beside ours"
COLUMNS = ("true", "predicted", "report", "here", "95 % low", "95 % high", "compatible")


def table(result: comparison.Evaluation) -> list[dict]:
    """Return one row for each fraction that the report states of an expression with faces here."""
    return [row for row in comparison.report_table(result.counts) if row["rows here"]]


def sentences(result: comparison.Evaluation) -> list[str]:
    """Return how far the fractions agree, in one sentence."""
    rows = table(result)
    others = [
        f"{row['true']} as {row['predicted']} ({row['report']} there, {row['here']:.2f} here)"
        for row in rows
        if not row["compatible"]
    ]
    complete = len(rows) == len(comparison.REPORT)
    sentence = (
        f"Of the {len(rows)} fractions that the report states"
        f"{'' if complete else ' of expressions with faces here'}, {len(rows) - len(others)} are "
        "within the 95 % intervals here"
    )
    return [f"{sentence}; not so {', '.join(others)}." if others else f"{sentence}."]
