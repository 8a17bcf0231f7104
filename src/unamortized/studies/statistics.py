"""Estimates over seeds: the seed is the unit, differences are paired, intervals are Student's t at 95 %."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from scipy import stats

PerSeed = Callable[[pd.DataFrame], "pd.Series[float]"]  # a task's metrics -> a value for each seed


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds with its interval; the interval is missing with fewer than two seeds."""

    value: float
    low: float | None
    high: float | None
    seeds: int


@dataclass(frozen=True)
class Measure:
    """A quantity per seed; a geometric one (a ratio) is averaged and bounded on its logarithm."""

    per_seed: PerSeed
    unit: str
    geometric: bool = False

    def estimate(self, table: pd.DataFrame) -> Estimate | None:
        """The estimate over seeds, or nothing where no seed has the value."""
        values = self.per_seed(table).dropna().to_numpy(dtype=float)
        if not len(values):
            return None
        if not self.geometric:
            return estimate(values)
        logs = estimate(np.log(values))
        bounds = [None if bound is None else float(np.exp(bound)) for bound in (logs.low, logs.high)]
        return Estimate(float(np.exp(logs.value)), bounds[0], bounds[1], logs.seeds)


def estimate(values: np.ndarray, confidence: float = 0.95) -> Estimate:
    """Mean and t-interval; with five seeds a percentile bootstrap would cover 84 % where it says 95 %."""
    mean = float(values.mean())
    if len(values) < 2:
        return Estimate(mean, None, None, len(values))
    half = float(stats.t.ppf(0.5 + confidence / 2, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values)))
    return Estimate(mean, mean - half, mean + half, len(values))


def select(table: pd.DataFrame, metric: str, condition: str, **where: Any) -> "pd.Series[float]":
    """Values by seed of the rows with these columns.

    A column given as None must be empty; ``layer="last"`` is the last layer that was measured.

    Raises:
        ValueError: if a seed has several such rows, so that no one of them is meant.
    """
    rows = table[(table["metric"] == metric) & (table["condition"] == condition)]
    for column, value in where.items():
        if column == "layer" and value == "last":
            numbered = [int(layer) for layer in rows["layer"].dropna().unique() if layer.isdecimal()]
            value = str(max(numbered, default=""))
        rows = rows[rows[column].isna() if value is None else (rows[column] == value).fillna(False)]
    if rows["seed"].duplicated().any():
        raise ValueError(f"{metric} of {condition} has several rows a seed; say which of them is meant")
    return rows.set_index("seed")["value"]


def level(metric: str, condition: str, unit: str, **where: Any) -> Measure:
    """A metric of a condition."""
    return Measure(lambda table: select(table, metric, condition, **where), unit)


Which = tuple[str, dict[str, Any]]  # a condition, and what the other columns must be


def paired_difference(metric: str, minuend: Which, subtrahend: Which, unit: str) -> Measure:
    """How much larger a metric is in one place than in another, seed by seed."""
    return Measure(
        lambda table: (
            select(table, metric, minuend[0], **minuend[1]) - select(table, metric, subtrahend[0], **subtrahend[1])
        ),
        unit,
    )


def paired_ratio(metric: str, over: Which, under: Which) -> Measure:
    """How many times larger a metric is in one place than in another, seed by seed."""
    return Measure(
        lambda table: select(table, metric, over[0], **over[1]) / select(table, metric, under[0], **under[1]),
        unit="ratio",
        geometric=True,
    )


def over_steps(
    metric: str, condition: str, unit: str, step: tuple[int, int], take: Literal["min", "max", "mean"]
) -> Measure:
    """The smallest, largest or mean value of a metric over a range of steps (lags), seed by seed.

    Not a number for a seed that lacks the value at one of them.
    """

    def per_seed(table: pd.DataFrame) -> "pd.Series[float]":
        rows = table[(table["metric"] == metric) & (table["condition"] == condition)]
        rows = rows[rows["step"].between(*step).fillna(False)]
        return rows.groupby("seed")["value"].agg(lambda values: getattr(values, take)(skipna=False))

    return Measure(per_seed, unit)
