"""Made-up tables of metrics, to judge claims on and to draw figures from."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import Any

import pandas as pd

from unamortized.evaluation.rows import row, to_table

TASK = "noisy_permutation"


def metric_rows(
    metric: str,
    condition: str,
    values: Sequence[float] | Mapping[int, float],
    *,
    task: str = TASK,
    split: str = "length",
    count: int = 100,
    **columns: Any,
) -> list[dict[str, Any]]:
    """Return one row for each seed; the seeds of a sequence are 0, 1, ..."""
    by_seed = values if isinstance(values, Mapping) else dict(enumerate(values))
    return [row(task, condition, seed, split, metric, value, count, **columns) for seed, value in by_seed.items()]


def metric_table(*groups: Iterable[dict[str, Any]]) -> pd.DataFrame:
    """Return a table with the columns and types of ``metrics.csv`` from groups of rows."""
    return to_table(chain(*groups))
