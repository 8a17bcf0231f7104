"""Estimates over seeds: the seed is the unit, differences are paired, intervals are Student's t at 95 %."""

from dataclasses import dataclass

import numpy as np
from scipy import stats


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds with its interval, which needs two seeds."""

    value: float
    low: float | None
    high: float | None
    seeds: int


def estimate(values: np.ndarray, confidence: float = 0.95) -> Estimate:
    """Return mean and t-interval; with five seeds a percentile bootstrap would cover 84 % where it says 95 %."""
    mean = float(values.mean())
    if len(values) < 2:
        return Estimate(mean, None, None, len(values))
    half = float(stats.t.ppf(0.5 + confidence / 2, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values)))
    return Estimate(mean, mean - half, mean + half, len(values))
