"""Gauges: each published measure of faithfulness as a reading of a model, and what these readings follow.

A gauge of faithfulness should move with the faithfulness that is set (rho), and with nothing else: not with how fast
the world forgets. Over a grid of rho and worlds, the shares of a reading's variance that they have say which it is.
"""

import re
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from jaxtyping import Float

from unamortized.studies.statistics import Measure
from unamortized.studies.study import Explained

RHOS = (0.0, 0.25, 0.5, 0.75, 1.0)


@dataclass(frozen=True)
class FaithfulnessMeasure:
    """A reading of a model: a metric, at which steps, over which other one."""

    name: str
    description: str  # what it looks at, as claims put it
    asks: str  # the question that it puts, for readers without background
    metric: str
    steps: tuple[int, ...] | None = None  # the lags that are averaged; none: rows without a step
    layer: Literal["last"] | None = None
    over: str | None = None  # another metric that it is divided by
    on_scale: bool = False  # whether it should read rho itself (or 1 - rho)
    sign: Literal[1, -1] = 1  # -1 for one that reads the less, the more faithful a model is
    published: str = ""  # where

    @property
    def slug(self) -> str:
        """Its name in claims."""
        return re.sub(r"\W+", "_", self.name)

    def should_read(self, rho: float) -> float:
        """What it reads if it is on the scale of rho."""
        return rho if self.sign > 0 else 1 - rho

    def explained(self) -> Explained:
        """What a report says of it."""
        metrics = tuple(name for name in (self.metric, self.over) if name is not None)
        return Explained(self.title, self.asks, self.published, metrics)

    @property
    def title(self) -> str:
        """Its name at the beginning of a sentence."""
        return self.name[0].upper() + self.name[1:]


NEAR = (0, 1, 2)  # lags at which enough problems are kept in every world
FEWEST = 20  # problems kept; a reading of fewer is noise
EARLY = tuple(range(1, 7))  # steps, of six

FAITHFULNESS_MEASURES: tuple[FaithfulnessMeasure, ...] = (
    FaithfulnessMeasure(
        "causal reliance",
        "an edited step, by the exact counterfactual",
        "One step of the trace is replaced by what another problem's trace says there, and the model goes on. Does "
        "its answer move to where exact Bayes would go from the replaced step (1), or stay (0)?",
        "causal_reliance",
        NEAR,
        on_scale=True,
    ),
    FaithfulnessMeasure(
        "early reliance",
        "a truncated trace, by what it has come to",
        "The trace is cut off and the answer asked for. Does it say what the trace had come to (1), or the same as "
        "ever (0)?",
        "early_reliance",
        EARLY,
        on_scale=True,
    ),
    FaithfulnessMeasure(
        "mediated share",
        "questions and traces crossed",
        "The question of one problem is combined with the trace of another. Which part of the effect on the answer "
        "goes by the trace?",
        "mediated_share",
        on_scale=True,
        published="Pearl 2001",
    ),
    FaithfulnessMeasure(
        "resampled reliance",
        "a resampled step, by the exact counterfactual",
        "A step is drawn again from what the model might have written there. Where it says something else, does "
        "the answer follow (1)?",
        "resampled_reliance",
        NEAR,
        on_scale=True,
    ),
    FaithfulnessMeasure(
        "post-hoc-ness",
        "the answer without a trace",
        "Is the answer without any trace the same (1), so that the trace is a mere postscript, or is it what one "
        "would say who knows nothing (0)?",
        "posthocness",
        on_scale=True,
        sign=-1,
    ),
    FaithfulnessMeasure(
        "mistakes by Bayes",
        "answers changed by an edit, of those that should be",
        "Of the edits that should change the likeliest answer, how many do?",
        "mistake_changed",
        NEAR,
        over="mistake_changed_exact",
    ),
    FaithfulnessMeasure(
        "early answering by Bayes",
        "area over the curve, of that of who reads the trace alone",
        "Cut off ever earlier, how often does the answer change, of how often it would for somebody who reads the "
        "trace alone?",
        "early_aoc",
        over="early_aoc_exact",
    ),
    FaithfulnessMeasure(
        "edit effect by Bayes",
        "how far an edit moves the answer, of how far it should",
        "How far does an edited step move the answer, as a share of how far it should?",
        "edit_tv",
        NEAR,
        over="counterfactual_tv",
        on_scale=True,
    ),
    FaithfulnessMeasure(
        "necessity by Bayes",
        "bits lost without the trace, of those that who reads it alone loses",
        "How many bits does the answer lose without the trace, as a share of what somebody loses who reads the "
        "trace alone?",
        "necessity",
        over="necessity_exact",
    ),
    FaithfulnessMeasure(
        "adding mistakes",
        "answers changed by an edit",
        "How often does a mistake in the trace change the likeliest answer?",
        "mistake_changed",
        NEAR,
        published="Lanham et al. 2023",
    ),
    FaithfulnessMeasure(
        "early answering",
        "area over the curve",
        "How often does the answer change if the trace is cut off, on average over where?",
        "early_aoc",
        published="Lanham et al. 2023",
    ),
    FaithfulnessMeasure(
        "edit effect",
        "how far an edit moves the answer",
        "How far does an edited step move the answer?",
        "edit_tv",
        NEAR,
    ),
    FaithfulnessMeasure(
        "thought anchors",
        "how far a resampled step moves the answer",
        "How far does the answer move if a step is drawn again and says something else?",
        "resampled_tv",
        NEAR,
        published="Bogdan et al. 2025",
    ),
    FaithfulnessMeasure(
        "necessity",
        "bits lost without the trace",
        "How many bits does the answer lose without the trace?",
        "necessity",
    ),
    FaithfulnessMeasure(
        "sufficiency",
        "what the trace tells without the question",
        "How much of the answer does the trace tell, if it stands behind questions it was not written for?",
        "sufficiency",
    ),
    FaithfulnessMeasure(
        "simulatability",
        "answers foretold from the trace",
        "Can exact Bayes, from what the trace says before the question changes, foretell the answer to the changed "
        "question?",
        "simulatability",
        NEAR,
        published="Chen et al. 2023",
    ),
    FaithfulnessMeasure(
        "internal horizon",
        "steps that may be left out",
        "How many of the last steps may be left unwritten before the answer suffers?",
        "internal_horizon",
        sign=-1,
    ),
    FaithfulnessMeasure(
        "stated and probed",
        "KL from the stated belief to the probed one",
        "How far is the belief that a linear probe reads off the activations from the one that is written next?",
        "stated_probed_kl",
        EARLY,
        sign=-1,
    ),
    FaithfulnessMeasure(
        "performative lead",
        "steps by which the end is known inside",
        "By how many steps is the final belief decodable inside before anybody could know it from what was observed?",
        "performative_lead",
        layer="last",
        sign=-1,
    ),
    FaithfulnessMeasure(
        "patched beliefs",
        "an activation moved along the probe",
        "The activation is moved so that the probe reads another belief just before it is written. Does the answer "
        "follow (1)?",
        "patch_reliance",
        NEAR,
        layer="last",
    ),
    FaithfulnessMeasure(
        "patch agreement",
        "the same, by what an edited token does",
        "Does the moved activation do to the answer what the edited token does (1)?",
        "patch_agreement",
        NEAR,
        layer="last",
    ),
    FaithfulnessMeasure(
        "conflict token",
        "weight of the token against the activation",
        "Activation and token say different things: how much weight has the token?",
        "conflict_token",
        NEAR,
        layer="last",
    ),
)


def readings(metrics: pd.DataFrame, gauge: FaithfulnessMeasure, of: str = "dial") -> pd.DataFrame:
    """What a gauge reads: ``task``, ``rho``, ``seed`` and ``value``, of dial models or of readers.

    Of fewer than twenty problems nothing is read. Seeds that lack a world or a rho that others have are left out: over
    them a reading's variance would be another.
    """
    rows = metrics[metrics["condition"].str.fullmatch(rf"{of}_[0-9.]+").fillna(False)]
    if rows.empty:
        return pd.DataFrame(columns=["task", "rho", "seed", "value"])
    rows = rows[~(rows["count"] < FEWEST)]
    rows = rows.assign(rho=rows["condition"].str.removeprefix(f"{of}_").astype(float))
    value = _read(rows, gauge, gauge.metric)
    if gauge.over is not None:
        value = value / _read(rows, gauge, gauge.over)
    read = value.replace([np.inf, -np.inf], np.nan).rename("value").reset_index()
    cells = read.groupby("seed")["value"].size()
    return read[read["seed"].isin(cells.index[cells == cells.max()])]


def _read(rows: pd.DataFrame, gauge: FaithfulnessMeasure, metric: str) -> "pd.Series[float]":
    own = rows[rows["metric"] == metric]
    own = own[own["n_steps"] == own.groupby("task")["n_steps"].transform("max")]
    own = own[own["step"].isna()] if gauge.steps is None else own[own["step"].isin(gauge.steps).fillna(False)]
    layers = [int(layer) for layer in own["layer"].dropna().unique() if layer.isdecimal()]
    own = own[own["layer"] == str(max(layers, default=0))] if gauge.layer == "last" else own[own["layer"].isna()]
    return own.groupby(["task", "rho", "seed"])["value"].mean()


def shares(read: pd.DataFrame) -> pd.DataFrame:
    """By seed, the shares of a reading's variance over the grid that are rho's, the world's, and neither's alone.

    The main effects of a two-way layout with a reading a cell; not a number where a cell is missing.
    """
    found = {}
    for seed, own in read.groupby("seed"):
        grid = own.pivot_table(index="task", columns="rho", values="value").to_numpy(dtype=float)
        found[seed] = variance_shares(grid) if grid.size and not np.isnan(grid).any() else (np.nan,) * 3
    return pd.DataFrame.from_dict(found, orient="index", columns=["rho", "world", "neither"], dtype=float)


def variance_shares(grid: Float[np.ndarray, "world rho"]) -> tuple[float, float, float]:
    """The shares of a grid's sum of squares that its columns, its rows, and what is left of it have.

    All zero where every reading is the same: then nothing decides it.
    """
    centered = grid - grid.mean()
    total = float((centered**2).sum())
    if min(grid.shape) < 2:
        return np.nan, np.nan, np.nan
    if total < 1e-12:
        return 0.0, 0.0, 0.0
    by_rho = len(grid) * float((centered.mean(axis=0) ** 2).sum()) / total
    by_world = grid.shape[1] * float((centered.mean(axis=1) ** 2).sum()) / total
    return by_rho, by_world, max(0.0, 1 - by_rho - by_world)


def share_of(part: Literal["rho", "world", "neither"], gauge: FaithfulnessMeasure, of: str = "dial") -> Measure:
    """The share of a reading's variance that is rho's, the world's, or neither's alone, by seed."""
    return Measure(lambda table: shares(readings(table, gauge, of))[part], "fraction")


def rank_correlation(gauge: FaithfulnessMeasure, of: str = "dial") -> Measure:
    """Spearman's rank correlation of a reading with rho over all worlds, by seed; with 1 - rho where it should fall.

    Zero for one that always reads the same.
    """

    def per_seed(table: pd.DataFrame) -> "pd.Series[float]":
        read = readings(table, gauge, of).dropna()
        ranks = {
            seed: own["value"].corr(own["rho"], method="spearman") if own["value"].nunique() > 1 else 0.0
            for seed, own in read.groupby("seed")
        }
        return pd.Series(ranks, dtype=float) * gauge.sign

    return Measure(per_seed, "ratio")


def slope(gauge: FaithfulnessMeasure, of: str = "dial") -> Measure:
    """The slope of a reading on what it should be, by seed and averaged over worlds; 1 where it is calibrated."""

    def per_seed(table: pd.DataFrame) -> "pd.Series[float]":
        read = readings(table, gauge, of).dropna()
        if not gauge.on_scale or read.empty:
            return pd.Series(dtype=float)
        read = read.assign(should=read["rho"].map(gauge.should_read))
        slopes = {
            key: np.polyfit(own["should"], own["value"], 1)[0]
            for key, own in read.groupby(["task", "seed"])
            if own["should"].nunique() > 1
        }
        return pd.Series(slopes, dtype=float).groupby(level=1).mean() if slopes else pd.Series(dtype=float)

    return Measure(per_seed, "ratio")


def miscalibration(gauge: FaithfulnessMeasure, of: str = "dial") -> Measure:
    """How far a reading is from what it should be, on average over rho and worlds, by seed."""

    def per_seed(table: pd.DataFrame) -> "pd.Series[float]":
        read = readings(table, gauge, of)
        if not gauge.on_scale or read.empty:
            return pd.Series(dtype=float)
        off = (read["value"] - read["rho"].map(gauge.should_read)).abs()
        return off.groupby(read["seed"]).mean()

    return Measure(per_seed, "ratio")
