"""Growth: how many training questions a stride needs, and how fast that number grows with the stride.

A run is trained on N questions and states every k-th step. For each seed and k, N* is where the KL from the exact
posterior falls to ``THRESHOLD`` as N grows; where even the largest N does not reach it, N* is known only to be larger
(censored). What log N* does as k grows is fitted by censored Gaussian regression (Tobin 1958).
"""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float, Int
from scipy.optimize import minimize
from scipy.stats import norm

from unamortized.studies.statistics import Measure

THRESHOLD = 0.1  # nats from the exact posterior: what counts as learned
FINEST = 0.1  # of log N*: a smaller spread is not to be told from interpolation, and one of zero has no likelihood

GROWTHS: dict[str, Callable[[Float[np.ndarray, " point"]], Float[np.ndarray, " point"]]] = {
    "exponential": lambda stride: stride,  # log N* rises by the rate with each step of the stride
    "polynomial": np.log,  # log N* rises by the power with each e-fold of the stride
    "flat": np.zeros_like,
}


def stride_of(condition: str) -> int | None:
    """k of a condition's trace, whatever its mark: 1 for ``cot``, 4 for ``cot_every_4@n64``; None without strides."""
    found = re.fullmatch(r"cot(?:_every_([1-9]\d*))?", condition.partition("@")[0])
    return int(found[1] or 1) if found else None


def questions_of(condition: str) -> int | None:
    """N of a condition that is marked with its number of training questions, as ``cot@n64`` is."""
    found = re.fullmatch(r"[^/]*@n([1-9]\d*)", condition)
    return int(found[1]) if found else None


class Needed(NamedTuple):
    """log N*, or a bound on it."""

    log_questions: float
    censored: int  # 1: N* is larger than this, the largest N; -1: smaller than this, the smallest; 0: neither


def needed(
    questions: Int[np.ndarray, " size"], kls: Float[np.ndarray, " size"], threshold: float = THRESHOLD
) -> Needed:
    """The number of questions from which on the KL stays at or below the threshold.

    Between the last N above it and the next, log KL is taken to be linear in log N.

    Args:
        questions: the numbers N that were tried, ascending.
        kls: the KL at each, in nats.
        threshold: in nats.
    """
    logs, above = np.log(questions), np.flatnonzero(~(kls <= threshold))
    if not len(above):
        return Needed(float(logs[0]), -1)
    last = int(above[-1])
    if last == len(logs) - 1:
        return Needed(float(logs[-1]), 1)
    high, low = np.log(kls[last]), np.log(max(kls[last + 1], 1e-12))
    share = (high - np.log(threshold)) / (high - low) if np.isfinite(high) else 1.0
    return Needed(float(logs[last] + share * (logs[last + 1] - logs[last])), 0)


def learning_curves(metrics: pd.DataFrame) -> pd.DataFrame:
    """The KLs of runs on N questions: ``task``, ``name`` (without mark), ``stride`` (0 without), ``seed``, N, KL."""
    named = metrics.reindex(columns=["task", "condition", "seed", "metric", "value"])  # a table of nothing has none
    rows = named[named["metric"] == "answer_kl"]
    curves = pd.DataFrame(
        {
            "task": rows["task"].astype(str),
            "name": [name.partition("@")[0] for name in rows["condition"]],
            "stride": [stride_of(name) or 0 for name in rows["condition"]],
            "seed": rows["seed"].astype(int),
            "questions": [questions_of(name) or 0 for name in rows["condition"]],
            "kl": rows["value"].astype(float),
        }
    )
    return curves[curves["questions"] > 0].sort_values(["task", "stride", "seed", "questions"], ignore_index=True)


def all_needed(metrics: pd.DataFrame) -> pd.DataFrame:
    """N* of each ``task``, ``name``, ``stride`` and ``seed``: its ``log_questions`` and whether ``censored``."""
    curves = learning_curves(metrics)
    keys = ["task", "name", "stride", "seed"]
    rows = [
        (*key, *needed(own["questions"].to_numpy(), own["kl"].to_numpy()))
        for key, own in curves.groupby(keys, sort=False)
    ]
    return pd.DataFrame(rows, columns=[*keys, *Needed._fields])


@dataclass(frozen=True)
class Fit:
    """log N* = intercept + slope f(k), up to a Gaussian spread."""

    growth: str
    intercept: float
    slope: float
    spread: float
    log_likelihood: float

    @property
    def parameters(self) -> int:
        """How many were fitted, the spread among them."""
        return 2 if self.growth == "flat" else 3

    @property
    def aic(self) -> float:
        """Akaike's information criterion, less is better."""
        return 2 * self.parameters - 2 * self.log_likelihood

    def log_questions(self, strides: Float[np.ndarray, " point"]) -> Float[np.ndarray, " point"]:
        """What is fitted at these k."""
        return self.intercept + self.slope * GROWTHS[self.growth](strides)

    def log_likelihoods(self, points: pd.DataFrame) -> Float[np.ndarray, " point"]:
        """Of each N*, a density where it is known and a probability where it is censored."""
        _, log_questions, sign = _arrays(points, self.growth)
        off = log_questions - self.log_questions(points["stride"].to_numpy(dtype=float))
        return _log_likelihoods(off / self.spread, sign, self.spread)


def _arrays(points: pd.DataFrame, growth: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Design (point, coefficient), log N* and sign of censoring."""
    strides = points["stride"].to_numpy(dtype=float)
    columns = [np.ones_like(strides), GROWTHS[growth](strides)][: 1 if growth == "flat" else 2]
    return np.stack(columns, axis=1), points["log_questions"].to_numpy(float), points["censored"].to_numpy(int)


def _log_likelihoods(standard: np.ndarray, sign: np.ndarray, spread: float) -> np.ndarray:
    known = norm.logpdf(standard) - np.log(spread)
    return np.where(sign == 0, known, norm.logcdf(-sign * standard))


def fit(points: pd.DataFrame, growth: str, spread: float | None = None) -> Fit | None:
    r"""Maximum likelihood of censored Gaussian regression; None where the data bound the slope on one side only.

    With $\gamma = 1/\sigma$ and $\delta = \gamma \beta$ the log-likelihood
    $\sum_{known} [\log\gamma + \log\varphi(\gamma y - x\delta)] + \sum_{cens.} \log\Phi(\pm(x\delta - \gamma c))$ is
    concave (Olsen 1978), so that what is found is the maximum.

    Args:
        points: ``stride``, ``log_questions`` and ``censored``, as of ``all_needed``.
        growth: a name in ``GROWTHS``.
        spread: sigma where it is known; not below ``FINEST`` where it is fitted.
    """
    if not is_bounded(points, growth):
        return None
    design, log_questions, sign = _arrays(points, growth)

    def negative(scaled: np.ndarray) -> tuple[float, np.ndarray]:
        delta, gamma = scaled[:-1], scaled[-1]
        standard = gamma * log_questions - design @ delta
        values = _log_likelihoods(standard, sign, 1 / gamma)
        # d log Phi(-s z) / dz = -s phi(z) / Phi(-s z), by logarithms as both may underflow
        hazard = np.exp(norm.logpdf(standard) - norm.logcdf(-sign * standard))
        slope = np.where(sign == 0, -standard, -sign * hazard)
        by_gamma = slope @ log_questions + (sign == 0).sum() / gamma
        return -values.sum(), -np.concatenate([-slope @ design, [by_gamma]])

    gamma = 1 / (spread or 1.0)
    least_squares = np.linalg.lstsq(design, log_questions, rcond=None)[0]
    bounds = [(None, None)] * design.shape[1] + [(gamma, gamma) if spread else (1e-6, 1 / FINEST)]
    found = minimize(
        negative,
        np.append(gamma * least_squares, gamma),
        jac=True,
        method="L-BFGS-B",
        bounds=bounds,
        options={"ftol": 1e-13, "gtol": 1e-9, "maxiter": 1000},
    )
    intercept, *slope = (found.x[:-1] / found.x[-1]).tolist()
    return Fit(growth, intercept, slope[0] if slope else 0.0, float(1 / found.x[-1]), float(-found.fun))


def is_bounded(points: pd.DataFrame, growth: str) -> bool:
    """Whether the likelihood has a maximum: known N* at two strides, or at one with bounds that hold the line there.

    Where N* is known at k = 1 alone and larger than the largest N at every other k, any steeper line is likelier.
    """
    design, _, sign = _arrays(points, growth)
    known = design[sign == 0]
    if not len(known):
        return False
    if design.shape[1] == 1 or len(np.unique(known[:, 1])) > 1:
        return True
    off = design[sign != 0, 1] - known[0, 1]
    return all((side * sign[sign != 0] * off < 0).any() for side in (1, -1))


def with_strides(metrics: pd.DataFrame) -> pd.DataFrame:
    """N* of the conditions that write strides."""
    points = all_needed(metrics)
    return points[points["stride"] > 0]


def rates(metrics: pd.DataFrame, growth: str) -> "pd.Series[float]":
    """The slope that each seed's own N* give on one task, at the spread of all seeds, as each alone has few.

    Not a number for every seed if one of them has no bounded slope: the rest would be those that grow less.
    """
    points = with_strides(metrics)
    together = fit(points, growth)
    found = {
        seed: fit(points[points["seed"] == seed], growth, together.spread) if together else None
        for seed in points["seed"].unique().tolist()
    }
    whole = all(each is not None for each in found.values())
    return pd.Series({seed: each.slope if whole and each else np.nan for seed, each in found.items()}, dtype=float)


def growth_rate(growth: str, unit: str) -> Measure:
    """How fast log N* grows: per step of the stride if exponential, per e-fold of the stride if polynomial."""
    return Measure(lambda table: rates(table, growth), unit)


def aic_advantage(of: str, over: str) -> Measure:
    r"""How much less one growth's AIC is than another's, with the interval of Vuong's (1989) test over seeds.

    Both are fitted to all seeds. Seed s with its share $\Delta_s$ of the difference in log-likelihood counts as
    $2 S \Delta_s$ less twice the difference in parameters, so that the mean over the S seeds is the difference in AIC.
    """

    def per_seed(table: pd.DataFrame) -> "pd.Series[float]":
        points = with_strides(table)
        better, worse = fit(points, of), fit(points, over)
        if better is None or worse is None:
            return pd.Series(dtype=float)
        gain = pd.Series(better.log_likelihoods(points) - worse.log_likelihoods(points), index=points["seed"])
        shares = gain.groupby(level=0).sum()
        return 2 * len(shares) * shares - 2 * (better.parameters - worse.parameters)

    return Measure(per_seed, "AIC")


def needed_over_table(stride: int) -> Measure:
    """N* at a stride over the questions that show every update of it, as a ratio; unmeasured if a seed's is a bound."""

    def per_seed(table: pd.DataFrame) -> "pd.Series[float]":
        points = with_strides(table)
        own = points[points["stride"] == stride].set_index("seed")
        rows = table[(table["metric"] == "table_questions") & (table["step"] == stride).fillna(False)]
        ratios = own["log_questions"].map(math.exp) / rows.groupby("seed")["value"].first()
        return ratios if (own["censored"] == 0).all() else ratios * math.nan

    return Measure(per_seed, "ratio", geometric=True)
