"""Quantities: what a claim compares, as arithmetic on metrics.

``kl = Quantity("answer_kl")`` names a metric, ``kl(COT, n_steps=64)`` reads it, and readings are combined seed by seed:
``kl(AMORTIZED, n_steps=16) - kl(COT, n_steps=16) >= 0.05`` is the comparison that a claim makes.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from unamortized.evaluation.metrics import METRICS
from unamortized.labels import LAST_LAYER, last_layer
from unamortized.studies.names import PRIOR
from unamortized.studies.statistics import LOGARITHM, PLAIN, Estimate, estimate, rank_estimate

BySeed = pd.Series  # float values, indexed by seed
Aggregate = Literal["min", "max", "mean"]


class Expression:
    """A number for each seed, computed from a table of metrics."""

    own_unit: str = ""  # empty: that of the operands
    geometric: bool = False  # whether it is averaged, and its interval taken, on the logarithm

    @property
    def unit(self) -> str:
        """The unit of the number."""
        return self.own_unit or (self.operands()[0].unit if self.operands() else "ratio")

    def values(self, table: pd.DataFrame) -> BySeed:
        """Return the value of each seed; a seed that lacks it is missing or not a number."""
        raise NotImplementedError

    def operands(self) -> tuple["Expression", ...]:
        """Return the quantities that it is computed from."""
        return ()

    def readings(self) -> Iterator["Reading"]:
        """Yield the readings that it is made of."""
        for operand in self.operands():
            yield from operand.readings()

    def rows(self, table: pd.DataFrame) -> pd.DataFrame:
        """Return the rows of the table that it is computed from."""
        return pd.concat(operand.rows(table) for operand in self.operands())

    def runs(self, table: pd.DataFrame) -> set[str]:
        """Return the hashes of the runs that it is computed from."""
        return set(self.rows(table)["run"]) - {""}

    def estimate(self, table: pd.DataFrame) -> Estimate | None:
        """Return the estimate over seeds, or None where no seed has the value, or one has no logarithm to average."""
        values = self.values(table)
        if self.geometric and not values.dropna().between(0, np.inf, inclusive="neither").all():
            return None  # seeds left out would not be a random choice
        finite = _finite(values)
        return estimate(finite, LOGARITHM if self.geometric else PLAIN) if len(finite) else None

    def __sub__(self, other: "Expression") -> "Difference":
        return Difference(self, other)

    def __truediv__(self, other: "Expression") -> "Ratio":
        return Ratio(self, other)

    def share_of(self, whole: "Expression") -> "Share":
        """Return this as a share of another quantity, averaged as it is and not on the logarithm."""
        return Share(self, whole)

    def __ge__(self, low: float) -> "Comparison":
        return Comparison(self, low=low)

    def __le__(self, high: float) -> "Comparison":
        return Comparison(self, high=high)

    def between(self, low: float, high: float) -> "Comparison":
        """Compare with both ends of a range."""
        return Comparison(self, low, high)


def _finite(values: BySeed) -> np.ndarray:
    return values.replace([np.inf, -np.inf], np.nan).dropna().to_numpy(dtype=float)


@dataclass(frozen=True)
class Comparison:
    """A quantity, and the range that it lies in if a hypothesis holds."""

    quantity: Expression
    low: float | None = None
    high: float | None = None

    def holds(self, found: Estimate) -> bool:
        """Whether the whole interval lies in the range."""
        if found.low is None or found.high is None:
            return False
        return (self.low is None or found.low >= self.low) and (self.high is None or found.high <= self.high)

    def excludes(self, found: Estimate) -> bool:
        """Whether the whole interval lies outside the range."""
        if found.low is None or found.high is None:
            return False
        return (self.low is not None and found.high < self.low) or (self.high is not None and found.low > self.high)

    def p_holds(self, found: Estimate) -> float:
        """Return the p-value of lying in the range; of the nearer end, as both have to be passed."""
        above = 0.0 if self.low is None else found.p_above(self.low)
        return max(above, 0.0 if self.high is None else found.p_below(self.high))

    def p_excludes(self, found: Estimate) -> float:
        """Return the p-value of lying outside the range."""
        below = 1.0 if self.low is None else found.p_below(self.low)
        return min(below, 1.0 if self.high is None else found.p_above(self.high))


@dataclass(frozen=True)
class Quantity:
    """A metric, to be read at some place; values measured on fewer than ``fewest`` problems are ignored."""

    metric: str
    fewest: int = 0

    def __call__(self, condition: str, *, variant: str = "", control: str = "", **where: Any) -> "Reading":
        """Read the metric of a condition where the other columns have these values.

        A column given as None must be empty; ``layer="last"`` is the last layer that was measured.
        """
        return Reading(self.metric, condition, variant, control, tuple(where.items()), self.fewest)


@dataclass(frozen=True)
class Reading(Expression):
    """A metric of a condition at one place."""

    metric: str
    condition: str
    variant: str
    control: str
    where: tuple[tuple[str, Any], ...]
    fewest: int = 0

    @property
    def unit(self) -> str:
        return METRICS[self.metric].unit

    def rows(self, table: pd.DataFrame) -> pd.DataFrame:
        named = (table["metric"] == self.metric) & (table["condition"] == self.condition)
        rows = table[named & (table["variant"] == self.variant) & (table["control"] == self.control)]
        rows = rows[rows["count"] >= self.fewest] if self.fewest else rows
        for column, value in self.where:
            if column == "layer" and value == LAST_LAYER:
                value = last_layer(rows["layer"].unique())
            if value is None:
                rows = rows[rows[column].isna() | rows[column].eq("").fillna(False)]
            else:
                rows = rows[rows[column].eq(value).fillna(False)]
        return rows

    def values(self, table: pd.DataFrame) -> BySeed:
        rows = self.rows(table)
        if rows["seed"].duplicated().any():
            raise ValueError(f"{self.metric} of {self.condition} has several rows a seed; name the one that is meant")
        return rows.set_index("seed")["value"]

    def readings(self) -> Iterator["Reading"]:
        yield self

    def over_steps(self, first: int, last: int, take: Aggregate) -> "OverSteps":
        """Take the smallest, largest or mean value over a range of steps (lags)."""
        return OverSteps(self, first, last, take)


@dataclass(frozen=True)
class OverSteps(Expression):
    """The smallest, largest or mean value of a reading over the measured steps of a range.

    Not a number for a seed that lacks a step that others have, or whose value there is not a number.
    """

    reading: Reading
    first: int
    last: int
    take: Aggregate

    def values(self, table: pd.DataFrame) -> BySeed:
        rows = self.reading.rows(table)
        rows = rows[rows["step"].between(self.first, self.last).fillna(False)]
        by_step = rows.pivot(index="seed", columns="step", values="value")  # an error if a step has several rows
        return getattr(by_step, self.take)(axis=1, skipna=False)

    def operands(self) -> tuple[Expression, ...]:
        return (self.reading,)


@dataclass(frozen=True)
class _Pair(Expression):
    left: Expression
    right: Expression

    def operands(self) -> tuple[Expression, ...]:
        return self.left, self.right


class Difference(_Pair):
    """One quantity less another, paired by seed."""

    def values(self, table: pd.DataFrame) -> BySeed:
        return self.left.values(table) - self.right.values(table)


class Share(_Pair):
    """One quantity as a share of another, paired by seed."""

    own_unit = "fraction"

    def values(self, table: pd.DataFrame) -> BySeed:
        return self.left.values(table) / self.right.values(table)


class Ratio(Share):
    """One quantity over another, paired by seed and averaged on the logarithm."""

    own_unit = "ratio"
    geometric = True


@dataclass(frozen=True)
class OverParts(Expression):
    """The smallest, largest or mean value of several quantities, for seeds that have all of them."""

    parts: tuple[Expression, ...]
    take: Aggregate
    complete: bool  # whether a part that was not measured leaves the whole unmeasured

    def values(self, table: pd.DataFrame) -> BySeed:
        found = [values for part in self.parts if len(values := part.values(table)) or self.complete]
        if not found:
            return pd.Series(dtype=float)
        return getattr(pd.concat(found, axis=1), self.take)(axis=1, skipna=False)

    def operands(self) -> tuple[Expression, ...]:
        return self.parts


def least(*parts: Expression, complete: bool = False) -> OverParts:
    """Return the least of several quantities: of those measured, unless all must be (``complete``)."""
    return OverParts(parts, "min", complete)


def greatest(*parts: Expression, complete: bool = False) -> OverParts:
    """Return the greatest of several quantities: of those measured, unless all must be (``complete``)."""
    return OverParts(parts, "max", complete)


def average(*parts: Expression, complete: bool = False) -> OverParts:
    """Return the mean of several quantities: of those measured, unless all must be (``complete``)."""
    return OverParts(parts, "mean", complete)


class RankCorrelation(Expression):
    """Spearman's rank correlation within each seed; its interval is Fisher's (see ``rank_estimate``)."""

    own_unit = "ratio"

    def pairs(self, table: pd.DataFrame) -> pd.DataFrame:
        """Return the columns ``seed``, ``x`` and ``y``; every seed should have the same x."""
        raise NotImplementedError

    def values(self, table: pd.DataFrame) -> BySeed:
        """Return the correlation of each seed; not a number where all x or all y are alike."""
        return self._correlations(self.pairs(table).dropna())

    @staticmethod
    def _correlations(pairs: pd.DataFrame) -> BySeed:
        found = {}
        for seed, own in pairs.groupby("seed"):
            varies = own["x"].nunique() > 1 and own["y"].nunique() > 1
            found[seed] = own["x"].corr(own["y"], method="spearman") if varies else np.nan
        return pd.Series(found, dtype=float)

    def estimate(self, table: pd.DataFrame) -> Estimate | None:
        """Return the estimate over seeds, or None where one has no order: the others would not be a random choice."""
        pairs = self.pairs(table).dropna()
        values = self._correlations(pairs).to_numpy(dtype=float)
        if not len(values) or np.isnan(values).any():
            return None
        x = pairs[pairs["seed"] == pairs["seed"].iloc[0]]["x"]
        ceiling = x.corr(x.rank(method="first"), method="spearman")  # the best order that its ties allow
        points = int(pairs.groupby("seed").size().min())
        return rank_estimate(values, points, ceiling) if points > 3 else None


@dataclass(frozen=True)
class RankAlong(RankCorrelation):
    """The rank correlation of numbers with the quantities measured at them; four at least."""

    at: tuple[float, ...]
    parts: tuple[Expression, ...]

    def pairs(self, table: pd.DataFrame) -> pd.DataFrame:
        measured = {x: values for x, part in zip(self.at, self.parts, strict=True) if len(values := part.values(table))}
        found = pd.DataFrame(measured).dropna()  # ranks of fewer values would vary over another range
        found.index.name = "seed"
        return found.reset_index().melt("seed", var_name="x", value_name="y").astype({"x": float})

    def operands(self) -> tuple[Expression, ...]:
        return self.parts


class SeedStatistic(Expression):
    """A number computed from many rows of each seed at once; subclasses define ``rows``, too."""

    def points(self, table: pd.DataFrame) -> pd.DataFrame:
        """Return the data that the number of each seed is computed from, with a column ``seed``."""
        return self.rows(table)

    def of_seed(self, points: pd.DataFrame) -> float:
        """Return the number of one seed, from its points."""
        raise NotImplementedError

    def values(self, table: pd.DataFrame) -> BySeed:
        found = {seed: self.of_seed(own) for seed, own in self.points(table).groupby("seed")}
        return pd.Series(found, dtype=float)


def prior_share(condition: str, n_steps: int, variant: str = "") -> Share:
    """Return a KL as a share of the prior's, which is comparable over worlds: 0 is exact, 1 knows nothing."""
    kl = Quantity("answer_kl")
    return Share(kl(condition, n_steps=n_steps, variant=variant), kl(PRIOR, n_steps=n_steps))
