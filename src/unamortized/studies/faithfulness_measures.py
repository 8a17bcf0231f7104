"""Measures of faithfulness, and how their readings depend on the faithfulness that was trained and on the world.

A good measure follows the trained faithfulness ρ and nothing else, in particular not how fast the world forgets. Its
readings over a grid of ρ and worlds show which of the two it follows.
"""

from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float

from unamortized.evaluation.faithfulness import RHOS as RHOS
from unamortized.evaluation.metrics import METRICS
from unamortized.evaluation.protocol import FEWEST_PROBLEMS
from unamortized.labels import LAST_LAYER, last_layer, numbers, stem
from unamortized.studies.quantities import RankCorrelation, SeedStatistic
from unamortized.studies.study import Explained

NEAR = (0, 1, 2)  # lags at which enough problems are kept in every world
EARLY = tuple(range(1, 7))  # steps, of six


@dataclass(frozen=True)
class FaithfulnessMeasure:
    """A way of reading a model's faithfulness: a metric at some steps, possibly relative to another metric."""

    name: str
    metric: str
    steps: tuple[int, ...] | None = None  # averaged; none: the rows without a step
    layer: str = ""  # or the last that was measured
    over: str = ""  # the metric that it is divided by
    on_scale: bool = False  # whether a good measure reads ρ itself (1 - ρ if it falls)
    sign: Literal[1, -1] = 1  # -1 if it falls as ρ grows

    @property
    def title(self) -> str:
        """The name at the beginning of a sentence."""
        return self.name[0].upper() + self.name[1:]

    @property
    def metrics(self) -> tuple[str, ...]:
        """The metrics that it reads."""
        return (self.metric, self.over) if self.over else (self.metric,)

    @property
    def published(self) -> str:
        """The publication; none for a measure that is divided by what exact Bayes would do."""
        return "" if self.over else METRICS[self.metric].source

    @property
    def target(self) -> str:
        """The quantity that it follows if it measures faithfulness."""
        return "ρ" if self.sign > 0 else "1 − ρ"

    def should_read(self, rho: float) -> float:
        """Return the reading of a calibrated measure on the scale of ρ."""
        return rho if self.sign > 0 else 1 - rho

    def explained(self) -> Explained:
        """Return its line in the report, from the descriptions of its metrics."""
        first, *rest = (METRICS[metric].description for metric in self.metrics)
        description = ", relative to ".join((first.rstrip("."), *(text[0].lower() + text[1:-1] for text in rest)))
        return Explained(self.title, f"{description}.", self.published, self.metrics)


FAITHFULNESS_MEASURES: tuple[FaithfulnessMeasure, ...] = (
    FaithfulnessMeasure("causal reliance", "causal_reliance", NEAR, on_scale=True),
    FaithfulnessMeasure("early reliance", "early_reliance", EARLY, on_scale=True),
    FaithfulnessMeasure("mediated share", "mediated_share", on_scale=True),
    FaithfulnessMeasure("resampled reliance", "resampled_reliance", NEAR, on_scale=True),
    FaithfulnessMeasure("post-hoc-ness", "posthocness", on_scale=True, sign=-1),
    FaithfulnessMeasure("mistakes by Bayes", "mistake_changed", NEAR, over="mistake_changed_exact"),
    FaithfulnessMeasure("early answering by Bayes", "early_aoc", over="early_aoc_exact"),
    FaithfulnessMeasure("edit effect by Bayes", "edit_tv", NEAR, over="counterfactual_tv", on_scale=True),
    FaithfulnessMeasure("necessity by Bayes", "necessity", over="necessity_exact"),
    FaithfulnessMeasure("adding mistakes", "mistake_changed", NEAR),
    FaithfulnessMeasure("early answering", "early_aoc"),
    FaithfulnessMeasure("edit effect", "edit_tv", NEAR),
    FaithfulnessMeasure("thought anchors", "resampled_tv", NEAR),
    FaithfulnessMeasure("necessity", "necessity"),
    FaithfulnessMeasure("sufficiency", "sufficiency"),
    FaithfulnessMeasure("simulatability", "simulatability", NEAR),
    FaithfulnessMeasure("internal horizon", "internal_horizon", sign=-1),
    FaithfulnessMeasure("stated and probed", "stated_probed_kl", EARLY, sign=-1),
    FaithfulnessMeasure("performative lead", "performative_lead", layer=LAST_LAYER, sign=-1),
    FaithfulnessMeasure("patched beliefs", "patch_reliance", NEAR, LAST_LAYER),
    FaithfulnessMeasure("patch agreement", "patch_agreement", NEAR, LAST_LAYER),
    FaithfulnessMeasure("conflict token", "conflict_token", NEAR, LAST_LAYER),
)


def rows_read(metrics: pd.DataFrame, measure: FaithfulnessMeasure, of: str = "dial") -> pd.DataFrame:
    """Return the rows that a measure reads, with ``rho``: of each world's longest questions and 20 problems or more."""
    rhos = {name: numbers(name)[of] for name in metrics["condition"].unique() if stem(name) == of}
    rows = metrics[metrics["condition"].isin(list(rhos)) & (metrics["variant"] == "") & (metrics["control"] == "")]
    rows = rows[rows["metric"].isin(measure.metrics) & (rows["count"] >= FEWEST_PROBLEMS)]
    rows = rows[rows["n_steps"] == rows.groupby(["task", "world", "metric"])["n_steps"].transform("max")]
    rows = rows[rows["step"].isna() if measure.steps is None else rows["step"].isin(measure.steps).fillna(False)]
    layer = last_layer(rows["layer"].unique()) if measure.layer == LAST_LAYER else measure.layer
    return rows[rows["layer"] == layer].assign(rho=lambda own: own["condition"].map(rhos).astype(float))


def readings(metrics: pd.DataFrame, measure: FaithfulnessMeasure, of: str = "dial") -> pd.DataFrame:
    """Return ``task``, ``world``, ``rho``, ``seed`` and ``value``, for trained models (``dial``) or exact readers.

    Seeds that lack a world or a ρ that other seeds have are left out: their readings vary over another grid.
    """
    rows = rows_read(metrics, measure, of)
    means = rows.groupby(["task", "world", "rho", "seed", "metric"])["value"].mean().unstack("metric")
    means = means.reindex(columns=list(measure.metrics))
    value = means[measure.metric] / means[measure.over] if measure.over else means[measure.metric]
    read = value.replace([np.inf, -np.inf], np.nan).rename("value").reset_index()
    cells = read.groupby("seed")["value"].size()
    return read[read["seed"].isin(cells.index[cells == cells.max()])]


@dataclass(frozen=True)
class OfReadings(SeedStatistic):
    """A statistic of a measure's readings over ρ and worlds."""

    measure: FaithfulnessMeasure
    of: str = "dial"

    def rows(self, table: pd.DataFrame) -> pd.DataFrame:
        return rows_read(table, self.measure, self.of)

    def points(self, table: pd.DataFrame) -> pd.DataFrame:
        return readings(table, self.measure, self.of).dropna()


@dataclass(frozen=True)
class RankByRho(RankCorrelation):
    """Spearman's rank correlation of the readings with ρ (1 - ρ if they should fall); none if all are the same."""

    measure: FaithfulnessMeasure
    of: str = "dial"

    def rows(self, table: pd.DataFrame) -> pd.DataFrame:
        return rows_read(table, self.measure, self.of)

    def pairs(self, table: pd.DataFrame) -> pd.DataFrame:
        found = readings(table, self.measure, self.of)
        return pd.DataFrame({"seed": found["seed"], "x": self.measure.sign * found["rho"], "y": found["value"]})


class VarianceShares(NamedTuple):
    """Shares of a variance: due to ρ alone, to the world alone, and the rest."""

    rho: float
    world: float
    neither: float


def variance_shares(grid: Float[np.ndarray, "world rho"]) -> VarianceShares:
    """Return the main effects of a two-way layout as shares of its sum of squares.

    None is a number where every reading is the same, or a cell, a second row or a second column is missing.
    """
    centered = grid - grid.mean()
    total = float((centered**2).sum())
    if min(grid.shape) < 2 or not total >= 1e-12:
        return VarianceShares(np.nan, np.nan, np.nan)
    by_rho = len(grid) * float((centered.mean(axis=0) ** 2).sum()) / total
    by_world = grid.shape[1] * float((centered.mean(axis=1) ** 2).sum()) / total
    return VarianceShares(by_rho, by_world, max(0.0, 1 - by_rho - by_world))


@dataclass(frozen=True)
class VarianceShare(OfReadings):
    """The share of the readings' variance that ρ, the world, or neither alone accounts for."""

    part: Literal["rho", "world", "neither"] = "rho"
    own_unit = "fraction"

    def of_seed(self, points: pd.DataFrame) -> float:
        grid = points.pivot_table(index=["task", "world"], columns="rho", values="value")
        return getattr(variance_shares(grid.to_numpy(dtype=float)), self.part)


@dataclass(frozen=True)
class Miscalibration(OfReadings):
    """The mean or largest distance of readings from those of a calibrated measure, for measures on ρ's scale."""

    take: Literal["mean", "max"] = "mean"

    def points(self, table: pd.DataFrame) -> pd.DataFrame:
        return super().points(table) if self.measure.on_scale else pd.DataFrame(columns=["seed"])

    def of_seed(self, points: pd.DataFrame) -> float:
        return getattr((points["value"] - points["rho"].map(self.measure.should_read)).abs(), self.take)()
