"""The FLOPs multiple: how many times CoT's training a model without a trace would need to answer as well as CoT.

The KL of a condition trained for several budgets C, each with its own annealing, is fitted by a power law,
log KL = a - b log C. It is solved for the KL of CoT, within a hundred times the largest budget: what lies beyond is too
far to extrapolate and counts as that. Where returns diminish faster than a power law, as they do where a model lacks
depth, the true multiple is larger. So read it as a lower bound.
"""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from unamortized.labels import numbers
from unamortized.studies.names import COT, after
from unamortized.studies.quantities import SeedStatistic
from unamortized.studies.statistics import Estimate

REACH = 100.0  # times the largest budget: farther extrapolations, and KLs that no budget reaches, count as this
METRICS = ("answer_kl", "training_flops")


def with_flops(rows: pd.DataFrame) -> pd.DataFrame:
    """Give each row of ``answer_kl`` a column ``training_flops``, what its run cost; rows of other metrics are left."""
    costs = rows[rows["metric"] == "training_flops"].drop_duplicates("run").set_index("run")["value"]
    answers = rows[(rows["metric"] == "answer_kl") & rows["run"].isin(costs.index)]
    return answers.assign(training_flops=answers["run"].map(costs).astype(float))


def is_budget(rows: pd.DataFrame) -> pd.Series:
    """Return which rows are of runs that differ from those without a variant in nothing but the number of steps."""
    named = {name: not name or name == after(int(numbers(name).get("steps", 0))) for name in rows["variant"].unique()}
    return rows["variant"].map(named).astype(bool)


def multiple(flops: np.ndarray, kls: np.ndarray, cot_flops: float, cot_kl: float) -> float:
    """Return the multiple of CoT's FLOPs at which the power law through (flops, KL) reaches CoT's KL.

    At least the smallest budget over CoT's, and at most ``REACH`` times the largest. Not a number for fewer than two
    budgets.
    """
    if len(set(flops)) < 2:
        return np.nan
    least, most = flops.min() / cot_flops, REACH * flops.max() / cot_flops
    slope, at_one = np.polyfit(np.log(flops), np.log(np.maximum(kls, 1e-12)), 1)
    if kls[np.argmin(flops)] <= cot_kl:
        return float(least)
    if slope >= 0:
        return float(most)
    log_needed = (np.log(max(cot_kl, 1e-12)) - at_one) / slope - np.log(cot_flops)
    return float(np.exp(np.clip(log_needed, np.log(least), np.log(most))))


@dataclass(frozen=True)
class FlopsMultiple(SeedStatistic):
    """The FLOPs multiple of a condition at one length, over all its budgets."""

    condition: str
    n_steps: int
    own_unit = "ratio"
    geometric = True

    def rows(self, table: pd.DataFrame) -> pd.DataFrame:
        own = table[table["metric"].isin(METRICS) & (table["control"] == "")]
        own = own[own["condition"].isin((self.condition, COT)) & is_budget(own)]
        return own[own["n_steps"].eq(self.n_steps).fillna(False) | (own["metric"] == "training_flops")]

    def points(self, table: pd.DataFrame) -> pd.DataFrame:
        return with_flops(self.rows(table))

    def estimate(self, table: pd.DataFrame) -> Estimate | None:
        """Estimate the multiple, and say so if every seed is at the largest that is told apart."""
        found, points = super().estimate(table), self.points(table)
        if found is None:
            return None
        flops = points.groupby("condition")["training_flops"].max()
        most = REACH * float(flops[self.condition] / flops[COT])
        return replace(found, ceiling=most if np.isclose(found.value, most) else None)

    def of_seed(self, points: pd.DataFrame) -> float:
        own = points[points["condition"] == self.condition]
        cot = points[(points["condition"] == COT) & (points["variant"] == "")]
        if len(cot) != 1:
            return np.nan
        flops, kls = own["training_flops"].to_numpy(float), own["value"].to_numpy(float)
        return multiple(flops, kls, float(cot["training_flops"].iloc[0]), float(cot["value"].iloc[0]))


def multiples(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the decimal logarithm of the multiple of each condition with several budgets, by length and seed."""
    found = []
    answered = rows[rows["metric"] == "answer_kl"]
    for (task, _), own in rows.groupby(["task", "world"]):
        asked = answered[answered["task"] == task].dropna(subset="n_steps")
        splits = dict(zip(asked["n_steps"].astype(int).tolist(), asked["split"].tolist(), strict=True))
        for condition in own.loc[own["metric"] == "training_flops", "condition"].unique():
            for n_steps in sorted(splits) if condition != COT else ():
                statistic = FlopsMultiple(condition, n_steps)
                for seed, value in statistic.values(own).dropna().items():
                    cell = own[(own["condition"] == condition) & (own["seed"] == seed)].iloc[0]
                    found.append(
                        cell.to_dict() | {"n_steps": n_steps, "split": splits[n_steps], "value": np.log10(value)}
                    )
    return pd.DataFrame(found, columns=rows.columns).astype(rows.dtypes.to_dict())
