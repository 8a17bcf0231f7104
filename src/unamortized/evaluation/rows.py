"""Rows of metrics: the tidy table that every evaluation returns."""

from collections.abc import Iterable
from typing import Any

import pandas as pd

from unamortized.evaluation.metrics import METRICS

COLUMNS = (
    *("task", "condition", "seed", "split", "n_steps", "layer", "step"),
    *("metric", "value", "count", "unit"),
)


def row(
    task: str, condition: str, seed: int, split: str, metric: str, value: float, count: int, **where: Any
) -> dict[str, Any]:
    """One row of metrics; ``where`` gives n_steps, layer and step as they apply.

    Raises:
        KeyError: if the metric is not listed in ``METRICS``.
    """
    unit = METRICS[metric].unit
    filled = {"task": task, "condition": condition, "seed": seed, "split": split, "metric": metric}
    return dict.fromkeys(COLUMNS) | filled | where | {"value": float(value), "count": int(count), "unit": unit}


def to_table(rows: Iterable[dict[str, Any]]) -> pd.DataFrame:
    """Rows as a table with the columns of ``metrics.csv``."""
    table = pd.DataFrame(list(rows), columns=list(COLUMNS))
    return table.astype(dict.fromkeys(("seed", "n_steps", "step", "count"), "Int64"))


def to_csv(table: pd.DataFrame) -> str:
    """A table as text, nine significant digits, alike on every run."""
    return table.to_csv(index=False, float_format="%.9g", lineterminator="\n")
