"""The amortization gap and the reliance beside it: what the law relates, for each world, model and training."""

import pandas as pd

from unamortized.evaluation.protocol import FEWEST_PROBLEMS
from unamortized.studies.names import AMORTIZED, PRIOR

DIAL, TOLD = "dial_0", "dial_0_told"
CELL = ["task", "world", "variant"]  # the columns that name a cell


def points(metrics: pd.DataFrame, dial: str = DIAL) -> pd.DataFrame:
    """Return one row for each cell, seed and lag of a model that is trained never to follow its trace.

    ``alpha`` is its reliance and ``distance`` its answers' KL from the optimum in nats. The other columns are of the
    direct model of its size: ``kl`` on questions of lag + 1 steps, ``gap`` the same as a share of the prior's,
    ``whole_kl`` and ``whole_gap`` both on the longest questions trained, and ``kept_kl`` on those of them that the edit
    would move. Lags at which fewer than 20 problems were kept are left out.
    """
    prior = _column(metrics, "answer_kl", PRIOR, "prior", ["task", "world", "seed", "n_steps"])
    direct = _column(metrics, "answer_kl", AMORTIZED, "kl", [*CELL, "seed", "n_steps"]).merge(prior)
    direct = direct.assign(gap=direct["kl"] / direct["prior"]).drop(columns="prior")
    at_lag = [*CELL, "seed", "step"]
    found = _column(metrics, "causal_reliance", dial, "alpha", [*at_lag, "n_steps", "count"])
    found = found[found["count"] >= FEWEST_PROBLEMS].assign(composed=found["step"] + 1)
    for own in (
        _column(metrics, "dial_distance", dial, "distance", at_lag),
        _column(metrics, "undisturbed_kl", AMORTIZED, "kept_kl", at_lag),
        direct.rename(columns={"n_steps": "composed"}),
        direct.rename(columns={"kl": "whole_kl", "gap": "whole_gap"}),
    ):
        found = found.merge(own, how="left")  # on the columns that both have
    return found.rename(columns={"step": "lag"}).drop(columns=["n_steps", "composed", "count"])


def _column(metrics: pd.DataFrame, metric: str, condition: str, name: str, by: list[str]) -> pd.DataFrame:
    rows = metrics[(metrics["metric"] == metric) & (metrics["condition"] == condition) & (metrics["control"] == "")]
    return rows[[*by, "value"]].rename(columns={"value": name})


def by_cell(found: pd.DataFrame) -> pd.DataFrame:
    """Return one row for each cell and seed: means over lags, with gap and KL on whole questions."""
    return found.groupby([*CELL, "seed"], as_index=False).agg(
        alpha=("alpha", "mean"),
        distance=("distance", "mean"),
        kept_kl=("kept_kl", "mean"),
        gap=("whole_gap", "first"),
        kl=("whole_kl", "first"),
    )
