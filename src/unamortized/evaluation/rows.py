"""Rows of ``metrics.csv``, the tidy table that every evaluation fills."""

from collections.abc import Iterable
from typing import Any

import pandas as pd

from unamortized.evaluation.glossary import control_described
from unamortized.evaluation.metrics import METRICS

COLUMNS = (
    *("task", "world", "condition", "variant", "control", "seed", "split", "n_steps", "site", "layer", "step"),
    *("metric", "value", "count", "unit", "run"),
)
TEXT = ("task", "world", "condition", "variant", "control", "split", "site", "layer", "metric", "unit", "run")
WHOLE = ("seed", "n_steps", "step", "count")  # integer columns, which may have missing values


def row(
    task: str, condition: str, seed: int, split: str, metric: str, value: float, count: int, **where: Any
) -> dict[str, Any]:
    """Make one row; world and run are filled in when tables are collected.

    ``count`` is the number of problems, or of other units, behind the value; ``where`` gives the columns ``variant``,
    ``control``, ``n_steps``, ``site``, ``layer`` and ``step``, if they apply. ``METRICS`` gives the unit.

    Raises:
        KeyError: if ``METRICS`` does not list the metric, or the glossary does not describe the control.
        ValueError: if ``where`` holds a name that is not a column.
    """
    if unknown := set(where) - set(COLUMNS):
        raise ValueError(f"{metric}: no column named {', '.join(sorted(unknown))}; use {', '.join(COLUMNS)}")
    control_described(where.get("control", ""))
    filled = {"task": task, "condition": condition, "seed": seed, "split": split, "metric": metric}
    measured = {"value": float(value), "count": int(count), "unit": METRICS[metric].unit}
    return dict.fromkeys(COLUMNS) | dict.fromkeys(TEXT, "") | filled | where | measured


def to_table(rows: Iterable[dict[str, Any]]) -> pd.DataFrame:
    """Make a table with the columns of ``metrics.csv``; text that does not apply is empty, never missing."""
    table = pd.DataFrame(list(rows), columns=list(COLUMNS))
    return table.astype(dict.fromkeys(TEXT, "string") | dict.fromkeys(WHOLE, "Int64")).astype({"value": "float64"})


def to_csv(table: pd.DataFrame) -> str:
    """Write a table as text with eight significant digits, byte-identical on every run."""
    return table.to_csv(index=False, float_format="%.8g", lineterminator="\n")
