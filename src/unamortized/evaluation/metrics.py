"""Metrics as tidy rows, which every evaluation returns, and the distances between distributions that many share."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int

from unamortized.evaluation.glossary import METRICS

ROUNDING = 1e-15  # probabilities that differences of larger numbers may leave where there is none
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


def kl(p: Float[np.ndarray, "*batch answer"], q: Float[np.ndarray, "*batch answer"]) -> Float[np.ndarray, "*batch"]:
    """KL(p || q) in nats; infinite where q rules out what p allows, by more than rounding."""
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where(p > ROUNDING, p * (np.log(p) - np.log(q)), 0.0)
    return terms.sum(axis=-1)


def total_variation(
    p: Float[np.ndarray, "*batch answer"], q: Float[np.ndarray, "*batch answer"]
) -> Float[np.ndarray, "*batch"]:
    """Half the L1 distance."""
    return np.abs(p - q).sum(axis=-1) / 2


def map_agreement(
    p: Float[np.ndarray, "batch answer"], q: Float[np.ndarray, "batch answer"]
) -> Bool[np.ndarray, " batch"]:
    """Whether q's mode is a mode of p (ties of p within 1e-9 all count)."""
    at_mode = np.take_along_axis(p, q.argmax(axis=1)[:, None], axis=1)[:, 0]
    return at_mode >= p.max(axis=1) - 1e-9


def calibration_error(
    p: Float[np.ndarray, "batch answer"], q: Float[np.ndarray, "batch answer"], bins: int = 10
) -> float:
    """Expected calibration error of q's mode against its exact probability (Guo et al. 2017, exact labels)."""
    confidence = q.max(axis=1)
    right = np.take_along_axis(p, q.argmax(axis=1)[:, None], axis=1)[:, 0]
    place: Int[np.ndarray, " batch"] = np.minimum((confidence * bins).astype(int), bins - 1)
    gaps = [abs((confidence - right)[place == b].sum()) for b in range(bins)]
    return float(sum(gaps) / len(p))


def answer_metrics(p: Float[np.ndarray, "batch answer"], q: Float[np.ndarray, "batch answer"]) -> dict[str, float]:
    """The four measures of an answer q against the exact posterior p."""
    return {
        "answer_kl": float(kl(p, q).mean()),
        "answer_tv": float(total_variation(p, q).mean()),
        "map_agreement": float(map_agreement(p, q).mean()),
        "calibration_error": calibration_error(p, q),
    }
