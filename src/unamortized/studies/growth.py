"""Growth: how many training questions a stride needs, and how fast that number grows with the stride.

A run is trained on N questions and states every k-th step. For each seed and k, N* is where the KL from the exact
posterior falls to ``THRESHOLD`` as N grows; where even the largest N does not reach it, N* is known only to be larger
(censored). The growth of log N* with k is fitted by censored Gaussian regression (Tobin 1958).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float, Int
from scipy.optimize import minimize
from scipy.stats import norm

from unamortized.labels import numbers
from unamortized.studies.names import COT
from unamortized.studies.quantities import BySeed, Expression, Quantity

THRESHOLD = 0.1  # nats from the exact posterior: a stride below it counts as learned
FINEST = 0.1  # of log N*: interpolation hides a smaller spread, and a spread of zero has no likelihood

GROWTHS: dict[str, Callable[[Float[np.ndarray, " point"]], Float[np.ndarray, " point"]]] = {
    "exponential": lambda stride: stride,  # log N* rises by the rate with each step of the stride
    "polynomial": np.log,  # log N* rises by the power with each e-fold of the stride
    "flat": np.zeros_like,
}
UNITS = {"exponential": "per step", "polynomial": "per e-fold"}  # of their rates


def stride_of(condition: str) -> int:
    """Return k of a trace that states every k-th step: 1 for ``cot``, 4 for ``cot_every_4``, 0 for anything else."""
    return 1 if condition == COT else int(numbers(condition).get("every", 0))


def questions_of(variant: str) -> int:
    """Return the number of training questions of a variant such as ``n500``; 0 for anything else."""
    found = numbers(variant)
    return int(found["n"]) if set(found) == {"n"} else 0


class Needed(NamedTuple):
    """log N*, or a bound on it."""

    log_questions: float
    censored: int  # 1: N* is above this, the largest N tried; -1: below this, the smallest; 0: N* is known


def needed(
    questions: Int[np.ndarray, " size"], kls: Float[np.ndarray, " size"], threshold: float = THRESHOLD
) -> Needed:
    """Return the number of questions from which on the KL (in nats) stays at or below the threshold.

    ``questions`` ascend. Between the last N above the threshold and the next one, log KL is taken as linear in log N.
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


CURVE = ["task", "world", "stride", "condition", "seed"]  # the columns that identify a learning curve


def learning_curves(metrics: pd.DataFrame) -> pd.DataFrame:
    """Return ``questions``, ``kl`` and ``run`` of all runs on N questions, beside the columns of ``CURVE``."""
    rows = metrics[(metrics["metric"] == "answer_kl") & (metrics["control"] == "")]
    curves = rows[["task", "world", "condition", "seed", "run"]].assign(
        stride=[stride_of(condition) for condition in rows["condition"]],
        questions=[questions_of(variant) for variant in rows["variant"]],
        kl=rows["value"].astype(float),
    )
    return curves[curves["questions"] > 0].sort_values([*CURVE, "questions"], ignore_index=True)


def all_needed(metrics: pd.DataFrame) -> pd.DataFrame:
    """Return ``log_questions`` and ``censored`` of each learning curve, beside the columns of ``CURVE``."""
    rows = [
        (*curve, *needed(own["questions"].to_numpy(), own["kl"].to_numpy()))
        for curve, own in learning_curves(metrics).groupby(CURVE, sort=False)
    ]
    return pd.DataFrame(rows, columns=[*CURVE, *Needed._fields])


@dataclass(frozen=True)
class Fit:
    """log N* = intercept + slope f(k), with f of ``GROWTHS``, up to a Gaussian spread."""

    growth: str
    intercept: float
    slope: float
    spread: float

    @property
    def parameters(self) -> int:
        """The number of fitted parameters, including the spread."""
        return 2 if self.growth == "flat" else 3

    def log_questions(self, strides: Float[np.ndarray, " point"]) -> Float[np.ndarray, " point"]:
        """Return the fitted log N* at these k."""
        return self.intercept + self.slope * GROWTHS[self.growth](strides)

    def log_likelihoods(self, points: pd.DataFrame) -> Float[np.ndarray, " point"]:
        """Return the log density of each known N*, and the log probability of each censored one."""
        _, log_questions, sign = _arrays(points, self.growth)
        off = log_questions - self.log_questions(points["stride"].to_numpy(dtype=float))
        return _log_likelihoods(off / self.spread, sign, self.spread)


def _arrays(points: pd.DataFrame, growth: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return design (point, coefficient), log N* and sign of censoring."""
    strides = points["stride"].to_numpy(dtype=float)
    columns = [np.ones_like(strides), GROWTHS[growth](strides)][: 1 if growth == "flat" else 2]
    return np.stack(columns, axis=1), points["log_questions"].to_numpy(float), points["censored"].to_numpy(int)


def _log_likelihoods(standard: np.ndarray, sign: np.ndarray, spread: float) -> np.ndarray:
    known = norm.logpdf(standard) - np.log(spread)
    return np.where(sign == 0, known, norm.logcdf(-sign * standard))


def fit(points: pd.DataFrame, growth: str, spread: float | None = None) -> Fit | None:
    r"""Fit censored Gaussian regression by maximum likelihood; None if the data bound the slope on one side only.

    With $\gamma = 1/\sigma$ and $\delta = \gamma \beta$ the log-likelihood
    $\sum_{known} [\log\gamma + \log\varphi(\gamma y - x\delta)] + \sum_{cens.} \log\Phi(\pm(x\delta - \gamma c))$ is
    concave (Olsen 1978), so that a local maximum is the maximum.
    ``points`` are as ``all_needed`` returns them. The spread is fitted, and at least ``FINEST``, unless it is given.
    """
    if not is_bounded(points, growth):
        return None
    design, log_questions, sign = _arrays(points, growth)

    def negative(scaled: np.ndarray) -> tuple[float, np.ndarray]:
        delta, gamma = scaled[:-1], scaled[-1]
        standard = gamma * log_questions - design @ delta
        values = _log_likelihoods(standard, sign, 1 / gamma)
        # d log Phi(-s z) / dz = -s phi(z) / Phi(-s z), in logarithms because both may underflow
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
    return Fit(growth, intercept, slope[0] if slope else 0.0, float(1 / found.x[-1]))


def is_bounded(points: pd.DataFrame, growth: str) -> bool:
    """Return whether the likelihood has a maximum.

    It has one if N* is known at two strides, or at one stride with bounds that hold the line there. If N* is known at
    k = 1 alone and above the largest N at every other k, any steeper line is likelier.
    """
    design, _, sign = _arrays(points, growth)
    known = design[sign == 0]
    if not len(known):
        return False
    if design.shape[1] == 1 or len(np.unique(known[:, 1])) > 1:
        return True
    off = design[sign != 0, 1] - known[0, 1]
    return all((side * sign[sign != 0] * off < 0).any() for side in (1, -1))


def with_strides(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of conditions that write strides."""
    return rows[rows["stride"] > 0]


class _OfCurves(Expression):
    """A number computed from the learning curves of conditions that write strides."""

    def rows(self, table: pd.DataFrame) -> pd.DataFrame:
        return with_strides(learning_curves(table))


@dataclass(frozen=True)
class GrowthRate(_OfCurves):
    """How fast log N* grows: per step of the stride if exponential, per e-fold of the stride if polynomial."""

    growth: str

    @property
    def unit(self) -> str:
        return UNITS[self.growth]

    def values(self, table: pd.DataFrame) -> BySeed:
        """Return the slope of each seed, at the spread of all seeds together because each alone has few points.

        If one seed has no bounded slope, no seed has a value: the other seeds would be those that grow less.
        """
        points = with_strides(all_needed(table))
        together = fit(points, self.growth)
        fits = {
            seed: fit(own, self.growth, together.spread) if together else None for seed, own in points.groupby("seed")
        }
        slopes = {seed: own.slope for seed, own in fits.items() if own}
        return pd.Series(slopes if len(slopes) == len(fits) else dict.fromkeys(fits, np.nan), dtype=float)


@dataclass(frozen=True)
class AicAdvantage(_OfCurves):
    """How much lower one growth's AIC is than another's, with the interval of Vuong's (1989) test over seeds."""

    growth: str
    other: str
    own_unit = "AIC"

    def values(self, table: pd.DataFrame) -> BySeed:
        r"""Return $2 S \Delta_s$ less twice the difference in parameters, which averages to the difference in AIC.

        Both growths are fitted to all S seeds; $\Delta_s$ is seed s's share of the difference in log-likelihood.
        """
        points = with_strides(all_needed(table))
        better, worse = fit(points, self.growth), fit(points, self.other)
        if better is None or worse is None:
            return pd.Series(dtype=float)
        gains = pd.Series(better.log_likelihoods(points) - worse.log_likelihoods(points), index=points["seed"])
        shares = gains.groupby(level=0).sum()
        return 2 * len(shares) * shares - 2 * (better.parameters - worse.parameters)


@dataclass(frozen=True)
class NeededOverTable(_OfCurves):
    """N* at a stride over the number of questions that show every update of that stride."""

    stride: int
    geometric = True

    def values(self, table: pd.DataFrame) -> BySeed:
        # if N* of one seed is only a bound, no seed has a value
        points = all_needed(table)
        own = points[points["stride"] == self.stride].set_index("seed")
        shown = Quantity("table_questions")("update_table", step=self.stride).values(table)
        ratios = own["log_questions"].map(np.exp) / shown
        return ratios if (own["censored"] == 0).all() else ratios * np.nan
