"""Rows of metrics: the tidy table that every evaluation returns."""

from collections.abc import Iterable
from typing import Any

import pandas as pd

from unamortized.evaluation.metrics import METRICS

COLUMNS = (
    *("task", "world", "condition", "variant", "control", "seed", "split", "n_steps", "site", "layer", "step"),
    *("metric", "value", "count", "unit", "run"),
)
TEXT = ("task", "world", "condition", "variant", "control", "split", "site", "layer", "metric", "unit", "run")
WHOLE = ("seed", "n_steps", "step", "count")  # columns of whole numbers, which may be missing


def row(
    task: str, condition: str, seed: int, split: str, metric: str, value: float, count: int, **where: Any
) -> dict[str, Any]:
    """One row of metrics; world and run are filled in when tables are collected.

    Args:
        task, condition, seed, split: what was measured, as the columns are named.
        metric: a name in ``METRICS``, which gives the unit.
        value: the measurement.
        count: the number of problems, or of other units, that it was measured on.
        where: ``variant``, ``control``, ``n_steps``, ``site``, ``layer`` and ``step`` as they apply.

    Raises:
        KeyError: if the metric is not listed in ``METRICS``.
        ValueError: if ``where`` names something that is no column.
    """
    if unknown := set(where) - set(COLUMNS):
        raise ValueError(f"{metric}: no column named {', '.join(sorted(unknown))}")
    filled = {"task": task, "condition": condition, "seed": seed, "split": split, "metric": metric}
    measured = {"value": float(value), "count": int(count), "unit": METRICS[metric].unit}
    return dict.fromkeys(COLUMNS) | dict.fromkeys(TEXT, "") | filled | where | measured


def to_table(rows: Iterable[dict[str, Any]]) -> pd.DataFrame:
    """Rows as a table with the columns of ``metrics.csv``; text that does not apply is empty, never missing."""
    table = pd.DataFrame(list(rows), columns=list(COLUMNS))
    return table.astype(dict.fromkeys(TEXT, "string") | dict.fromkeys(WHOLE, "Int64")).astype({"value": "float64"})


def to_csv(table: pd.DataFrame) -> str:
    """A table as text, eight significant digits, alike on every run."""
    return table.to_csv(index=False, float_format="%.8g", lineterminator="\n")
